"""Volumes of the ventricles: which labels count, the threshold, and the agreement."""

import numpy as np
import pytest

from cyclegan_jax.data.pairs import Pairs
from cyclegan_jax.evaluation.ventricles import bland_altman, ventricle_volumes

SIDE = 40
FLUID = {"x": -0.8, "y": 0.8}
WHITE = {"x": 0.4, "y": -0.4}
NAMES = {51: "Right-Lateral-Ventricle", 49: "Right-Inf-Lat-Vent", 82: "Left White Matter"}
TISSUES = {"ventricle": [49, 51], "white": [82]}
ML = 2 * 2 * 3 / 1000  # of a voxel
VOXEL = (2.0, 2.0, 3.0)


def box(grow: int) -> tuple[slice, slice]:
    return slice(14 - grow, 24 + grow), slice(14 - grow, 20 + grow)


def images(domain: str, grown: list[int]) -> np.ndarray:
    """Slices of white matter in air with a box of fluid, which is larger by `grown` pixels."""
    made = np.full((len(grown), SIDE, SIDE, 1), -1, np.float32)
    for image, grow in zip(made, grown, strict=True):
        image[4:36, 4:36] = WHITE[domain]
        image[box(grow)] = FLUID[domain]
    return made


@pytest.fixture
def pairs():
    """Three subjects of one slice; another ventricle lies apart."""
    labels = np.zeros((3, SIDE, SIDE), np.uint16)
    labels[:, 4:36, 4:36] = 82
    labels[:, *box(0)] = 51
    labels[:, 30:34, 30:34] = 49
    x, y = (images(d, [0, 0, 0]) for d in "xy")
    for d, image in (("x", x), ("y", y)):
        image[:, 30:34, 30:34] = FLUID[d]
    names = ["a#0", "b#0", "c#0"]
    return Pairs(x, y, np.ones(x.shape, bool), names, labels, TISSUES, NAMES)


def pixels(grow: int) -> int:
    return (10 + 2 * grow) * (6 + 2 * grow)


def test_volumes_are_of_the_lateral_ventricles_and_of_each_direction(pairs):
    made = {"t1_to_t2": images("y", [0, 1, -1]), "t2_to_t1": pairs.x.copy()}
    found = ventricle_volumes(pairs, made, VOXEL)
    assert (found["what"], found["labels"], found["unit"]) == ("lateral ventricles", [51], "ml")
    assert found["margin"] == 2  # 4 mm
    there, back = found["directions"]["t1_to_t2"], found["directions"]["t2_to_t1"]
    for direction in (there, back):
        assert direction["threshold"] == pytest.approx(0.2 if direction is there else -0.2)
        for key in ("label", "true"):
            assert direction[key]["mean"] == pytest.approx(60 * ML)
    assert there["subjects"]["b"] == pytest.approx([60 * ML, 60 * ML, pixels(1) * ML])
    assert there["subjects"]["c"] == pytest.approx([60 * ML, 60 * ML, pixels(-1) * ML])
    differences = [0, (pixels(1) - 60) * ML, (pixels(-1) - 60) * ML]
    assert there["bias"] == pytest.approx(np.mean(differences))
    assert (back["bias"], back["lower"], back["upper"], back["n"]) == (0, 0, 0, 3)


def test_a_subject_counts_by_the_mean_of_its_scans(pairs):
    names = ["a#1#0", "a#2#0", "b#0"]
    of = (pairs.mask, names, pairs.labels, TISSUES, NAMES)
    found = ventricle_volumes(
        Pairs(pairs.x, pairs.y, *of),
        {"t1_to_t2": images("y", [0, 1, 0]), "t2_to_t1": pairs.x},
        VOXEL,
    )["directions"]["t1_to_t2"]
    assert found["n"] == 2
    assert found["subjects"]["a"] == pytest.approx([60 * ML, 60 * ML, (60 + pixels(1)) / 2 * ML])


def test_fluid_far_from_the_label_does_not_count(pairs):
    made = {"t1_to_t2": pairs.y.copy(), "t2_to_t1": pairs.x.copy()}
    made["t1_to_t2"][:, 5:10, 5:10] = FLUID["y"]
    assert ventricle_volumes(pairs, made, VOXEL)["directions"]["t1_to_t2"]["bias"] == 0


def test_the_threshold_is_that_of_the_true_scans(pairs):
    """A translation whose fluid is as dark as white matter has no ventricles."""
    made = {"t1_to_t2": np.minimum(pairs.y, 0.1), "t2_to_t1": pairs.x.copy()}
    there = ventricle_volumes(pairs, made, VOXEL)["directions"]["t1_to_t2"]
    assert there["translated"]["mean"] == 0
    assert there["bias"] == pytest.approx(-60 * ML)


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("left lateral ventricle", True),
        ("Lateral_Ventricles", True),
        ("left inferior lateral ventricle", False),
        ("Inf-Lateral-Ventricle", False),
        ("3rd ventricle", False),
    ],
)
def test_lateral_ventricles_are_known_by_their_names(pairs, name, counts):
    named = Pairs(pairs.x, pairs.y, pairs.mask, pairs.names, pairs.labels, TISSUES, {51: name})
    found = ventricle_volumes(named, {"t1_to_t2": pairs.y, "t2_to_t1": pairs.x}, VOXEL)
    assert (found["what"] == "lateral ventricles") is counts


def test_without_names_of_regions_the_tissue_is_measured(pairs):
    plain = Pairs(pairs.x, pairs.y, pairs.mask, pairs.names, pairs.labels, TISSUES)
    found = ventricle_volumes(plain, {"t1_to_t2": pairs.y, "t2_to_t1": pairs.x}, None)
    assert (found["what"], found["unit"]) == ("ventricles", "voxels")
    assert found["directions"]["t1_to_t2"]["true"]["mean"] == 60 + 16


def test_what_is_not_known_is_not_measured(pairs):
    made = {"t1_to_t2": pairs.y, "t2_to_t1": pairs.x}
    of = (pairs.x, pairs.y, pairs.mask, pairs.names)
    assert ventricle_volumes(Pairs(*of), made, VOXEL) == {}
    assert ventricle_volumes(Pairs(*of, pairs.labels), made, VOXEL) == {}
    assert ventricle_volumes(Pairs(*of, pairs.labels, {"ventricle": [51]}), made, VOXEL) == {}
    empty = np.where(pairs.labels == 82, 82, 0).astype(np.uint16)
    assert ventricle_volumes(Pairs(*of, empty, TISSUES), made, VOXEL) == {}


def test_agreement_is_that_of_bland_and_altman():
    found = bland_altman([10, 20, 30], [11, 23, 32])
    assert found == {
        "bias": pytest.approx(2),
        "sd": pytest.approx(1),
        "lower": pytest.approx(0.04),
        "upper": pytest.approx(3.96),
        "n": 3,
    }
    alone = bland_altman([10], [11])
    assert (alone["bias"], alone["n"]) == (1, 1)
    assert np.isnan([alone["sd"], alone["lower"], alone["upper"]]).all()
