"""Many processes as one run: joining, agreeing and leaving. Alone, agreeing is the identity.

`jax.distributed` ties the processes together. Process 0 is its coordinator, and the one that
writes and prints. A process whose heartbeats cease is taken for dead, whereupon jax ends all the
others; without this they would wait for its part of a sum for ever.
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

T = TypeVar("T")

# A dead process is noticed after this; the coordinator's death at once.
HEARTBEAT_SECONDS = 30
_JOIN_SECONDS = 300  # until all processes must have been launched
_LAST_SECONDS = 2  # the coordinator's end ends the others, which may fail alike and say why
_FLAGS = "--coordinator=host:port, --process_id and --processes"
_LOST = ("gloo", "nccl", "coordination")  # in the messages of a sum that a peer has left


def run(
    work: Callable[[], int],
    coordinator: str | None = None,
    process_id: int | None = None,
    processes: int | None = None,
) -> int:
    """Joins the other processes, does this one's work and leaves in order.

    Call it before anything touches a device. Without arguments what Slurm, MPI, Kubernetes or
    Cloud TPU tell is used.

    A process that fails ends at once, without waiting for the others, which cannot go on without
    it: they are ended by jax. So does a process that loses a peer.

    Args:
      work: returns an exit status; prints the reason of one that is not 0.
      coordinator: `host:port` of process 0, where it will listen.
      process_id: of this process, from 0.
      processes: how many there are.

    Returns:
      The status 0; with another one the process has ended.

    Raises:
      InputError: only some of the arguments are given, they contradict each other, or the
        coordinator cannot be reached.
    """
    _join(coordinator, process_id, processes)
    try:
        with contextlib.ExitStack() as silence:
            if not is_primary():
                nothing = silence.enter_context(open(os.devnull, "w"))
                silence.enter_context(contextlib.redirect_stdout(nothing))
            status = work()
    except jax.errors.JaxRuntimeError as error:
        if not any(name in str(error).lower() for name in _LOST):
            traceback.print_exc()
        else:
            reason = str(error).split("\n")[0][:200]
            print(
                f"error: another process has ended ({reason}); launch all again: the run goes on "
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
    jax.distributed.shutdown()  # when all are here
    return 0


def is_primary() -> bool:
    """Whether this process writes and prints."""
    return jax.process_index() == 0


def agree(value: int) -> int:
    """The primary's `value`, below 2**31. Every process must call it."""
    return int(multihost_utils.broadcast_one_to_all(np.int32(value)))


def all_true(flag: bool) -> bool:
    """Whether `flag` is true in every process. Every process must call it."""
    return bool(np.all(multihost_utils.process_allgather(np.array(flag))))


def same(value: str | int) -> bool:
    """Whether all processes have an equal value. Every process must call it."""
    number = zlib.crc32(repr(value).encode()) // 2
    return all_true(number == agree(number))


def primary_first(work: Callable[[], T]) -> T:
    """`work` in the primary, and then in the others, which find what it has made.

    They also do it when it failed there, to fail alike and say why.
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
        raise InputError(f"give all of {_FLAGS}, or none of them to take what the cluster tells")
    if coordinator is not None and process_id is not None and processes is not None:
        host, port = _host_and_port(coordinator)
        if not 0 <= process_id < processes:
            raise InputError(
                f"--process_id={process_id} must be from 0 to one less than --processes={processes}"
            )
        if process_id:
            _reach(host, port)  # jax would end the process without a word of ours
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
    # jax aborts the process when it loses another; Python's stacks would bury its message
    faulthandler.disable()


def _meet() -> None:
    """Connects all devices while the processes are together.

    gloo gives up on a process that comes 30 s later to the first sum, as one may that compiles
    longer.
    """
    devices = jax.devices()
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
