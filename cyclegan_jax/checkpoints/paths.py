"""The paths that orbax can save a checkpoint to, or read one from."""

import os
import re
from pathlib import Path

from cyclegan_jax import InputError

# orbax takes these for patterns when it joins what it has saved: a save loses its arrays or finds
# those of another folder.
_PATTERNS = "[]*?"
_CLOUD = re.compile(r"(gs|s3):/")  # orbax takes what follows for the name of a bucket


def check_path(workdir: Path, *, saves: bool) -> None:
    """Refuses a workdir whose path orbax would misread.

    Args:
      workdir: of a run; it need not exist.
      saves: whether checkpoints are saved there; fewer paths prevent reading.

    Raises:
      InputError: naming the whole path, what is wrong with it, and what to do.
    """
    # the path through the folder that the process is in
    path = Path(os.path.abspath(workdir)).as_posix()
    bad = [f"'{sign}'" for sign in "\\" + (_PATTERNS if saves else "") if sign in path]
    bad += [f"'{found.group()}'" for found in _CLOUD.finditer(path)]
    if not bad and not path.isascii():
        try:
            path.encode()
        except UnicodeEncodeError:
            bad = ["bytes that are not UTF-8"]
    if bad:
        # printable, whatever the name
        shown = path if path.isprintable() else ascii(path)
        raise InputError(
            f"{shown} has {' and '.join(bad)} in its name, which checkpoints cannot be "
            f"{'saved to' if saves else 'read from'}; rename that folder, or use another --workdir"
        )
