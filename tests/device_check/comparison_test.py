"""Which differences of two trainings are said, and when they are too large."""

import pytest

from cyclegan_jax.device_check.comparison import FACTOR, LEAST, WINDOW, differences, judged

REFERENCE = {"a": [2.0] * (2 * WINDOW), "b": [4.0] * (2 * WINDOW)}


def changed(name, index, value):
    ours = {key: list(values) for key, values in REFERENCE.items()}
    ours[name][index] = value
    return ours


def test_equal_losses_have_no_difference():
    found = differences(REFERENCE, REFERENCE)
    assert (found["first_step"], found["means"]) == (0, 0)


def test_the_first_step_counts_alone():
    assert differences(changed("b", 0, 4.4), REFERENCE)["first_step"] == pytest.approx(0.1)


def test_later_steps_count_in_means_and_the_worst_is_named():
    found = differences(changed("a", WINDOW + 3, 2.0 + WINDOW), REFERENCE)
    assert found["first_step"] == 0
    assert found["means"] == pytest.approx(0.5)
    assert found["where"] == f"a, steps {WINDOW + 1} to {2 * WINDOW}"


def test_a_last_window_may_be_short():
    found = differences({"a": [1.0, 1.0, 4.0]}, {"a": [1.0, 1.0, 1.0]})
    assert (found["means"], found["where"]) == (1.0, "a, steps 1 to 3")


@pytest.mark.parametrize("kind", ["first_step", "means"])
def test_each_difference_has_its_tolerance(kind):
    rounding = {"first_step": 0.1, "means": 0.1}
    inside = {"first_step": 0.1, "means": 0.1} | {kind: 0.99 * FACTOR * 0.1}
    outside = inside | {kind: 1.01 * FACTOR * 0.1}
    assert judged(inside, rounding)["is_inside"]
    assert not judged(outside, rounding)["is_inside"]


def test_a_little_is_always_allowed():
    found = judged({"first_step": LEAST, "means": 0.0}, {"first_step": 0.0, "means": 0.0})
    assert found["is_inside"]
    assert found["tolerance"] == {"first_step": LEAST, "means": LEAST}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_never_inside(value):
    found = differences(changed("a", 7, value), REFERENCE)
    assert found["means"] == float("inf")
    assert not judged(found, found)["is_inside"]
