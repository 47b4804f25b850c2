"""One direction of trained generators as a program: a function, its facts, and its check.

A program is float32 whatever `config.dtype` is, at full precision on every device, so that it can
be compared with its export to `LARGEST_DIFFERENCE`.
"""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cyclegan_jax import InputError, __version__
from cyclegan_jax.checkpoints.contents import Checkpoint
from cyclegan_jax.checkpoints.integrity import array_digests, leaves_by_path
from cyclegan_jax.config import Config
from cyclegan_jax.data import from_config, intensity
from cyclegan_jax.data.framing import fit
from cyclegan_jax.data.phantom.head import make_phantom
from cyclegan_jax.domains import CONTRASTS, Direction
from cyclegan_jax.export.texts import check_texts
from cyclegan_jax.inference import TrainedGenerators
from cyclegan_jax.models.networks import build_modules, init_params
from cyclegan_jax.report.page import NOT_FOR_DIAGNOSIS
from cyclegan_jax.system.files import json_digest, write_whole
from cyclegan_jax.trained.origin import Origin
from cyclegan_jax.translation.translator import translator_of

LARGEST_DIFFERENCE = 1e-4  # of an exported program from ours, in the range of 2 from -1 to 1
_HEADS, _NOISES = 4, 2  # slices that a program is compared on


@dataclasses.dataclass(frozen=True)
class Program:
    """One direction of trained generators.

    Attributes:
      function: maps parameters and images `[B, H, W, 1]` in [-1, 1] to their translations; with
        `config.average_mirrored` the mean with the mirror image's.
      params: of the generator, host arrays.
      translate: the translation of host images, by the program that `translate` runs.
      samples: host images `[N, H, W, 1]` to compare on, for H = W.
      size: height and width of the images of training.
      multiple: height and width must be multiples of it.
      facts: what a user of the program must know, JSON-serialisable; docs/export.md lists them.
    """

    function: Callable[[Any, jax.Array], jax.Array]
    params: Any
    translate: Callable[[np.ndarray], np.ndarray]
    samples: Callable[[int], np.ndarray]
    size: int
    multiple: int
    facts: dict[str, Any]

    @property
    def least(self) -> int:
        """The smallest height and width: in smaller ones a norm would not act."""
        return 2 * self.multiple

    def check_size(self, size: int) -> None:
        """Raises `InputError` unless the program translates images of this height and width."""
        if size < self.least or size % self.multiple:
            raise InputError(
                f"--image_size={size}: must be a multiple of {self.multiple} and at least "
                f"{self.least}; the images of training have {self.size}"
            )

    def compare(self, exported: Callable[[np.ndarray], np.ndarray], size: int) -> float:
        """Returns the largest absolute difference of an exported program from ours.

        They are compared on slices of heads and of noise.

        Args:
          exported: maps images `[N, H, W, 1]` to their translations.
          size: H and W.

        Raises:
          InputError: the difference is larger than `LARGEST_DIFFERENCE`.
        """
        images = self.samples(size)
        difference = float(np.abs(exported(images) - self.translate(images)).max())
        if not difference <= LARGEST_DIFFERENCE:  # or it is no number
            raise InputError(
                f"the exported program differs from JAX by {difference:.2g}, more than "
                f"{LARGEST_DIFFERENCE:g}, so it was not written; try other versions of the packages"
            )
        return difference


def program_of(
    origin: Origin, direction: Direction, name: str, data: str, data_license: str
) -> Program:
    """Reads trained generators.

    Args:
      origin: a run or a model folder.
      direction: which of the two generators is meant.
      name: of the model; "" is that of the origin.
      data: the training data in words; "" is what a model folder says of them.
      data_license: their licence; likewise.

    Raises:
      InputError: there are no generators, they are damaged, or a text is not one line.
    """
    check_texts({"name": name, "data": data, "license": data_license})
    saved = origin.read()
    config = saved.config.copy_and_resolve_references().unlock()
    config.dtype, config.matmul_precision = "float32", "highest"
    generators = TrainedGenerators(saved, name or origin.name, config)
    modules = build_modules(config)
    shapes = jax.eval_shape(lambda: init_params(config, modules, config.seed))
    params = getattr(saved.generators(shapes), direction.generator)
    module = getattr(modules, direction.generator)

    def generate(params: Any, images: jax.Array) -> jax.Array:
        with jax.default_matmul_precision(config.matmul_precision):
            return module.apply({"params": params}, images)

    def averaged(params: Any, images: jax.Array) -> jax.Array:
        mirrored = jnp.flip(generate(params, jnp.flip(images, 2)), 2)
        return (generate(params, images) + mirrored) / 2

    about = saved.meta.get("about", {"data": "", "license": ""})
    about = {"data": data or about["data"], "license": data_license or about["license"]}
    return Program(
        function=averaged if config.average_mirrored else generate,
        params=params,
        translate=lambda images: generators.translate(direction, images),
        samples=lambda size: _samples(config, direction.source, size),
        size=config.image_size,
        multiple=generators.size_multiple,
        facts=_facts(generators, direction, params, about, saved),
    )


def _facts(
    generators: TrainedGenerators,
    direction: Direction,
    params: Any,
    about: dict[str, str],
    saved: Checkpoint,
) -> dict[str, Any]:
    there, back = (translator_of(generators, d) for d in (direction, direction.back))
    source, target = (
        {"contrast": CONTRASTS[domain], **translator.source}
        for domain, translator in ((direction.source, there), (direction.target, back))
    )
    return {
        "made_by": f"cyclegan_jax {__version__}",
        "model": generators.name,
        "step": generators.step,
        "direction": str(direction),
        "source": source,
        "target": target,
        "axis": there.axis,
        "slice_jump": there.slice_jump,
        "fit": there.mode,
        "image_size": there.image_size,
        "image_size_multiple": there.multiple,
        "average_mirrored": bool(generators.config.average_mirrored),
        "brain_only": bool(saved.meta["data"].get("brain_only", False)),
        "training_data": about["data"],
        "data_license": about["license"],
        "weights_sha256": json_digest(array_digests(leaves_by_path(params))),
        "descrip": there.descrip,
        "use": NOT_FOR_DIAGNOSIS,
    }


def _samples(config: Config, domain: str, size: int) -> np.ndarray:
    """Returns slices of heads, of the training data where they are at hand, and of noise."""
    try:
        heads = _training_slices(config, domain)
    except (InputError, OSError):  # they are elsewhere
        heads = _phantom_slices(domain, size)
    framed = [fit(head, (size, size), config.data.fit)[0] for head in heads]
    noise = np.random.default_rng(0).uniform(-1, 1, (_NOISES, size, size))
    return np.concatenate([framed, noise]).astype(np.float32)[..., None]


def _training_slices(config: Config, domain: str) -> list[np.ndarray]:
    if not config.data.dir:
        raise InputError("phantoms are not prepared for this")
    records = from_config.open_data(config).split(f"train_{domain}")
    chosen = np.linspace(0, len(records) - 1, 2 * _HEADS + 1).astype(int)[1::2]
    return [intensity.from_storage(records[int(i)]["image"])[..., 0] for i in chosen]


def _phantom_slices(domain: str, size: int) -> np.ndarray:
    head = make_phantom(0, size=size, slices=_HEADS)
    volume = head.t1 if domain == "x" else head.t2
    return intensity.normalise(volume, intensity.volume_range(volume))


def check_out(out: Path, suffix: str) -> None:
    """Raises `InputError` if a file cannot be made at `out`, before any work is lost.

    Args:
      out: what the user gave.
      suffix: what its name has to end in.
    """
    if not out.name.endswith(suffix):
        raise InputError(f"--out={out}: must be a file whose name ends in {suffix}")
    if os.path.lexists(out):
        raise InputError(f"--out={out} is there already; name a new file, or remove it")
    folder = next(folder for folder in out.absolute().parents if os.path.lexists(folder))
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"--out={out}: {folder} is no folder that can be written; name another")


def write(out: Path, content: bytes) -> None:
    """Writes a file whole or not at all. Raises `InputError` if it cannot be written."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(out, content)
    except OSError as error:
        raise InputError(
            f"--out={out}: cannot be written ({error.strerror}); make room or name another"
        ) from error
