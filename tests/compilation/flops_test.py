"""The count of operations."""

import jax
import jax.numpy as jnp
import pytest

from cyclegan_jax import benchmark
from cyclegan_jax.compilation import flops, program
from cyclegan_jax.ops.convolution import conv, conv_transpose


def array(*shape):
    return jax.ShapeDtypeStruct(shape, "float32")


def test_a_product_has_two_operations_for_each_pair():
    assert flops.count(jnp.matmul, array(3, 5), array(5, 7)) == 2 * 3 * 5 * 7


def test_a_convolution_counts_no_padding():
    # of 4 x 4 pixels with 3 taps on an axis, the two outer ones have one tap outside
    pairs = 4 * 3 - 2
    counted = flops.count(lambda x, k: conv(x, k, 1), array(2, 4, 4, 5), array(3, 3, 5, 7))
    assert counted == 2 * 2 * 5 * 7 * pairs**2


@pytest.mark.parametrize("stride", [1, 2])
def test_each_gradient_of_a_convolution_costs_as_much_as_itself(stride):
    x, kernel = array(2, 8, 8, 3), array(3, 3, 3, 5)
    forward = flops.count(lambda x, k: conv(x, k, stride), x, kernel)

    def loss(x, kernel):
        return jnp.square(conv(x, kernel, stride)).sum()

    assert flops.count(jax.value_and_grad(loss, (0, 1)), x, kernel) == 3 * forward


def test_a_gradient_that_nobody_uses_is_not_counted():
    x, kernel = array(2, 8, 8, 3), array(3, 3, 3, 5)
    forward = flops.count(lambda x, k: conv(x, k, 1), x, kernel)

    def loss(x, kernel):
        return jnp.square(conv(x, kernel, 1)).sum()

    assert flops.count(jax.grad(loss), x, kernel) == 2 * forward
    assert flops.count(lambda x, k: (conv(x, k, 1), x)[1], x, kernel) == 0


def test_a_transposed_convolution_counts_no_holes():
    x, kernel = array(2, 4, 4, 5), array(3, 3, 7, 5)
    forward = flops.count(lambda y, k: conv(y, k, 2), array(2, 8, 8, 7), kernel)
    assert flops.count(lambda x, k: conv_transpose(x, k, 2), x, kernel) == forward


def test_a_loop_counts_every_turn_and_recomputation_counts():
    def layers(x, kernels):
        return jax.lax.scan(lambda x, k: (jnp.tanh(x @ k), None), x, kernels)[0]

    assert flops.count(layers, array(3, 5), array(4, 5, 5)) == 4 * 2 * 3 * 5 * 5

    def loss(x, k):
        return jnp.square(jnp.tanh(jnp.tanh(x @ k) @ k)).sum()

    kernel, forward = array(5, 5), 2 * 2 * 3 * 5 * 5
    plain = jax.value_and_grad(loss, (0, 1))
    assert flops.count(plain, array(3, 5), kernel) == 3 * forward
    again = jax.value_and_grad(jax.checkpoint(loss), (0, 1))
    assert flops.count(again, array(3, 5), kernel) == 4 * forward


def test_a_step_agrees_with_the_count_by_hand():
    config = benchmark.reference_config(32, 2, 4, "float32", "jit")
    # the count by hand has the padding of every layer, which is much on small maps
    ratio = program.step_operations(config, 1) / benchmark.step_flops(config)
    assert 0.7 < ratio < 1
    config = benchmark.reference_config(32, 4, 4, "float32", "jit")
    assert program.step_operations(config, 2) == pytest.approx(
        ratio * benchmark.step_flops(config) / 2
    )
