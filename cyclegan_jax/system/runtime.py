"""Settings of the process that make JAX start and run faster; they change no result.

Settings that the environment has already are kept. No XLA flag is set here: the flags of its CPU
backend change between versions, and XLA stops the process at a flag that it does not know.
"""

import ctypes
import gc
import os
import platform
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8  # malloc.h of the GNU C library


def cache_folder() -> Path:
    """Returns `$XDG_CACHE_HOME/cyclegan_jax` (default `~/.cache`), for files that can be remade."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "cyclegan_jax"


def tune_process() -> None:
    """Applies the settings. Call it once, before `jax` is imported.

    - Compiled programs are kept in `cache_folder()`, or in `JAX_COMPILATION_CACHE_DIR` if it is set
      (if it is empty, there is no cache).
    - On Linux, memory that a step frees stays with the process. Otherwise the GNU C library would
      return the gigabyte of a step's temporary arrays each time, and the kernel would clear it
      again.
    - Python looks for garbage less often: tracing a step makes millions of objects that stay.
    """
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_folder() / "compiled"))
    if platform.libc_ver()[0] == "glibc" and not _malloc_is_set():
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, 1)  # XLA allocates in threads, whose own arenas must be small
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    gc.set_threshold(10_000)


def release_memory() -> None:
    """Returns free memory to the system, such as memory that only compilation needed."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def _malloc_is_set() -> bool:
    return "GLIBC_TUNABLES" in os.environ or any(name.startswith("MALLOC_") for name in os.environ)
