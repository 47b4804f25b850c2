"""The format of a model folder, which holds what inference needs of a run, and nothing else.

* `model.json`: the facts, sealed with their digest (see `Facts`);
* `weights.safetensors`: the parameters of both generators by path, see `_layout`;
* `README.md`: the card, with `worst.png` and `subjects.png` where the model was scored on pairs.

Nothing in a folder is trusted: facts are checked before they are used, and the weights are compared
with the digest in the facts, and with the networks of the config, before any array is made.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors
import safetensors.numpy

from cyclegan_jax import InputError, __version__
from cyclegan_jax import config as config_lib
from cyclegan_jax.checkpoints import integrity
from cyclegan_jax.checkpoints.contents import Checkpoint, difference, generators_by_path
from cyclegan_jax.data import limits
from cyclegan_jax.data.intervals import check_intervals
from cyclegan_jax.data.manifest import check_training_facts
from cyclegan_jax.domains import DIRECTIONS
from cyclegan_jax.models.networks import build_modules, init_params
from cyclegan_jax.system.files import write_whole
from cyclegan_jax.system.workdir import MODEL, Workdir

FORMAT = 1
WEIGHTS = "weights.safetensors"
CARD = "README.md"

# The content of `model.json`: "format", "made_by", "name", "step", "averaged" (whether the weights
# are averages), "config", "data" (see `checkpoints.contents.provenance`), "about" (what the card
# says of the data: {"data", "license"}), "scores" (the content of a `scores.json`, or null),
# "failures" (sentences) and "weights" ({"type", "bytes", "sha256"} of their file). A calibrated
# model also has "intervals", `{direction: data.intervals.Intervals}`, and "regions", the worst of
# the calibrating pairs (see `evaluation.region_scores.summarised`). A refined model has "refined",
# {"steps", "models": [{"name", "sha256"} of each that translated]}.
Facts = dict[str, Any]

_MOST_FACTS, _MOST_HEADER = 2**24, 2**20  # bytes
_LONGEST_NAME, _LONGEST_TEXT = 100, 2000  # characters
_WHAT_TO_DO = "export it again, or get it again from where it came"

# How kernels can be stored; inference computes in float32 from either.
TYPES = ("float32", "int8")
_SAFETENSORS_TYPES = {"float32": "F32", "int8": "I8"}
_SCALE = ".scale"  # ends the name of the scales of a kernel of int8
_LARGEST = 127  # of int8, without its sign


def write_model(
    folder: Path, facts: Facts, arrays: Mapping[str, np.ndarray], stored_as: str = "float32"
) -> None:
    """Writes `model.json` and the weights into a folder that is there.

    Args:
      folder: where to write.
      facts: all but "format", "made_by" and "weights".
      arrays: of both generators by path, float32.
      stored_as: one of `TYPES`. In int8 each output channel of a kernel has 255 levels, between
        minus and plus its largest weight.
    """
    stored: dict[str, np.ndarray] = {}
    for path, array in arrays.items():
        stored[path] = np.asarray(array)
        if stored_as == "int8" and array.ndim > 1:
            scale = np.abs(array).max(axis=tuple(range(array.ndim - 1))) / _LARGEST
            levels = np.divide(array, scale, out=np.zeros_like(array), where=scale > 0)
            stored[path], stored[path + _SCALE] = levels.round().astype(np.int8), scale
    content = safetensors.numpy.save(stored)
    (folder / WEIGHTS).write_bytes(content)
    known = {
        "format": FORMAT,
        "made_by": f"cyclegan_jax {__version__}",
        **facts,
        "weights": {
            "type": stored_as,
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        },
    }
    (folder / MODEL).write_text(_sealed(known))


def rewrite_facts(folder: Path, facts: Facts) -> None:
    """Replaces `model.json` of a folder by other facts on the same weights.

    Raises:
      OSError: it cannot be written.
    """
    _check(facts)
    write_whole(folder / MODEL, _sealed(facts))


def _sealed(facts: Facts) -> str:
    return json.dumps(integrity.with_digest(facts), indent=1, allow_nan=False)


def read_facts(folder: Path) -> Facts:
    """Reads and checks `model.json`.

    Raises:
      InputError: `folder` is no model folder, is of a newer version, or is not as it was exported.
    """
    path = folder / MODEL
    if not path.exists() and not path.is_symlink():
        raise InputError(f"{folder} {_what_it_is(folder)}")
    with limits.reading(path, "model", _WHAT_TO_DO):
        if path.stat().st_size > _MOST_FACTS:
            raise ValueError(f"it has more than {_MOST_FACTS} bytes")
        facts = json.loads(path.read_text())
        if not isinstance(facts, dict) or type(facts.get("format")) is not int:
            raise ValueError("it names no format")
        if facts["format"] > FORMAT:
            raise InputError(
                f"{path} has format {facts['format']:.10g}, but this version of cyclegan_jax "
                f"({__version__}) reads formats up to {FORMAT}; install a newer version"
            )
        if not integrity.has_right_digest(facts):
            raise ValueError("it is not as it was exported")
        _check(facts)
    return facts


def read_model(folder: Path) -> Checkpoint:
    """Reads a model folder and compares it with its digests; `meta` of the result is its `Facts`.

    Raises:
      InputError: as `read_facts`; or the weights are missing, damaged, or of other networks than
        those of the config.
    """
    facts, path = read_facts(folder), folder / WEIGHTS
    try:
        config = config_lib.from_json(json.dumps(facts["config"]))
    except InputError as error:
        raise InputError(
            f"{folder / MODEL}: {error}; it was made by {facts['made_by']}, this is {__version__}"
        ) from error
    if not path.exists() and not path.is_symlink():
        raise InputError(f"{folder} has no {WEIGHTS}; {_WHAT_TO_DO}")
    with limits.reading(path, "weights", _WHAT_TO_DO):
        shapes = _shapes(config)
        wanted = _layout(shapes, _stored_as(facts))
        content = _content(path, facts["weights"], wanted)
        # names, types, shapes and places in the content, all checked by the library
        found = dict(safetensors.deserialize(content))
        for name in found:
            check_text("name of an array", name)  # it may stand in a message
        shown = {name: entry["shape"] for name, entry in found.items()}
        if differs := difference(shown, {name: shape for name, (_, shape) in wanted.items()}):
            raise InputError(
                f"{path}: the weights are of another model than {MODEL} says: it {differs}; "
                f"{_WHAT_TO_DO}"
            )
        stored = {}
        for name, (dtype, shape) in wanted.items():
            kind, right = found[name]["dtype"], _SAFETENSORS_TYPES[dtype.name]
            if kind != right:
                raise ValueError(f"{name} is of type {kind}, not {right}")
            stored[name] = np.frombuffer(found[name]["data"], dtype).reshape(shape)
        arrays = {
            path: stored[path].astype(np.float32) * stored.get(path + _SCALE, np.float32(1))
            for path in shapes
        }
    return Checkpoint(facts["step"], facts, {"generators": arrays})


def _stored_as(facts: Facts) -> str:
    return facts["weights"].get("type", TYPES[0])


def _layout(shapes: Mapping[str, Any], stored_as: str) -> dict[str, tuple[np.dtype, Any]]:
    """Returns type and shape of each stored array by name, for parameters of these shapes.

    In int8 a kernel has a scale for each of its output channels, which its integers are multiples
    of. Biases are float32 always.
    """
    layout = {}
    for path, shape in shapes.items():
        has_scale = stored_as == "int8" and len(shape) > 1
        layout[path] = (np.dtype("int8" if has_scale else "<f4"), shape)
        if has_scale:
            layout[path + _SCALE] = (np.dtype("<f4"), shape[-1:])
    return layout


def _content(path: Path, recorded: Mapping[str, Any], layout: Mapping[str, Any]) -> bytes:
    """Returns the bytes of the weights, which are no more than arrays of this layout need."""
    least = sum(dtype.itemsize * math.prod(shape) for dtype, shape in layout.values())
    size = path.stat().st_size
    if size != recorded["bytes"]:
        raise ValueError(f"the file has {size} bytes instead of {recorded['bytes']!r}")
    if not least < size <= least + _MOST_HEADER:
        raise InputError(
            f"{path}: the weights are of another model than {MODEL} says: the file has {size} "
            f"bytes, and the networks of its config need {least}; {_WHAT_TO_DO}"
        )
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != recorded["sha256"]:
        raise ValueError("the digest is wrong, so the file is not as it was exported")
    return content


def _shapes(config: config_lib.Config) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of both generators' parameters by path; makes no array."""
    modules = build_modules(config)
    params = jax.eval_shape(lambda: init_params(config, modules, config.seed))
    return {path: leaf.shape for path, leaf in generators_by_path(params).items()}


def _check(facts: Facts) -> None:
    """Raises KeyError, TypeError, AttributeError or ValueError for what is missing or wrong."""
    texts = [(facts["name"], _LONGEST_NAME), (facts["made_by"], _LONGEST_TEXT)]
    texts += [(facts["about"][key], _LONGEST_TEXT) for key in ("data", "license")]
    texts += [(sentence, _LONGEST_TEXT) for sentence in facts["failures"]]
    for text, longest in texts:
        check_text("text", text, longest)
    if not facts["name"]:
        raise ValueError("the name is empty")
    if type(facts["step"]) is not int or not 0 <= facts["step"] < 2**31:
        raise ValueError(f"no step can be {str(facts['step'])[:80]!r}")
    size = facts["config"]["image_size"]
    if type(size) is not int or not 0 < size * size <= limits.MOST_PIXELS:
        raise ValueError(f"no config.image_size can be {str(size)[:80]!r}")
    if _stored_as(facts) not in TYPES:
        raise ValueError(f"no type of weights can be {str(_stored_as(facts))[:80]!r}")
    check_training_facts(facts["data"])
    if refined := facts.get("refined"):
        check_text("number of steps", f"{refined['steps']:d}", _LONGEST_NAME)
        for model in refined["models"]:
            check_text("name", model["name"], _LONGEST_NAME)
    for direction, intervals in facts.get("intervals", {}).items():
        if direction not in DIRECTIONS:
            raise ValueError(f"no direction can be {str(direction)[:80]!r}")
        check_intervals(intervals)


def check_text(what: str, text: Any, longest: int = _LONGEST_TEXT) -> None:
    """Raises ValueError for what is no single line of text, or longer than `longest` characters."""
    if not isinstance(text, str) or not text.isprintable() or len(text) > longest:
        raise ValueError(f"no {what} can be {str(text)[:80]!r}; give at most {longest} characters")


def _what_it_is(folder: Path) -> str:
    if not folder.is_dir():
        return "is no folder; give --model the folder of an exported model"
    if Workdir(folder).checkpoints.is_dir() or Workdir(folder).config.is_file():
        return (
            "is the workdir of a run, not a model folder; give it as --workdir, or export a model "
            "from it"
        )
    return f"is no model folder (no {MODEL}); give --model the folder of an exported model"
