"""Exports one direction of trained generators as an ONNX file, which holds all that is needed."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from cyclegan_jax import InputError
from cyclegan_jax.domains import Direction
from cyclegan_jax.export.program import check_out, program_of, write
from cyclegan_jax.trained.origin import Origin

SUFFIX = ".onnx"
_LAYOUT = "float32 [batch, 1, height, width] in [-1, 1], -1 is air"


def export_onnx(
    origin: Origin,
    direction: Direction,
    out: Path,
    image_size: int = 0,
    batch: int = 0,
    name: str = "",
    data: str = "",
    data_license: str = "",
) -> float:
    """Writes an ONNX file, whole or not at all, which onnxruntime translates as JAX does.

    Args:
      origin: a run or a model folder.
      direction: which of the two generators is exported.
      out: the file to make; its name ends in `SUFFIX`.
      image_size: height and width of its images; 0 is that of training.
      batch: the number of its images; 0 is any number.
      name: of the model; "" is that of the origin.
      data: the training data in words; "" is what a model folder says.
      data_license: their licence; likewise.

    Returns:
      The largest absolute difference of onnxruntime from JAX.

    Raises:
      InputError: `out` cannot be made, there are no generators, they do not take the image size,
        a package is missing, or onnxruntime's results differ from JAX's.
    """
    check_out(out, SUFFIX)
    content, _, difference = make_onnx(
        origin, direction, image_size, batch, name, data, data_license
    )
    write(out, content)
    return difference


def make_onnx(
    origin: Origin,
    direction: Direction,
    image_size: int = 0,
    batch: int = 0,
    name: str = "",
    data: str = "",
    data_license: str = "",
) -> tuple[bytes, dict[str, Any], float]:
    """Returns the content of an ONNX file, its metadata, and its difference from JAX.

    See `export_onnx`. Raises `InputError` as it does.
    """
    _import()
    # late: they import an optional package
    from cyclegan_jax.export.onnx_graph import to_onnx
    from cyclegan_jax.export.onnx_int8 import store_as_int8

    program = program_of(origin, direction, name, data, data_license)
    size = image_size or program.size
    program.check_size(size)
    model = to_onnx(program.function, program.params, (size, size), batch or None)
    store_as_int8(model)
    facts = program.facts | {
        "image_size": size,
        "trained_image_size": program.size,
        "layout": _LAYOUT,
    }
    for key, value in facts.items():
        text = value if isinstance(value, str) else json.dumps(value)
        model.metadata_props.add(key=key, value=text)
    content = model.SerializeToString()
    return content, facts, program.compare(OnnxFile(content).translate, size)


class OnnxFile:
    """An exported file in onnxruntime, on the CPU.

    Attributes:
      facts: its metadata, strings.
      size: height and width of its images.
      batch: the number of its images; None for any number.
    """

    def __init__(self, content: bytes | Path):
        """Reads a file, or its content.

        Raises:
          InputError: a package is missing, or onnxruntime cannot read it.
        """
        runtime = _import()
        given = content if isinstance(content, bytes) else str(content)
        try:
            self._session = runtime.InferenceSession(given, providers=["CPUExecutionProvider"])
        except Exception as error:  # it has no class of its own for what it cannot read
            what = "the ONNX file" if isinstance(content, bytes) else str(content)
            reason = str(error).strip().split("\n")[0]
            raise InputError(f"{what}: onnxruntime cannot read it ({reason})") from error
        self.facts: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        if not {"direction", "layout"} <= self.facts.keys():
            raise InputError(f"{content}: was not made by cyclegan-jax export --format=onnx")
        (self._input,) = self._session.get_inputs()
        batch, _, self.size, _ = self._input.shape
        self.batch = batch if isinstance(batch, int) else None

    def translate(self, images: np.ndarray, at_once: int = 8) -> np.ndarray:
        """Returns the translations of images, both `[N, H, W, 1]` in [-1, 1].

        Args:
          images: any number.
          at_once: how many are translated at once, where the file leaves it open.
        """
        count, at_once = len(images), self.batch or at_once
        stored = images.transpose(0, 3, 1, 2)
        if missing := -count % at_once if self.batch else 0:
            stored = np.concatenate([stored, stored[:1].repeat(missing, axis=0)])
        parts: list[Any] = [
            self._session.run(None, {self._input.name: stored[start : start + at_once]})[0]
            for start in range(0, count, at_once)
        ]
        return np.concatenate(parts)[:count].transpose(0, 2, 3, 1)


def _import() -> Any:
    """Returns the module onnxruntime. Raises `InputError` if a package of the extra is missing."""
    try:
        import onnx  # noqa: F401
        import onnxruntime
    except ImportError as error:
        raise InputError(
            f"ONNX needs the package {error.name}, which is not installed: "
            'pip install "cyclegan_jax[onnx]"'
        ) from error
    return onnxruntime
