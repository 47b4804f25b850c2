"""Exports one direction of trained generators as StableHLO, a program for CPU, CUDA and TPU."""

import json
from pathlib import Path

import jax
import jax.export
import numpy as np

from cyclegan_jax.domains import Direction
from cyclegan_jax.export.program import check_out, program_of, write
from cyclegan_jax.trained.origin import Origin

SUFFIX = ".stablehlo"
PLATFORMS = ("cpu", "cuda", "tpu")
_LAYOUT = "float32 [batch, height, width, 1] in [-1, 1], -1 is air"


def export_stablehlo(
    origin: Origin,
    direction: Direction,
    out: Path,
    name: str = "",
    data: str = "",
    data_license: str = "",
) -> float:
    """Writes a program that `jax.export.deserialize` reads, and its facts beside it as JSON.

    The program holds the weights, and takes any number of images of any height and width that are
    multiples of the generator's, from `Program.least`.

    Args:
      origin: a run or a model folder.
      direction: which of the two generators is exported.
      out: the file to make; its name ends in `SUFFIX`. The facts are in `out` + ".json".
      name: of the model; "" is that of the origin.
      data: the training data in words; "" is what a model folder says.
      data_license: their licence; likewise.

    Returns:
      The largest absolute difference of the program from our own translation.

    Raises:
      InputError: `out` cannot be made, there are no generators, or the results differ.
    """
    facts_file = out.with_name(f"{out.name}.json")
    check_out(out, SUFFIX)
    check_out(facts_file, f"{SUFFIX}.json")
    program = program_of(origin, direction, name, data, data_license)
    m = program.multiple
    shape = jax.export.symbolic_shape(
        f"batch, {m}*height, {m}*width, 1", constraints=("height >= 2", "width >= 2")
    )
    images = jax.ShapeDtypeStruct(shape, np.float32)
    function = jax.jit(lambda images: program.function(program.params, images))
    content = jax.export.export(function, platforms=PLATFORMS)(images).serialize()
    read = jax.export.deserialize(content)
    difference = program.compare(lambda images: np.asarray(read.call(images)), program.size)
    facts = program.facts | {"layout": _LAYOUT, "least_image_size": program.least}
    write(facts_file, json.dumps(facts, indent=1).encode())
    try:
        write(out, bytes(content))
    except BaseException:
        facts_file.unlink(missing_ok=True)
        raise
    return difference
