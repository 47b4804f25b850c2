"""A lower bound of a step's time, from published peaks. No step reaches it."""

from cyclegan_jax.compilation.program import Program
from cyclegan_jax.compilation.targets import Target
from cyclegan_jax.config import Config


def seconds(config: Config, target: Target, program: Program, operations: int) -> dict[str, float]:
    """Returns what a step takes at least, by what bounds it; the largest is the lower bound.

    - "operations": of the convolutions, at the peak of their type.
    - "memory": the state and the batch are read once and the state is written once. What lies
      between the layers is not counted.
    - "links": what each device must send to others, at the speed of all its links within a host or
      slice. A network between hosts is slower.

    Empty where no peak is published.

    Args:
      config: that was compiled.
      target: of the program.
      program: the compiled step.
      operations: of one device, see `program.step_operations`.
    """
    chip = target.accelerator
    peak = chip.peak(config.dtype, config.matmul_precision)
    if peak is None:
        return {}
    sent = sum(part.sent(target.devices) for part in program.collectives)
    return {
        "operations": operations / peak,
        "memory": 2 * program.state / chip.memory_bandwidth,
        "links": sent / chip.link_bandwidth,
    }
