"""Tests of translating files with generators made by hand: geometry, names, failures."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import from_matvec
from nibabel.loadsave import load
from nibabel.nifti1 import Nifti1Image
from PIL import Image

from cyclegan_jax import InputError
from cyclegan_jax.data import slicing
from cyclegan_jax.data.formats import images
from cyclegan_jax.domains import Direction
from cyclegan_jax.trained.origin import Run
from cyclegan_jax.translation import translate_files as t
from cyclegan_jax.translation.record import TABLE

UINT16 = {"dtype": "uint16", "range": [0.0, 4000.0]}
VOLUME = {"dtype": "float32", "range": [10.0, 210.0]}
ALONG = {"axial": "SI", "coronal": "AP", "sagittal": "RL"}
# All that may differ between the headers of a scan and its translation; other bytes are equal.
NEW = {"datatype", "bitpix", "scl_slope", "scl_inter", "cal_max", "cal_min", "descrip"}


def identity(images: np.ndarray) -> np.ndarray:
    return images


def negation(images: np.ndarray) -> np.ndarray:
    return -images


def grey(dtype: type, *shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 255, shape, endpoint=True).astype(dtype)


def affine(axes: str) -> np.ndarray:
    """An affine for voxel axes of that order, with zooms 2, 3 and 4 mm and an offset."""
    orientation = nib.orientations.axcodes2ornt(tuple(axes))
    turned = nib.orientations.inv_ornt_aff(orientation, (1, 1, 1))[:3, :3]
    return from_matvec(turned @ np.diag([2.0, 3.0, 4.0]), [-7, 11, 13])


def save_volume(path: Path, data: np.ndarray, axes: str = "RAS") -> Nifti1Image:
    image = Nifti1Image(data, affine(axes))
    image.header.set_xyzt_units("mm", "sec")
    image.set_qform(image.affine, 1)
    image.set_sform(image.affine, 2)
    image.to_filename(path)
    return load_volume(path)


def load_volume(path: Path) -> Nifti1Image:
    image = load(path)
    assert isinstance(image, Nifti1Image)
    return image


def touch(folder: Path, *names: str) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = [folder / name for name in names]
    for path in paths:
        path.touch()
    return paths


# ---------------------------------------------------------------- images


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_image_files(tmp_path, suffix, translator):
    pixels = grey(np.uint8, 9, 14)
    Image.fromarray(pixels).save(tmp_path / f"a{suffix}")
    pixels = images.read_image(tmp_path / f"a{suffix}")  # what JPEG has made of it
    ((source, target),) = t.plan([tmp_path / f"a{suffix}"], tmp_path / "out", Direction.T1_TO_T2)
    target.parent.mkdir()
    t.translate_file(translator(negation), source, target)
    assert target.suffix == (".png" if suffix == ".jpg" else suffix)
    np.testing.assert_array_equal(images.read_image(target), 255 - pixels)


# ---------------------------------------------------------------- volumes


@pytest.mark.parametrize("axis", slicing.AXES)
@pytest.mark.parametrize("axes", ["RAS", "LPS", "PSR", "IRP", "ALS"])
def test_volumes_keep_their_geometry_and_values(tmp_path, axes, axis, translator, head):
    data = head(9, 20, 14)
    source = save_volume(tmp_path / "a.nii.gz", data, axes)
    for generate, slope, offset in ((identity, 0.5, -40), (negation, -0.5, 260)):
        made = translator(generate, axis=axis, source=UINT16, target=VOLUME)
        t.translate_file(made, tmp_path / "a.nii.gz", tmp_path / "b.nii.gz")
        result = load_volume(tmp_path / "b.nii.gz")
        for field in set(source.header.keys()) - NEW:
            assert result.header[field].tobytes() == source.header[field].tobytes(), field
        assert result.shape == (9, 20, 14)
        assert result.get_data_dtype() == np.float32
        # 100 to 500 become the target's 10 to 210, voxel by voxel in the file's own order; slices
        # without head stay air
        codes = nib.aff2axcodes(source.affine)
        across = tuple(i for i in range(3) if codes[i] not in ALONG[axis])
        has_head = data.max(axis=across, keepdims=True) > 100
        expected = np.where(has_head, slope * data + offset, 10)
        assert not has_head.all()
        np.testing.assert_allclose(np.asarray(result.dataobj), expected, atol=1e-3)
        assert result.header["descrip"].tobytes().rstrip(b"\0").endswith(b"t1_to_t2 step 7")


def test_what_is_written_beside_a_volume(tmp_path, translator, head):
    source = save_volume(tmp_path / "a_T1.nii", head(9, 20, 14), "LPS")
    ((path, target),) = t.plan([tmp_path / "a_T1.nii"], tmp_path / "out", Direction.T1_TO_T2)
    target.parent.mkdir()
    made = translator(negation, generate_back=identity, target=VOLUME)
    t.translate_file(made, path, target)
    assert sorted(p.name for p in target.parent.iterdir()) == ["a_T2.nii", "a_T2_preview.png"]
    t.translate_file(made, path, target, cycle_error=True)
    error = load_volume(target.parent / "a_cycle_error.nii.gz")
    for field in set(source.header.keys()) - NEW:
        assert error.header[field].tobytes() == source.header[field].tobytes(), field
    data = np.asarray(error.dataobj)
    assert data.max() == pytest.approx(2)  # air, which came back as the brightest
    assert data.min() >= 0
    with Image.open(target.parent / "a_T2_preview.png") as image:
        assert image.width > 3 * 192


def test_a_dicom_series_becomes_nifti_in_its_place(tmp_path, save_series, translator, head):
    slices = head(14, 20, 9).astype(np.int16)
    (tmp_path / "in").mkdir()
    save_series(tmp_path / "in" / "b_T1", slices)
    ((source, target),) = t.plan([tmp_path / "in"], tmp_path / "out", Direction.T1_TO_T2)
    assert target == tmp_path / "out" / "b_T2.nii.gz"
    target.parent.mkdir()
    t.translate_file(translator(source=UINT16, target=VOLUME), source, target)
    result = load_volume(target)
    np.testing.assert_allclose(result.affine, from_matvec(np.diag([-1, -1.5, 2]), [-5, 6, 7]))
    expected = 0.5 * slices.transpose(2, 1, 0) - 40
    np.testing.assert_allclose(np.asarray(result.dataobj), expected, atol=1e-3)


def test_one_frame_of_several(tmp_path, translator, head):
    data = head(9, 20, 14)
    save_volume(tmp_path / "a.nii", np.stack([data * 2, data], axis=-1))
    with pytest.raises(InputError, match=r"a\.nii: .*2 frames; pick one with --frame"):
        t.translate_file(translator(), tmp_path / "a.nii", tmp_path / "b.nii")
    made = translator(target=VOLUME)
    t.translate_file(made, tmp_path / "a.nii", tmp_path / "b.nii", frame=1)
    result = load_volume(tmp_path / "b.nii")
    assert result.shape == (9, 20, 14)
    assert np.array_equal(result.affine, load_volume(tmp_path / "a.nii").affine)
    np.testing.assert_allclose(np.asarray(result.dataobj), 0.5 * data - 40, atol=1e-3)


def test_volume_without_head_is_an_error_that_names_it(tmp_path, translator):
    data = np.ones((20, 20, 20), np.float32)
    data[0, 0, 0] = 0  # not constant, which reading it would refuse
    save_volume(tmp_path / "a.nii.gz", data)
    with pytest.raises(InputError, match=r"a\.nii\.gz: no foreground.*; give a head on dark air"):
        t.translate_file(translator(), tmp_path / "a.nii.gz", tmp_path / "b.nii.gz")
    assert [p.name for p in tmp_path.iterdir()] == ["a.nii.gz"]


def test_a_header_that_says_the_contrast_to_make_stops_the_file(tmp_path, translator, head):
    image = save_volume(tmp_path / "a.nii", head(9, 20, 14))
    image.header["descrip"] = b"t2_tse_tra"
    image.to_filename(tmp_path / "b.nii")
    with pytest.raises(InputError, match=r"b\.nii: its header says T2"):
        t.translate_file(translator(identity), tmp_path / "b.nii", tmp_path / "out.nii")
    assert not (tmp_path / "out.nii").exists()


def test_a_background_amid_the_tissue_is_air(tmp_path, translator, head):
    data = head(12, 20, 14)
    is_head = data > 100
    data = np.where(is_head, (data - 300) / 100, 0)
    save_volume(tmp_path / "a.nii.gz", data)
    made = translator(target=VOLUME)
    note, *_ = t.translate_file(made, tmp_path / "a.nii.gz", tmp_path / "b.nii.gz")
    assert "the background has the value 0" in note
    result = np.asarray(load_volume(tmp_path / "b.nii.gz").dataobj)
    assert (result[~is_head] == 10).all()  # the target's air
    assert np.median(result[is_head]) > 60
    noise = np.random.default_rng(0).uniform(0, 4095, data.shape)
    save_volume(tmp_path / "uni.nii.gz", noise)
    with pytest.raises(InputError, match=r"uni\.nii\.gz: the air around the head is noise"):
        t.translate_file(made, tmp_path / "uni.nii.gz", tmp_path / "c.nii.gz")


# ---------------------------------------------------------------- which files


def test_plan_names_results_after_the_subject(tmp_path):
    paths = touch(tmp_path / "in", "a_T1.png", "b.jpg", "c.JPEG", "d-t1w.nii.gz", "e1.nii", "f.tif")
    out = tmp_path / "out"
    planned = t.plan([*paths], out, Direction.T1_TO_T2)
    assert [source for source, _ in planned] == paths
    assert [target for _, target in planned] == [
        out / n
        for n in ("a_T2.png", "b_T2.png", "c_T2.png", "d_T2.nii.gz", "e1_T2.nii", "f_T2.tif")
    ]
    (planned,) = t.plan(paths[1:2], out, Direction.T2_TO_T1)
    assert planned == (paths[1], out / "b_T1.png")
    assert not out.exists()  # planning writes nothing


def test_plan_expands_folders(tmp_path):
    paths = touch(tmp_path / "in", "a.png", "b.png") + touch(tmp_path / "more", "c.nii")
    planned = t.plan([tmp_path / "more", tmp_path / "in"], tmp_path / "out", Direction.T1_TO_T2)
    assert [source for source, _ in planned] == [paths[2], *paths[:2]]


def test_two_results_in_one_file_are_refused(tmp_path):
    touch(tmp_path / "in", "a.png", "a_T1.jpg")
    with pytest.raises(InputError, match=r"a\.png and .*a_T1\.jpg would both be .*a_T2\.png; "):
        t.plan([tmp_path / "in"], tmp_path / "out", Direction.T1_TO_T2)
    one, two = touch(tmp_path / "1", "b.png"), touch(tmp_path / "2", "b.png")
    out = tmp_path / "out"
    pairs = t.plan([*one, *two], out, Direction.T1_TO_T2)  # each in the folder of its scan
    assert [target for _, target in pairs] == [out / "1" / "1_b_T2.png", out / "2" / "2_b_T2.png"]


def test_previews_in_one_file_are_refused(tmp_path):
    touch(tmp_path / "in", "a.nii", "a.nii.gz")
    with pytest.raises(InputError, match=r"a\.nii and .*a\.nii\.gz would both be .*a_T2_preview"):
        t.plan([tmp_path / "in"], tmp_path / "out", Direction.T1_TO_T2)


def test_series_given_as_the_current_folder(tmp_path, save_series, monkeypatch):
    save_series(tmp_path / "head_T1", np.ones((2, 3, 3), np.int16))
    monkeypatch.chdir(tmp_path / "head_T1")
    ((_, target),) = t.plan([Path(".")], tmp_path / "out", Direction.T1_TO_T2)
    assert target == tmp_path / "out" / "head_T2.nii.gz"
    with pytest.raises(InputError, match="is the folder of"):
        t.plan([Path(".")], tmp_path / "head_T1", Direction.T1_TO_T2)


def test_stacks_are_refused(tmp_path):
    touch(tmp_path / "in", "a.mat")
    with pytest.raises(InputError, match=r"a\.mat: stacks are not translated; save it as NIfTI"):
        t.plan([tmp_path / "in"], tmp_path / "out", Direction.T1_TO_T2)


def test_result_over_an_input_is_refused(tmp_path):
    folder = tmp_path / "in"
    touch(folder, "a_T1.png", "a_T2.png")
    (tmp_path / "link").symlink_to(folder)
    for out in (folder, tmp_path / "link", folder / ".." / "in"):
        with pytest.raises(InputError, match=r"is the folder of a_T1\.png.*choose another"):
            t.plan([folder], out, Direction.T1_TO_T2)


def test_nothing_to_translate_is_refused(tmp_path):
    with pytest.raises(InputError, match="at least one image, volume or folder"):
        t.plan([], tmp_path, Direction.T1_TO_T2)
    with pytest.raises(InputError, match=r"gone: No such file.*; give an existing folder"):
        t.plan([tmp_path / "gone"], tmp_path, Direction.T1_TO_T2)


# ---------------------------------------------------------------- whole calls


@pytest.fixture
def fake(monkeypatch, translator) -> list[tuple[Any, ...]]:
    """Makes `translate` use `translator(negation)`; the list gets what it asked for."""
    asked: list[tuple[Any, ...]] = []

    def load_fake(*arguments: Any) -> t.Translator:
        asked.append(arguments)
        return translator(negation)

    monkeypatch.setattr(t, "load_translator", load_fake)
    return asked


def test_failing_files_are_reported_and_the_rest_go_on(tmp_path, fake, capsys):
    folder, out = tmp_path / "in", tmp_path / "new" / "out"
    folder.mkdir()
    for name in ("a", "b", "c", "d"):
        Image.fromarray(grey(np.uint8, 9, 9)).save(folder / f"{name}.png")
    (folder / "b.png").write_bytes((folder / "b.png").read_bytes()[:50])
    Image.fromarray(np.stack([grey(np.uint8, 9, 9)] + [grey(np.uint8, 9, 9) // 2] * 2, -1)).save(
        folder / "d.png"
    )
    assert t.translate([Run(tmp_path / "run", "latest")], Direction.T1_TO_T2, [folder], out) == 2
    assert fake == [(Run(tmp_path / "run", "latest"), Direction.T1_TO_T2)]
    assert sorted(p.name for p in out.iterdir()) == ["a_T2.png", "c_T2.png", TABLE]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"[1/4] {folder}/a.png -> {out}/a_T2.png"
    assert lines[1].startswith(f"[2/4] FAILED {folder}/b.png: cannot read")
    assert lines[2] == f"[3/4] {folder}/c.png -> {out}/c_T2.png"
    assert lines[3].startswith(f"[4/4] FAILED {folder}/d.png: coloured")


def test_success_counts_no_failure(tmp_path, fake, head):
    pixels = grey(np.uint8, 9, 9)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    save_volume(tmp_path / "v.nii", head(9, 20, 14))
    paths = [tmp_path / "a.png", tmp_path / "v.nii"]
    assert t.translate([Run(tmp_path / "run")], Direction.T1_TO_T2, paths, tmp_path / "out") == 0
    assert fake[0][0] == Run(tmp_path / "run", "best")
    np.testing.assert_array_equal(images.read_image(tmp_path / "out" / "a_T2.png"), 255 - pixels)
    assert load_volume(tmp_path / "out" / "v_T2.nii").shape == (9, 20, 14)


@pytest.mark.usefixtures("fake")
def test_scans_that_are_left_out_are_noted_first(tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(grey(np.uint8, 9, 9)).save(folder / "a_T1.png")
    touch(folder, "a_T2.png", "a_seg.png")
    assert t.translate([Run(tmp_path / "run")], Direction.T1_TO_T2, [folder], tmp_path / "out") == 0
    labels, others, done = capsys.readouterr().out.splitlines()
    assert labels.startswith(f"note: {folder}: 1 not used, label maps by their names: 'a_seg.png'")
    assert others.startswith(f"note: {folder}: 1 not used, their names say another contrast")
    assert done.startswith("[1/1] ")


def test_bad_inputs_are_refused_before_the_network_is_loaded(tmp_path, fake):
    with pytest.raises(InputError, match="gone"):
        t.translate([Run(tmp_path)], Direction.T1_TO_T2, [tmp_path / "gone"], tmp_path / "out")
    assert fake == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("fake")
def test_out_that_is_a_file_is_refused(tmp_path):
    (source,) = touch(tmp_path, "a.png")
    touch(tmp_path, "out")
    with pytest.raises(InputError, match=r"--out=.*out: cannot be made a folder \(File exists\)"):
        t.translate([Run(tmp_path)], Direction.T1_TO_T2, [source], tmp_path / "out")


def test_a_series_that_lies_deeper_is_named_after_its_patient(tmp_path, save_series):
    for place in ("in/p0/study/series", "in/p1/study/series", "in/p2"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        save_series(tmp_path / place, np.ones((2, 3, 4), np.int16))
    pairs = t.plan([tmp_path / "in"], tmp_path / "out", Direction.T1_TO_T2)
    assert [str(target.relative_to(tmp_path / "out")) for _, target in pairs] == [
        *(f"p{i}/study/p{i}_study_series_T2.nii.gz" for i in range(2)),
        "p2_T2.nii.gz",
    ]


# ---------------------------------------------------------------- resuming


@pytest.fixture
def calls(monkeypatch, translator, capsys):
    """Translates a folder of three volumes again and again; returns what was made, and lines."""

    def call(place: Path, direction: Direction = Direction.T1_TO_T2, **changed: Any):
        made: list[str] = []
        options = {k: changed.pop(k) for k in ("frame", "cycle_error") if k in changed}

        def spy(translator: Any, source: Path, target: Path, *rest: Any) -> list[str]:
            made.append(target.relative_to(place / "out").as_posix())
            return real(translator, source, target, *rest)

        facts = {"source": UINT16, "target": VOLUME, "direction": direction} | changed
        with monkeypatch.context() as patch:
            patch.setattr(t, "load_translator", lambda *_: translator(negation, **facts))
            patch.setattr(t, "translate_file", spy)
            t.translate([Run(place / "run")], direction, [place / "in"], place / "out", **options)
        return made, capsys.readouterr().out

    real = t.translate_file
    return call


@pytest.fixture
def three(tmp_path, head) -> Path:
    for i in range(3):
        (tmp_path / "in" / f"s{i}").mkdir(parents=True)
        save_volume(tmp_path / "in" / f"s{i}" / "scan.nii", head(9 + i, 20, 14))
    return tmp_path


ALL = ["s0/s0_scan_T2.nii", "s1/s1_scan_T2.nii", "s2/s2_scan_T2.nii"]


def test_a_second_call_makes_what_is_missing(three, calls):
    made, said = calls(three)
    assert made == ALL
    assert "3 translated, 0 there already, 0 failed" in said
    before = {p: p.stat().st_mtime_ns for p in (three / "out").rglob("*.*")}
    made, said = calls(three)
    assert made == []
    assert "3 of 3 are there already" in said
    assert "0 translated, 3 there already, 0 failed" in said
    assert {p: p.stat().st_mtime_ns for p in (three / "out").rglob("*.*")} == before
    (three / "out" / ALL[1]).unlink()
    made, said = calls(three)
    assert made == ALL[1:2]
    assert "2 of 3 are there already" in said


@pytest.mark.parametrize(
    "changed",
    [{"step": 8}, {"model": "other"}, {"weights_sha256": "b"}, {"cycle_error": True}],
)
def test_results_of_another_model_or_option_are_made_again(three, calls, changed):
    calls(three)
    made, said = calls(three, **changed)
    assert made == ALL
    assert "3 result(s) are made again, since the model, its step, the options or" in said
    assert calls(three, **changed)[0] == []


def test_changed_scans_and_results_are_made_again(three, calls, head):
    calls(three)
    save_volume(three / "in" / "s0" / "scan.nii", head(12, 20, 14))
    result = three / "out" / ALL[2]
    result.write_bytes(result.read_bytes()[:-9])  # half-written by another program
    made, said = calls(three)
    assert made == [ALL[0], ALL[2]]
    assert "1 of 3 are there already" in said
    assert "2 result(s) are made again" in said


def test_both_directions_fit_into_one_folder(three, calls):
    calls(three)
    made, said = calls(three, Direction.T2_TO_T1)
    assert len(made) == 3
    assert "again" not in said
    assert calls(three)[0] == []


def test_a_stopped_call_leaves_nothing_that_counts_as_done(three, calls, monkeypatch):
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    for where in ("save_preview", "nifti.write_volume"):
        with monkeypatch.context() as patch:
            patch.setattr(f"cyclegan_jax.translation.translate_files.{where}", stop)
            with pytest.raises(KeyboardInterrupt):
                calls(three)
    assert calls(three)[0] == ALL


def test_a_scan_that_failed_is_tried_again(three, calls):
    scan = three / "in" / "s1" / "scan.nii"
    kept = scan.read_bytes()
    scan.write_bytes(kept[:400])
    assert "2 translated, 0 there already, 1 failed" in calls(three)[1]
    rows = (three / "out" / TABLE).read_text().splitlines()
    assert len(rows) == 4
    assert rows[2].startswith(f"{scan}\ts1/s1_scan_T2.nii\tFAILED\t")
    assert "s1/scan.nii: " in rows[2].split("\t")[4]
    scan.write_bytes(kept)
    assert calls(three)[0] == ALL[1:2]


def test_results_inside_the_folder_of_scans_are_not_translated(three, calls, monkeypatch):
    calls(three)
    (three / "out").rename(three / "in" / "out")
    pairs = t.plan([three / "in"], three / "in" / "out", Direction.T1_TO_T2)
    assert [s.parent.name for s, _ in pairs] == ["s0", "s1", "s2"]


def test_a_table_of_another_kind_is_refused(three, calls):
    (three / "out").mkdir()
    for content in ("a\tb\n1\t2\n", "\0", "source\n"):
        (three / "out" / TABLE).write_text(content)
        with pytest.raises(InputError, match=r"translations.tsv: cannot read .*; remove it, or"):
            calls(three)
