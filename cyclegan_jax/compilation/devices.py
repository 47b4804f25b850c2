"""The devices of a target, most of which are not there: JAX compiles for them, and runs nothing."""

import importlib.metadata
from typing import Any

import jax
from jax.experimental import topologies

from cyclegan_jax import InputError
from cyclegan_jax.compilation.targets import Target

# The packages of which one must be there; the extra of pyproject.toml that installs them.
_PACKAGES = {
    "tpu": (("libtpu",), "compile-tpu"),
    "cuda": (("jax-cuda12-pjrt", "jax-cuda13-pjrt"), "compile-cuda"),
    "cpu": (("jaxlib",), ""),
}


def compiler(target: Target) -> str:
    """Returns the package that compiles for `target` and its version, "libtpu 0.0.42".

    Raises:
      InputError: it is not installed.
    """
    packages, extra = _PACKAGES[target.accelerator.platform]
    for package in packages:
        try:
            return f"{package} {importlib.metadata.version(package)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    raise InputError(
        f"--target={target.text}: {' or '.join(packages)} is not installed; run "
        f"pip install 'cyclegan-jax[{extra}]', or in a clone pip install -e '.[{extra}]'"
    )


def devices_of(target: Target) -> list[Any]:
    """Returns the devices of `target`, as `Parallel` takes them.

    Raises:
      InputError: the compiler is not installed, or knows no such topology.
    """
    compiler(target)
    platform = target.accelerator.platform
    if platform == "cpu":
        found = jax.devices("cpu")
        if len(found) < target.devices:
            raise InputError(
                f"--target={target.text}: JAX has {len(found)} CPU devices; set "
                f"XLA_FLAGS=--xla_force_host_platform_device_count={target.devices}"
            )
        return found[: target.devices]
    try:
        described = _tpus(target) if platform == "tpu" else _gpus(target)
    except (NotImplementedError, RuntimeError, ValueError) as error:  # of JAX and of its plugins
        reason = (str(error).strip() or type(error).__name__).split("\n")[0]
        raise InputError(
            f"--target={target.text}: {reason}; give another shape, or the {compiler(target)} "
            f"that fits jax {jax.__version__}"
        ) from error
    return list(described.devices)


def _tpus(target: Target) -> Any:
    shape = "x".join(map(str, target.shape))
    # 8 chips of v5e and v6e are one host; otherwise the library knows what a host has.
    options: dict[str, Any] = {}
    if len(target.shape) == 2 and target.devices <= 8:
        options["chips_per_host_bounds"] = (*target.shape, 1)
    if target.name == "v4":  # both cores of a chip are one device
        options["chip_config_name"] = "megacore"
    return topologies.get_topology_desc(f"{target.name}:{shape}", "tpu", **options)


def _gpus(target: Target) -> Any:
    shape = "x".join(map(str, (1, *target.shape)))  # partitions, hosts, GPUs
    return topologies.get_topology_desc(
        "", "cuda", topology=shape, target_config=gpu_target_config(target)
    )


def gpu_target_config(target: Target) -> str:
    """Returns the GPU of `target` as text of XLA's `GpuTargetConfigProto`."""
    chip, gpu = target.accelerator, target.accelerator.gpu
    assert gpu is not None
    major, minor = gpu.compute_capability
    return f"""
gpu_device_info {{
  threads_per_block_limit: 1024
  threads_per_warp: 32
  shared_memory_per_block: 49152
  shared_memory_per_core: {gpu.shared_memory_per_core}
  threads_per_core_limit: 2048
  core_count: {gpu.core_count}
  fpus_per_core: {gpu.fpus_per_core}
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  memory_bandwidth: {int(chip.memory_bandwidth)}
  l2_cache_size: {gpu.l2_cache_size}
  clock_rate_ghz: {gpu.clock_rate_ghz}
  device_memory_size: {chip.memory}
  shared_memory_per_block_optin: {gpu.shared_memory_per_block_optin}
  cuda_compute_capability {{ major: {major} minor: {minor} }}
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 }}
device_description_str: "{chip.name}"
"""
