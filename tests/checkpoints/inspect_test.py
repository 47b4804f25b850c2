"""The table of a workdir's checkpoints, the exported parameters, and the script for both."""

import json
import shutil

import numpy as np
import pytest

from cyclegan_jax.checkpoints.inspect import checkpoint_table, export_params
from cyclegan_jax.checkpoints.manager import Checkpoints


@pytest.fixture
def run(tiny_run, tmp_path):
    """A run of steps 2 and 4 that may be written to."""
    shutil.copytree(tiny_run / "checkpoints", tmp_path / "run" / "checkpoints")
    return tmp_path / "run"


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def largest(folder):
    return max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def test_intact_checkpoints(run):
    found, damaged = checkpoint_table(run, "all")
    assert damaged == 0
    assert found.note == ""
    assert [row[0] for row in found.rows] == ["2", "4"]
    assert [row[-1] for row in found.rows] == ["intact", "intact"]
    assert sum("(best)" in row[1] for row in found.rows) == 1
    assert all(float(row[2]) > 0 for row in found.rows)


def test_a_quick_look_reads_no_arrays(run):
    cut(largest(run / "checkpoints" / "2" / "train"))
    found, damaged = checkpoint_table(run, "meta")
    assert (damaged, [row[-1] for row in found.rows]) == (0, ["not verified", "not verified"])
    found, damaged = checkpoint_table(run, "all")
    assert (damaged, [row[-1] for row in found.rows]) == (1, ["damaged", "intact"])
    assert "checkpoints/2 is damaged (train: " in found.note


def test_what_was_moved_away_is_named(run):
    cut(run / "checkpoints" / "4" / "meta" / "metadata")
    with Checkpoints(run, keep=2) as checkpoints:
        assert checkpoints.newest().step == 2
    found, damaged = checkpoint_table(run, "all")
    assert (damaged, len(found.rows)) == (0, 1)
    assert found.note == f"moved to {run / 'damaged_checkpoints'}: 4"


def test_exported_parameters_are_those_of_the_checkpoint(run, tmp_path):
    out = tmp_path / "params.npz"
    assert export_params(run, "4", out) == 4
    with Checkpoints(run) as checkpoints:
        saved = checkpoints.read(4)
    with np.load(out, allow_pickle=False) as exported:
        for item in ("generators", "discriminators"):
            for path, array in saved.items[item].items():
                np.testing.assert_array_equal(exported[path], array)
        assert json.loads(str(exported["meta"]))["config"]["image_size"] == 16
        networks = {name.split("/")[0] for name in exported if name != "meta"}
        kernels = sum(name.endswith("kernel") for name in exported)
    assert networks == {"generator_g", "generator_f", "discriminator_x", "discriminator_y"}
    assert kernels > 8


def test_only_npz_is_written(run, tmp_path, fails):
    with fails(tmp_path / "params.txt", "name it .npz"):
        export_params(run, "best", tmp_path / "params.txt")


def test_the_script(run, script):
    result = script(run.parent, "checkpoint", "verify", "--workdir=run")
    assert (result.returncode, result.stdout.count("intact")) == (0, 2), result.stderr
    cut(largest(run / "checkpoints" / "2" / "generators"))
    listed = script(run.parent, "checkpoint", "list", "--workdir=run")
    assert (listed.returncode, listed.stdout.count("not verified")) == (0, 2)
    result = script(run.parent, "checkpoint", "verify", "--workdir=run")
    assert result.returncode == 1
    assert "checkpoints/2 is damaged (generators: " in " ".join(result.stdout.split())
    assert script(run.parent, "checkpoint", "export_params", "--workdir=run").returncode == 1
    written = script(run.parent, "checkpoint", "export_params", "--workdir=run", "--out=p.npz")
    assert written.returncode == 0
    assert (run.parent / "p.npz").exists()
    assert "give one of list, verify" in script(run.parent, "checkpoint", "--workdir=run").stderr
