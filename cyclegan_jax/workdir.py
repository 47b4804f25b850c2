"""A run's workdir: which config it belongs to, and where what is in it comes from."""

import contextlib
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from cyclegan_jax import InputError, __version__, distributed
from cyclegan_jax import config as config_lib
from cyclegan_jax.files import write_whole, writing_workdir

try:
    import fcntl
except ImportError:  # not a POSIX system: there are no locks
    fcntl = None

CONFIG = "config.json"
_LOCK = ".lock"
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")


def claim(config: config_lib.Config, workdir: Path) -> None:
    """Makes `workdir` this config's, or checks that it is. Only the primary process writes.

    Raises:
      InputError: it holds a run of another config (the message shows what differs), checkpoints
        without a config, or cannot be written.
    """
    path = workdir / CONFIG
    with writing_workdir(workdir):
        workdir.mkdir(parents=True, exist_ok=True)
        if path.exists():
            try:
                old = config_lib.from_json(path.read_text())
            except ValueError as error:  # an InputError, or text that is not UTF-8
                raise InputError(
                    f"{path} is no config of this program ({error}); use a new --workdir"
                ) from error
            changed = config_lib.differences(old, config)
            if changed:
                raise InputError(
                    f"{workdir} holds a run of another config; use a new --workdir, or undo: "
                    + "; ".join(changed)
                )
        if (workdir / "checkpoints").exists() and not path.exists():
            raise InputError(f"{workdir} has checkpoints but no {CONFIG}; use a new --workdir")
        if distributed.is_primary():
            write_whole(path, config_lib.to_json(config))


@contextlib.contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Keeps other processes from training in `workdir`; the lock ends with the process, however.

    Raises:
      InputError: another process trains there.
    """
    with (workdir / _LOCK).open("w") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise InputError(
                    f"another process trains in {workdir}; wait for it, stop it, or use a new "
                    "--workdir"
                ) from error
            except OSError:  # a file system without locks
                pass
        yield


def provenance(
    config: config_lib.Config, manifest: Mapping[str, Any], devices: Sequence[Any]
) -> dict[str, Any]:
    """What a checkpoint tells of its making: versions, hardware, config and data.

    Args:
      config: of the run.
      manifest: of the prepared data set.
      devices: that train.
    """
    versions = {"cyclegan_jax": __version__, "python": platform.python_version()}
    return {
        "versions": versions | {name: metadata.version(name) for name in _PACKAGES},
        "device": f"{len(devices)} x {devices[0].device_kind}, "
        f"on a {platform.machine()} machine with {os.cpu_count()} cores",
        "config": config.to_dict(),
        "data": {
            "domains": manifest["domains"],
            "axis": manifest["source"].get("axis", "axial"),
        },
    }
