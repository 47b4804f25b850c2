"""A run's workdir: which config it belongs to, and where what is in it comes from."""

import contextlib
import os
import platform
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from cyclegan_jax import InputError, __version__
from cyclegan_jax import config as config_lib
from cyclegan_jax.data import from_config
from cyclegan_jax.data.dataset import Dataset
from cyclegan_jax.parallel import multihost
from cyclegan_jax.system.files import write_whole, writing_workdir

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
        if multihost.is_primary():
            write_whole(path, config_lib.to_json(config))


@contextlib.contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Keeps other processes from training in `workdir`; the lock ends with the process, however.

    The workdir is made if need be.

    Raises:
      InputError: another process trains there, or it cannot be written.
    """
    with writing_workdir(workdir):
        workdir.mkdir(parents=True, exist_ok=True)
        file = (workdir / _LOCK).open("w")
    with file:
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


def open_same_data(config: config_lib.Config) -> Dataset:
    """Opens the data of a run; the primary makes phantoms, the other processes find them.

    Raises:
      InputError: unusable data, or the processes' configs or data differ: one would wait for the
        others, or train on what is another's test.
    """
    own = ("data.dir", "data.workers")
    flat = {k: v for k, v in config_lib.flatten(config).items() if k not in own}
    if not multihost.same(repr(sorted(flat.items()))):
        raise InputError(
            "the processes were given different configs; launch all with the same --config and the "
            "same values after it"
        )
    dataset = multihost.primary_first(lambda: from_config.open_data(config))
    if not multihost.same(dataset.digest):
        raise InputError(
            f"the processes were given different data (here {dataset.folder}); copy one prepared "
            "folder to all of them"
        )
    return dataset


def provenance(
    config: config_lib.Config, dataset: Dataset, devices: Sequence[Any]
) -> dict[str, Any]:
    """What a checkpoint tells of its making: versions, hardware, config and data.

    Args:
      config: of the run.
      dataset: that it trains on.
      devices: that train.
    """
    versions = {"cyclegan_jax": __version__, "python": platform.python_version()}
    return {
        "versions": versions | {name: metadata.version(name) for name in _PACKAGES},
        "device": f"{len(devices)} x {devices[0].device_kind}, "
        f"on a {platform.machine()} machine with {os.cpu_count()} cores",
        "config": config.to_dict(),
        "data": {
            "digest": dataset.digest,
            "domains": dataset.manifest["domains"],
            "axis": dataset.manifest["source"].get("axis", "axial"),
        },
    }
