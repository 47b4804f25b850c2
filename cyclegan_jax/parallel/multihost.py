"""Lets several processes train one run: they join, agree on values and leave in order.

`jax.distributed` connects the processes. Process 0, the primary, is its coordinator, and the only
one that writes and prints. If the heartbeats of a process stop, jax takes it for dead and ends all
the others, which would otherwise wait for its part of a sum for ever. In a single process, agreeing
returns the value itself.
"""

import contextlib
import faulthandler
import os
import socket
import sys
import time
import traceback
import zlib
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cyclegan_jax import InputError
from cyclegan_jax.parallel import jax_settings

_T = TypeVar("_T")

# A dead process is noticed after this time, a dead coordinator at once.
HEARTBEAT_SECONDS = 30
_JOIN_SECONDS = 300  # within which all processes must be launched
_LAST_SECONDS = 2  # the coordinator ends the others; meanwhile they may print why they fail
_FLAGS = "--coordinator=host:port, --process_id and --processes"
_LOST = ("gloo", "nccl", "coordination")  # in the messages of a sum after another process ended


def join_and_run(
    work: Callable[[], int],
    coordinator: str | None = None,
    process_id: int | None = None,
    processes: int | None = None,
) -> int:
    """Joins the other processes, calls `work` in this one, and leaves when all have finished.

    Call it before anything uses a device. Without arguments, jax takes the values from Slurm, MPI,
    Kubernetes or Cloud TPU.

    A process that fails ends at once. It does not wait for the others, which cannot continue
    without it and are ended by jax. A process that loses another one ends at once, too.

    Args:
      work: returns an exit status; prints the reason if it is not 0.
      coordinator: `host:port` of process 0, where it will listen.
      process_id: number of this process, from 0.
      processes: number of processes.

    Returns:
      The status 0. With any other status the process ends here.

    Raises:
      InputError: only some of the arguments are given, they contradict each other, or the
        coordinator cannot be reached.
    """
    _join(coordinator, process_id, processes)
    try:
        with contextlib.ExitStack() as silence:
            if not is_primary():
                nothing = silence.enter_context(open(os.devnull, "w", encoding="utf-8"))
                silence.enter_context(contextlib.redirect_stdout(nothing))
            status = work()
    except jax.errors.JaxRuntimeError as error:
        if not any(name in str(error).lower() for name in _LOST):
            traceback.print_exc()
        else:
            reason = str(error).split("\n")[0][:200]
            print(
                f"error: another process has ended ({reason}); launch all again: the run resumes "
                "from its newest checkpoint",
                file=sys.stderr,
            )
        status = 1
    except BaseException:
        traceback.print_exc()
        status = 1
    if status:
        sys.stdout.flush()
        sys.stderr.flush()
        if is_primary():
            time.sleep(_LAST_SECONDS)
        # no clean-up: it would wait for the others
        os._exit(status)
    jax.distributed.shutdown()  # waits for all
    return 0


def is_primary() -> bool:
    """Returns whether this process is the one that writes and prints."""
    return jax.process_index() == 0


def agree(value: int) -> int:
    """Returns the primary's `value`, below 2**31. Every process must call it."""
    return int(multihost_utils.broadcast_one_to_all(np.int32(value)))


def all_true(flag: bool) -> bool:
    """Returns whether `flag` is true in every process. Every process must call it."""
    return bool(np.all(multihost_utils.process_allgather(np.array(flag))))


def same(value: str | int) -> bool:
    """Returns whether all processes have an equal value. Every process must call it."""
    number = zlib.crc32(repr(value).encode()) // 2
    return all_true(number == agree(number))


def primary_first(work: Callable[[], _T]) -> _T:
    """Calls `work` in the primary, then in the other processes, which find what the primary made.

    If it fails in the primary, the others call it all the same, so that they fail alike and print
    why. Every process must call this function.
    """
    if not is_primary():
        all_true(True)
        return work()
    try:
        return work()
    finally:
        all_true(True)


def _join(coordinator: str | None, process_id: int | None, processes: int | None) -> None:
    given = [argument is not None for argument in (coordinator, process_id, processes)]
    if any(given) and not all(given):
        raise InputError(f"give all of {_FLAGS}, or none of them to use what the cluster provides")
    if coordinator is not None and process_id is not None and processes is not None:
        host, port = _host_and_port(coordinator)
        if not 0 <= process_id < processes:
            raise InputError(
                f"--process_id={process_id} must be from 0 to one less than --processes={processes}"
            )
        if process_id:
            _reach(host, port)  # jax would end the process before we can print why
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process_id,
            initialization_timeout=_JOIN_SECONDS,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except (ValueError, RuntimeError) as error:
        reason = str(error).split("\n")[0]
        raise InputError(f"the processes cannot be joined ({reason}); give {_FLAGS}") from error
    _meet()
    # jax aborts the process when it loses another; Python's stacks would hide its message
    faulthandler.disable()


def _meet() -> None:
    """Connects all devices while the processes are together.

    gloo fails if a process comes more than 30 s later than another to the first sum, which may
    happen if it compiles longer.
    """
    devices = jax_settings.devices()
    split = NamedSharding(Mesh(np.array(devices), ("all",)), PartitionSpec("all"))
    ones = jax.make_array_from_callback((len(devices),), split, lambda _: np.ones(1, np.int32))
    jax.jit(jnp.sum)(ones).block_until_ready()


def _host_and_port(coordinator: str) -> tuple[str, int]:
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise InputError(f"--coordinator={coordinator}: must be host:port, such as node1:29500")
    return host, int(port)


def _reach(host: str, port: int) -> None:
    end = time.monotonic() + _JOIN_SECONDS
    while True:
        try:
            socket.create_connection((host.strip("[]"), port), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > end:
                raise InputError(
                    f"--coordinator={host}:{port} was not reached within {_JOIN_SECONDS} s "
                    f"({error}); start process 0 there, and let the port through"
                ) from error
        time.sleep(0.5)
