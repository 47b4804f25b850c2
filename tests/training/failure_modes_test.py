"""Crafted translations and loss curves: which are reported, once, and which are not."""

import numpy as np
import pytest

from cyclegan_jax.training import failure_modes
from cyclegan_jax.training.failure_modes import FailureModes

SIZE, STEPS = 32, 1000


def heads(seed):
    """Two contrasts of four heads: discs in air, with structure that the two show unalike."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    disc = (np.hypot(rows, columns) < SIZE / 3)[None, ..., None]
    t1 = rng.uniform(-0.5, 0.5, (4, SIZE, SIZE, 1))
    t2 = 0.3 * t1 + rng.uniform(-0.5, 0.5, t1.shape)
    return [np.where(disc, image, -1).astype(np.float32) for image in (t1, t2)]


def pictures(*, paired=True):
    """Samples of good generators."""
    x, y = heads(0)
    other_x, other_y = (x, y) if paired else heads(1)
    noise = np.random.default_rng(2).normal(0, 0.1, x.shape).astype(np.float32)
    made = {"fake_y": y + noise, "fake_x": other_x + noise}
    return made | {"real_x": x, "real_y": other_y, "cycled_x": x, "cycled_y": other_y}


FAILURES = {
    "constant": lambda x: np.full_like(x, 0.3),
    "the same": lambda x: x[:1].repeat(len(x), axis=0),
    "copy": lambda x: x + 0.02,
    "inverted": lambda x: -x,
}
WORDS = {
    "constant": "its output is constant (0.0% of the input's variation)",
    "the same": "its output is constant (0.0% of the input's variation)",
    "copy": "its output equals its input",
    "inverted": "its contrast is inverted",
}


@pytest.mark.parametrize("paired", [True, False])
def test_healthy_translations_are_not_reported(paired):
    assert (
        FailureModes("bce", STEPS).in_pictures(1000, pictures(paired=paired), paired=paired) == []
    )


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("network", ["generator_g", "generator_f"])
def test_each_failure_is_reported_once_with_its_network(failure, paired, network):
    made = "fake_y" if network == "generator_g" else "fake_x"
    bad = pictures(paired=paired)
    source = bad["real_x" if network == "generator_g" else "real_y"]
    bad[made] = FAILURES[failure](source)
    watch = FailureModes("bce", STEPS)
    assert watch.in_pictures(failure_modes.WARM_UP - 1, bad, paired=paired) == []
    (line,) = watch.in_pictures(1000, bad, paired=paired)
    assert line.startswith(f"warning: step 1000: {network}: {WORDS[failure]}")
    assert "config." in line
    assert watch.in_pictures(1500, bad, paired=paired) == []


def test_both_generators_are_reported():
    bad = pictures() | {"fake_y": heads(0)[0], "fake_x": heads(0)[1]}
    lines = FailureModes("bce", STEPS).in_pictures(500, bad, paired=True)
    assert [line.split(": ")[2] for line in lines] == ["generator_g", "generator_f"]


def test_a_pair_of_opposite_contrasts_that_is_well_translated_is_no_failure():
    x, _ = heads(0)
    y = np.where(x > -1, -x, -1)
    well = {"real_x": x, "real_y": y, "fake_y": y, "fake_x": x, "cycled_x": x, "cycled_y": y}
    assert FailureModes("bce", STEPS).in_pictures(1000, well, paired=True) == []


@pytest.mark.parametrize("network", ["generator_g", "generator_f"])
def test_another_anatomy_with_a_good_cycle_is_reported_late_and_only_of_pairs(network):
    bad, other = pictures(), heads(1)
    made = "fake_y" if network == "generator_g" else "fake_x"
    bad[made] = other[1 if network == "generator_g" else 0]  # the right contrast, other heads
    bad["cycled_y" if network == "generator_g" else "cycled_x"] = heads(2)[0]  # not its own cycle
    watch = FailureModes("bce", STEPS)
    assert watch.in_pictures(740, bad, paired=True) == []
    assert watch.in_pictures(750, bad, paired=False) == []
    (line,) = watch.in_pictures(750, bad, paired=True)
    assert line.startswith(f"warning: step 750: {network}: its translations correlate with the")
    assert "another anatomy" in line
    # a bad translation with a bad cycle is one that has not learnt yet
    bad["cycled_x"], bad["cycled_y"] = other
    assert FailureModes("bce", STEPS).in_pictures(750, bad, paired=True) == []


def test_images_without_a_head_or_one_image_are_no_failure():
    air = np.full((4, SIZE, SIZE, 1), -1, np.float32)
    assert failure_modes.find_failure(air, air, None) is None
    x, y = (images[:1] for images in heads(0))
    assert failure_modes.find_failure(x, y, y) is None


def test_measures_of_crafted_images():
    x, y = heads(0)
    head = x > -1
    assert failure_modes.variation(x, 0.5 * x, head) == pytest.approx(0.5)
    assert failure_modes.copied(x, x + 0.1, head) == pytest.approx(0.1 / x[head].std(), rel=1e-5)
    expected = np.corrcoef(x[head], y[head])[0, 1]
    assert failure_modes.correlation(x, y, head) == pytest.approx(expected, rel=1e-4)
    assert failure_modes.correlation(np.zeros_like(x), y, head) == 0
    mask = failure_modes.head_mask(x)
    difference = -1 - x[mask].mean()
    assert failure_modes.brighter_air(x, x) == pytest.approx(difference, rel=1e-4)


def reported(kind, losses, every):
    """The lines on a discriminator with these means of log windows; the other one is undecided."""
    watch = FailureModes(kind, STEPS)
    return [
        line
        for number, loss in enumerate(losses, 1)
        for line in watch.in_losses(
            number * every, {"discriminator_x": 0.3, "discriminator_y": loss}
        )
    ]


@pytest.mark.parametrize(("kind", "near"), [("bce", 0.03), ("lsgan", 0.01)])
def test_a_discriminator_near_zero_for_long_is_reported_once(kind, near):
    (line,) = reported(kind, [near] * 30, 50)
    assert line.startswith("warning: step 550: discriminator_y: its loss has been below")
    assert f"for 500 steps and is {near}" in line
    # neither short, nor with a break, nor a little higher
    assert reported(kind, [near] * 10, 50) == []
    assert reported(kind, ([near] * 8 + [0.2]) * 5, 50) == []
    assert reported(kind, [1.3 * near] * 30, 50) == []
    # of long windows there must be some
    assert reported(kind, [near] * 4, 1000) == []
    assert len(reported(kind, [near] * 5, 1000)) == 1


def test_a_window_of_skipped_steps_is_no_loss_near_zero():
    assert FailureModes("bce", STEPS).in_losses(50, {}) == []


def test_the_scalp_does_not_hide_an_inverted_brain():
    good = pictures()
    rows, columns = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    inside = np.broadcast_to((np.hypot(rows, columns) < SIZE / 5)[None, ..., None], (4, 32, 32, 1))
    rim = (good["real_y"] > -1) & ~inside
    truth = np.where(rim, 1, good["real_y"])  # the scalp is right, and far from the brain
    bad = good | {"real_y": truth, "fake_y": np.where(rim, 1, -good["real_y"])}
    watch = FailureModes("bce", STEPS)
    assert not any("inverted" in line for line in watch.in_pictures(600, bad, paired=True))
    (line,) = watch.in_pictures(600, bad, paired=True, brain=inside)
    assert line.startswith("warning: step 600: generator_g: its contrast is inverted")
    assert (
        len(FailureModes("bce", STEPS).in_pictures(600, bad, paired=True, brain=~inside & False))
        == 0
    )


def test_tissues_in_reverse_order_are_reported_once():
    def polarity(mean):
        return {"t2_to_t1": {"rank_correlation": {"mean": mean}, "inverted": mean < 0}}

    watch = FailureModes("bce", STEPS)
    assert watch.in_tissues(499, polarity(-0.9)) == []
    assert watch.in_tissues(500, polarity(0.5)) == watch.in_tissues(500, {}) == []
    (line,) = watch.in_tissues(500, polarity(-0.9))
    assert line.startswith("warning: step 500: generator_f: its contrast is inverted (the tissues'")
    assert watch.in_tissues(1000, polarity(-0.9)) == []
