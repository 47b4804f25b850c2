"""Scans that are not like the training scans are named, and scans that are like them are not."""

import json

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from cyclegan_jax.data import familiarity as f
from cyclegan_jax.data.phantom.head import make_phantom
from cyclegan_jax.data.scan_measures import measure_volume

VOXEL = (8.0, 4.0, 4.0)
LABELS = ("T1", "T2")
TRAINED = range(12)


def heads(numbers, domain: str, noise: float = 0.02) -> list[np.ndarray]:
    made = [
        make_phantom(n, size=64, slices=10, lesions=False, noise=noise, bias=0.1) for n in numbers
    ]
    return [head.t1 if domain == "x" else head.t2 for head in made]


@pytest.fixture(scope="module")
def trained() -> dict[str, f.Limits]:
    return {
        domain: f.limits_of(
            [measure_volume(head, VOXEL) for head in heads(TRAINED, domain)],
            "volume",
            VOXEL,
            VOXEL,
        )
        for domain in "xy"
    }


@pytest.fixture(scope="module")
def said(trained):
    def verdicts(slices: np.ndarray, native=VOXEL) -> list[str]:
        found = measure_volume(slices, VOXEL)
        return f.verdicts(trained["x"], trained["y"], found, native, LABELS)

    return verdicts


def test_other_heads_of_the_same_kind_get_no_verdict(trained, said):
    for head in heads(range(50, 58), "x"):
        assert said(head) == []
    assert trained["x"]["scans"] == 12
    f.check_limits(json.loads(json.dumps(trained["x"])))


def test_the_other_contrast_is_called_by_its_name(said):
    for head in heads(range(50, 53), "y"):
        first = said(head)[0]
        assert "more like a T2 scan than a T1 scan" in first
        assert "against at most" in first


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda d: d + np.random.default_rng(0).normal(0, 0.1 * d.max(), d.shape),
            "more noise than any training scan: 0.",
        ),
        (lambda d: uniform_filter(d, (1, 4, 4)), "less fine detail in slices"),
        (lambda d: np.repeat(d[::2], 2, axis=0), "slice to slice"),
        (lambda d: d * np.exp(np.linspace(-0.6, 0.6, 64)), "from side to side of slices"),
        (lambda d: d[:4], "a head that spans less from slice to slice"),
        (lambda d: d[:, ::2, ::2], "a smaller head than any training scan"),
        (lambda d: d[::-1], "the head lies otherwise than in training"),
        (lambda d: np.where(np.arange(64) > 32, d, 0), "a head of another form"),
    ],
    ids=["noise", "blur", "thick", "shading", "part", "small", "turned", "half"],
)
def test_what_was_changed_is_named(said, change, words):
    head = heads([50], "x")[0]
    lines = said(change(head))
    assert any(words in line for line in lines), lines


def test_voxels_that_are_coarser_in_the_file_are_named(said):
    head = heads([50], "x")[0]
    assert said(head, (8.0, 2.0, 2.0)) == said(head, None) == []
    (line,) = said(head, (8.0, 4.0, 7.0))
    assert line.startswith("larger voxels than any training scan: 8 x 4 x 7 mm against at most 8")


def test_fewer_than_three_scans_set_no_limits():
    found = [measure_volume(head, VOXEL) for head in heads([1, 2], "x")]
    assert f.limits_of([*found, {}], "volume", VOXEL, None) == {}
    f.check_limits({})


def test_few_scans_set_wider_limits_than_many(trained):
    few = f.limits_of(
        [measure_volume(h, VOXEL) for h in heads([0, 1, 2], "x")], "volume", VOXEL, None
    )
    for name in ("noise", "sharpness"):
        assert few["limits"][name][3] > trained["x"]["limits"][name][3]


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": "film"},
        {"voxel_mm": [1, 2]},
        {"native_mm": [1, 0, 1]},
        {"histogram": []},
        {"limits": {}},
        {"limits": {"contrast": [0, 0, 0, 1], "unlike_form": [0, 0, "x", 1]}},
    ],
)
def test_what_are_no_limits_is_refused(trained, changed):
    with pytest.raises((ValueError, TypeError, KeyError)):
        f.check_limits({**trained["x"], **changed})
