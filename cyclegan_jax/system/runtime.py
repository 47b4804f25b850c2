"""Settings of the process that make JAX start and run faster; they change no result.

What the environment says already is left as it is. No XLA flag is set here: those for its CPU
backend come and go, and XLA stops the process at one that it does not know.
"""

import ctypes
import gc
import os
import platform
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8  # malloc.h of the GNU C library


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/cyclegan_jax` (default `~/.cache`): what can be made again at any time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "cyclegan_jax"


def prepare() -> None:
    """Applies the settings; call it once, before `jax` is imported.

    - Compiled programs are kept in `cache_folder()`, or in `JAX_COMPILATION_CACHE_DIR` if set
      (an empty one turns the cache off).
    - On Linux, memory that a step frees stays with the process. The GNU C library would hand the
      gigabyte of a step's temporary arrays back each time, and the kernel would clear it again.
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
    """Gives free memory back to the system: what only a start needed, such as compilation."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def _malloc_is_set() -> bool:
    return "GLIBC_TUNABLES" in os.environ or any(name.startswith("MALLOC_") for name in os.environ)
