"""Measures of scans: noise, sharpness, size and form are what they are called."""

import numpy as np
import pytest

from cyclegan_jax.data import scan_measures as s
from cyclegan_jax.data.phantom.head import make_phantom

VOXEL = (8.0, 4.0, 4.0)


@pytest.fixture(scope="module")
def head() -> np.ndarray:
    """A T1 phantom without noise and shading, `[12, 64, 64]`."""
    return make_phantom(3, size=64, slices=12, lesions=False, noise=0.0, bias=0.0).t1


def noisy(slices: np.ndarray, sd: float) -> np.ndarray:
    """Adds noise of a standard deviation in parts of the range."""
    spread = np.percentile(slices, 99.5) - np.percentile(slices, 1)
    return slices + np.random.default_rng(0).normal(0, sd * spread, slices.shape)


def test_measures_do_not_depend_on_the_unit_and_hardly_on_the_air(head):
    first, other = (s.measure_volume(data, VOXEL) for data in (head, 7 * head + 30))
    assert {*s.QUANTITIES, "histogram", "form"} == first.keys()
    for name, value in first.items():
        if name != "form":
            np.testing.assert_allclose(other[name], value, rtol=2e-3, atol=1e-4)
    air = np.pad(noisy(head, 0.01), ((0, 0), (9, 9), (9, 9)), mode="wrap")
    air[:, :9] = air[:, -9:] = air[:, :, :9] = air[:, :, -9:] = 0
    padded = s.measure_volume(air, VOXEL)
    for name in ("sharpness", "extent_mm", "size_ml"):
        np.testing.assert_allclose(padded[name], first[name], rtol=0.1)


@pytest.mark.parametrize("sd", [0.05, 0.08])
def test_noise_is_its_standard_deviation_in_parts_of_the_range(head, sd):
    before, after = (s.measure_volume(noisy(head, n), VOXEL)["noise"] for n in (0.0, sd))
    assert before < 0.04
    assert 0.8 * sd < after < 1.3 * sd


def test_sharpness_is_less_along_the_axis_that_is_blurred(head):
    before = s.measure_volume(head, VOXEL)
    rows = s.measure_volume((head[:, 1:] + head[:, :-1]) / 2, VOXEL)
    slices = s.measure_volume((head[1:] + head[:-1]) / 2, VOXEL)
    assert rows["sharpness"] < before["sharpness"] - 0.02
    assert slices["sharpness_across"] < before["sharpness_across"] - 0.02
    assert abs(slices["sharpness"] - before["sharpness"]) < 0.02


def test_shading_has_the_slope_along_its_axis(head):
    before = s.measure_volume(head, VOXEL)
    for axis, name in enumerate(("shading_across", "shading_down", "shading_sideways")):
        shape = [n if a == axis else 1 for a, n in enumerate(head.shape)]
        ramp = np.exp(np.linspace(-0.5, 0.5, head.shape[axis])).reshape(shape)
        after = s.measure_volume(head * ramp, VOXEL)
        assert 0.2 < after[name] - before[name] < 0.6


def test_extent_size_and_coverage_are_those_of_the_head(head):
    data = np.concatenate([np.zeros((4, 64, 64)), head])
    found = s.measure_volume(data, VOXEL)
    assert found["coverage"] == 12 / 16
    assert found["extent_mm"] == 12 * 8
    share = found["size_ml"] / (12 * 64 * 64 * np.prod(VOXEL) / 1000)
    assert 0.2 < share < 0.8
    assert "extent_mm" not in s.measure_volume(data, None)


def test_an_image_has_fewer_measures(head):
    image = 2 * head[6:7] / head.max() - 1
    found = s.measure(image)
    assert {"coverage", "extent_mm", "size_ml", "sharpness_across", "shading_across"}.isdisjoint(
        found
    )
    assert s.form_of(found["form"]).shape == (1, s.SIDE, s.SIDE)
    assert s.measure(np.full((1, 9, 9), -1.0)) == {}


def test_the_form_shows_where_the_head_is_bright(head):
    form = s.form_of(s.measure_volume(head, VOXEL)["form"])
    assert form.shape == (s.SIDE, s.SIDE, s.SIDE)
    middle = form[s.SIDE // 2]
    assert middle[s.SIDE // 2, s.SIDE // 2] > 0.3 > middle[0, 0]
    np.testing.assert_allclose(s.form_of(s.form_text(form)), form, atol=1 / 255)


@pytest.mark.parametrize(
    "changed",
    [
        {"noise": "much"},
        {"noise": float("nan")},
        {"other": 1.0},
        {"histogram": [0.5, 0.5]},
        {"form": "00"},
        {"form": "no digits"},
    ],
)
def test_what_is_no_measure_is_refused(head, changed):
    found = s.measure_volume(head, VOXEL)
    s.check_measures(found)
    with pytest.raises(ValueError, match=r"measure|histogram|form|hexadecimal"):
        s.check_measures(found | changed)
