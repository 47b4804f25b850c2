"""Lists and verifies the checkpoints of a workdir, and exports parameters for use without JAX."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from cyclegan_jax.checkpoints.manager import FIRST_PROTOCOL, Checkpoints, DamagedError, Part
from cyclegan_jax.render.text_table import Table
from cyclegan_jax.system.files import written_beside
from cyclegan_jax.system.workdir import Workdir

_MIB = 2**20  # bytes


def checkpoint_table(workdir: Path, part: Part) -> tuple[Table, int]:
    """Returns a table with one row for each checkpoint: step, score, size, time of saving, state.

    Args:
      workdir: of the run.
      part: what is read to know the state: "meta" is quick, "all" compares every array with its
        digest.

    Returns:
      The table, and the number of damaged checkpoints. The table's note names them, and those that
      training has moved away.

    Raises:
      InputError: the workdir has no checkpoints.
    """
    paths = Workdir(workdir)
    rows, damaged = [], []
    with Checkpoints(workdir) as checkpoints:
        best = checkpoints.best()
        for step in checkpoints.steps():
            folder = paths.checkpoint(step)
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            saved = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(folder.stat().st_mtime))
            score, state = "", "intact" if part == "all" else "not verified"
            try:
                meta = checkpoints.read(step, part).meta
                found, protocol = meta["score"], meta.get("protocol", FIRST_PROTOCOL)
                said = f", {protocol}" if protocol != FIRST_PROTOCOL else ""
                marked = " (best)" if step == best else ""
                score = "" if found is None else f"{found:.4f}{said}{marked}"
            except DamagedError as error:
                damaged.append(str(error))
                state = "damaged"
            rows.append([str(step), score, f"{size / _MIB:.1f}", saved, state])
    names = sorted(path.name for path in paths.damaged_checkpoints.glob("*"))
    moved = [f"moved to {paths.damaged_checkpoints}: {', '.join(names)}"] if names else []
    header = ["step", "score", "MiB", "saved", "state"]
    title = str(paths.checkpoints)
    return Table(title, "; ".join([*damaged, *moved]), header, rows), len(damaged)


def export_params(workdir: Path, checkpoint: str, out: Path) -> int:
    """Writes the parameters of all networks to an `.npz` file, for use without this package.

    The arrays are named by network and layer, such as `generator_g/down_0/Conv_0/kernel`. The names
    of averaged generators, if the run averages, begin with `ema/`. Kernels are `[height, width, in,
    out]`. The array `meta` is the checkpoint's JSON: config, versions, intensity ranges, score.

    Args:
      workdir: of the run.
      checkpoint: "best", "latest" or a step.
      out: a path that ends in `.npz`; replaced if it exists.

    Returns:
      The step of the checkpoint.

    Raises:
      InputError: there is no such checkpoint, or `out` cannot be written.
      DamagedError: the checkpoint is not as it was saved.
    """
    with Checkpoints(workdir) as checkpoints:
        saved = checkpoints.choose(checkpoint, "all")
    arrays: dict[str, Any] = {**saved.items["generators"], **saved.items["discriminators"]}
    arrays |= {f"ema/{path}": array for path, array in saved.items.get("ema", {}).items()}
    with written_beside(out, (".npz",)) as beside:
        np.savez(beside, meta=np.array(json.dumps(saved.meta)), **arrays)
    return saved.step
