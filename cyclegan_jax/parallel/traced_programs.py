"""Keeps traced programs beside JAX's compilation cache, so that a later start traces nothing.

JAX's cache saves compiling alone: it names its files by what is traced and lowered, and that takes
as long as the rest of a start. Here the file is what was traced, StableHLO by `jax.export`. Its
name is a digest of all that it was made from, so it is found before anything is traced, and the
program in it leads to the same machine code in JAX's cache.

Reading one runs nothing that the file names, as a pickled executable would. What it computes is
trusted as JAX's cache is, which holds machine code: both lie in one folder, that of the user.
"""

import contextlib
import functools
import hashlib
import os
import re
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.export
import optax

import cyclegan_jax
from cyclegan_jax.image_pool import ImagePool
from cyclegan_jax.models.networks import Networks
from cyclegan_jax.optimizer import Hyperparameters
from cyclegan_jax.state import TrainState
from cyclegan_jax.system import runtime
from cyclegan_jax.system.files import write_whole

SUBFOLDER = "traced"
MOST_FILES = 100  # half a megabyte each; those that were read longest ago make room
_LIBRARIES = ("jax", "jaxlib", "flax", "optax")
_CPU_FEATURES = re.compile(r"\b(?:avx|amx|fma|sve)\w*")  # that XLA's code for a CPU depends on

# The nodes of the trees that programs take and return.
for _node in (TrainState, Networks, ImagePool, Hyperparameters):
    jax.export.register_pytree_node_serialization(
        _node,
        serialized_name=f"{_node.__module__}.{_node.__name__}",
        serialize_auxdata=lambda fields: b"",  # none of them has a field that is no array
        deserialize_auxdata=lambda content: (),
    )
for _node in (optax.ScaleByAdamState, optax.ScaleByScheduleState, optax.EmptyState):
    jax.export.register_namedtuple_serialization(_node, serialized_name=f"optax.{_node.__name__}")


def kept(
    name: str,
    key: str,
    jit: Callable[[Any], Any],
    function: Any,
    arguments: Sequence[Any],
    devices: Sequence[Any],
) -> Any:
    """Returns an equal of `jit(function)` that needs no tracing, or None where there is none.

    The function is traced here if no earlier start has kept it. The answer is None where JAX keeps
    no compiled programs, in a process that is none of the commands, and for what `jax.export`
    cannot write. A damaged file is made anew; a folder that cannot be written is no error.

    Args:
      name: of the program, for its file.
      key: a text that is equal only for equal `function`s of one version of the package.
      jit: `jax.jit` with shardings and donated arguments.
      function: to be traced; it computes the same in every process.
      arguments: arrays, or their shapes and types.
      devices: that it runs on, all of one kind.
    """
    folder = _folder()
    source = _source_digest()
    if folder is None or source is None or devices[0].platform != jax.default_backend():
        return None
    shapes = jax.eval_shape(lambda *a: a, *arguments)
    made_from = (
        key,
        source,
        *(f"{library} {version(library)}" for library in _LIBRARIES),
        # a superset of what tracing depends on
        *sorted(f"{option}={value!r}" for option, value in jax.config.values.items()),
        *(f"{device.platform} {device.device_kind}" for device in devices),
        str(shapes),
    )
    digest = hashlib.sha256("\n".join(made_from).encode()).hexdigest()[:32]
    path = folder / f"{name}-{digest}-{_kind_of_cpu(devices)}"
    exported = _read(path)
    if exported is None:
        if set(folder.glob(f"{name}-{digest}-*")) - {path}:  # which may be damaged
            _note_other_cpu(folder.parent)
        try:
            exported = jax.export.export(jit(function))(*arguments)
            content = bytes(exported.serialize())
        except Exception:  # a real mistake is raised again when the caller traces
            return None
        _write(path, content)
    return jit(exported.call)


def _folder() -> Path | None:
    """Returns where the programs are kept, None where JAX keeps none."""
    cache = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]
    is_used = jax.config.jax_enable_compilation_cache  # pyright: ignore[reportAttributeAccessIssue]
    return Path(cache, SUBFOLDER) if is_used and cache and "://" not in cache else None


def _source_digest() -> str | None:
    """Returns a digest of the package's source, None if this process may have read another.

    That is one in which modules may have been changed after they were imported: none of the
    commands, or one that runs while the source is edited.
    """
    started, package = runtime.started(), Path(cyclegan_jax.__file__).parent
    digest = hashlib.sha256()
    try:
        for path in sorted(package.rglob("*.py")):
            if started is None or path.stat().st_mtime > started:
                return None
            digest.update(str(path.relative_to(package)).encode() + path.read_bytes())
    except OSError:  # a broken link, or a file that an editor has just replaced
        return None
    return digest.hexdigest()


def _kind_of_cpu(devices: Sequence[Any]) -> str:
    """Returns a digest of the CPU's vector instructions; "any" for other devices, or if unknown."""
    if devices[0].platform != "cpu":
        return "any"
    try:
        facts = Path("/proc/cpuinfo").read_text()
    except (OSError, ValueError):
        return "any"
    features = sorted(set(_CPU_FEATURES.findall(facts)))
    return hashlib.sha256(" ".join(features).encode()).hexdigest()[:8]


@functools.cache  # once in a process
def _note_other_cpu(cache: Path) -> None:
    print(
        f"note: the programs in {cache} were compiled for another kind of CPU; this start compiles "
        "them for this kind, too, and later starts on either find their own",
        flush=True,
    )


def _read(path: Path) -> Any:
    """Returns the program in a file, None if there is no intact one."""
    try:
        content = path.read_bytes()
        digest, program = content[:32], content[32:]
        if hashlib.sha256(program).digest() != digest:
            return None
        exported = jax.export.deserialize(bytearray(program))
    except Exception:  # no such file, or not of this version
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # it was read now
    return exported


def _write(path: Path, program: bytes) -> None:
    with contextlib.suppress(OSError):  # read-only, or full: the next start traces again
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, hashlib.sha256(program).digest() + program)
        files = sorted(path.parent.iterdir(), key=lambda file: file.stat().st_mtime, reverse=True)
        for file in files[MOST_FILES:]:
            file.unlink(missing_ok=True)
