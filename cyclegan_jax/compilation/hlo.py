"""Reads the text of programs: what XLA made of a step, and what it was given."""

import dataclasses
import re
from collections.abc import Iterator

_BITS = {"pred": 8, "token": 0}
_ARRAY = re.compile(r"\b(pred|token|bf16|[a-z]+(?P<bits>\d+)\w*)\[(?P<sizes>[\d,]*)\]")
_COLLECTIVE = re.compile(
    r"= (?P<result>\S.*?) (?P<kind>all-reduce|all-gather|reduce-scatter|all-to-all"
    r"|collective-permute|collective-broadcast)(?P<start>-start)?\("
)
_COPY = re.compile(r"= (?P<result>\S+) copy\(")
_STABLEHLO = re.compile(r"(?<!#)\bstablehlo\.(\w+)")


@dataclasses.dataclass(frozen=True)
class Collective:
    """Collectives of one kind and type in a step.

    Attributes:
      kind: of HLO, for example "all-reduce".
      dtype: of the numbers that are sent, for example "f32".
      count: how many there are.
      bytes: of their results on one device.
    """

    kind: str
    dtype: str
    count: int
    bytes: int

    def sent(self, devices: int) -> float:
        """Returns the bytes that each device must send at least, if there are `devices`.

        An all-reduce is a reduce-scatter and an all-gather (Patarasuk & Yuan 2009).
        """
        others = devices - 1
        if self.kind == "all-reduce":
            return 2 * others / devices * self.bytes
        if self.kind == "reduce-scatter":  # its result is one part of what comes in
            return others * self.bytes
        if self.kind in ("all-gather", "all-to-all"):
            return others / devices * self.bytes
        return self.bytes


def collectives(compiled: str) -> list[Collective]:
    """Returns the collectives in the text of a compiled program, by kind and type.

    Args:
      compiled: `jax.stages.Compiled.as_text()`. What stands in a loop counts once.
    """
    found: dict[tuple[str, str], list[int]] = {}
    for match in _COLLECTIVE.finditer(compiled):
        arrays = list(_arrays(match["result"]))
        if match["start"] and match["kind"] in ("all-gather", "collective-permute"):
            # The result of its start names the operands, then the results, then counters.
            arrays = [array for array in arrays if array[0] != "u32"]
            arrays = arrays[len(arrays) // 2 :]
        for dtype in dict.fromkeys(dtype for dtype, _ in arrays):
            total = found.setdefault((match["kind"], dtype), [0, 0])
            total[0] += 1
            total[1] += sum(size for other, size in arrays if other == dtype)
    return [Collective(*key, *total) for key, total in sorted(found.items())]


def copies(compiled: str) -> tuple[int, int]:
    """Returns the number of copies of arrays in a compiled program, and their bytes."""
    sizes = [
        sum(size for _, size in _arrays(match["result"])) for match in _COPY.finditer(compiled)
    ]
    return len(sizes), sum(sizes)


def operations(lowered: str) -> dict[str, int]:
    """Returns how often each operation stands in the text of a lowered program, in StableHLO.

    A function that is called several times counts once.
    """
    found: dict[str, int] = {}
    for name in _STABLEHLO.findall(lowered):
        found[name] = found.get(name, 0) + 1
    return found


def _arrays(result: str) -> Iterator[tuple[str, int]]:
    """Yields (type, bytes) of each array of an HLO type, which may be a tuple."""
    for match in _ARRAY.finditer(result):
        elements = 1
        for size in filter(None, match["sizes"].split(",")):
            elements *= int(size)
        name = match[1]
        bits = _BITS.get(name) if name in _BITS else 16 if name == "bf16" else int(match["bits"])
        assert bits is not None
        yield name, elements * bits // 8
