"""Compiles for GPUs and TPUs where their compilers are installed, which no test needs."""

import importlib.metadata
import json

import pytest

SMALL = (
    "--config.image_size=16",
    "--config.generator.features=4,8",
    "--config.discriminator.features=4,8",
    "--config.discriminator.strides=2,2",
)


def needs(*packages):
    def installed(package):
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return None

    missing = not any(map(installed, packages))
    return pytest.mark.skipif(missing, reason=f"{' or '.join(packages)} is not installed")


TPU, CUDA = needs("libtpu"), needs("jax-cuda12-pjrt", "jax-cuda13-pjrt")


@pytest.mark.parametrize(
    ("target", "mode", "devices", "processes"),
    [
        pytest.param("cuda:h100:8", "pmap", 8, 1, marks=CUDA),
        pytest.param("cuda:a100:2x4", "jit", 8, 2, marks=CUDA),
        pytest.param("tpu:v5e:2x4", "pmap", 8, 1, marks=TPU),
        pytest.param("tpu:v5e:4x4", "jit", 16, 4, marks=TPU),
        pytest.param("tpu:v5e:4x4", "pmap", 16, 4, marks=TPU),
    ],
)
def test_a_step_compiles_for_hardware_that_is_not_there(
    target, mode, devices, processes, tmp_path, script
):
    flags = (
        f"--target={target}",
        "--config=quickstart",
        f"--config.batch_size={devices}",
        f"--config.parallel={mode}",
        f"--config.augment_on_device={mode == 'jit'}",
        *SMALL,
        "--nolargest_batch",
        "--json",
    )
    done = script(tmp_path, "compile", *flags)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["devices"], found["processes"]) == (devices, processes)
    assert found["convolutions"].startswith("all native")
    assert found["bytes"]["state"] >= 3 * found["parameter_bytes"]
    sent = [part for part in found["collectives"] if part["kind"] == "all-reduce"]
    assert sent
    assert min(found["lower_bound_seconds"].values()) > 0
