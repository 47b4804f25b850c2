"""What the benchmark counts and prints; no timing is judged here."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from cyclegan_jax import InputError, benchmark
from cyclegan_jax.domains import Direction
from cyclegan_jax.export.onnx import export_onnx
from cyclegan_jax.models.networks import build_modules, init_params
from cyclegan_jax.trained.origin import Run

ROOT = Path(__file__).parents[1]


@pytest.fixture
def config():
    return benchmark.reference_config(32, 2, 4, "float32", "jit")


def test_the_reference_at_256_is_that_of_the_base_config():
    config = benchmark.reference_config(256, 1, 64, "float32", "pmap")
    assert config.generator.features == (64, 128, 256, 512, 512, 512, 512)
    assert config.discriminator.features == (64, 128, 256, 512, 512, 512)


@pytest.mark.parametrize("size", [16, 100, 257])
def test_a_size_that_cannot_be_is_refused(size):
    with pytest.raises(InputError, match=f"--size={size}: must be a power of two"):
        benchmark.reference_config(size, 1, 4, "float32", "jit")


def test_operations_are_counted_from_every_kernel(config):
    modules = build_modules(config)
    params = jax.eval_shape(lambda: init_params(config, modules, 0))

    def counted(tree):
        total = 0
        for path, kernel in jax.tree_util.tree_leaves_with_path(tree):
            names = [entry.key for entry in path]
            if names[-1] != "kernel":
                continue
            # a kernel works once for each pixel of the smaller of its two maps
            levels = len(config.generator.features)
            head = names[0] == "out"
            if head and "ConvTranspose_0" not in names:
                level = levels - 1  # the discriminator's last, without a stride
            else:
                level = 1 if head else int(names[0].split("_")[1]) + 1
            total += 2 * kernel.size * (32 >> level) ** 2
        return total

    assert benchmark.generator_flops(config) == counted(params.generator_g)
    assert benchmark.discriminator_flops(config) == counted(params.discriminator_x)
    pair = 18 * counted(params.generator_g) + 16 * counted(params.discriminator_x)
    assert benchmark.step_flops(config) == 2 * pair


def benchmark_script(tmp_path, *arguments):
    return subprocess.run(
        [sys.executable, ROOT / "scripts" / "benchmark.py", "--size=32", "--base=4", *arguments],
        env={"PATH": "", "XDG_CACHE_HOME": str(tmp_path), "JAX_PLATFORMS": "cpu"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )


def test_training_prints_one_json_line_and_a_ratio_and_writes_a_trace(tmp_path):
    peer = tmp_path / "peer.json"
    peer.write_text('{"images_per_second": 2.0}')
    run = benchmark_script(
        tmp_path, "--json", "--steps=2", f"--peer={peer}", f"--profile={tmp_path / 'trace'}"
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    times = found["seconds_per_step"]
    assert 0 < times["min"] <= times["median"]
    assert found["images_per_second"] == pytest.approx(2 / times["median"])
    assert found["ratio_to_peer"] == pytest.approx(found["images_per_second"] / 2)
    assert found["peak_mebibytes"] > 10
    for where in ("host", "device"):
        rates = found["input"][f"images_per_second_augmented_on_{where}"]
        assert rates.keys() == {"0_workers", "of_a_core", "1_workers", "2_workers"}
        assert min(rates.values()) > 0
    assert list((tmp_path / "trace").rglob("*.xplane.pb"))


def test_translation_prints_slices_and_a_volume(tmp_path):
    run = benchmark_script(tmp_path, "--infer", "--steps=2", "--batch=4")
    assert run.returncode == 0, run.stderr
    assert "slices_per_second: " in run.stdout
    assert "seconds_per_volume:" in run.stdout


def test_a_peer_that_is_no_result_is_refused(tmp_path):
    (tmp_path / "peer.json").write_text("{}")
    run = benchmark_script(tmp_path, "--peer=peer.json")
    assert run.returncode == 1
    assert run.stderr.startswith("error: --peer=peer.json: no JSON object with a number")


def test_an_onnx_file_is_timed_against_its_run(tiny_run, tmp_path):
    file = tmp_path / "a.onnx"
    export_onnx(Run(tiny_run, "latest"), Direction.T2_TO_T1, file)
    run = benchmark_script(
        tmp_path,
        f"--onnx={file}",
        f"--workdir={tiny_run}",
        "--checkpoint=latest",
        "--steps=2",
        "--json",
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    assert (found["slices"], found["size"]) == (90, 16)
    assert found["largest_difference"] < 1e-4
    ratio = found["theirs_over_ours"]
    assert 0 < ratio["min"] <= ratio["median"]
    lone = benchmark_script(tmp_path, f"--onnx={file}")
    assert lone.stderr.startswith("error: give --workdir, the folder of a run, or --model")
