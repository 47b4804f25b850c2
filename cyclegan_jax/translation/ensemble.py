"""Several translators as one: the mean of their translations, and how much they differ.

Where models that differ by their seed alone disagree, at least some of them are wrong. The measure
is that of deep ensembles (Lakshminarayanan et al. 2017, https://arxiv.org/abs/1612.01474); it does
not see an error that all of them share.
"""

import dataclasses
import shlex
from collections.abc import Callable, Sequence

import numpy as np

from cyclegan_jax import InputError, __version__
from cyclegan_jax.data.formats.orientation import Volume
from cyclegan_jax.data.intensity import IntensityRange, denormalise, normalise
from cyclegan_jax.data.intervals import LEVELS
from cyclegan_jax.domains import Direction
from cyclegan_jax.system.command_line import start_of
from cyclegan_jax.translation.translator import Translator
from cyclegan_jax.translation.volumes import TranslatedVolume, translate_volume

# By how many pixels copies are moved, down and to the right; docs/experiments.md has what they say.
MOVES = ((0, 0), (4, 0), (-4, 0), (0, 5), (0, -5))


@dataclasses.dataclass(frozen=True)
class Ensemble:
    """Translators of one direction, two at least.

    They may have other voxel sizes, axes and intensity ranges: a volume is translated by each, and
    what is averaged is normalised.

    Attributes:
      members: the translators; the result has the intensity range of the first.
    """

    members: tuple[Translator, ...]

    @property
    def direction(self) -> Direction:
        """The direction of all."""
        return self.members[0].direction

    @property
    def target_range(self) -> IntensityRange:
        """The intensities that -1 and 1 stand for in translated volumes."""
        return self.members[0].target_range

    @property
    def model(self) -> str:
        """The names of all."""
        return " + ".join(member.model for member in self.members)

    @property
    def step(self) -> str:
        """The steps of all."""
        return " + ".join(str(member.step) for member in self.members)

    @property
    def weights_sha256(self) -> str:
        """The digests of all, or "" if one is not known."""
        known = [member.weights_sha256 for member in self.members]
        return " + ".join(known) if all(known) else ""

    @property
    def brain_only(self) -> bool:
        """Whether one of them was trained on brains that were cut out."""
        return any(member.brain_only for member in self.members)

    @property
    def descrip(self) -> str:
        """The text in a file's header that says what made it."""
        return f"cyclegan_jax {__version__} mean of {len(self.members)} models {self.direction}"

    def image(self, pixels: np.ndarray) -> tuple[np.ndarray, list[str]]:
        """Translates an image as `Translator.image` does; the result is the rounded mean."""
        made, notes = zip(*(member.image(pixels) for member in self.members), strict=True)
        return np.mean(made, axis=0).round().astype(pixels.dtype), self.notes_of(notes)

    def volume(self, volume: Volume, *, resample: bool, cycle_error: bool) -> TranslatedVolume:
        """Translates a volume as `translate_volume` does; the result has `sd`."""
        made = [
            translate_volume(member, volume, resample=resample, cycle_error=cycle_error)
            for member in self.members
        ]
        shown = np.stack(
            [
                normalise(one.data, member.target_range)
                for one, member in zip(made, self.members, strict=True)
            ]
        )
        low, high = self.target_range
        sd = shown.std(axis=0, ddof=1) * (high - low) / 2
        errors = [one.cycle_error for one in made if one.cycle_error is not None]
        return TranslatedVolume(
            denormalise(shown.mean(axis=0), self.target_range),
            np.mean(errors, axis=0) if errors else None,
            made[0].source_range,
            self.notes_of([one.notes for one in made]),
            sd.astype(np.float32),
        )

    def notes_of(self, notes: Sequence[Sequence[str]]) -> list[str]:
        """Returns the notes of all; one that not all members give says whose it is."""
        said: dict[str, list[str]] = {}
        for member, some in zip(self.members, notes, strict=True):
            for note in some:
                said.setdefault(note, []).append(member.model)
        return [
            note if len(names) == len(self.members) else f"{', '.join(names)}: {note}"
            for note, names in said.items()
        ]


@dataclasses.dataclass(frozen=True)
class MovedCopies(Ensemble):
    """One translator that sees each slice at several places, see `moved_copies`."""

    @property
    def model(self) -> str:
        """The name of the model."""
        return self.members[0].model

    @property
    def step(self) -> str:
        """The step of the model."""
        return str(self.members[0].step)

    @property
    def weights_sha256(self) -> str:
        """The digest of the model, or "" if it is not known."""
        return self.members[0].weights_sha256

    @property
    def descrip(self) -> str:
        """The text in a file's header that says what made it."""
        return self.members[0].descrip


def ensemble_of(translators: Sequence[Translator], moved: bool = False) -> Translator | Ensemble:
    """Returns the only translator, or several as one.

    Args:
      translators: of one direction.
      moved: whether the only one becomes its `moved_copies`.

    Raises:
      InputError: there are several, and `moved` is wanted.
    """
    if len(translators) > 1 and moved:
        raise InputError("--moved_copies: several models say where they differ already; omit it")
    if len(translators) > 1:
        return Ensemble(tuple(translators))
    return moved_copies(translators[0]) if moved else translators[0]


def moved_copies(translator: Translator) -> MovedCopies:
    """Returns a translator of slices that are moved by each of `MOVES`, translated and moved back.

    A generator should not mind where in its frame a head lies. Where it does, it is not sure. This
    is test-time augmentation (Wang et al. 2019, https://arxiv.org/abs/1807.07356).
    """

    def at(move: tuple[int, int]) -> Callable[[Direction, np.ndarray], np.ndarray]:
        def generate(direction: Direction, images: np.ndarray) -> np.ndarray:
            # what leaves the frame enters it again at the other side, and comes back with it
            made = translator.generate(direction, np.roll(images, move, (1, 2)))
            return np.roll(made, (-move[0], -move[1]), (1, 2))

        return generate

    return MovedCopies(tuple(dataclasses.replace(translator, generate=at(m)) for m in MOVES))


def translated(
    translator: Translator | Ensemble,
    volume: Volume,
    *,
    resample: bool,
    cycle_error: bool,
    level: float | None = None,
) -> TranslatedVolume:
    """Translates a volume by one translator or by several, see `translate_volume`.

    Raises:
      InputError: there are no intervals of `level`, see `check_level`; else as `translate_volume`.
    """
    check_level(translator, level)
    if isinstance(translator, Ensemble):
        return translator.volume(volume, resample=resample, cycle_error=cycle_error)
    return translate_volume(
        translator, volume, resample=resample, cycle_error=cycle_error, level=level
    )


def check_level(translator: Translator | Ensemble, level: float | None) -> None:
    """Refuses the level of an interval that cannot be computed; None asks for no interval."""
    if level is None:
        return
    if isinstance(translator, MovedCopies):
        raise InputError(
            f"--interval={level:g}: intervals are of a plain translation; omit --moved_copies"
        )
    if isinstance(translator, Ensemble):
        raise InputError(f"--interval={level:g}: each model has its own; give one --model")
    if level not in LEVELS:
        raise InputError(f"--interval={level:g}: give one of {', '.join(map(str, LEVELS))}")
    if not translator.intervals:
        raise InputError(
            f"--interval={level:g}: {translator.model} has no calibrated intervals; make them with "
            f"{shlex.join(start_of('calibrate'))}, or omit it"
        )
