"""Translates images and volumes of any size in one direction, and back, with a checkpoint."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cyclegan_jax import __version__
from cyclegan_jax.data import intensity, slicing
from cyclegan_jax.data.framing import AIR, fit, unfit
from cyclegan_jax.data.intensity import IntensityRange
from cyclegan_jax.domains import Direction
from cyclegan_jax.inference import TrainedGenerators, model_name, read_generators

_DESCRIP_BYTES = 79  # length of the field `descrip` in NIfTI's header


@dataclasses.dataclass(frozen=True)
class Translator:
    """One direction of one checkpoint.

    Attributes:
      model: the name of the run's workdir.
      direction: in which it translates.
      step: of the checkpoint.
      generate: translates `[N, H, W, 1]` to `[N, H, W, 1]`, both in [-1, 1], in a given direction,
        at sizes that the network takes.
      multiple: height and width must be multiples of it.
      image_size: height and width that the networks were trained at.
      mode: "pad" or "resize", as in training; see `fit`.
      axis: along which volumes are sliced.
      source: stored type and intensity range of the training images of the source domain.
      target: the same of the target domain.
    """

    model: str
    direction: Direction
    step: int
    generate: Callable[[Direction, np.ndarray], np.ndarray]
    multiple: int
    image_size: int
    mode: str
    axis: str
    source: dict[str, Any]
    target: dict[str, Any]

    @property
    def descrip(self) -> str:
        """The text in a file's header that says what made it; a long model name is cut."""
        room = f"cyclegan_jax {__version__} {{}} {self.direction} step {self.step}"
        name = self.model.encode()[: _DESCRIP_BYTES - len(room.format(""))]
        return room.format(name.decode(errors="ignore"))

    def slices(self, images: np.ndarray, *, back: bool = False) -> np.ndarray:
        """Translates slices of any size, or with `back` translates in the opposite direction.

        Args:
          images: `[N, H, W]` in [-1, 1].
          back: whether the opposite direction is meant.

        Returns:
          The translations, of the same shape and range.

        Raises:
          InputError: a translated value is not finite.
        """
        size = (images.shape[1], images.shape[2])
        if self.mode == "resize":
            frame = (self.image_size, self.image_size)
        else:  # at least the training frame: instance norm sees the air around the head as well
            height, width = (max(self.image_size, n + -n % self.multiple) for n in size)
            frame = (height, width)
        framed = np.stack([fit(image, frame, self.mode)[0] for image in images])
        direction = self.direction.back if back else self.direction
        translated = self.generate(direction, framed[..., None])[..., 0]
        return np.stack([unfit(image, size, self.mode) for image in translated])

    def image(self, pixels: np.ndarray) -> np.ndarray:
        """Translates a uint8 or uint16 image `[H, W]` to the same type and shape."""
        normalised = intensity.normalise(pixels, intensity.own_image_range(pixels, self.source))
        out = intensity.own_image_range(pixels, self.target)
        limits = intensity.full_range(pixels.dtype)
        values = intensity.denormalise(self.slices(normalised[None])[0], out)
        return np.clip(values.round(), *limits).astype(pixels.dtype)

    def volume(self, data: np.ndarray, range_: IntensityRange) -> np.ndarray:
        """Translates a volume `[X, Y, Z]` in RAS+ slice by slice; slices of air stay air.

        Args:
          data: the whole volume.
          range_: the intensities that become -1 and 1; see `intensity.volume_range`.

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
        """Returns a note where a volume's pixels have another size than in training, else ""."""
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
        """The intensities that -1 and 1 stand for in translated volumes."""
        return IntensityRange(*self.target["range"])

    def cycle_error(
        self, data: np.ndarray, range_: IntensityRange, translated: np.ndarray
    ) -> np.ndarray:
        """Returns |F(G(x)) - x| or |G(F(y)) - y|: where translating back does not give the source.

        This is NOT a calibrated uncertainty. A generator can hide in its output what the other one
        needs to restore the source (Chu et al., arXiv:1712.02950), so a CycleGAN can have a small
        error where its translation is wrong.

        Args:
          data: the source volume `[X, Y, Z]` in RAS+.
          range_: the intensities that become -1 and 1.
          translated: the translation that `volume` made of it.

        Returns:
          float32 of the same shape, in normalised units: 0 to 2, where 2 is the whole range.
        """
        normalised = intensity.normalise(translated, self.target_range)
        cycled = self._stack(slicing.to_slices(normalised, self.axis), back=True)
        source = intensity.normalise(data, range_)
        return np.abs(slicing.from_slices(cycled, self.axis) - source)


def load_translator(workdir: Path, direction: Direction, checkpoint: str = "best") -> Translator:
    """Restores the generators of a run, for one direction and back.

    Raises:
      InputError: there is no such checkpoint.
    """
    saved = read_generators(workdir, checkpoint)
    generators = TrainedGenerators(saved, model_name(workdir))
    facts = saved.meta["data"]
    return Translator(
        model=generators.name,
        direction=direction,
        step=saved.step,
        generate=generators.translate,
        multiple=generators.size_multiple,
        image_size=generators.config.image_size,
        mode=generators.config.data.fit,
        axis=facts["axis"],
        source=facts["domains"][direction.source],
        target=facts["domains"][direction.target],
    )
