"""Names of domains and directions."""

import pytest

from cyclegan_jax.domains import BASELINES, DIRECTIONS, Direction, label


@pytest.mark.parametrize(
    ("direction", "source", "target", "generator", "baseline", "cycle"),
    [
        ("t1_to_t2", "x", "y", "generator_g", "t1_as_t2", "t1_to_t2_to_t1"),
        ("t2_to_t1", "y", "x", "generator_f", "t2_as_t1", "t2_to_t1_to_t2"),
    ],
)
def test_a_direction_knows_its_ends_and_its_network(
    direction, source, target, generator, baseline, cycle
):
    d = Direction(direction)
    assert (d.source, d.target, d.generator) == (source, target, generator)
    assert (d.baseline, d.cycle) == (baseline, cycle)
    assert d.back.back is d
    assert d.back.source == target


def test_labels():
    names = [*DIRECTIONS, *BASELINES, *(d.cycle for d in DIRECTIONS), "untranslated"]
    assert [label(name) for name in names] == [
        *("T1→T2", "T2→T1", "T1 as T2", "T2 as T1", "T1→T2→T1", "T2→T1→T2", "untranslated")
    ]
