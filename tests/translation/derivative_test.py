"""Tests of translating a BIDS data set into a derivative data set."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from cyclegan_jax import InputError, __version__
from cyclegan_jax.data.preparation.bids_names import read_filters
from cyclegan_jax.domains import Direction
from cyclegan_jax.system.files import file_digest
from cyclegan_jax.trained.origin import Run
from cyclegan_jax.translation import translate_files as t
from cyclegan_jax.translation.derivative import plan_derivative
from cyclegan_jax.translation.record import TABLE

VALIDATOR = shutil.which("bids-validator-deno")  # of PyPI; the older one of npm knows raw data only
VOLUME = {"dtype": "float32", "range": [10.0, 210.0]}
THERE, BACK = Direction.T1_TO_T2, Direction.T2_TO_T1
SCANS = (
    "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz",
    "sub-01/ses-1/anat/sub-01_ses-1_T2w.nii.gz",
    "sub-01/ses-2/anat/sub-01_ses-2_acq-x_run-1_T1w.nii.gz",
    "sub-01/ses-2/anat/sub-01_ses-2_acq-x_run-2_T1w.nii.gz",
    "sub-02/anat/sub-02_T1w.nii",
)
MADE = (
    "sub-01/ses-1/anat/sub-01_ses-1_desc-synthetic_T2w.nii.gz",
    "sub-01/ses-2/anat/sub-01_ses-2_acq-x_run-1_desc-synthetic_T2w.nii.gz",
    "sub-01/ses-2/anat/sub-01_ses-2_acq-x_run-2_desc-synthetic_T2w.nii.gz",
    "sub-02/anat/sub-02_desc-synthetic_T2w.nii",
)


@pytest.fixture
def raw(tmp_path, head) -> Path:
    root = tmp_path / "raw"
    for i, name in enumerate(SCANS):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        image = nib.nifti1.Nifti1Image(head(9 + i, 20, 14), np.diag([2.0, 2.0, 2.0, 1.0]))
        image.header.set_xyzt_units("mm", "sec")
        image.to_filename(root / name)
    described = {"Name": "Heads", "BIDSVersion": "1.8.0", "DatasetType": "raw"}
    (root / "dataset_description.json").write_text(json.dumps(described))
    return root


@pytest.fixture
def run(monkeypatch, translator, raw):
    def call(out: Path, *filters: str, direction: Direction = THERE, **changed: Any) -> int:
        facts = {"source": VOLUME, "target": VOLUME, "direction": direction} | changed
        monkeypatch.setattr(t, "load_translator", lambda *_: translator(**facts))
        chosen = read_filters(filters)
        return t.translate([Run(Path("run"))], direction, [], out, bids=raw, filters=chosen)

    return call


def files(root: Path) -> set[str]:
    return {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}


def without_suffix(name: str) -> str:
    return name.removesuffix(".gz").removesuffix(".nii")


def test_what_is_written(tmp_path, raw, run):
    out = raw / "derivatives" / "synthetic"
    assert run(out, weights_sha256="abc", brain_only=True) == 0
    beside = {f"{without_suffix(n)}{end}" for n in MADE for end in (".json", "_preview.png")}
    assert files(out) == {
        *MADE,
        *beside,
        TABLE,
        "dataset_description.json",
        "README.md",
        ".bidsignore",
    }
    described = json.loads((out / "dataset_description.json").read_text())
    assert described["DatasetType"] == "derivative"
    assert described["GeneratedBy"][0]["Name"] == "cyclegan_jax"
    assert described["GeneratedBy"][0]["Version"] == __version__
    assert described["SourceDatasets"] == [{"URL": "../.."}]
    assert described["DatasetLinks"] == {"raw": "../.."}
    sidecar = json.loads((out / MADE[0].replace(".nii.gz", ".json")).read_text())
    assert sidecar["Sources"] == [f"bids:raw:{SCANS[0]}"]
    assert sidecar["SourceSHA256"] == file_digest(raw / SCANS[0])
    assert sidecar["SkullStripped"] is True
    assert (sidecar["ModelName"], sidecar["ModelStep"]) == ("run", 7)
    assert (sidecar["ModelWeightsSHA256"], sidecar["ModelDirection"]) == ("abc", "t1_to_t2")
    assert sidecar["SoftwareVersion"] == __version__
    assert "Synthetic" in sidecar["Description"]
    assert "Not for diagnosis" in sidecar["Description"]
    assert str(tmp_path) not in "".join(
        (out / n).read_text() for n in files(out) if n.endswith(("json", "tsv", "md"))
    )  # it can be given away


def test_it_resumes_and_takes_both_directions(tmp_path, run, capsys):
    out = tmp_path / "out"
    run(out)
    capsys.readouterr()
    run(out)
    assert "4 of 4 are there already" in capsys.readouterr().out
    run(out, direction=BACK)
    assert "sub-01/ses-1/anat/sub-01_ses-1_desc-synthetic_T1w.nii.gz" in files(out)
    assert "1 translated" not in capsys.readouterr().out  # no table of one scan


def test_the_link_is_to_the_raw_data_wherever_they_are(tmp_path, raw, run):
    described = json.loads((raw / "dataset_description.json").read_text())
    described["DatasetDOI"] = "doi:10.1/2"
    (raw / "dataset_description.json").write_text(json.dumps(described))
    run(tmp_path / "a" / "b")
    described = json.loads((tmp_path / "a" / "b" / "dataset_description.json").read_text())
    assert described["DatasetLinks"] == {"raw": "../../raw"}
    assert described["SourceDatasets"] == [{"DOI": "doi:10.1/2"}]


def test_filters_choose(tmp_path, raw):
    chosen = plan_derivative(raw, tmp_path / "out", THERE, read_filters(["run=2", "ses=2"]), [])
    assert [str(target.relative_to(tmp_path / "out")) for _, target in chosen] == [*MADE[2:]]


@pytest.mark.parametrize("place", ["", "sub-01", "derivatives", "derivatives/a/b", "code/x"])
def test_results_do_not_go_between_the_raw_data(raw, run, place):
    before = files(raw)
    with pytest.raises(InputError, match=r"--out=.* lies in the raw data; give .*derivatives/NAME"):
        run(raw / place)
    assert files(raw) == before


def test_a_folder_around_the_raw_data_is_refused(tmp_path, raw, run):
    with pytest.raises(InputError, match=r"holds the raw data .*raw; give another folder"):
        run(tmp_path)
    out = tmp_path / "out"
    (out / "sourcedata").mkdir(parents=True)
    raw.rename(out / "sourcedata" / "raw")
    with pytest.raises(InputError, match="is no data set that this command wrote"):
        plan_derivative(out / "sourcedata" / "raw", out, THERE, [], [])
    made = {"GeneratedBy": [{"Name": "cyclegan_jax"}]}
    (out / "dataset_description.json").write_text(json.dumps(made))
    assert len(plan_derivative(out / "sourcedata" / "raw", out, THERE, [], [])) == 4


@pytest.mark.parametrize("content", [None, "{", "[]", '{"GeneratedBy": [{"Name": "fmriprep"}]}'])
def test_a_folder_with_something_else_is_refused(tmp_path, run, content):
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").touch()
    if content is not None:
        (out / "dataset_description.json").write_text(content)
    with pytest.raises(InputError, match=r"--out=.*out is there and is no data set that this"):
        run(out)


def test_a_root_that_is_no_raw_data_set_is_refused(tmp_path, raw, run):
    (raw / "dataset_description.json").write_text('{"DatasetType": "derivative"}')
    with pytest.raises(InputError, match="it is a derivative data set; give the raw one"):
        run(tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"--bids=.*empty: is empty, so it is no BIDS data set"):
        plan_derivative(tmp_path / "empty", tmp_path / "out", THERE, [], [])
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(VALIDATOR is None, reason="needs bids-validator-deno on the PATH")
def test_the_official_validator_accepts_it(tmp_path, raw, run):
    out = raw / "derivatives" / "synthetic"
    run(out)
    assert VALIDATOR is not None
    for root in (out, raw):
        found = subprocess.run([VALIDATOR, str(root), "--json"], capture_output=True, text=True)
        issues = json.loads(found.stdout)["issues"]["issues"]
        errors = [i for i in issues if i["severity"] == "error"]
        assert errors == []
        assert found.returncode == 0
    # it would see what is wrong
    shutil.copy(out / MADE[0], out / "sub-01" / "ses-1" / "anat" / "sub-01_ses-1_synthetic.nii.gz")
    found = subprocess.run([VALIDATOR, str(out)], capture_output=True, text=True)
    assert found.returncode != 0


def test_a_preview_is_beside_every_volume(tmp_path, run):
    run(tmp_path / "out")
    with Image.open(tmp_path / "out" / f"{without_suffix(MADE[3])}_preview.png") as image:
        assert image.width > 3 * 192
