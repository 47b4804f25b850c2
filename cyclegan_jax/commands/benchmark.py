"""Times the training step (or translation with --infer) of the reference networks on random data.

    cyclegan-jax benchmark --size=256 --batch=1
    cyclegan-jax benchmark --size=256 --batch=8 --infer
    cyclegan-jax benchmark --onnx=mine.onnx --model=models/mine

Compare with another program by runs in turn on a quiet machine. --peer reads a JSON line with
`images_per_second` and prints the ratio. --onnx times an exported ONNX file in onnxruntime on the
CPU against our translation by the same generator, in turn.
"""

import json
import time
from pathlib import Path
from typing import Any

from absl import flags

from cyclegan_jax import InputError
from cyclegan_jax.system import cli

_STARTED = time.perf_counter()
_SIZE = flags.DEFINE_integer("size", 256, "Height and width of the images, a power of two.")
_BATCH = flags.DEFINE_integer("batch", 1, "Images of each domain in a step.", lower_bound=1)
_BASE = flags.DEFINE_integer("base", 64, "Width of the first layers.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 10, "Repetitions that are timed.", lower_bound=2)
_DTYPE = flags.DEFINE_enum("dtype", "float32", ["float32", "bfloat16"], "Of the activations.")
_PARALLEL = flags.DEFINE_enum("parallel", "pmap", ["pmap", "jit"], "Over the local devices.")
_INFER = flags.DEFINE_boolean("infer", False, "Time translation in place of training.")
_PROFILE = flags.DEFINE_string("profile", None, "Folder for a profiler trace of three steps.")
_JSON = flags.DEFINE_boolean("json", False, "Print one JSON line.")
_PEER = flags.DEFINE_string("peer", None, "JSON file of another program, to print the ratio to.")
_ONNX = flags.DEFINE_string("onnx", None, "ONNX file to time against --workdir or --model.")
_WORKDIR = flags.DEFINE_string("workdir", None, "For --onnx: folder of the run.")
_CHECKPOINT = flags.DEFINE_string("checkpoint", "best", "For --onnx: best, latest or a step.")
_MODEL = flags.DEFINE_string("model", None, "For --onnx: a model, in the place of --workdir.")


def main(arguments: list[str]) -> int:
    """Runs the command on what follows its flags, and returns its exit status."""
    cli.refuse_arguments(arguments)
    if _ONNX.value is not None:
        result = _against_onnx(Path(_ONNX.value))
        print(json.dumps(result) if _JSON.value else _text(result))
        return 0
    peer = None if _PEER.value is None else _images_per_second(Path(_PEER.value))
    from cyclegan_jax import benchmark  # late: --help and a bad flag answer at once

    config = benchmark.reference_config(
        _SIZE.value, _BATCH.value, _BASE.value, _DTYPE.value, _PARALLEL.value
    )
    result: dict[str, Any] = {
        "versions": benchmark.versions(),
        "settings": {
            name: flags.FLAGS[name].value for name in ("size", "batch", "base", "dtype", "parallel")
        },
    }
    if _INFER.value:
        result |= benchmark.translation(config, _STEPS.value)
        rate = result["slices_per_second"]
    else:
        profile = None if _PROFILE.value is None else Path(_PROFILE.value)
        result |= benchmark.training(config, _STEPS.value, profile, _STARTED)
        rate = result["images_per_second"]
    result["peak_mebibytes"] = benchmark.peak_bytes() / 2**20  # before the product and the input
    if not _INFER.value:
        peak = benchmark.peak_gflops(_DTYPE.value)
        result["peak_gflops_per_second"] = peak
        devices = result["versions"]["devices"]
        result["fraction_of_peak"] = result["gflops_per_second"] / (peak * devices)
        result["input"] = benchmark.input_pipeline(_SIZE.value, _STEPS.value)
    if peer is not None:
        result["ratio_to_peer"] = rate / peer
    print(json.dumps(result) if _JSON.value else _text(result))
    return 0


def _against_onnx(path: Path) -> dict[str, Any]:
    # late: --help and a bad flag answer at once
    from cyclegan_jax import benchmark
    from cyclegan_jax.domains import Direction
    from cyclegan_jax.export.onnx import OnnxFile
    from cyclegan_jax.inference import TrainedGenerators
    from cyclegan_jax.trained.origin import origin_of

    origin = origin_of(_WORKDIR.value, _CHECKPOINT.value, _MODEL.value)
    exported = OnnxFile(path)
    direction = Direction(exported.facts["direction"])
    ours = TrainedGenerators(origin.read(), origin.name)
    times = benchmark.against(
        lambda images: ours.translate(direction, images),
        exported.translate,
        exported.size,
        _STEPS.value,
    )
    return {"versions": benchmark.versions(), "size": exported.size, **times}


def _images_per_second(path: Path) -> float:
    try:
        return float(json.loads(path.read_text())["images_per_second"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"--peer={path}: no JSON object with a number images_per_second ({error})"
        ) from error


def _text(result: dict[str, Any], indent: str = "") -> str:
    lines = []
    for name, value in result.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}:", _text(value, indent + "  ")]
        else:
            shown = f"{value:.4g}" if isinstance(value, float) else value
            lines.append(f"{indent}{name}: {shown}")
    return "\n".join(lines)
