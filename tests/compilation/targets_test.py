"""The table of accelerators and the names of targets."""

import pytest

from cyclegan_jax import InputError
from cyclegan_jax.compilation import targets
from cyclegan_jax.compilation.targets import ACCELERATORS, environment, parse


@pytest.mark.parametrize(
    ("text", "shape", "devices"),
    [
        ("tpu:v5e:2x4", (2, 4), 8),
        ("tpu:v5p:2x2x1", (2, 2, 1), 4),
        ("cuda:h100:8", (1, 8), 8),
        ("cuda:h100:2x8", (2, 8), 16),
        ("cpu:8", (8,), 8),
    ],
)
def test_a_target_is_a_chip_and_a_number(text, shape, devices):
    target = parse(text)
    assert (target.shape, target.devices) == (shape, devices)
    assert target.accelerator is ACCELERATORS[text.rpartition(":")[0]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("h100", "is not one of .*cuda:h100.*for example tpu:v5e:2x4"),
        ("cuda:h100", "is not one of"),
        ("tpu:v99:2x2", "is not one of"),
        ("tpu:v5e:8", "after tpu:v5e: must come the shape of a slice"),
        ("cuda:h100:0", "after cuda:h100: must come a number of GPUs"),
        ("cuda:h100:2x2x2", "after cuda:h100: must come a number of GPUs"),
        ("cpu:many", "after cpu: must come a number of devices"),
        ("", "is not one of"),
    ],
)
def test_another_target_is_one_line(text, words):
    with pytest.raises(InputError, match=f"^--target={text}: {words}") as caught:
        parse(text)
    assert "\n" not in str(caught.value)


def test_every_chip_has_what_a_bound_needs_and_its_sources():
    for name, chip in ACCELERATORS.items():
        if name == "cpu":
            continue
        assert name.split(":")[0] == chip.platform
        assert chip.memory > 8 * 2**30
        assert 0 < chip.usable <= 1
        assert 1e11 < chip.memory_bandwidth < 1e14
        assert 1e10 < chip.link_bandwidth < chip.memory_bandwidth
        assert all(source.startswith("https://") for source in chip.sources)
        assert chip.sources
        assert (chip.gpu is not None) == (chip.platform == "cuda")
        peaks = [chip.peak("float32", p) or 0.0 for p in ("highest", "high", "default")]
        peaks.append(chip.peak("bfloat16", "default") or 0.0)
        assert peaks[0] > 1e12
        assert peaks == sorted(peaks)
        assert peaks[-1] < 1e16


def test_the_peak_follows_dtype_and_precision():
    gpu, tpu = ACCELERATORS["cuda:h100"], ACCELERATORS["tpu:v5e"]
    assert gpu.peak("bfloat16", "highest") == gpu.peaks["bfloat16"]
    assert gpu.peak("float32", "high") == gpu.peaks["tf32"]
    assert gpu.peak("float32", "highest") == gpu.peaks["float32"]
    assert tpu.peak("float32", "default") == 197e12
    assert tpu.peak("float32", "highest") == 197e12 / 6
    assert ACCELERATORS["cpu"].peak("float32", "default") is None


def test_jax_is_kept_from_looking_for_devices():
    assert environment(parse("tpu:v5e:2x2"), {})["JAX_PLATFORMS"] == "cpu"
    found = environment(parse("cpu:4"), {"XLA_FLAGS": "--xla_a=1"})
    assert found["XLA_FLAGS"] == "--xla_a=1 --xla_force_host_platform_device_count=4"
    assert "XLA_FLAGS" not in environment(parse("cuda:a100:1"), {"XLA_FLAGS": "--xla_a=1"})


def test_one_chip_that_jax_finds_has_its_target():
    found = {kind: parse(targets.of_one_chip(kind)) for kind in targets._ONE_CHIP}
    assert {target.devices for target in found.values()} == {1}
    assert {target.text.rpartition(":")[0] for target in found.values()} == ACCELERATORS.keys()
    assert targets.of_one_chip("NVIDIA GeForce RTX 4090") is None
