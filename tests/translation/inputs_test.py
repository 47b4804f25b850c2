"""Tests of which scans are translated, by the contrast that their names and headers say."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from cyclegan_jax import InputError
from cyclegan_jax.data.formats import readers
from cyclegan_jax.domains import Direction
from cyclegan_jax.translation.inputs import check_header, plan

THERE, BACK = Direction.T1_TO_T2, Direction.T2_TO_T1


def tree(root: Path, *files: str) -> Path:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return root


def planned(root: Path, direction: Direction) -> tuple[dict[str, str], list[str]]:
    notes: list[str] = []
    out = root.parent / "out"
    pairs = plan([root], out, direction, notes)
    return {str(s.relative_to(root)): str(t.relative_to(out)) for s, t in pairs}, notes


def test_a_folder_for_each_subject_is_one_command(tmp_path):
    files = [f"subj{i:03d}/{name}" for i in range(3) for name in ("T1.nii.gz", "T2.nii.gz")]
    root = tree(tmp_path / "in", *files)
    found, notes = planned(root, THERE)
    assert found == {
        f"subj{i:03d}/T1.nii.gz": f"subj{i:03d}/subj{i:03d}_T2.nii.gz" for i in range(3)
    }
    assert len(notes) == 1
    assert "3 not used, their names say another contrast than T1: 'subj000/T2.nii.gz'" in notes[0]
    found, _ = planned(root, BACK)
    assert found == {
        f"subj{i:03d}/T2.nii.gz": f"subj{i:03d}/subj{i:03d}_T1.nii.gz" for i in range(3)
    }


def test_bids_and_other_trees(tmp_path):
    root = tree(
        tmp_path / "bids",
        "sub-1/ses-1/anat/sub-1_ses-1_T1w.nii.gz",
        "sub-1/ses-2/anat/sub-1_ses-2_T1w.nii.gz",
        "sub-1/ses-2/anat/sub-1_ses-2_T2w.nii.gz",
    )
    found, _ = planned(root, THERE)
    assert list(found.values()) == [f"sub-1/ses-{i}/anat/sub-1_ses-{i}_T2.nii.gz" for i in (1, 2)]
    root = tree(tmp_path / "in", "ann/t1/scan.nii", "ann/t2/scan.nii", "ann/t1/mask.nii")
    found, notes = planned(root, BACK)
    assert found == {"ann/t2/scan.nii": "ann/ann_T1.nii"}
    assert any("label maps by their names: 'ann/t1/mask.nii'" in note for note in notes)


def test_scans_of_one_name_keep_their_folders(tmp_path, monkeypatch):
    tree(tmp_path, *(f"in/subj{i}/T1.nii.gz" for i in range(3)), "other/subj9/T1.nii.gz")
    monkeypatch.chdir(tmp_path)
    given = sorted(Path("in").glob("subj*/T1.nii.gz"))  # as a shell expands it
    found = plan(given, Path("out"), THERE)
    assert found == [
        (path, Path("out", f"subj{i}", f"subj{i}_T2.nii.gz")) for i, path in enumerate(given)
    ]
    found = plan([*given[:2], Path("other/subj9/T1.nii.gz")], Path("out"), THERE)
    assert [str(target.parent) for _, target in found] == [
        "out/in/subj0",
        "out/in/subj1",
        "out/other/subj9",
    ]


def test_folders_of_splits_are_kept(tmp_path):
    root = tree(tmp_path / "in", "train/a_T1.nii", "test/b_T1.nii")
    assert planned(root, THERE)[0] == {
        "test/b_T1.nii": "test/test_b_T2.nii",
        "train/a_T1.nii": "train/train_a_T2.nii",
    }


def test_folders_beside_scans_are_named(tmp_path):
    root = tree(tmp_path / "in", "a_T1.nii", "deeper/b_T1.nii", "c.bmp")
    found, (note,) = planned(root, THERE)
    assert found == {"a_T1.nii": "a_T2.nii"}
    assert note == f"{root}: 2 not used, no scan directly in the folder: 'c.bmp', 'deeper'"


def test_series_at_any_depth(tmp_path, save_series):
    slices = np.arange(27, dtype=np.int16).reshape(3, 3, 3)
    places = ("p0/2020/mr/head/brain/T1/dicom", "p0/2021/T1", "p1/T1")
    for place in places:
        (tmp_path / "in" / place).parent.mkdir(parents=True)
        save_series(tmp_path / "in" / place, slices)
    (tmp_path / "in" / "p1" / "loop").symlink_to(tmp_path / "in")
    found, _ = planned(tmp_path / "in", THERE)
    assert [f"{Path(target).parent}" for target in found.values()] == [
        "p0/2020/mr/head/brain",
        "p0/2021",
        "p1",
    ]
    assert list(found) == list(places)


def test_of_a_mixed_folder_the_source_contrast_is_taken(tmp_path):
    root = tree(tmp_path / "in", "a_T1.nii", "a_T2.nii", "a_FLAIR.nii", "b.nii", "a_seg.nii")
    found, notes = planned(root, THERE)
    assert found == {"a_T1.nii": "a_T2.nii", "b.nii": "b_T2.nii"}
    assert len(notes) == 2


def test_a_folder_of_such_names_alone_is_translated(tmp_path):
    root = tree(tmp_path / "in", "a_mask.nii", "b_seg.nii")
    assert planned(root, THERE) == (
        {"a_mask.nii": "a_mask_T2.nii", "b_seg.nii": "b_seg_T2.nii"},
        [],
    )


@pytest.mark.parametrize("name", ["a_T2.nii.gz", "T2_001.nii", "sub-1_T2w.nii", "b-t2w.png"])
def test_a_name_that_says_the_contrast_to_make_is_refused(tmp_path, name):
    root = tree(tmp_path / "in", name)
    for given in (root, root / name):
        with pytest.raises(InputError, match=r"its name says T2.*give --direction=t2_to_t1, or re"):
            plan([given], tmp_path / "out", THERE)
        assert len(plan([given], tmp_path / "out", BACK)) == 1


@pytest.mark.parametrize("name", ["a.nii", "patient2.nii", "a_T2_in_T1.nii", "T2b_1.nii"])
def test_names_that_do_not_say_it_clearly_are_accepted(tmp_path, name):
    assert len(plan([tree(tmp_path / "in", name)], tmp_path / "out", THERE)) == 1


def test_results_do_not_go_between_the_subjects(tmp_path):
    root = tree(tmp_path / "in", "subj0/T1.nii", "subj1/T1.nii")
    with pytest.raises(InputError, match="is the folder of"):
        plan([root], root, THERE)


def described(path: Path, text: str) -> Path:
    image = nib.nifti1.Nifti1Image(np.arange(8, dtype=np.float32).reshape(2, 2, 2), np.eye(4))
    image.set_sform(np.eye(4), 1)
    image.header["descrip"] = text.encode()
    image.to_filename(path)
    return path


@pytest.mark.parametrize("text", ["t2_tse_tra_p2", "T2w 3D SPACE"])
def test_a_header_that_says_the_contrast_to_make_is_refused(tmp_path, text):
    path = described(tmp_path / "a.nii", text)
    volume = readers.read_volume(path)
    with pytest.raises(InputError, match=r"a\.nii: its header says T2 .*--direction=t2_to_t1, or"):
        check_header(path, volume, THERE)
    check_header(path, volume, BACK)
    check_header(tmp_path / "a_T1.nii", volume, THERE)  # the name outweighs it


@pytest.mark.parametrize("text", ["", "TE=93;Time=1", "T1 in T2 space", "run t1_to_t2 step 7"])
def test_other_descriptions_are_accepted(tmp_path, text):
    path = described(tmp_path / "a.nii", text)
    check_header(path, readers.read_volume(path), THERE)


def test_the_description_of_a_series_counts(tmp_path, save_series):
    tags = {"0008|103e": "t2_tse_tra"}
    save_series(tmp_path / "a", np.arange(27, dtype=np.int16).reshape(3, 3, 3), **tags)
    with pytest.raises(InputError, match="header says T2"):
        check_header(tmp_path / "a", readers.read_volume(tmp_path / "a"), THERE)
