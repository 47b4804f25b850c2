"""Tests of slicing volumes, of putting slices together again, and of their names."""

import numpy as np
import pytest

from cyclegan_jax import InputError
from cyclegan_jax.data import slicing

SHAPE = (4, 5, 6)
DATA = np.random.default_rng(0).normal(100, 30, SHAPE).astype(np.float32)


@pytest.mark.parametrize(("axis", "shape"), [("axial", (6, 5, 4)), ("coronal", (5, 6, 4))])
def test_slices_right_is_on_the_left(axis, shape):
    corner = np.zeros(SHAPE)
    corner[-1, -1, -1] = 1  # right, anterior, superior
    slices = slicing.to_slices(corner, axis)
    assert slices.shape == shape
    assert np.argwhere(slices).tolist() == [[shape[0] - 1, 0, 0]]


def test_sagittal_slices_anterior_is_on_the_left():
    corner = np.zeros(SHAPE)
    corner[1, -1, -1] = 1
    slices = slicing.to_slices(corner, "sagittal")
    assert slices.shape == (4, 6, 5)
    assert np.argwhere(slices).tolist() == [[1, 0, 0]]


@pytest.mark.parametrize("axis", slicing.AXES)
def test_slices_show_every_voxel_where_it_belongs(axis):
    x, y, z = np.indices(SHAPE)
    slice_, row, column = {"axial": (z, y, x), "coronal": (y, z, x), "sagittal": (x, z, y)}[axis]
    n = np.arange(slicing.to_slices(x, axis).shape[0])
    assert np.array_equal(slicing.to_slices(slice_, axis)[:, 0, 0], n)
    assert (np.diff(slicing.to_slices(row, axis), axis=1) == -1).all()
    assert (np.diff(slicing.to_slices(column, axis), axis=2) == -1).all()
    assert np.array_equal(slicing.from_slices(slicing.to_slices(DATA, axis), axis), DATA)


def test_unknown_axis():
    for function in (slicing.to_slices, slicing.from_slices):
        with pytest.raises(InputError, match=r"'oblique'.*axial, coronal, sagittal"):
            function(DATA, "oblique")


def test_names_of_slices_hold_the_subject():
    assert slicing.slice_name("anna", 7) == "anna#007"
    assert slicing.slice_name("anna#second", 1000) == "anna#second#1000"
    assert slicing.index_of_slice("anna#second#1000") == 1000
    for name in ("anna", "anna#007", "anna#second#1000"):
        assert slicing.subject_of_slice(name) == "anna"


@pytest.mark.parametrize("axis", slicing.AXES)
def test_voxels_follow_from_pixels_and_the_distance_of_slices(axis):
    spacing = (1.0, 2.0, 3.0)
    pixel, between = slicing.in_plane(spacing, axis), slicing.across(spacing, axis)
    assert slicing.voxel(pixel, between, axis) == spacing
    assert sorted((*pixel, between)) == [1, 2, 3]
