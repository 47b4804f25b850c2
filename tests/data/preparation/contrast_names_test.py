"""Tests of what a name says of a scan's contrast."""

from pathlib import Path

import pytest

from cyclegan_jax.data.preparation import contrast_names


@pytest.mark.parametrize(
    ("name", "contrast", "rest"),
    [
        ("IXI146-HH-1389-T2", "T2", "IXI146-HH-1389"),
        ("BraTS-GLI-00000-000-t1n", "T1", "BraTS-GLI-00000-000"),
        ("BraTS20_001_t1ce", contrast_names.OTHER, "BraTS20_001"),
        ("BraTS20_001_flair", contrast_names.OTHER, "BraTS20_001"),
        ("a_T2_FLAIR", contrast_names.OTHER, "a"),
        ("sub-01_ce-gadolinium_T1w", contrast_names.OTHER, "sub-01_ce-gadolinium"),
        ("sub-01_T1w_brain", "T1", "sub-01"),
        ("sub-01_space-T1w_T2w", "T2", "sub-01_space"),
        ("T1_001", "T1", "001"),
        ("anna.t2.tse.png", "T2", "anna.png"),
        ("sub00_T1_slice_005", "T1", "sub00_slice_005"),
        ("a_T2_in_T1", "", "a"),
        ("data_contrast2", "T2", "data"),
        ("case_T12", "", "case_T12"),  # a word that has a contrast in it is none
        ("patient1", "", "patient1"),
        ("brain_n4_anna", "", "brain_n4_anna"),  # processing, but no contrast before it
        ("_T1", "T1", ""),
    ],
)
def test_contrast_is_a_word_anywhere_in_the_name(name, contrast, rest):
    assert contrast_names.contrast_of(name) == contrast
    assert contrast_names.without_contrast(name) == rest


def test_folders_that_are_named_by_a_contrast_alone():
    assert all(map(contrast_names.is_contrast, ("t1", "T2w", "T1_brain", "t2_flair")))
    assert not any(map(contrast_names.is_contrast, ("T2_study", "x", "anna_t1")))


@pytest.mark.parametrize(
    ("name", "rest"),
    [
        ("IXI146-HH-1389_T1.nii.gz", "IXI146-HH-1389"),
        ("case 3 T2W.JPG", "case 3"),
        ("data_train_contrast1.png", "data_train"),
        ("patient1.png", "patient1"),
        ("T1_case.png", "T1_case"),
        ("_T2.png", "_T2"),
    ],
)
def test_trailing_contrast(name, rest):
    assert contrast_names.without_trailing_contrast(Path("folder_T1") / name) == rest
