"""Translates images and volumes of any size with a checkpoint; needs no training data."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cyclegan_jax import InputError, __version__
from cyclegan_jax import config as config_lib
from cyclegan_jax.checkpoint import Checkpoints
from cyclegan_jax.data import volumes
from cyclegan_jax.data.folders import subject_of
from cyclegan_jax.data.pipeline import fit, unfit
from cyclegan_jax.data.volumes import IntensityRange
from cyclegan_jax.parallel import Parallel
from cyclegan_jax.scoring import DIRECTIONS, load_generators
from cyclegan_jax.state import build_modules

_BATCH = 8
_SUFFIX = {"t1_to_t2": "_T2", "t2_to_t1": "_T1"}


@dataclasses.dataclass(frozen=True)
class Translator:
    """One direction of one checkpoint.

    Attributes:
      direction: "t1_to_t2" or "t2_to_t1".
      step: of the checkpoint.
      generate: `[N, H, W, 1]` to `[N, H, W, 1]`, both in [-1, 1], at sizes the network takes.
      multiple: height and width must divide by it.
      image_size: the networks were trained at.
      mode: of `pipeline.fit`, as in training.
      axis: along which volumes are sliced.
      source: stored type and intensity range of the training images of the source domain.
      target: the same of the target domain.
    """

    direction: str
    step: int
    generate: Callable[[np.ndarray], np.ndarray]
    multiple: int
    image_size: int
    mode: str
    axis: str
    source: dict[str, Any]
    target: dict[str, Any]

    def slices(self, images: np.ndarray) -> np.ndarray:
        """Translates `[N, H, W]` in [-1, 1] of any size to the same shape."""
        size = (images.shape[1], images.shape[2])
        if self.mode == "resize":
            frame = (self.image_size, self.image_size)
        else:  # at least the training frame: instance norm sees the air around the head as well
            height, width = (max(self.image_size, n + -n % self.multiple) for n in size)
            frame = (height, width)
        framed = np.stack([fit(image, frame, self.mode)[0] for image in images])
        translated = self.generate(framed[..., None])[..., 0]
        return np.stack([unfit(image, size, self.mode) for image in translated])

    def image(self, pixels: np.ndarray) -> np.ndarray:
        """Translates a uint8 or uint16 image `[H, W]`; the same type and shape come back."""
        normalised = volumes.normalise(pixels, _image_range(pixels, self.source))
        out = _image_range(pixels, self.target)
        limits = volumes.full_range(pixels.dtype)
        values = volumes.denormalise(self.slices(normalised[None])[0], out)
        return np.clip(values.round(), *limits).astype(pixels.dtype)

    def volume(self, data: np.ndarray, intensity: IntensityRange) -> np.ndarray:
        """Translates a volume `[X, Y, Z]` in RAS+ slice by slice.

        Args:
          data: the whole volume.
          intensity: what it is normalised by; see `volumes.volume_range`.

        Returns:
          float32 of the same shape, in the target domain's reference range.
        """
        stack = volumes.to_slices(volumes.normalise(data, intensity), self.axis)
        translated = volumes.from_slices(self.slices(stack), self.axis)
        return volumes.denormalise(translated, IntensityRange(*self.target["range"]))


def load_translator(workdir: Path, direction: str, checkpoint: str = "best") -> Translator:
    """Restores one generator of a run.

    Raises:
      InputError: no such direction or checkpoint.
    """
    if direction not in DIRECTIONS:
        raise InputError(f"--direction={direction!r}: must be one of {', '.join(DIRECTIONS)}")
    with Checkpoints(workdir) as checkpoints:
        step = checkpoints.resolve(checkpoint)
        meta = checkpoints.meta(step)
        config = config_lib.from_json(json.dumps(meta["config"]))
        parallel = Parallel(config.parallel)
        generators = load_generators(checkpoints, step, config, parallel)
    name, source, target = (
        ("generator_g", "x", "y") if direction == "t1_to_t2" else ("generator_f", "y", "x")
    )
    module, params = getattr(build_modules(config), name), getattr(generators, name)
    compiled = parallel.compile_translate_step(module, _BATCH)
    domains = meta["data"]["domains"]
    return Translator(
        direction=direction,
        step=step,
        generate=lambda images: compiled(params, images),
        multiple=module.size_multiple,
        image_size=config.image_size,
        mode=config.data.fit,
        axis=meta["data"]["axis"],
        source=domains[source],
        target=domains[target],
    )


def plan(inputs: Sequence[Path], out: Path, direction: str) -> list[tuple[Path, Path]]:
    """Every file to read and the file to write for it, folders expanded.

    The result is named after the subject with `_T1` or `_T2`; a JPEG becomes a PNG.

    Raises:
      InputError: nothing to do, two results share a file, or `out` is the folder of an input.
    """
    if not inputs:
        raise InputError("name at least one image, volume or folder to translate")
    pairs: list[tuple[Path, Path]] = []
    for path in (p for entry in inputs for p in volumes.list_files(entry)):
        suffix = path.name.removeprefix(volumes.stem(path))
        suffix = ".png" if suffix.lower() in (".jpg", ".jpeg") else suffix
        pairs.append((path, out / f"{subject_of(path)}{_SUFFIX[direction]}{suffix}"))
    writers: dict[Path, Path] = {}
    for source, target in pairs:
        if source.resolve().parent == out.resolve():
            raise InputError(
                f"--out={out} is the folder of {source.name}: a translation could replace a scan "
                "there; choose another"
            )
        if writers.setdefault(target, source) != source:
            raise InputError(
                f"{writers[target]} and {source} would both be written to {target}; "
                "translate them into different folders"
            )
    return pairs


def translate_file(translator: Translator, source: Path, target: Path) -> None:
    """Translates one image or volume file.

    Raises:
      InputError: the file cannot be read, used or written.
    """
    if not volumes.is_volume(source):
        volumes.write_image(target, translator.image(volumes.read_image(source)))
        return
    volume = volumes.read_volume(source)
    try:
        intensity = volumes.volume_range(volume.data)
    except ValueError as error:
        raise InputError(f"{source}: {error}") from error
    translated = translator.volume(volume.data, intensity)
    descrip = f"cyclegan_jax {__version__} {translator.direction} step {translator.step}"
    volumes.write_volume(target, translated, volume, descrip)


def translate(
    workdir: Path, direction: str, inputs: Sequence[Path], out: Path, checkpoint: str = "best"
) -> int:
    """Translates files and folders; a file that fails is reported and the rest go on.

    Returns:
      The number of files that failed.

    Raises:
      InputError: nothing can be translated at all.
    """
    pairs = plan(inputs, out, direction)
    translator = load_translator(workdir, direction, checkpoint)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out={out}: cannot be made a folder ({error.strerror})") from error
    failed = 0
    for index, (source, target) in enumerate(pairs, 1):
        try:
            translate_file(translator, source, target)
            print(f"[{index}/{len(pairs)}] {source} -> {target}", flush=True)
        except InputError as error:
            failed += 1
            print(f"[{index}/{len(pairs)}] FAILED {error}", flush=True)
    return failed


def _image_range(pixels: np.ndarray, domain: dict[str, Any]) -> IntensityRange:
    """The training images' range if they had this type; else what the type is used for.

    That is 0 to 255 for 8 bits. Of 16 bits, scanners use 10 to 15, so the image's own maximum.
    """
    if domain["dtype"] == str(pixels.dtype):
        return IntensityRange(*domain["range"])
    if pixels.dtype == np.uint8:
        return volumes.full_range(pixels.dtype)
    return IntensityRange(0.0, max(1.0, float(pixels.max())))
