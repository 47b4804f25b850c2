"""The scripts as a user runs them, each in a process of its own, on tiny data."""

import json
import re
import signal
import subprocess
import time

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

SWEEP = """

def sweep():
    return {"loss.cycle_weight": (5, 10, 20)}
"""
SMALL_PHANTOM = [f"--config.data.phantom.{k}=2" for k in ("subjects", "slices")]


@pytest.fixture(scope="module")
def place(tmp_path_factory, config_text, script):
    """Folders of slices, a config, and a prepared data set."""
    place = tmp_path_factory.mktemp("user")
    (place / "tiny.py").write_text(config_text)
    (place / "swept.py").write_text(config_text + SWEEP)
    (place / "typing_error.py").write_text(config_text + SWEEP.replace("weight", "wieght"))
    rng = np.random.default_rng(0)
    for contrast in ("t1", "t2"):
        (place / contrast).mkdir()
        for i in range(10):
            pixels = rng.integers(0, 200, (30, 26)).astype(np.uint8)
            Image.fromarray(pixels).save(place / contrast / f"slice_{i:03d}.png")
    result = script(
        place,
        "prepare_data",
        "--x=t1",
        "--y=t2",
        "--holdout=2::5",
        "--out=data",
        "--unpaired=shared",
    )
    assert result.returncode == 0, result.stderr
    assert "train_x      8 images" in result.stdout
    return place


def train_arguments(workdir, *more):
    return ["--config=tiny.py", f"--workdir={workdir}", "--config.data.dir=data", *more]


@pytest.fixture(scope="module")
def trained(place, script):
    result = script(place, "train", *train_arguments("run"))
    assert result.returncode == 0, result.stderr
    return place


def test_train_prints_data_parameters_and_progress(trained, script):
    result = script(trained, "train", *train_arguments("run"))
    assert result.returncode == 0
    assert "is trained: 4 steps are done" in result.stdout
    assert "2 test pairs" not in result.stdout  # nothing is loaded for a finished run's loop
    assert len(list((trained / "run" / "samples").iterdir())) == 2


def test_evaluate_writes_scores_of_the_held_out_pairs(trained, script):
    result = script(trained, "evaluate", "--workdir=run", "--checkpoint=4")
    assert result.returncode == 0, result.stderr
    scores = json.loads((trained / "run" / "eval" / "4" / "test" / "scores.json").read_text())
    assert scores["split"] == "test"
    for protocol in ("fixed", "foreground", "slice_max", "gt_max"):
        found = scores["protocols"][protocol]["t1_to_t2"]
        assert found["psnr"]["n"] == 2
        assert f"{found['ssim']['mean']:.3f}" in result.stdout
    lines = (trained / "run" / "eval" / "4" / "test" / "images.csv").read_text().splitlines()
    assert {line.split(",")[0] for line in lines[1:]} == {"slice_002", "slice_007"}


def test_translate_images_and_volumes_without_training_data(trained, script):
    (trained / "data").rename(trained / "elsewhere")
    (trained / "scans").mkdir()
    image = np.random.default_rng(1).integers(0, 4000, (45, 37)).astype(np.uint16)
    Image.fromarray(image).save(trained / "scans" / "wide_T1.png")
    data = np.zeros((20, 22, 5), np.int16)
    data[4:16, 4:16] = np.random.default_rng(2).integers(200, 900, (12, 12, 5))
    affine = np.array([[0, -2.0, 0, 9], [1.5, 0, 0, -7], [0, 0, 3, 4], [0, 0, 0, 1]])
    (trained / "volumes").mkdir()
    nib.save(nib.Nifti1Image(data, affine), trained / "volumes" / "head_T1.nii.gz")
    result = script(
        trained, "translate", "--workdir=run", "--direction=t1_to_t2", "--out=o", "scans", "volumes"
    )
    (trained / "elsewhere").rename(trained / "data")
    assert result.returncode == 0, result.stdout + result.stderr
    with Image.open(trained / "o" / "wide_T2.png") as written:
        assert np.asarray(written).dtype == np.uint16
        assert written.size == (37, 45)
    volume = nib.load(trained / "o" / "head_T2.nii.gz")
    assert volume.shape == data.shape
    np.testing.assert_array_equal(volume.affine, affine)


def test_a_bad_scan_is_reported_and_the_rest_goes_on(trained, script):
    (trained / "mixed").mkdir()
    good = trained / "t1" / "slice_000.png"
    (trained / "mixed" / "a.png").write_bytes(good.read_bytes()[:200])
    (trained / "mixed" / "b.png").write_bytes(good.read_bytes())
    result = script(
        trained, "translate", "--workdir=run", "--direction=t2_to_t1", "--out=o2", "mixed"
    )
    assert result.returncode == 1
    assert "[1/2] FAILED mixed/a.png" in result.stdout
    names = sorted(p.name for p in (trained / "o2").iterdir())
    assert names == ["b_T1.png", "translations.tsv"]


def test_sigterm_saves_and_the_same_command_goes_on(place, command, environment):
    arguments = train_arguments("stopped", "--config.steps=100000", "--config.log_every=1")
    with (place / "log").open("w") as log:
        process = subprocess.Popen(
            command("train", *arguments), cwd=place, env=environment(place), stdout=log, stderr=log
        )
        metrics = place / "stopped" / "metrics.jsonl"
        deadline = time.monotonic() + 120
        while not (metrics.exists() and metrics.read_text()):
            assert process.poll() is None, (place / "log").read_text()
            assert time.monotonic() < deadline, (place / "log").read_text()
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    printed = (place / "log").read_text()
    assert "SIGTERM: saving after this step" in printed
    assert "scripts/train.py --config=tiny.py --workdir=stopped" in printed
    saved = sorted(int(p.name) for p in (place / "stopped" / "checkpoints").iterdir())
    assert f"stopped after step {saved[-1]} of 100000" in printed


def test_the_config_of_a_run_serves_as_a_config(trained, script):
    result = script(
        trained, "train", "--config=run/config.json", "--workdir=again", "--config.steps=1"
    )
    assert result.returncode == 0, result.stderr
    old, new = (
        json.loads((trained / name / "config.json").read_text()) for name in ("run", "again")
    )
    assert new == old | {"steps": 1}


HOSTILE = {  # what a machine may bring: variables, and those that are not set
    "notebook": {"MPLBACKEND": "module://not_installed.backend_inline"},
    "ASCII terminal": {"PYTHONIOENCODING": "ascii"},
    "Windows terminal": {"PYTHONIOENCODING": "cp1252"},
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_run_ends_with_its_report_in_any_environment(place, tmp_path, command, environment, case):
    arguments = ["--config=tiny.py", f"--workdir={tmp_path / 'run'}", "--config.steps=1"]
    arguments += ["--config.data.dir=data"]
    result = subprocess.run(
        command("train", *arguments),
        cwd=place,
        env=environment(place) | HOSTILE[case],
        capture_output=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "run" / "report.html").exists()
    table = result.stdout.decode(HOSTILE[case].get("PYTHONIOENCODING", "utf-8"))
    assert ("T1→T2" if case == "notebook" else "T1->T2") in table


def test_platforms_that_are_not_there_are_named(place, command, environment):
    result = subprocess.run(
        command("train", *train_arguments("w3")),
        cwd=place,
        env=environment(place) | {"JAX_PLATFORMS": "cuda"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert re.search("error: JAX_PLATFORMS=cuda: JAX finds no .*unset JAX_PLATFORMS", last), last
    assert "Traceback" not in result.stderr


ERRORS = {
    "short key": (
        ["train", "--config=tiny.py", "--workdir=w", "--config.lr=1e-3"],
        "no key 'lr'; did you mean .*optimizer.generator_learning_rate",
    ),
    "config without suffix": (
        ["train", "--config=tiny", "--workdir=w"],
        "--config=tiny: there is no such file; did you mean --config=tiny.py",
    ),
    "config of a workdir": (
        ["train", "--config", "run", "--workdir=w"],
        "--config=run: is a folder; did you mean --config=run/config.json",
    ),
    "saved config that is none": (
        ["train", "--config=data/manifest.json", "--workdir=w"],
        "--config=data/manifest.json: config has no key",
    ),
    "sweep of a saved config": (
        ["sweep", "--config=run/config.json", "--workdir=w"],
        r"run/config.json defines no sweep\(\)",
    ),
    "no data": (
        ["train", "--config=tiny.py", "--workdir=w", "--config.data.dir=nowhere"],
        "nowhere is no prepared data set .* python .*/scripts/prepare_data.py",
    ),
    "image size": (
        ["train", "--config=tiny.py", "--workdir=w", "--config.image_size=30"],
        "config.image_size = 30: must be a multiple of 4 .* 28 or 32",
    ),
    "other config": (
        ["train", *train_arguments("run", "--config.seed=3")],
        "run holds a run of another config.*seed: 0 -> 3",
    ),
    "workdir": (
        ["train", *train_arguments("tiny.py/run")],
        "tiny.py/run cannot be written",
    ),
    "checkpoint": (
        ["evaluate", "--workdir=run", "--checkpoint=3"],
        "no checkpoint '3'; there are best, latest, 2, 4",
    ),
    "no run to report": (
        ["report", "--workdir=t1"],
        r"t1/config\.json cannot be read .*; give the --workdir of a run",
    ),
    "neither run nor model": (
        ["translate", "--direction=t1_to_t2", "--out=o3", "scans"],
        "give --workdir, the folder of a run, or --model",
    ),
    "run and model": (["report", "--workdir=run", "--model=m"], "exclude each other"),
    "run as model": (
        ["translate", "--model=run", "--direction=t1_to_t2", "--out=o3", "t1"],
        "run is the workdir of a run, not a model folder; give it as --workdir",
    ),
    "page of a model": (["report", "--model=t1"], "--model needs --out"),
    "folder of the export": (
        ["export", "--workdir=run", "--out=t1"],
        "--out=t1 is there already; name a new folder",
    ),
    "no run": (["evaluate", "--workdir=t1"], "t1 has no checkpoints/; train first"),
    "no such split": (
        ["evaluate", "--workdir=run", "--split=val"],
        "--split=val: data has test, train",
    ),
    "protocol": (
        ["evaluate", "--workdir=run", "--protocol=psnr"],
        "--protocol=psnr: there are all, brain, fixed, foreground, slice_max, gt_max",
    ),
    "no sweep": (
        ["sweep", "--config=tiny.py", "--workdir=w"],
        r"tiny.py defines no sweep\(\)",
    ),
    "unknown swept key": (
        ["sweep", "--config=typing_error.py", "--workdir=w"],
        "trial 0 .*no key 'loss.cycle_wieght'; did you mean 'loss.cycle_weight'",
    ),
    "swept key on the command line": (
        ["sweep", "--config=swept.py", "--workdir=w", "--config.loss.cycle_weight=3"],
        "--config.loss.cycle_weight would change nothing",
    ),
    "trial number": (
        ["sweep", "--config=swept.py", "--workdir=w", "--trial=3"],
        "--trial=3: there are trials 0 to 2",
    ),
    "sweep metric": (
        ["sweep", "--config=swept.py", "--workdir=w", "--metric=fid"],
        "--metric=fid: choose one of ssim, psnr, mae",
    ),
    "nothing to collect": (
        ["sweep", "--config=swept.py", "--workdir=w", *SMALL_PHANTOM, "--collect"],
        "w holds no sweep to collect",
    ),
    "collect or trial": (
        ["sweep", "--config=swept.py", "--workdir=w", "--collect", "--trial=1"],
        "give either --collect or --trial",
    ),
    "sweep without validation": (
        ["sweep", "--config=swept.py", "--workdir=w", "--config.data.dir=data"],
        "data has no validation pairs .*--validation",
    ),
    "empty folder": (
        ["prepare_data", "--x=empty", "--y=t2", "--out=new"],
        "empty: no supported scan",
    ),
    "csv and folders": (
        ["prepare_data", "--csv=list.csv", "--x=t1", "--out=new"],
        "--csv and --x exclude each other",
    ),
    "empty BIDS root": (
        ["prepare_data", "--bids=empty", "--out=new"],
        "--bids=empty: is empty, so it is no BIDS data set",
    ),
    "data between raw data": (
        ["prepare_data", "--bids=empty", "--out=empty/new"],
        "--out=empty/new lies in the raw data; give empty/derivatives/NAME, or a folder outside",
    ),
    "bids and scans": (
        ["translate", "--bids=empty", "--workdir=w", "--direction=t1_to_t2", "--out=new", "t1"],
        "--bids and t1 exclude each other",
    ),
    "bids and folders": (
        ["prepare_data", "--bids=empty", "--x=t1", "--y=t2", "--out=new"],
        "--bids and --x exclude each other",
    ),
    "filter without bids": (
        ["prepare_data", "--filter=acq=a", "--x=t1", "--y=t2", "--out=new"],
        "--filter is for --bids; omit it",
    ),
    "no training folders": (
        ["prepare_data", "--x=t1", "--out=new"],
        "give --x and --y, .* or --csv",
    ),
    "missing CSV": (
        ["prepare_data", "--csv=list.csv", "--out=new"],
        "list.csv: cannot be read .No such file",
    ),
    "missing domain": (
        ["prepare_data", "--x=t1", "--y=t3", "--out=new"],
        "t3: No such file or directory; give an existing folder",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_bad_input_is_one_clear_line(trained, case, script):
    (trained / "empty").mkdir(exist_ok=True)
    arguments, words = ERRORS[case]
    result = script(trained, *arguments)
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")

    assert re.search(words, last), last
    assert "Traceback" not in result.stderr
    assert not (trained / "new").exists()
    assert not (trained / "w" / "checkpoints").exists()


def test_unknown_config_key_is_named_with_the_nearest(place, script):
    result = script(place, "train", *train_arguments("w2", "--config.loss.cycle_wieght=3"))
    assert result.returncode == 1
    assert "cycle_wieght" in result.stderr
    assert "did you mean 'loss.cycle_weight'?" in result.stderr
    assert not (place / "w2").exists()
