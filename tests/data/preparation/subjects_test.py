"""Tests of the one rule that finds the person in a name."""

from pathlib import Path

import pytest

from cyclegan_jax.data.preparation.subjects import File, read_names


def files(domain: str, *names: str, image: bool = False, split: str = "train") -> list[File]:
    return [File(Path(f"{n}.nii"), n, domain, split, image) for n in names]


def subjects(*groups: list[File]) -> list[str]:
    return [r.subject for r in read_names([f for group in groups for f in group])[0]]


@pytest.mark.parametrize(
    ("name", "subject", "session"),
    [
        ("IXI146-HH-1389-T2", "IXI146-HH-1389", ""),
        ("sub-01_T1w_brain", "sub-01", ""),
        ("sub-00_ses-pre_run-2_T1w", "sub-00", "ses-pre"),
        ("sub-01-T1", "sub-01", ""),
        ("BraTS-GLI-00000-001-t1n", "BraTS-GLI-00000", "001"),
        ("BraTS20_Training_001_t1", "BraTS20_Training_001", ""),
        ("OAS1_0001_MR2_mpr_t1", "OAS1_0001", "MR2"),
        ("OAS30001_MR_d0129_T1w", "OAS30001", "d0129"),
        ("ADNI_002_S_0295_MR_T1", "002_S_0295", ""),
        ("T1_001", "001", ""),
        ("anna_visit2_T1", "anna", "visit2"),
        ("anna-session_03-t1", "anna", "session_03"),
        ("case3.t1", "case3", ""),
        ("patient1", "patient1", ""),
        ("Subject2", "Subject2", ""),
        ("case_0001", "case_0001", ""),
        ("data_train_contrast1", "data_train", ""),
        ("T1", "T1", ""),
        ("_T2", "_T2", ""),
        ("ses-1", "ses-1", ""),
    ],
)
def test_person_and_session_of_one_name(name, subject, session):
    ((reading,), _) = read_names(files("x", name))
    assert (reading.subject, reading.session) == (subject, session)


@pytest.mark.parametrize(
    ("x", "y", "same"),
    [
        ("BraTS-GLI-00000-000-t1n", "BraTS-GLI-00000-000-t2w", True),
        ("T1_001", "T2_001", True),
        ("T1w_001_brain", "T2w_001", True),
        ("sub-01_acq-mprage_T1w", "sub-01_acq-tse_T2w_reg", True),
        ("anna_t1_mprage", "anna_t2_tse", True),
        ("patient1", "patient2", False),
        ("T1_001", "T2_002", False),
        ("sub-1_T1w", "sub-11_T2w", False),
    ],
)
def test_the_two_contrasts_of_a_person(x, y, same):
    a, b = subjects(files("x", x), files("y", y))
    assert (a == b) == same


def test_channels_of_nnunet():
    x = files("x", "case_001_0000", "case_003_0000")
    y = files("y", "case_003_0001", "case_005_0001")
    assert subjects(x, y) == ["case_001", "case_003", "case_003", "case_005"]
    assert subjects(files("x", "case_0000"), files("y", "case_0001")) == ["case", "case"]
    people = files("x", "case_0000", "case_0001"), files("y", "case_0001", "case_0002")
    assert subjects(*people) == ["case_0000", "case_0001", "case_0001", "case_0002"]
    apart = files("x", "anna_0000"), files("y", "bert_0001")
    assert subjects(*apart) == ["anna_0000", "bert_0001"]


@pytest.mark.parametrize(
    "name",
    [
        "{}_{}",
        "{}_slice_{}",
        "{}-{}_T1",
        "{}_T1_slice_{}",
        "{} #{}",
        "{}_axial_z{}",
        "{}_slice_{}_axial",
    ],
)
def test_slices_of_people(name):
    made = [(person, n) for person in ("anna", "case_12", "sub00") for n in ("000", "007")]
    of_x = files("x", *(name.format(*m) for m in made), image=True)
    of_y = files("y", *(name.format(*m).replace("T1", "T2") for m in made), image=True)
    assert subjects(of_x, of_y) == [person for person, _ in made] * 2
    readings, (note,) = read_names([*of_x, *of_y])
    assert len({r.scan for r in readings}) == 6
    assert {r.scan for r in readings[:6]} == {r.scan for r in readings[6:]}
    assert "12 images are slices of 3 subjects, for example" in note
    assert "--csv" in note
    assert subjects(files("x", *(name.format(*m) for m in made))) != subjects(of_x)  # volumes


@pytest.mark.parametrize("start", ["slice_", "Image #", "s", "anna_", "patient_", "img"])
def test_images_that_all_begin_alike_are_subjects_of_their_own(start):
    names = [f"{start}{i:03d}" for i in range(4)]
    x, y = (files(d, *names, image=True) for d in "xy")
    readings, (note,) = read_names([*x, *y])
    assert [r.subject for r in readings] == names * 2
    assert f"'{names[0]}.nii' as subject '{names[0]}'" in note
    assert f"'{names[1]}.nii' as subject '{names[1]}'" in note
    assert "--csv" in note
    val = [files(d, f"{start}9", f"{start}8", image=True, split="val") for d in "xy"]
    assert set(subjects(x, y, *val)) == {*names, f"{start}9", f"{start}8"}


def test_the_slice_may_stand_before_the_person():
    made = [(n, person) for person in ("anna", "sub00") for n in ("000", "007")]
    x = files("x", *(f"slice_{n}_{person}" for n, person in made), image=True)
    assert subjects(x) == ["anna", "anna", "sub00", "sub00"]


def test_numbers_that_may_be_visits_are_noted():
    x, y = files("x", "anna_1", "anna_2", "bert1", "bert2"), files("y", "anna_1", "carl")
    readings, (note,) = read_names([*x, *y])
    assert [r.subject for r in readings[:4]] == ["anna_1", "anna_2", "bert1", "bert2"]
    assert "'anna_1.nii' as subject 'anna_1' and 'anna_2.nii' as subject 'anna_2'" in note


def test_one_image_of_each_person_is_no_slice_of_several():
    names = ["IXI002-Guys-0828", "a-b_001", "b_002", "patient_003", "patient_004"]
    assert subjects(files("x", *names, image=True)) == names


def test_splits_that_are_named_by_themselves_are_no_people():
    train = [files(d, "train_001", "train_002", image=True) for d in "xy"]
    val = [files(d, "val_001", "val_002", image=True, split="val") for d in "xy"]
    assert subjects(*train, *val) == ["train_001", "train_002"] * 2 + ["val_001", "val_002"] * 2
    # a person in two splits must not go unseen
    test = [files(d, "val_003", "val_004", image=True, split="test") for d in "xy"]
    assert set(subjects(*train, *val, *test)) == {"train", "val"}


def test_numbers_that_agree_without_a_common_subject_are_noted():
    x, y = files("x", "anna1", "anna2"), files("y", "b1x", "b2x")
    _, (note,) = read_names([*x, *y])
    assert "'anna1.nii' is read as subject 'anna1' and 'b1x.nii' as 'b1x'" in note
    assert "--csv" in note
    glued = read_names([*files("x", "001T1a", "002T1a"), *files("y", "001T2b", "002T2b")])[1]
    assert "no subject is in both contrasts" in glued[0]


def test_names_of_standards_need_no_note():
    for name in ("sub-0{}_{}", "BraTS-GLI-0000{}-000-{}", "IXI00{}-HH-1234-{}"):
        x, y = (files(d, *(name.format(i, c) for i in "12")) for d, c in (("x", "T1"), ("y", "T2")))
        assert read_names([*x, *y])[1] == []
    unpaired = files("x", "IXI001-HH-1234", "IXI002-HH-99"), files("y", "IXI003-HH-7")
    assert read_names([f for group in unpaired for f in group])[1] == []
