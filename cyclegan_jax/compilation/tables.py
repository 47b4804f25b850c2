"""What is printed of a compiled step."""

from typing import Any

from cyclegan_jax.compilation.targets import GIB, Target
from cyclegan_jax.render.text_table import Table

MIB = 2**20
_LEFT_OUT = (
    "the bytes that XLA plans. Workspaces of cuDNN, buffers of NCCL and what the allocator cannot "
    "use are not in them"
)


def tables(facts: dict[str, Any], target: Target) -> list[Table]:
    """Returns the tables of a compiled step.

    Args:
      facts: of `facts.gather`.
      target: that the step was compiled for.
    """
    made = [_step(facts, target), _memory(facts, target)]
    if facts["collectives"]:
        made.append(_collectives(facts))
    return made


def _step(facts: dict[str, Any], target: Target) -> Table:
    rows = [
        ("compiles in", f"{facts['lowering_seconds']:.1f} + {facts['compile_seconds']:.1f} s"),
        ("convolutions and products of a device", f"{facts['flops'] / 1e9:.1f} GFLOP"),
        ("convolutions", facts["convolutions"]),
        ("copies of arrays", _counted(*facts["copies"])),
    ]
    if bound := facts["lower_bound_seconds"]:
        largest = max(bound, key=lambda kind: bound[kind])
        parts = ", ".join(f"{kind} {1e3 * seconds:.2f}" for kind, seconds in bound.items())
        rows.append(("lower bound of a step", f"{1e3 * bound[largest]:.2f} ms ({parts})"))
        images = 2 * facts["batch_size"] / bound[largest]  # of both domains
        rows.append(("images it takes at that rate", f"{images:,.0f} in a second"))
    title = (
        f"{facts['devices']} x {target.accelerator.name}, batch {facts['batch_size']}, "
        f"{facts['image_size']}x{facts['image_size']}, {facts['dtype']}, {facts['parallel']}"
    )
    note = (
        "seconds of tracing and lowering, and of XLA. The lower bound is of published peaks; no "
        "step reaches it"
    )
    return Table(title, f"{note} ({facts['versions']})", ("", ""), rows)


def _memory(facts: dict[str, Any], target: Target) -> Table:
    rows = [
        (what, f"{facts['bytes'][key] / GIB:.3f}")
        for what, key in (
            ("state and batch", "state"),
            ("temporaries", "temporaries"),
            ("results, program", "other"),
            ("peak", "peak"),
        )
    ]
    chip = target.accelerator
    if chip.memory is not None:
        rows.append((f"memory ({chip.usable:.0%} for a program)", f"{chip.memory / GIB:.3f}"))
    if largest := facts["largest_batch"]:
        peaks = ", ".join(
            f"{batch}: {'too large' if peak is None else f'{peak / GIB:.2f}'}"
            for batch, peak in largest["compiled"]
        )
        rows.append((f"largest batch ({peaks})", str(largest["batch_size"])))
    elif chip.memory is not None and facts["bytes"]["peak"] > chip.memory * chip.usable:
        rows.append(("does it fit", "no"))
    return Table("GiB of each device", _LEFT_OUT, ("", "GiB"), rows)


def _collectives(facts: dict[str, Any]) -> Table:
    rows = [
        (part["kind"], part["dtype"], str(part["count"]), f"{part['bytes'] / MIB:.3f}")
        for part in facts["collectives"]
    ]
    note = f"the parameters are {facts['parameter_bytes'] / MIB:.3f} MiB"
    return Table("collectives of a step", note, ("", "type", "count", "MiB"), rows)


def _counted(count: int, size: int) -> str:
    return f"{count}, {size / MIB:.1f} MiB"
