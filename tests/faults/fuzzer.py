"""Feeds one reader crafted files, in a process whose memory and time are bounded.

    python tests/faults/fuzzer.py READER FOLDER --seconds=600 --seed=0

First every file of `corpus/READER` is read (found_* once broke a reader), then, until the time is
up, such files with bytes or fields changed. For any bytes the reader must return something sane or
raise InputError. What broke this is kept in FOLDER/failures. FOLDER/input is the file that is being
read: the guilty one, where the process dies of a crash or of its limits.
"""

import argparse
import contextlib
import faulthandler
import hashlib
import json
import os
import re
import resource
import signal
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path

from fuzz_readers import READERS, Reader, bound_sizes
from hypothesis import HealthCheck, Phase, given, seed, settings

from cyclegan_jax import InputError

CORPUS = Path(__file__).parent / "corpus"
MOST_SECONDS = 60  # for one input; then the process dies
MOST_MEMORY = 2**29  # bytes that reading one input may add; its voxels are bounded to 2**22 here
_ADDRESSES = 2**33  # bytes of address space that reading may add; then allocating fails
_UNLIMITED = resource.RLIM_INFINITY
_ROUND = 100  # inputs drawn from one seed


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("reader", choices=READERS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with _quiet(arguments.folder) as answer:
        fuzz = Fuzz(READERS[arguments.reader], arguments.folder)
        fuzz.replay(sorted((CORPUS / arguments.reader).iterdir()))
        fuzz.search(arguments.seconds, arguments.seed)
        found = {"tried": fuzz.tried, "refused": fuzz.refused, "failures": fuzz.failures}
        answer.write(json.dumps(found))


class Fuzz:
    """What was tried on one reader, and what failed."""

    def __init__(self, reader: Reader, folder: Path):
        self.tried, self.refused = 0, 0
        self.failures: dict[str, str] = {}
        self._reader = reader
        self._place = reader.prepare(folder / "input")
        self._kept = folder / "failures"
        self._seeds: list[bytes] = []
        bound_sizes()

    def replay(self, files: list[Path]) -> None:
        """Reads kept files; they are the seeds of `search`."""
        self._seeds += [make() for make in self._reader.fresh]
        self._seeds += [path.read_bytes() for path in files]
        for data in self._seeds:
            self._attempt(data)

    def search(self, seconds: float, first_seed: int) -> None:
        """Reads changed seeds until the time is up."""
        end = time.monotonic() + seconds

        def one(data: bytes) -> None:
            if time.monotonic() < end:
                self._attempt(data)

        number = first_seed
        while time.monotonic() < end:
            search = given(self._reader.crafted(self._seeds))(one)
            search = settings(
                max_examples=_ROUND,
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )(search)
            seed(number)(search)()
            number += 1

    def _attempt(self, data: bytes) -> None:
        self._place.write_bytes(data)
        self.tried += 1
        Path("/proc/self/clear_refs").write_text("5")  # the peak is that of this input
        before = _status("VmRSS")
        resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") + _ADDRESSES, _UNLIMITED))
        signal.alarm(MOST_SECONDS)
        try:
            self._reader.read(self._place)
        except InputError as error:
            self.refused += 1
            if _out_of_memory(error):
                self._fail(data, error)
        except Exception as error:
            self._fail(data, error)
        finally:
            signal.alarm(0)
            resource.setrlimit(resource.RLIMIT_AS, (_UNLIMITED, _UNLIMITED))
        if (more := _status("VmHWM") - before) > MOST_MEMORY:
            self._fail(data, MemoryError(f"{more} bytes were used"))

    def _fail(self, data: bytes, error: BaseException) -> None:
        frame = traceback.extract_tb(error.__traceback__)[-1:]
        kind = f"{type(error).__name__} {[(f.filename, f.lineno) for f in frame]}"
        if kind not in self.failures:
            name = hashlib.sha256(data).hexdigest()[:12]
            self._kept.mkdir(exist_ok=True)
            (self._kept / name).write_bytes(data)
            text = "".join(traceback.format_exception(error))
            (self._kept / f"{name}.txt").write_text(text, errors="backslashreplace")
            self.failures[kind] = f"{self._kept / name}: {str(error)[:300]!r}"


def _out_of_memory(error: BaseException | None) -> bool:
    """Whether memory ran out and the reader called that a bad file."""
    while error is not None:
        if isinstance(error, MemoryError) or "bad_alloc" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _status(name: str) -> int:
    """A line of the process's memory use, in bytes."""
    text = Path("/proc/self/status").read_text()
    found = re.search(rf"{name}:\s+(\d+) kB", text)
    assert found
    return int(found[1]) * 1024


@contextlib.contextmanager
def _quiet(folder: Path) -> Iterator:
    """Silences Python and C libraries; yields what is standard output to the caller."""
    warnings.simplefilter("ignore")
    answer = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with (folder / "crash.txt").open("w") as crash, answer:
        faulthandler.enable(crash)
        try:
            for stream in (1, 2):
                os.dup2(nowhere, stream)
            yield answer
        except BaseException:  # of this program itself
            traceback.print_exc(file=crash)
            raise


if __name__ == "__main__":
    main()
