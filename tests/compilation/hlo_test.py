"""What is read from the text of programs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cyclegan_jax.compilation import hlo
from cyclegan_jax.compilation.hlo import Collective

# Lines as XLA prints them for GPUs and TPUs, shortened.
TEXT = """
  %all-reduce-start.2 = f32[4195328]{0} all-reduce-start(%wrapped_concatenate.2), channel_id=1
  %all-reduce-done.2 = f32[4195328]{0} all-reduce-done(%all-reduce-start.2)
  %ar = (f32[10]{0:T(128)}, bf16[3,3,1,64]{3,2,1,0:T(4,128)(2,1)S(1)}, f32[]) all-reduce(%a, %b, %c)
  %all-to-all.4 = bf16[8,2,1024]{2,1,0:T(2,128)(2,1)S(1)} all-to-all(%reshape.1499), channel_id=49
  %collective-permute-start.5 = (f32[4,8]{1,0}, f32[4,8]{1,0}, u32[]{:S(2)}, u32[]{:S(2)}) \
collective-permute-start(%get-tuple-element.1896), channel_id=52
  %all-gather-start = (f32[2,8]{1,0}, f32[16,8]{1,0}) all-gather-start(%p), dimensions={0}
  %copy.1 = f32[3,3,512,1024]{3,2,1,0} copy(%p.1), metadata={op_name="x"}
  %copy.2 = s32[] copy(%p.2)
  %copy-start.1 = (f32[8]{0}, f32[8]{0:S(1)}, u32[]) copy-start(%p.3)
  %f = f32[8]{0} fusion(%all-reduce-done.2), calls=%all-reduce.fused
"""


def test_collectives_are_counted_by_kind_and_type():
    assert hlo.collectives(TEXT) == [
        Collective("all-gather", "f32", 1, 4 * 16 * 8),
        Collective("all-reduce", "bf16", 1, 2 * 3 * 3 * 64),
        Collective("all-reduce", "f32", 2, 4 * (4195328 + 10 + 1)),
        Collective("all-to-all", "bf16", 1, 2 * 8 * 2 * 1024),
        Collective("collective-permute", "f32", 1, 4 * 4 * 8),
    ]


def test_copies_are_counted():
    assert hlo.copies(TEXT) == (2, 4 * 3 * 3 * 512 * 1024 + 4)


@pytest.mark.parametrize(
    ("kind", "factor"),
    [
        ("all-reduce", 2 * 7 / 8),
        ("all-gather", 7 / 8),
        ("all-to-all", 7 / 8),
        ("reduce-scatter", 7),
        ("collective-permute", 1),
    ],
)
def test_what_a_device_sends(kind, factor):
    assert Collective(kind, "f32", 1, 800).sent(8) == pytest.approx(800 * factor)


def test_one_device_sends_nothing():
    assert Collective("all-reduce", "f32", 1, 800).sent(1) == 0


def test_a_compiled_program_is_read():
    mesh = Mesh(np.array(jax.devices()), ("data",))
    split = NamedSharding(mesh, PartitionSpec("data"))
    both = jax.jit(lambda a: (a.sum(0), a + 1), in_shardings=split)
    compiled = both.lower(jax.ShapeDtypeStruct((16, 24), "float32")).compile()
    assert hlo.collectives(compiled.as_text()) == [Collective("all-reduce", "f32", 1, 4 * 24)]


def test_operations_of_a_lowered_program_are_counted():
    def function(a, index):
        return jax.nn.relu(a @ a)[index]

    lowered = jax.jit(function).lower(jnp.ones((4, 4)), jnp.array([1, 2]))
    found = hlo.operations(lowered.as_text())
    assert (found["dot_general"], found["gather"]) == (1, 1)
    assert "convolution" not in found
