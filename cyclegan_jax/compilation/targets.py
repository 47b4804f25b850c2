"""The accelerators that a step can be compiled for, and what `--target` names.

All figures are published ones; `sources` of each says where. A chip whose peaks are not published
is left out. This module imports no JAX: what JAX needs in the environment is set before its import.
"""

import dataclasses
import math
import re
from collections.abc import Mapping

from cyclegan_jax import InputError

GIB = 2**30

# JAX takes this part of a GPU's memory, unless XLA_PYTHON_CLIENT_MEM_FRACTION says otherwise
# (https://docs.jax.dev/en/latest/gpu_memory_allocation.html).
_GPU_FRACTION = 0.75
_CLOUD_TPU = "https://docs.cloud.google.com/tpu/docs/"
_XLA_SPECS = "https://github.com/openxla/xla, xla/backends/gpu/target_config/specs/"


@dataclasses.dataclass(frozen=True)
class Gpu:
    """What XLA must know of an NVIDIA GPU to compile for it; the names are those of XLA."""

    compute_capability: tuple[int, int]
    core_count: int
    fpus_per_core: int
    clock_rate_ghz: float
    l2_cache_size: int
    shared_memory_per_core: int
    shared_memory_per_block_optin: int


@dataclasses.dataclass(frozen=True)
class Accelerator:
    """One chip.

    Attributes:
      name: in words.
      platform: "tpu", "cuda" or "cpu".
      memory: bytes; None if unknown.
      usable: the part of the memory that JAX lets a program have.
      peaks: dense operations in a second by the type of the factors, "bfloat16", "tf32", "float32".
      memory_bandwidth: bytes in a second.
      link_bandwidth: bytes in a second that a chip can send to the others of its slice or host.
      sources: where the figures are published.
      gpu: of a GPU.
    """

    name: str
    platform: str
    memory: int | None = None
    usable: float = 1.0
    peaks: Mapping[str, float] = dataclasses.field(default_factory=dict)
    memory_bandwidth: float = math.inf
    link_bandwidth: float = math.inf
    sources: tuple[str, ...] = ()
    gpu: Gpu | None = None

    def peak(self, dtype: str, precision: str) -> float | None:
        """Returns the most operations in a second at `config.dtype` and `config.matmul_precision`.

        A TPU makes a product of float32 numbers of products of bfloat16: 1, 3 or 6 passes. A GPU
        rounds them to TF32 unless `precision` is "highest".
        """
        if dtype == "bfloat16":
            return self.peaks.get("bfloat16")
        if self.platform == "tpu":
            return self.peaks["bfloat16"] / {"default": 1, "high": 3, "highest": 6}[precision]
        return self.peaks.get("float32" if precision == "highest" else "tf32")


def _tpu(
    name: str, page: str, gib: tuple[int, float], tera: float, memory: float, link: float
) -> Accelerator:
    return Accelerator(
        name=name,
        platform="tpu",
        memory=gib[0] * GIB,
        usable=gib[1] / gib[0],
        peaks={"bfloat16": tera * 1e12},
        memory_bandwidth=memory * 1e9,
        link_bandwidth=link * 1e9,
        sources=(_CLOUD_TPU + page,),
    )


def _nvidia(
    name: str,
    sheet: str,
    spec: str,
    memory: int,
    peaks: tuple[float, float, float],
    bandwidths: tuple[float, float],
    gpu: Gpu,
) -> Accelerator:
    tera = zip(("bfloat16", "tf32", "float32"), peaks, strict=True)
    return Accelerator(
        name=name,
        platform="cuda",
        memory=memory,
        usable=_GPU_FRACTION,
        peaks={kind: 1e12 * peak for kind, peak in tera},
        memory_bandwidth=bandwidths[0] * 1e9,
        link_bandwidth=bandwidths[1] * 1e9,
        sources=(sheet, _XLA_SPECS + spec),
        gpu=gpu,
    )


_AMPERE = Gpu((8, 0), 108, 64, 1.41, 41943040, 167936, 166912)
_HOPPER = Gpu((9, 0), 132, 128, 1.98, 52428800, 233472, 232448)
_BLACKWELL = Gpu((10, 0), 148, 128, 1.965, 132644864, 233472, 232448)
_A100_SHEET = "https://www.nvidia.com/en-us/data-center/a100/"
_H100_SHEET = "https://www.nvidia.com/en-us/data-center/h100/"
_H200_SHEET = "https://www.nvidia.com/en-us/data-center/h200/"
_B200_SHEET = "https://www.nvidia.com/en-us/data-center/hgx/"

# TPU: GiB of memory, GiB of it that libtpu 0.0.42 lets a program have (it says so of a program that
# is too large; of v5p the page states 95 GB of memory), dense TFLOP/s in bfloat16, GB/s of the
# memory, GB/s to the other chips (a half of "bidirectional ICI bandwidth").
# NVIDIA: bytes of memory, dense TFLOP/s (a half of what the sheets state "with sparsity") in
# bfloat16, TF32 and float32 without tensor cores, GB/s of the memory, GB/s of NVLink one way.
ACCELERATORS = {
    "tpu:v4": _tpu("TPU v4", "v4", (32, 30.75), 275, 1200, 300),
    "tpu:v5e": _tpu("TPU v5e", "v5e", (16, 15.75), 197, 819, 200),
    "tpu:v5p": _tpu("TPU v5p", "v5p", (96, 95.74), 459, 2765, 600),
    "tpu:v6e": _tpu("TPU v6e", "v6e", (32, 31.25), 918, 1640, 448),
    "cuda:a100-40": _nvidia(
        "NVIDIA A100-SXM4-40GB",
        _A100_SHEET,
        "a100_sxm_40.txtpb",
        42331013120,
        (312, 156, 19.5),
        (1555.2, 300),
        _AMPERE,
    ),
    "cuda:a100": _nvidia(
        "NVIDIA A100-SXM4-80GB",
        _A100_SHEET,
        "a100_sxm_80.txtpb",
        85100068864,
        (312, 156, 19.5),
        (2039.04, 300),
        _AMPERE,
    ),
    "cuda:h100": _nvidia(
        "NVIDIA H100 80GB HBM3",
        _H100_SHEET,
        "h100_sxm.txtpb",
        84942979072,
        (989.5, 494.7, 67),
        (3352.32, 450),
        _HOPPER,
    ),
    "cuda:h200": _nvidia(
        "NVIDIA H200 141GB HBM3e",
        _H200_SHEET,
        "h200.txtpb",
        151397597184,
        (989.5, 494.7, 67),
        (4800, 450),
        _HOPPER,
    ),
    "cuda:b200": _nvidia(
        "NVIDIA B200",
        _B200_SHEET,
        "b200.txtpb",
        191514411008,
        (2250, 1100, 80),
        (7672.32, 900),
        _BLACKWELL,
    ),
    "cpu": Accelerator("CPU", "cpu"),
}

# The target of one chip, by what JAX calls it (`device_kind`; of TPUs as in
# https://github.com/jax-ml/jax, jax/_src/pallas/mosaic/tpu_info.py).
_ONE_CHIP = {
    "TPU v4": "tpu:v4:1x1x1",
    "TPU v5 lite": "tpu:v5e:1x1",
    "TPU v5": "tpu:v5p:1x1x1",
    "TPU v6 lite": "tpu:v6e:1x1",
    "NVIDIA A100-SXM4-40GB": "cuda:a100-40:1",
    "NVIDIA A100-SXM4-80GB": "cuda:a100:1",
    "NVIDIA H100 80GB HBM3": "cuda:h100:1",
    "NVIDIA H200": "cuda:h200:1",
    "NVIDIA B200": "cuda:b200:1",
    "cpu": "cpu:1",
}


@dataclasses.dataclass(frozen=True)
class Target:
    """What a step is compiled for: `shape` chips of one kind.

    Attributes:
      text: as the user wrote it.
      accelerator: one of `ACCELERATORS`.
      shape: of TPU chips, (hosts, GPUs of each) or (CPU devices,).
    """

    text: str
    accelerator: Accelerator
    shape: tuple[int, ...]

    @property
    def devices(self) -> int:
        """The number of devices."""
        return math.prod(self.shape)

    @property
    def name(self) -> str:
        """The chip as `--target` names it, "v5e"."""
        return self.text.split(":")[1]


def parse(text: str) -> Target:
    """Returns what `--target` names: tpu:v5e:2x4, cuda:h100:8, cuda:h100:2x8 or cpu:8.

    Raises:
      InputError: it names no known chip, or no number of them.
    """
    chip, _, size = text.rpartition(":")
    accelerator = ACCELERATORS.get(chip)
    if accelerator is None:
        known = ", ".join(name for name in ACCELERATORS if name != "cpu")
        raise InputError(
            f"--target={text}: is not one of {known}, or cpu, followed by how many there are; "
            "for example tpu:v5e:2x4, cuda:h100:8 or cpu:8"
        )
    platform, shape = accelerator.platform, ()
    if re.fullmatch(r"[1-9]\d{0,3}(x[1-9]\d{0,3})*", size):
        shape = tuple(map(int, size.split("x")))
    if platform == "cuda" and len(shape) == 1:
        shape = (1, *shape)
    wanted = {"tpu": (2, 3), "cuda": (2,), "cpu": (1,)}[platform]
    if len(shape) not in wanted:
        what = {
            "tpu": "the shape of a slice, for example 2x4, or 2x2x1 for v4 and v5p",
            "cuda": "a number of GPUs, for example 8, or hosts and GPUs of each, for example 2x8",
            "cpu": "a number of devices, for example 8",
        }
        raise InputError(f"--target={text}: after {chip}: must come {what[platform]}")
    return Target(text, accelerator, shape)


def of_one_chip(device_kind: str) -> str | None:
    """Returns what `--target` names one chip that JAX calls `device_kind`; None: no known chip."""
    return _ONE_CHIP.get(device_kind)


def environment(target: Target, before: Mapping[str, str]) -> dict[str, str]:
    """Returns what must be in the environment before JAX is imported, to compile for `target`.

    Nothing looks for an accelerator, and the TPU's library does not ask the cloud where it is.

    Args:
      target: to compile for.
      before: the environment.
    """
    # A program from the cache does not say how long its compilation takes.
    needed = {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_COMPILATION_CACHE": "false"}
    if target.accelerator.platform == "tpu":
        needed |= {
            "TPU_SKIP_MDS_QUERY": "1",
            "TPU_ACCELERATOR_TYPE": "v5litepod-4",  # of the host; the target is given to JAX
            "TPU_WORKER_HOSTNAMES": "localhost",
            "TPU_LOG_DIR": "disabled",
            "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # no TPU is used that others may not use meanwhile
        }
    if target.accelerator.platform == "cpu":
        count = f"--xla_force_host_platform_device_count={target.devices}"
        needed["XLA_FLAGS"] = f"{before.get('XLA_FLAGS', '')} {count}".strip()
    return needed
