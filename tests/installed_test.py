"""The wheel alone, in an environment without the clone, from an empty folder."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
# The quick start's networks, made small, on the data of this test.
TINY = ["--config=quickstart", "--config.data.dir=data", "--config.image_size=16"]
TINY += ["--config.generator.features=4,8", "--config.discriminator.features=4,8"]
TINY += ["--config.discriminator.strides=2,2", "--config.batch_size=2", "--config.steps=2"]
TINY += [f"--config.{key}_every=2" for key in ("log", "sample", "eval", "save")]
QUICK = "--xla_backend_optimization_level=0"  # programs that run once


def pip(*arguments):
    line = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The folder of an environment with the wheel and, by their paths, its dependencies."""
    place = tmp_path_factory.mktemp("installed")
    offline = ("--no-deps", "--no-index")
    pip("wheel", *offline, "--no-build-isolation", f"--wheel-dir={place}", str(ROOT))
    (wheel,) = place.glob("*.whl")
    venv.create(place / "env", with_pip=False)
    python = place / "env" / "bin" / "python"
    pip(f"--python={python}", "install", *offline, str(wheel))
    folder = sysconfig.get_path("purelib", vars={"base": str(place / "env")})
    # Python does not read the .pth files of these folders, one of which may name the clone.
    here = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    (Path(folder) / "dependencies.pth").write_text("\n".join(here))
    return place / "env"


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder that is empty at first."""
    return tmp_path_factory.mktemp("empty")


@pytest.fixture(scope="module")
def user(installed, place, environment):
    """Runs `cyclegan-jax` in the folder, and returns what it printed."""
    path = os.pathsep.join([str(installed / "bin"), os.environ["PATH"]])

    def run(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["cyclegan-jax", *arguments],
            cwd=place,
            env=environment(place) | {"PATH": path, "XLA_FLAGS": QUICK},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done

    return run


def make_heads(folder: Path, contrast: str) -> None:
    folder.mkdir()
    for number in range(4):
        rng = np.random.default_rng(number)
        data = np.zeros((16, 16, 4), np.int16)
        data[2:14, 2:14] = rng.integers(200, 900, (12, 12, 4))
        nib.save(nib.Nifti1Image(data, np.eye(4)), folder / f"head{number}_{contrast}.nii.gz")


def test_the_package_is_the_installed_one(installed, place, user, environment):
    code = "import cyclegan_jax; print(cyclegan_jax.__file__)"
    line = [installed / "bin" / "python", "-c", code]
    done = subprocess.run(
        line,
        cwd=place,
        env=environment(place),
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()).is_relative_to(installed)
    names = sorted(path.stem for path in (ROOT / "configs").glob("*.py"))
    missing = user("train", "--config=nothing", "--workdir=run", status=1)
    assert missing.stderr.rstrip().endswith(f"one of the shipped recipes {', '.join(names)}")


def test_a_shipped_model_translates_right_after_installation(place, user):
    data = np.zeros((64, 64, 4), np.int16)
    data[12:52, 8:56] = np.random.default_rng(0).integers(200, 900, (40, 48, 4))
    nib.save(nib.Nifti1Image(data, np.diag([3.6, 3.6, 12, 1])), place / "scan_T1.nii.gz")
    printed = user("translate", "--model=phantom", "--direction=t1_to_t2", "scan_T1.nii.gz").stdout
    assert "translated/scan_T2.nii.gz" in printed
    made = nib.load(place / "translated" / "scan_T2.nii.gz")
    assert made.shape == data.shape
    assert np.asarray(made.dataobj).std() > 0


def test_scans_are_prepared_trained_on_scored_and_translated(place, user):
    for contrast in ("T1", "T2"):
        make_heads(place / contrast, contrast)
    named = ("--labels=labels", "--label_names=dlmuse")
    (place / "labels").mkdir()
    for number in range(4):
        data = np.zeros((16, 16, 4), np.uint8)
        data[4:12, 4:12] = 51  # a ventricle
        nib.save(nib.Nifti1Image(data, np.eye(4)), place / "labels" / f"head{number}.nii.gz")
    user("prepare", "--x=T1", "--y=T2", "--holdout=::4", *named, "--out=data")
    trained = user("train", *TINY, "--workdir=run", "--config.data.workers=1")  # a process more
    assert "report: run/report.html" in trained.stdout
    user("evaluate", "--workdir=run", "--checkpoint=latest")
    scores = json.loads((place / "run/eval/2/test/scores.json").read_text())
    assert scores["split"] == "test"
    user("translate", "--workdir=run", "--direction=t1_to_t2", "--out=made", "T1/head0_T1.nii.gz")
    assert nib.load(place / "made" / "head0_T2.nii.gz").shape == (16, 16, 4)
