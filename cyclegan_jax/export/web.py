"""Writes a folder with a page that translates scans in the browser, for any static server."""

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Image

from cyclegan_jax import InputError
from cyclegan_jax.data import slicing
from cyclegan_jax.data.phantom.head import FIELD_OF_VIEW, Phantom, make_phantom
from cyclegan_jax.domains import Direction
from cyclegan_jax.export.onnx import SUFFIX, make_onnx
from cyclegan_jax.export.program import check_out
from cyclegan_jax.system.files import new_folder
from cyclegan_jax.trained.origin import Origin

FACTS = "model.json"  # the page reads it first
BUILD = "make web"
_PAGE = Path(__file__).parents[1] / "web_page"  # made by BUILD
_SAMPLE = "sample_{}.nii.gz"
_EXTENT = 56.0  # mm, about that of the slices of a phantom


def write_site(
    origin: Origin, out: Path, name: str = "", data: str = "", data_license: str = ""
) -> None:
    """Writes the page, both directions as ONNX, their facts, and a sample, whole or not at all.

    Args:
      origin: a run or a model folder.
      out: the folder to make.
      name: of the model; "" is that of the origin.
      data: the training data in words; "" is what a model folder says.
      data_license: their licence; likewise.

    Raises:
      InputError: the page was not built, `out` cannot be made, or the generators cannot be
        exported, see `make_onnx`.
    """
    if not (_PAGE / "index.html").is_file():
        raise InputError(f"the page was not built; run: {BUILD} (in a clone, with Node and npm)")
    check_out(out, "")
    with new_folder(out) as work:
        shutil.copytree(_PAGE, work, dirs_exist_ok=True)
        directions = {
            str(direction): _add_direction(work, origin, direction, name, data, data_license)
            for direction in Direction
        }
        failures = origin.read().meta.get("failures", [])
        about = _about(next(iter(directions.values()))["facts"], failures)
        (work / FACTS).write_text(json.dumps({"about": about, "directions": directions}, indent=1))


def check_site(folder: Path) -> None:
    """Raises `InputError` unless `write_site` wrote this folder."""
    if not (folder / FACTS).is_file() or not (folder / "index.html").is_file():
        raise InputError(
            f"--out={folder}: holds no page; give --model or --workdir to write one there"
        )


def _add_direction(
    folder: Path, origin: Origin, direction: Direction, *about: str
) -> dict[str, Any]:
    content, facts, _ = make_onnx(origin, direction, 0, 0, *about)
    file = f"{direction}{SUFFIX}"
    (folder / file).write_bytes(content)
    sample = _SAMPLE.format(facts["source"]["contrast"])
    (folder / sample).write_bytes(_sample(direction, facts))
    return {"file": file, "bytes": len(content), "sample": sample, "facts": facts}


def _about(facts: dict[str, Any], failures: list[str]) -> dict[str, str]:
    """Returns what the page says of the model, by its heading."""
    pixel = facts["source"].get("pixel_mm")
    size = f" of {' x '.join(f'{n:.4g}' for n in pixel)} mm pixels" if pixel else ""
    side = facts["image_size"]
    return {
        "Name": facts["model"],
        "Made by": f"{facts['made_by']}, step {facts['step']}",
        "Training data": facts["training_data"],
        "Licence of the data": facts["data_license"],
        "It translates": f"{facts['axis']} slices{size}, {side} x {side} at most",
        "Known failures": "; ".join(failures) or "none was seen in training",
        "Use": facts["use"],
    }


def _sample(direction: Direction, facts: dict[str, Any]) -> bytes:
    """Returns a simulated head of the source contrast, as `.nii.gz`, as fine as in training."""
    source = facts["source"]
    size = round(FIELD_OF_VIEW / source.get("pixel_mm", [2.0])[0])
    count = int(np.clip(round(_EXTENT / source.get("slice_mm", 2.0)) + 1, 8, 64))
    head: Phantom = make_phantom(0, size=size, slices=count)
    stack = head.t1 if direction is Direction.T1_TO_T2 else head.t2
    pixel = FIELD_OF_VIEW / size
    affine = np.diag([pixel, pixel, _EXTENT / (count - 1), 1.0])
    affine[:2, 3] = -FIELD_OF_VIEW / 2
    voxels = slicing.from_slices(stack, "axial").round().astype(np.int16)
    image = Nifti1Image(voxels, affine)
    image.header.set_xyzt_units("mm")
    return gzip.compress(image.to_bytes(), mtime=0)
