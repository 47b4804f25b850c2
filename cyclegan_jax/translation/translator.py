"""Translates images and volumes of any size in one direction, and back, with trained generators."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from cyclegan_jax import __version__
from cyclegan_jax.data import intensity, slicing, through_plane
from cyclegan_jax.data.familiarity import Limits
from cyclegan_jax.data.framing import AIR, fit, fitted_size, pixel_as_seen, unfit
from cyclegan_jax.data.intensity import IntensityRange
from cyclegan_jax.data.intervals import Intervals, head_bounds
from cyclegan_jax.domains import Direction
from cyclegan_jax.inference import TrainedGenerators, pixels_in_training
from cyclegan_jax.trained.origin import Origin
from cyclegan_jax.translation.placement import Placement, place, recorded

_DESCRIP_BYTES = 79  # length of the field `descrip` in NIfTI's header
_LARGER = 1.3  # than the largest brain; of 10 whole heads at 2 mm the least was 1.5 times as large
_CUT = 0.4  # of the largest slice: what the highest one shows of a head whose top is cut off
_LEAST_HEAD = 0.005  # of the frame: what a connected part needs to be head, and not noise


@dataclasses.dataclass(frozen=True)
class View:
    """How the networks see a scan.

    Attributes:
      range: the intensities that become -1 and 1.
      placement: where their frame lies in its slices.
      chosen: bool `[N]`, the slices that are translated; the others are air.
      notes: what the user must know, a line each.
    """

    range: IntensityRange
    placement: Placement
    chosen: np.ndarray
    notes: list[str]


@dataclasses.dataclass(frozen=True)
class Translator:
    """One direction of one checkpoint or model.

    Attributes:
      model: its name, see `trained.origin.Origin`.
      direction: in which it translates.
      step: of the checkpoint.
      generate: translates `[N, H, W, 1]` to `[N, H, W, 1]`, both in [-1, 1], in a given direction,
        at sizes that the network takes.
      multiple: height and width must be multiples of it.
      image_size: height and width that the networks were trained at.
      mode: "pad" or "resize", as in training; see `fit`.
      axis: along which volumes are sliced.
      source: stored type and intensity range of the training images of the source domain; where
        they are known, also height and width in mm of a pixel as the networks saw it ("pixel_mm"),
        the distance in mm between slices ("slice_mm"), the least head in a slice
        ("least_head": {"pixels", "share"}), and the size in ml of the largest brain if brains were
        cut out for training ("most_head_ml"), and how far below the vertex training slices reached
        in mm ("below_vertex_mm").
      target: the same of the target domain.
      slice_jump: how much a volume's translation changes from slice to slice at most, see
        `inference.slice_jump_wanted`; None where it is not smoothed.
      brain_only: whether brains were cut out for training.
      weights_sha256: see `Checkpoint.weights_digest`; "" if it was not asked for.
      training_scans: what the training scans of each domain looked like, see `familiarity.Limits`;
        empty where it is not known.
      intervals: see `intervals.Intervals`; empty where none are calibrated.
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
    slice_jump: float | None = None
    brain_only: bool = False
    weights_sha256: str = ""
    training_scans: Mapping[str, Limits] = dataclasses.field(default_factory=dict)
    intervals: Intervals = dataclasses.field(default_factory=dict)

    @property
    def descrip(self) -> str:
        """The text in a file's header that says what made it; a long model name is cut."""
        room = f"cyclegan_jax {__version__} {{}} {self.direction} step {self.step}"
        name = self.model.encode()[: _DESCRIP_BYTES - len(room.format(""))]
        return room.format(name.decode(errors="ignore"))

    def slices(self, images: np.ndarray, placement: Placement, *, back: bool = False) -> np.ndarray:
        """Translates slices of any size, or with `back` translates in the opposite direction.

        Args:
          images: `[N, H, W]` in [-1, 1].
          placement: where the frame lies in them; "resize" does without it.
          back: whether the opposite direction is meant.

        Returns:
          The translations, of the same shape and range; air outside the frame.

        Raises:
          InputError: a translated value is not finite.
        """
        direction = self.direction.back if back else self.direction
        if self.mode == "pad":
            framed = placement.frame_of(images)
            return placement.back(self.generate(direction, framed[..., None])[..., 0])
        frame, size = (self.image_size, self.image_size), placement.size
        framed = np.stack([fit(image, frame, self.mode)[0] for image in images])
        translated = self.generate(direction, framed[..., None])[..., 0]
        return np.stack([unfit(image, size, self.mode) for image in translated])

    def image(self, pixels: np.ndarray) -> tuple[np.ndarray, list[str]]:
        """Translates a uint8 or uint16 image `[H, W]` to the same type and shape.

        Returns:
          The translation, and what the user must know of it, a line each.
        """
        range_ = intensity.own_image_range(pixels, self.source)
        stack = intensity.normalise(pixels, range_)[None]
        # preparation leaves no image out: if it is not known what training saw, neither does this
        view = self._view(stack, range_, unknown=0)
        out = intensity.own_image_range(pixels, self.target)
        limits = intensity.full_range(pixels.dtype)
        values = intensity.denormalise(self._translated(stack, view)[0], out)
        return np.clip(values.round(), *limits).astype(pixels.dtype), view.notes

    def view(self, data: np.ndarray) -> View:
        """Returns how the networks see a volume `[X, Y, Z]` in RAS+, whatever air surrounds it.

        Raises:
          ValueError: it has no head; see `intensity.volume_range`.
        """
        slices = slicing.to_slices(data, self.axis)
        range_ = intensity.head_range(slices, self._least_part(slices.shape[1:]))
        return self._view(intensity.normalise(slices, range_), range_, _LEAST_HEAD)

    def volume(self, data: np.ndarray, view: View) -> np.ndarray:
        """Translates a volume `[X, Y, Z]` in RAS+ slice by slice; slices of air stay air.

        The result is smoothed across slices if it changes more than real scans, see `slice_jump`.

        Args:
          data: the whole volume.
          view: what `view` returned of it.

        Returns:
          float32 of the same shape, in the target domain's reference range.
        """
        stack = slicing.to_slices(intensity.normalise(data, view.range), self.axis)
        translated = self._translated(stack, view)
        if self.slice_jump is not None:
            links = through_plane.links_of(view.chosen)
            translated = through_plane.smoothed(translated, self.slice_jump, links)
        return intensity.denormalise(slicing.from_slices(translated, self.axis), self.target_range)

    def _translated(self, stack: np.ndarray, view: View, *, back: bool = False) -> np.ndarray:
        translated = np.full_like(stack, AIR)
        if view.chosen.any():
            shown = stack[view.chosen]
            translated[view.chosen] = self.slices(shown, view.placement, back=back)
        return translated

    def _view(self, stack: np.ndarray, range_: IntensityRange, unknown: float) -> View:
        """Returns the view of normalised slices `[N, H, W]`.

        Slices without a connected part of head of some share of the frame are left out: the
        networks never saw a slice of air, and instance norm would blow up its noise. The share is
        `_LEAST_HEAD`, or that of the slice with the least head in training if that is less. It is
        `unknown` where a checkpoint does not say what training saw.
        """
        parts, sizes = self._parts(stack > intensity.HEAD)
        placement = self._place(parts, stack)
        least, area = self.source.get("least_head"), self._area(placement.size)
        if least is None:
            trained, enough = 0.0, unknown * area
        else:
            trained = least["share"] * area if self.mode == "resize" else least["pixels"]
            enough = min(_LEAST_HEAD * area, trained)
        chosen = sizes >= enough
        few = np.flatnonzero(chosen & (sizes < trained))
        notes = [
            self._detail_note(placement.size),
            self._frame_note(placement, parts),
            self._few_note(few, len(stack)),
        ]
        if not chosen.any():
            notes.append("no head was found, so nothing is translated; the result is air")
        return View(range_, placement, chosen, [note for note in notes if note])

    def _parts(self, head: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the parts of a head mask `[N, H, W]` that are no noise.

        The second result is the size in pixels of the largest part of each slice, `[N]`.
        """
        sizes = intensity.part_sizes(head)
        return sizes >= self._least_part(head.shape[1:]), sizes.max(axis=(1, 2))

    def _least_part(self, size: tuple[int, ...]) -> float:
        """Returns how many pixels a connected part of head has in slices of `size`."""
        return max(1.0, _LEAST_HEAD * self._area(size))

    def _place(self, head: np.ndarray, slices: np.ndarray) -> Placement:
        if self.mode == "resize":  # the whole slice is scaled, as in training
            size = (head.shape[1], head.shape[2])
            return Placement(size, size, (0, 0))
        return place(head, recorded(slices), self.image_size, self.multiple)

    def _area(self, size: tuple[int, ...]) -> int:
        """Returns how many pixels of slices of `size` the networks' frame covers."""
        height, width = size if self.mode == "resize" else (self.image_size, self.image_size)
        return height * width

    def _detail_note(self, size: tuple[int, int]) -> str:
        seen = fitted_size(size, (self.image_size, self.image_size))
        if self.mode == "pad" or seen[0] >= size[0]:
            return ""
        return (
            f"slices of {_by(size)} pixels are scaled to {_by(seen)} for the networks and back "
            "(data.fit=resize), so translations have no finer detail than that"
        )

    def _frame_note(self, placement: Placement, head: np.ndarray) -> str:
        frame, trained = placement.frame, (self.image_size, self.image_size)
        if self.mode == "resize" or frame == trained:
            return ""
        extent = [int(np.ptp(np.flatnonzero(head.any(axis=axes)))) + 1 for axes in ((0, 2), (0, 1))]
        return (
            f"the head has {_by(extent)} pixels, more than the {_by(trained)} of training, and is "
            f"translated in a frame of {_by(frame)}; the result may be worse than in training"
        )

    def _few_note(self, few: np.ndarray, count: int) -> str:
        if not len(few):
            return ""
        less = "less head than any slice of training and may be wrong"
        if count == 1:
            return f"the image has {less}"
        listed = _ranges(few)
        return f"{len(few)} of {count} {self.axis} slices have {less}: {listed}, counted from 0"

    def spacing_wanted(
        self, spacing: tuple[float, float, float]
    ) -> tuple[float, float, float] | None:
        """Returns the voxel size in mm along X, Y and Z at which volumes look as in training.

        Args:
          spacing: the voxel size of a volume. It keeps its distance of slices where that of
            training is not known.

        Returns:
          The voxel size, or None where the size of pixels in training is not known.
        """
        if "pixel_mm" not in self.source:
            return None
        height, width = self.source["pixel_mm"]
        between = self.source.get("slice_mm", slicing.across(spacing, self.axis))
        return slicing.voxel((height, width), between, self.axis)

    def slice_jump_at(self, spacing: tuple[float, float, float]) -> float | None:
        """Returns `slice_jump` for a volume of this voxel size in mm; see `wanted_at`."""
        own = slicing.across(spacing, self.axis)
        return through_plane.wanted_at(self.slice_jump, own, self.source.get("slice_mm"))

    def pixel_note(self, shape: tuple[int, ...], spacing: tuple[float, float, float]) -> str:
        """Returns a note where the networks see other pixels than in training, else "".

        Args:
          shape: of the volume `[X, Y, Z]`.
          spacing: its voxel size in mm along X, Y and Z.
        """
        trained = self.source.get("pixel_mm")
        if trained is None:
            return ""
        own = slicing.in_plane(spacing, self.axis)
        size = [round(n) for n in slicing.in_plane((shape[0], shape[1], shape[2]), self.axis)]
        pixel = pixel_as_seen(own, size, image_size=self.image_size, mode=self.mode)
        if slicing.alike(pixel, trained):
            return ""
        seen = "" if self.mode == "pad" else f" once slices are scaled to {self.image_size}"
        now, then = (" x ".join(f"{n:.4g}" for n in size) for size in (pixel, trained))
        return (
            f"pixels are {now} mm{seen} but were {then} mm in training, so the head has another "
            "size than the networks know"
        )

    def head_note(self, data: np.ndarray, spacing: tuple[float, float, float]) -> str:
        """Returns a note where a volume has a whole head but training had brains alone, else "".

        Args:
          data: the volume `[X, Y, Z]`.
          spacing: its voxel size in mm along X, Y and Z.
        """
        most = self.source.get("most_head_ml")
        if most is None or (found := intensity.head_ml(data, spacing)) <= _LARGER * most:
            return ""
        return (
            f"the head has {found:.0f} ml, but this model was trained on brains that were cut "
            f"out, of at most {most:.0f} ml (--brain_only); cut the brain out of the scan, or the "
            "result is wrong"
        )

    def below_note(self, data: np.ndarray, spacing: tuple[float, float, float]) -> str:
        """Returns a note where a volume reaches further down than training did, else "".

        A head whose top is cut off has a note of its own, since its depth is not known.

        Args:
          data: the volume `[X, Y, Z]`.
          spacing: its voxel size in mm along X, Y and Z.
        """
        reach = self.source.get("below_vertex_mm")
        if reach is None:
            return ""
        slices = slicing.to_slices(data, self.axis)
        vertex = intensity.highest_slice(slices)
        if vertex is None:
            return ""
        if vertex == len(slices) - 1:
            areas = intensity.foreground(slices).sum(axis=(1, 2))
            if areas[-1] > _CUT * areas.max():
                return (
                    "the top of the head is not in the scan: it ends in its highest slice, which "
                    "still shows much of it; give a scan of the whole brain, or trust only slices "
                    "inside the brain"
                )
        below = vertex - int(reach / slicing.across(spacing, self.axis))
        if below <= 0:
            return ""
        return (
            f"the lowest {below} of {len(slices)} axial slices lie more than {reach:g} mm below "
            "the top of the head, where training had none; do not use them"
        )

    @property
    def target_range(self) -> IntensityRange:
        """The intensities that -1 and 1 stand for in translated volumes."""
        return IntensityRange(*self.target["range"])

    def interval(
        self,
        data: np.ndarray,
        view: View,
        translated: np.ndarray,
        spacing: tuple[float, float, float],
        level: float,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the ends of the calibrated interval of each voxel; see `data.intervals`.

        Args:
          data: the source volume `[X, Y, Z]` in RAS+.
          view: what `view` returned of it.
          translated: the translation that `volume` made of it.
          spacing: its voxel size in mm along X, Y and Z.
          level: one of `intervals.LEVELS`.

        Returns:
          Lower and upper end, float32 of the same shape, in the intensities of the translation.
        """
        source, made = (
            slicing.to_slices(intensity.normalise(values, range_), self.axis)
            for values, range_ in ((data, view.range), (translated, self.target_range))
        )
        top = intensity.highest_slice(slicing.to_slices(data, self.axis)) or 0
        below = (top - np.arange(len(source))) * slicing.across(spacing, self.axis)
        lower, upper = (
            intensity.denormalise(slicing.from_slices(end, self.axis), self.target_range)
            for end in head_bounds(self.intervals, level, source, made, below)
        )
        return lower, upper

    def cycle_error(self, data: np.ndarray, view: View, translated: np.ndarray) -> np.ndarray:
        """Returns |F(G(x)) - x| or |G(F(y)) - y|: where translating back does not give the source.

        This is NOT a calibrated uncertainty. A generator can hide in its output what the other one
        needs to restore the source (Chu et al., arXiv:1712.02950), so a CycleGAN can have a small
        error where its translation is wrong.

        Args:
          data: the source volume `[X, Y, Z]` in RAS+.
          view: what `view` returned of it.
          translated: the translation that `volume` made of it.

        Returns:
          float32 of the same shape, in normalised units: 0 to 2, where 2 is the whole range.
        """
        normalised = intensity.normalise(translated, self.target_range)
        cycled = self._translated(slicing.to_slices(normalised, self.axis), view, back=True)
        source = intensity.normalise(data, view.range)
        return np.abs(slicing.from_slices(cycled, self.axis) - source)


def load_translator(origin: Origin, direction: Direction) -> Translator:
    """Restores trained generators, for one direction and back.

    Raises:
      InputError: there are none, or they are damaged.
    """
    saved = origin.read()
    translator = translator_of(TrainedGenerators(saved, origin.name), direction)
    return dataclasses.replace(translator, weights_sha256=saved.weights_digest())


def translator_of(generators: TrainedGenerators, direction: Direction) -> Translator:
    """Returns the translator of generators that are restored, for one direction and back."""
    saved, source = generators.facts, direction.source
    facts = saved.meta["data"]
    known = {
        "least_head": facts.get("least_head", {}).get(source),
        "pixel_mm": pixels_in_training(saved).get(source),
        "slice_mm": facts.get("slice_mm", {}).get(source),
        "most_head_ml": facts["domains"][source].get("most_head_ml"),
        "below_vertex_mm": facts.get("below_vertex_mm"),
    }
    stored = {key: facts["domains"][source][key] for key in ("dtype", "range")}
    return Translator(
        model=generators.name,
        direction=direction,
        step=saved.step,
        generate=generators.translate,
        multiple=generators.size_multiple,
        image_size=generators.config.image_size,
        mode=generators.config.data.fit,
        axis=facts["axis"],
        source=stored | {key: value for key, value in known.items() if value},
        target=facts["domains"][direction.target],
        slice_jump=facts.get("slice_jump", {}).get(direction.target),
        brain_only=facts.get("brain_only", False),
        training_scans=facts.get("training_scans", {}),
        intervals=saved.meta.get("intervals", {}).get(direction, {}),
    )


def _by(size: Sequence[int]) -> str:
    """Returns height and width as width x height, as viewers show them."""
    return f"{size[1]}x{size[0]}"


def _ranges(places: np.ndarray) -> str:
    """Returns increasing numbers as "0 to 3, 7"."""
    runs = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)
    return ", ".join(f"{r[0]} to {r[-1]}" if len(r) > 1 else f"{r[0]}" for r in runs)
