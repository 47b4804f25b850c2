"""Starting a new run from the weights of a run or a model, `--init_from=RUN[@STEP]|MODEL`.

The new run has its own config, data, optimizer states and steps. Where its weights come from stands
in its workdir (`Workdir.init_from`) from the start, and in each of its checkpoints.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from cyclegan_jax import InputError
from cyclegan_jax import config as config_lib
from cyclegan_jax.checkpoints.contents import Checkpoint, inference_item
from cyclegan_jax.checkpoints.manager import Checkpoints, Part, saved_steps
from cyclegan_jax.models.networks import Networks
from cyclegan_jax.state import TrainState
from cyclegan_jax.system.files import json_digest, write_whole
from cyclegan_jax.system.workdir import MODEL, Workdir, writing_workdir
from cyclegan_jax.trained.model_folder import read_model
from cyclegan_jax.trained.origin import BEST
from cyclegan_jax.trained.shipped import find_model, models

# {"run": name of the folder of the run or model, "step", "digest": of the weights}
Facts = dict[str, Any]


class InitialWeights(NamedTuple):
    """Weights to start from.

    Attributes:
      generators: parameters, on the host; the averaged ones where the other run averages.
      discriminators: parameters, without generators; None where there are none that fit.
      facts: where they come from.
      notes: what the user must know.
    """

    generators: Networks
    discriminators: Networks | None
    facts: Facts
    notes: list[str]


def read_initial_weights(source: str, config: config_lib.Config, like: Networks) -> InitialWeights:
    """Reads the weights that `source` names. This is the only place that knows what it may be.

    Args:
      source: RUN or RUN@STEP: the workdir of a run, and "best" (the default), "latest" or a step;
        or MODEL: the folder of an exported model, or the name of a shipped one.
      config: of the new run.
      like: the new run's parameters, or their shapes.

    Raises:
      InputError: there is no such run, checkpoint or model, or its generators are not those of
        `config`.
    """
    saved = _read(source, "weights")
    with _naming(source):
        changed = config_lib.changes(saved.config, config)
    if other := changes_in_words("generator.", changed):
        raise InputError(
            f"--init_from={source} has other generators (there -> here): {other}; give the values "
            "from there, or start without --init_from"
        )
    with _naming(source):
        generators = saved.generators(like)
    discriminators, notes = None, []
    if "discriminators" not in saved.items:
        notes.append(
            f"--init_from={source} is an exported model and holds no discriminators, so that new "
            "ones are trained"
        )
    else:
        why = changes_in_words("discriminator.", changed)
        if not why:
            try:
                discriminators = saved.discriminators(like)
            except InputError as error:  # an image size can decide which layers have a norm
                why = str(error)
        if why:
            notes.append(
                f"the discriminators of --init_from={source} do not fit, so that new ones are "
                f"trained (there -> here): {why}"
            )
    if config.loss.start_weight:
        notes.append(
            f"loss.start_weight = {config.loss.start_weight:g} acts in the first "
            f"{config_lib.start_steps(config)} steps of this run, too; if the weights of "
            "--init_from have the right polarity already, leave it out with "
            "--config.loss.start_weight=0"
        )
    return InitialWeights(generators, discriminators, _facts(source, saved), notes)


def with_weights(state: TrainState, weights: InitialWeights) -> TrainState:
    """Returns a new run's state with these weights, on the host; its averages begin with them."""
    state = jax.device_get(state)
    chosen = state.params if weights.discriminators is None else weights.discriminators
    params = chosen.replace(
        generator_g=weights.generators.generator_g, generator_f=weights.generators.generator_f
    )
    # a copy, since a step that donates its state needs every array in a buffer of its own
    ema = None if state.ema is None else jax.tree.map(np.copy, weights.generators)
    return state.replace(params=params, ema=ema)


def _recorded_source(workdir: Path) -> Facts | None:
    """Returns the record of where the run in `workdir` started, or None if it has none.

    Raises `InputError` if it cannot be read.
    """
    path = Workdir(workdir).init_from
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text())
        return {key: record[key] for key in ("path", "checkpoint", "facts")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read ({error}); use a new --workdir") from error


def source_of_run(workdir: Path, given: str) -> tuple[str, Facts | None]:
    """Returns the source that the run in `workdir` starts or has started from; "" for none.

    The second result is the record of its weights, if it has started from other weights.

    Args:
      workdir: of a new run or of one that is resumed.
      given: the value of --init_from; "" stands for what the run has started from.

    Raises:
      InputError: the run has started from other weights.
    """
    record = _recorded_source(workdir)
    if record is None:
        if given and Workdir(workdir).config.exists():
            raise InputError(
                f"--init_from={given}: the run in {workdir} has not started from other weights; "
                "leave it out to resume, or use a new --workdir"
            )
        return given, None
    started = f"{record['path']}@{record['checkpoint']}"
    if given and not _is_same(given, record):
        raise InputError(
            f"--init_from={given}: the run in {workdir} has started from the weights of "
            f"{record['facts']['run']}, step {record['facts']['step']}; leave it out to resume, or "
            "use a new --workdir"
        )
    return given or started, record["facts"]


def record_source(workdir: Path, source: str, facts: Facts) -> None:
    """Writes where the run in `workdir` starts. Raises `InputError` if it cannot be written."""
    path, checkpoint = _split(source)
    record = {"path": os.path.abspath(path), "checkpoint": checkpoint, "facts": facts}
    with writing_workdir(workdir):
        write_whole(Workdir(workdir).init_from, json.dumps(record, indent=2))


def _split(source: str) -> tuple[Path, str]:
    path, checkpoint = source, BEST
    if "@" in source and not Path(source).is_dir():
        path, _, checkpoint = source.rpartition("@")
    return find_model(path) if path in models() else Path(path), checkpoint


def _is_same(given: str, record: Facts) -> bool:
    path, checkpoint = _split(given)
    if (os.path.abspath(path), checkpoint) == (record["path"], record["checkpoint"]):
        return True  # even if that run is gone, or its best checkpoint is another by now
    try:
        return _facts(given, _read(given, "meta"))["digest"] == record["facts"]["digest"]
    except InputError:
        return False


def _read(source: str, part: Part) -> Checkpoint:
    path, checkpoint = _split(source)
    is_model = (path / MODEL).is_file()
    if is_model and checkpoint != BEST:
        raise InputError(
            f"--init_from={source}: an exported model has one set of weights; omit @{checkpoint}"
        )
    if not is_model and not saved_steps(path):
        raise InputError(
            f"--init_from={source}: {path} is neither a run with checkpoints nor an exported "
            "model; name the workdir of a run, RUN@STEP, or the folder of a model"
        )
    with _naming(source):
        if is_model:
            return read_model(path)
        with Checkpoints(path) as checkpoints:
            return checkpoints.choose(checkpoint, part)


@contextlib.contextmanager
def _naming(source: str) -> Iterator[None]:
    """Puts the flag in front of the message of an `InputError`."""
    try:
        yield
    except InputError as error:
        raise InputError(f"--init_from={source}: {error}") from error


def _facts(source: str, saved: Checkpoint) -> Facts:
    if "weights" in saved.meta:  # of a model folder
        digest = saved.meta["weights"]["sha256"]
    else:
        digests = saved.meta["digests"]
        digest = json_digest([digests[inference_item(digests)], digests["discriminators"]])
    name = os.path.basename(os.path.abspath(_split(source)[0]))
    facts = {"run": name, "step": saved.step, "digest": digest}
    before = saved.meta.get("init_from")
    return facts if before is None else {**facts, "init_from": before}


def changes_in_words(section: str, changed: Mapping[str, list[Any]]) -> str:
    """Returns what changed of a section of the config, "generator." for example, or ""."""
    inside = {key: pair for key, pair in changed.items() if key.startswith(section)}
    return "; ".join(config_lib.as_lines(inside))
