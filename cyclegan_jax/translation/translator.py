"""One direction of a checkpoint: images and volumes of any size through its generator and back."""

import dataclasses
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cyclegan_jax import InputError, __version__
from cyclegan_jax.checkpoints.manager import Checkpoints
from cyclegan_jax.data import intensity, slicing
from cyclegan_jax.data.framing import AIR, fit, unfit
from cyclegan_jax.data.intensity import IntensityRange
from cyclegan_jax.evaluation.scoring import DIRECTIONS, compile_translators, load_generators
from cyclegan_jax.parallel.devices import Parallel
from cyclegan_jax.state import build_recipe

_DESCRIP_BYTES = 79  # of NIfTI's header field


@dataclasses.dataclass(frozen=True)
class Translator:
    """One direction of one checkpoint.

    Attributes:
      model: what the run is called, the name of its workdir.
      direction: "t1_to_t2" or "t2_to_t1".
      step: of the checkpoint.
      generate: `[N, H, W, 1]` to `[N, H, W, 1]`, both in [-1, 1], at sizes the network takes.
      generate_back: the same for the other direction.
      multiple: height and width must divide by it.
      image_size: the networks were trained at.
      mode: of `framing.fit`, as in training.
      axis: along which volumes are sliced.
      source: stored type and intensity range of the training images of the source domain.
      target: the same of the target domain.
    """

    model: str
    direction: str
    step: int
    generate: Callable[[np.ndarray], np.ndarray]
    generate_back: Callable[[np.ndarray], np.ndarray]
    multiple: int
    image_size: int
    mode: str
    axis: str
    source: dict[str, Any]
    target: dict[str, Any]

    @property
    def descrip(self) -> str:
        """What made a file, for its header; a long model name is cut."""
        room = f"cyclegan_jax {__version__} {{}} {self.direction} step {self.step}"
        name = self.model.encode()[: _DESCRIP_BYTES - len(room.format(""))]
        return room.format(name.decode(errors="ignore"))

    def slices(self, images: np.ndarray, *, back: bool = False) -> np.ndarray:
        """Translates `[N, H, W]` in [-1, 1] of any size to the same shape, or `back` again.

        Raises:
          InputError: the generator's output is not finite.
        """
        size = (images.shape[1], images.shape[2])
        if self.mode == "resize":
            frame = (self.image_size, self.image_size)
        else:  # at least the training frame: instance norm sees the air around the head as well
            height, width = (max(self.image_size, n + -n % self.multiple) for n in size)
            frame = (height, width)
        framed = np.stack([fit(image, frame, self.mode)[0] for image in images])
        generate = self.generate_back if back else self.generate
        translated = generate(framed[..., None])[..., 0]
        if not np.isfinite(translated).all():
            raise InputError(
                f"checkpoint {self.step} of {self.model} translates to values that are not finite; "
                "choose another --checkpoint"
            )
        return np.stack([unfit(image, size, self.mode) for image in translated])

    def image(self, pixels: np.ndarray) -> np.ndarray:
        """Translates a uint8 or uint16 image `[H, W]`; the same type and shape come back."""
        normalised = intensity.normalise(pixels, intensity.own_image_range(pixels, self.source))
        out = intensity.own_image_range(pixels, self.target)
        limits = intensity.full_range(pixels.dtype)
        values = intensity.denormalise(self.slices(normalised[None])[0], out)
        return np.clip(values.round(), *limits).astype(pixels.dtype)

    def volume(self, data: np.ndarray, range_: IntensityRange) -> np.ndarray:
        """Translates a volume `[X, Y, Z]` in RAS+ slice by slice; slices of air alone stay air.

        Args:
          data: the whole volume.
          range_: what it is normalised by; see `intensity.volume_range`.

        Returns:
          float32 of the same shape, in the target domain's reference range.
        """
        stack = slicing.to_slices(intensity.normalise(data, range_), self.axis)
        translated = self._stack(stack)
        return intensity.denormalise(slicing.from_slices(translated, self.axis), self.target_range)

    def _stack(self, stack: np.ndarray, *, back: bool = False) -> np.ndarray:
        # The networks never saw a slice of air, and instance norm would blow up its noise.
        head = stack.max(axis=(1, 2)) > intensity.HEAD
        translated = np.full_like(stack, AIR)
        if head.any():
            translated[head] = self.slices(stack[head], back=back)
        return translated

    def pixel_note(self, spacing: tuple[float, float, float]) -> str:
        """What to say where a volume's pixels have another size than those of training, or ""."""
        trained = self.source.get("pixel_mm")  # not known of images, nor by older checkpoints
        if trained is None or self.mode == "resize":
            return ""
        pixel = slicing.in_plane(spacing, self.axis)
        if slicing.alike(pixel, trained):
            return ""
        sizes = (" x ".join(f"{n:.4g}" for n in size) for size in (pixel, trained))
        return "pixels are {} mm but were {} mm in training; resample the scan first".format(*sizes)

    @property
    def target_range(self) -> IntensityRange:
        """What -1 and 1 stand for in translated volumes."""
        return IntensityRange(*self.target["range"])

    def cycle_error(
        self, data: np.ndarray, range_: IntensityRange, translated: np.ndarray
    ) -> np.ndarray:
        """Where translating back does not return the source: |F(G(x)) - x|, or |G(F(y)) - y|.

        It is NOT a calibrated uncertainty. A generator can hide in its output what the other needs
        to restore the source (Chu et al., arXiv:1712.02950), so a CycleGAN can have a small error
        where its translation is wrong.

        Args:
          data: the source volume `[X, Y, Z]` in RAS+.
          range_: what it is normalised by.
          translated: what `volume` made of it.

        Returns:
          float32 of the same shape, in normalised units: 0 to 2, where 2 is the whole range.
        """
        normalised = intensity.normalise(translated, self.target_range)
        cycled = self._stack(slicing.to_slices(normalised, self.axis), back=True)
        source = intensity.normalise(data, range_)
        return np.abs(slicing.from_slices(cycled, self.axis) - source)


def load_translator(workdir: Path, direction: str, checkpoint: str = "best") -> Translator:
    """Restores the generators of a run, for one direction and back.

    Raises:
      InputError: no such direction or checkpoint.
    """
    if direction not in DIRECTIONS:
        raise InputError(f"--direction={direction!r}: must be one of {', '.join(DIRECTIONS)}")
    with Checkpoints(workdir) as checkpoints:
        saved = checkpoints.choose(checkpoint)
    config = saved.config
    parallel = Parallel(config.parallel)
    generators = load_generators(saved, config, parallel)
    recipe = build_recipe(config)
    g, f = compile_translators(recipe, parallel)
    forth = functools.partial(g, generators.generator_g)
    back = functools.partial(f, generators.generator_f)
    source, target = "x", "y"
    if direction == "t2_to_t1":
        forth, back, source, target = back, forth, target, source
    domains = saved.meta["data"]["domains"]
    return Translator(
        model=Path(os.path.abspath(workdir)).name,
        direction=direction,
        step=saved.step,
        generate=forth,
        generate_back=back,
        multiple=recipe.modules.generator_g.size_multiple,
        image_size=config.image_size,
        mode=config.data.fit,
        axis=saved.meta["data"]["axis"],
        source=domains[source],
        target=domains[target],
    )
