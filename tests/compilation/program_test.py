"""The training step compiled for CPU devices, and what is said of it."""

import jax
import pytest

from cyclegan_jax import InputError
from cyclegan_jax.compilation import devices, facts, lower_bound, program, tables, targets
from cyclegan_jax.compilation.hlo import Collective
from cyclegan_jax.compilation.targets import parse
from cyclegan_jax.render.text_table import as_text


@pytest.fixture(scope="module")
def gathered():
    from tests.conftest import tiny_config

    return facts.gather(tiny_config(), parse("cpu:8"), find_largest=True)


def test_memory_holds_at_least_the_state_and_the_batch(gathered):
    # parameters and two moments of Adam; two images of float32 on each device
    least = 3 * gathered["parameter_bytes"] + 2 * 4 * 16 * 16
    found = gathered["bytes"]
    assert least <= found["state"] < least + 2000
    assert found["temporaries"] > 0
    assert found["peak"] == found["state"] + found["temporaries"] + found["other"]


def test_gradients_are_all_that_is_sent(gathered):
    (part,) = gathered["collectives"]
    assert (part["kind"], part["dtype"]) == ("all-reduce", "f32")
    assert part["bytes"] == pytest.approx(gathered["parameter_bytes"], rel=0.01)


def test_a_cpu_has_no_published_peak_and_no_capacity(gathered):
    assert gathered["lower_bound_seconds"] == {}
    assert gathered["largest_batch"] is None


def test_the_tables_show_the_facts(gathered):
    target = parse("cuda:h100:8")
    shown = gathered | {
        "lower_bound_seconds": {"operations": 0.001, "memory": 0.0025, "links": 0.0},
        "largest_batch": {"batch_size": 48, "compiled": [(8, 2**30), (48, 2**31), (64, None)]},
        "bytes": {"state": 2**30, "temporaries": 2**29, "other": 0, "peak": 3 * 2**29},
    }
    step, memory, collectives = (as_text(table) for table in tables.tables(shown, target))
    assert step.startswith("8 x NVIDIA H100 80GB HBM3, batch 8, 16x16, float32, pmap: ")
    assert "2.50 ms (operations 1.00, memory 2.50, links 0.00)" in step
    assert "6,400 in a second" in step  # eight images of each domain in 2.5 ms
    assert f"jax {jax.__version__}" in step
    assert "all-reduce" in collectives
    lines = [line.split() for line in memory.split("\n")]
    assert ["peak", "1.500"] in lines
    assert ["memory", "(75%", "for", "a", "program)", "79.109"] in lines
    assert "largest batch (8: 1.00, 48: 2.00, 64: too large)" in memory
    assert memory.split("\n")[-1].endswith(" 48")


def test_the_bound_is_made_of_published_peaks(tiny):
    target = parse("tpu:v5e:2x4")
    step = program.Program(
        8, 819 * 10**6, 0, 0, 0, [Collective("all-reduce", "f32", 1, 8 * 10**8)], (0, 0), {}, 0, 0
    )
    found = lower_bound.seconds(tiny, target, step, 197 * 10**9)
    assert found == pytest.approx({"operations": 1e-3, "memory": 2e-3, "links": 7e-3})


def test_a_batch_that_cannot_be_split_is_refused(tiny):
    tiny.batch_size = 12
    with pytest.raises(InputError, match=r"batch_size = 12 cannot be split over 8 devices"):
        facts.gather(tiny, parse("cpu:8"), find_largest=False)


def test_more_cpu_devices_than_there_are_is_one_line():
    with pytest.raises(InputError, match=r"--target=cpu:9: JAX has 8 CPU devices; set XLA_FLAGS"):
        devices.devices_of(parse("cpu:9"))


class Refused:
    """Stands for a compiler that has too little memory, or fails."""

    def __init__(self, *messages):
        self.messages = list(messages)

    def __call__(self, config, devices):
        raise jax.errors.JaxRuntimeError(self.messages.pop(0))


def test_what_does_not_fit_or_compile_is_one_line(tiny, monkeypatch):
    refused = Refused(
        "RESOURCE_EXHAUSTED: Used 30.00G of 15.75G hbm\nmore", "INTERNAL: a bug\nmore"
    )
    monkeypatch.setattr(facts, "compile_step", refused)
    with pytest.raises(InputError, match=r"batch_size = 8 does not fit: RES.*15\.75G hbm$"):
        facts.gather(tiny, parse("cpu:8"), find_largest=False)
    with pytest.raises(
        InputError, match=r"--target=cpu:8: XLA cannot compile it: INTERNAL: a bug$"
    ):
        facts.gather(tiny, parse("cpu:8"), find_largest=False)


def test_the_largest_batch_is_a_multiple_of_devices_and_views(tiny, monkeypatch):
    def compiled(config, devices):
        peak = 2**30 + config.batch_size * 2**28
        return program.Program(config.batch_size, peak, 0, 0, 0, [], (0, 0), {}, 0, 0)

    monkeypatch.setattr(facts, "compile_step", compiled)
    monkeypatch.setattr(facts.devices_lib, "devices_of", lambda target: jax.devices()[:6])
    monkeypatch.setattr(facts.devices_lib, "compiler", lambda target: "libtpu 1")
    tiny.batch_size, tiny.data.views, tiny.data.contrast = 12, 4, 0.2
    found = facts.gather(tiny, parse("tpu:v5e:2x3"), find_largest=True)["largest_batch"]
    # 15.75 GiB hold 59 images; 48 is the multiple of 6 and of 4
    assert (found["batch_size"], found["peak"]) == (48, 13 * 2**30)


@pytest.mark.parametrize(
    ("text", "extra"), [("tpu:v5e:2x2", "compile-tpu"), ("cuda:h100:1", "compile-cuda")]
)
def test_a_compiler_that_is_missing_is_named_with_its_extra(text, extra, monkeypatch):
    def missing(package):
        raise devices.importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(devices.importlib.metadata, "version", missing)
    with pytest.raises(InputError, match=rf"is not installed; run pip install .*\[{extra}\]"):
        devices.devices_of(parse(text))


def test_a_gpu_is_described_to_xla():
    text = devices.gpu_target_config(parse("cuda:h100:8"))
    assert "cuda_compute_capability { major: 9 minor: 0 }" in text
    assert "device_memory_size: 84942979072" in text
    assert "memory_bandwidth: 3352320000000" in text
    assert targets.ACCELERATORS["cuda:h100"].name in text
