"""Settings of the process that make JAX start and run faster; they change no result.

Settings of JAX that the environment has already are kept. No XLA flag is set here: the flags of its
CPU backend change between versions, and XLA stops the process at a flag that it does not know.
"""

import ctypes
import gc
import os
import platform
import tempfile
import time
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8  # malloc.h of the GNU C library
_started: list[float] = []  # the time of `tune_process`


def cache_folder() -> Path:
    """Returns `$XDG_CACHE_HOME/cyclegan_jax` (default `~/.cache`), for files that can be remade.

    Without a home folder it is a folder of the user's own among the temporary files.
    """
    try:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    except RuntimeError:  # HOME is not set, and the system does not know the user
        caches = _temporary_caches()
    return caches / "cyclegan_jax"


def _temporary_caches() -> Path:
    user = os.getuid()
    folder = Path(tempfile.gettempdir(), f"cache-of-user-{user}")
    folder.mkdir(mode=0o700, exist_ok=True)
    # Another user's folder may hold programs that do anything.
    if folder.is_symlink() or folder.stat().st_uid != user:
        return Path(tempfile.mkdtemp())
    return folder


def tune_process() -> None:
    """Applies the settings. Call it once, before `jax` is imported.

    - Compiled programs are kept in `cache_folder()`, or in `JAX_COMPILATION_CACHE_DIR` if it is set
      (if it is empty, there is no cache).
    - On Linux, memory that a step frees stays with the process. Otherwise the GNU C library would
      return the gigabyte of a step's temporary arrays each time, and the kernel would clear it
      again.
    - XLA prints no log lines of its own, but for what ends the process: it raises what matters.
    - Figures are drawn into files: a notebook's `MPLBACKEND` may name what is not installed here.
    - Python looks for garbage less often: tracing a step makes millions of objects that stay.
    """
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_folder() / "compiled"))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["MPLBACKEND"] = "agg"
    keep_freed_memory()
    gc.set_threshold(10_000)
    _started.append(time.time())


def keep_freed_memory() -> None:
    """Lets the GNU C library keep what this process frees; the process need not get it again."""
    if platform.libc_ver()[0] == "glibc" and not _malloc_is_set():
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, 1)  # XLA allocates in threads, whose own arenas must be small
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def started() -> float | None:
    """Returns when this process called `tune_process`, None if it is none of the commands."""
    return _started[-1] if _started else None


def release_memory() -> None:
    """Returns free memory to the system, such as memory that only compilation needed."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def _malloc_is_set() -> bool:
    return "GLIBC_TUNABLES" in os.environ or any(name.startswith("MALLOC_") for name in os.environ)
