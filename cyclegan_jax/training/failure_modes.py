"""Finds CycleGAN's known failure modes, and reports each once for each network.

A discriminator can win. A generator can collapse to a constant output, copy its input, invert the
contrast, or paint another anatomy.

The thresholds leave room around training that succeeds on phantoms and on BrainWeb slices. That of
another anatomy was measured: of 23 runs on BrainWeb slices the 18 with the right anatomy had
translations that correlated with the truth at most 0.07 less than cycles with their start; the five
others 0.26 to 0.57 less (docs/experiments.md).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from cyclegan_jax.data.intensity import head_mask
from cyclegan_jax.domains import DIRECTIONS

WARM_UP = 500  # steps; a generator that has not learnt anything before has not failed
_UNDECIDED = {"bce": 0.69, "lsgan": 0.25}  # loss of a discriminator that guesses
_WON, _WON_STEPS, _WON_WINDOWS = 0.05, 500, 5
_CONSTANT, _COPY, _INVERTED, _BRIGHT_AIR = 0.05, 0.1, -0.2, 0.1
_ASTRAY = 0.2
_LATE = 0.75  # of the steps of a run; before, the anatomy can still become right

_GENERATORS = {  # network: input, output, truth of the output, input there and back
    "generator_g": ("real_x", "fake_y", "real_y", "cycled_x"),
    "generator_f": ("real_y", "fake_x", "real_x", "cycled_y"),
}


class FailureModes:
    """Looks for failure modes in a run; remembers which it has reported."""

    def __init__(self, adversarial: str, steps: int):
        """Starts with nothing reported; `adversarial` and `steps` are the config's."""
        self._adversarial = adversarial
        self._late = _LATE * steps
        self._reported: set[tuple[str, str]] = set()
        self._near_zero: dict[str, list[int]] = {}  # steps at which low windows ended

    def in_losses(self, step: int, losses: Mapping[str, float]) -> list[str]:
        """Returns warnings on the losses of a log window that ends with `step`.

        A discriminator has won if its mean loss stays below 5 % of the loss of one that guesses, in
        at least 5 windows in a row whose ends span at least 500 steps.

        Args:
          step: number of steps done.
          losses: means over the window, by term.
        """
        lines = []
        limit = _WON * _UNDECIDED[self._adversarial]
        for network in ("discriminator_x", "discriminator_y"):
            loss = losses.get(network, np.inf)
            windows = self._near_zero.setdefault(network, [])
            if loss >= limit:
                windows.clear()
                continue
            windows.append(step)
            long = step - windows[0]
            if long >= _WON_STEPS and len(windows) >= _WON_WINDOWS:
                found = (
                    f"its loss has been below {limit:.2g} for {long} steps and is {loss:.2g}: it "
                    "recognises every generated image, so that its generator learns nothing; lower "
                    "config.optimizer.discriminator_learning_rate, or vary the images with "
                    "config.data.contrast and config.data.shift"
                )
                lines += self._once(step, network, "won", found)
        return lines

    def in_pictures(
        self,
        step: int,
        pictures: Mapping[str, np.ndarray],
        *,
        paired: bool,
        brain: np.ndarray | None = None,
    ) -> list[str]:
        """Returns warnings on samples, from step `WARM_UP` on, at most one for each generator.

        Another anatomy is looked for in the last quarter of the run, and only if `paired`.

        Args:
          step: number of steps done.
          pictures: as `step.sample_step` returns them, `[B, H, W, 1]` in [-1, 1].
          paired: whether `real_x` and `real_y` show the same anatomy.
          brain: bool `[B, H, W, 1]`, the pixels inside the labels of the pairs, if they have any.
        """
        lines = []
        for network, names in _GENERATORS.items():
            if step >= WARM_UP:
                real, fake, truth, cycled = (pictures[name] for name in names)
                found = find_failure(
                    real,
                    fake,
                    truth if paired else None,
                    cycled if step >= self._late else None,
                    brain,
                )
                lines += self._once(step, network, *found) if found else []
        return lines

    def in_tissues(self, step: int, polarity: Mapping[str, Any]) -> list[str]:
        """Returns warnings on the order of the tissues, from step `WARM_UP` on.

        Args:
          step: number of steps done.
          polarity: of the scored pairs, as `regions.polarity` returns it.
        """
        lines = []
        for direction in DIRECTIONS:
            found = polarity.get(direction)
            if step >= WARM_UP and found and found["inverted"]:
                mean = found["rank_correlation"]["mean"]
                words = _inverted(f"the tissues' order has a rank correlation of {mean:.2f}")
                lines += self._once(step, direction.generator, "inverted", words)
        return lines

    def _once(self, step: int, network: str, mode: str, words: str) -> list[str]:
        if (network, mode) in self._reported:
            return []
        self._reported.add((network, mode))
        return [f"warning: step {step}: {network}: {words}"]


def find_failure(
    real: np.ndarray,
    fake: np.ndarray,
    truth: np.ndarray | None,
    cycled: np.ndarray | None = None,
    brain: np.ndarray | None = None,
) -> tuple[str, str] | None:
    """Returns the first failure mode that translations show, with a sentence on it, or None.

    Args:
      real: images `[B, H, W, 1]` in [-1, 1].
      fake: their translations.
      truth: the same heads in the target contrast, or None.
      cycled: the translations translated back; None if another anatomy is not looked for.
      brain: bool, the pixels inside the labels; where there are any, they are compared instead of
        the head, in which the scalp can hide an inverted brain.

    Returns:
      ("constant", "copy", "inverted" or "astray", what was measured and what to do).
    """
    head = head_mask(real) if truth is None else head_mask(real, truth)
    if brain is not None and brain.any():
        head = brain
    if not head.any() or not real[head].std():
        return None
    if (least := variation(real, fake, head)) < _CONSTANT:
        return "constant", (
            f"its output is constant ({least:.1%} of the input's variation): it has collapsed; "
            "lower config.optimizer.generator_learning_rate or raise config.loss.cycle_weight"
        )
    if (distance := copied(real, fake, head)) < _COPY:
        return "copy", (
            f"its output equals its input (the head differs by {distance:.1%} of the input's "
            "standard deviation): it has learnt to copy; lower config.loss.identity_ratio or "
            "config.loss.cycle_weight"
        )
    measured = ""
    right = 0.0 if truth is None else correlation(fake, truth, head)
    if truth is None and (above := brighter_air(real, fake)) > _BRIGHT_AIR:
        measured = f"air is {above:.2f} brighter than the head"
    elif right < _INVERTED:
        measured = f"correlation with the truth {right:.2f}"
    if measured:
        return "inverted", _inverted(measured)
    if truth is None or cycled is None:
        return None
    if (back := correlation(cycled, real, head)) - right > _ASTRAY:
        return "astray", (
            f"its translations correlate with the truth at {right:.2f}, but cycles with their "
            f"start at {back:.2f}: it paints another anatomy, or the data cannot show which is "
            "right; look at the samples, and set config.generator.head, raise "
            "config.loss.cycle_weight or lower config.loss.identity_ratio"
        )
    return None


def _inverted(measured: str) -> str:
    return (
        f"its contrast is inverted ({measured}): cycles do not show it, because the other "
        "generator inverts it back; set config.loss.start_weight to config.loss.cycle_weight, or "
        "use another config.seed"
    )


def variation(real: np.ndarray, fake: np.ndarray, head: np.ndarray) -> float:
    """Returns the standard deviation of `fake` relative to that of `real`, the lower of two.

    One is taken over the head, and is near 0 if the output is flat. The other is taken between
    images, and is near 0 if the output is the same whatever the input.

    Args:
      real: `[B, H, W, 1]`, not constant over the head.
      fake: the same shape.
      head: bool, the same shape, with a pixel at least.
    """
    over_head = fake[head].std() / real[head].std()
    between = np.sqrt(real.var(axis=0).mean())
    if not between:  # a single image, or equal images
        return float(over_head)
    return float(min(over_head, np.sqrt(fake.var(axis=0).mean()) / between))


def copied(real: np.ndarray, fake: np.ndarray, head: np.ndarray) -> float:
    """Returns the mean |fake - real| over the head, in standard deviations of `real` there."""
    return float(np.abs(fake - real)[head].mean() / real[head].std())


def correlation(fake: np.ndarray, truth: np.ndarray, head: np.ndarray) -> float:
    """Returns Pearson's correlation over the head, or 0 if one of the two is constant."""
    a, b = (images[head] - images[head].mean() for images in (fake, truth))
    spread = np.sqrt((a * a).mean() * (b * b).mean())
    return float((a * b).mean() / spread) if spread else 0.0


def brighter_air(real: np.ndarray, fake: np.ndarray) -> float:
    """Returns how much brighter `fake` is in the air of `real` than in the head, -2 to 2.

    It is the difference of the means, or 0 if there is no air or no head.
    """
    head = head_mask(real)
    if head.all() or not head.any():
        return 0.0
    return float(fake[~head].mean() - fake[head].mean())
