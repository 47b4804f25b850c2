"""What no option may change of the program that an accelerator gets. It needs no accelerator.

On GPU and TPU every convolution is native: none is a product of patches, which is for CPUs. Between
devices only the gradients and the metrics are summed, in float32, each once.
"""

import jax
import pytest

from cyclegan_jax import config as config_lib
from cyclegan_jax.compilation import hlo, program
from cyclegan_jax.ops import augmentation
from cyclegan_jax.parallel.data_parallel import Parallel
from cyclegan_jax.state import build_recipe

# Values, other than the default, of every option that changes the step.
VALUES = {
    "parallel": ("pmap", "jit"),
    "dtype": ("bfloat16",),
    "matmul_precision": ("high", "highest"),
    "batch_size": (16,),
    "remat": (True,),
    "microbatches": (2,),
    "steps_per_call": (2,),
    "augment_on_device": (True,),
    "image_size": (32,),
    "generator.type": tuple(config_lib.GENERATORS),
    "generator.features": ((4, 8, 8),),
    "generator.head": (4,),
    "generator.kernel_size": (1, 4, 5),
    "generator.upsampling": ("resize", "pixel_shuffle"),
    "generator.norm": ("none",),
    "discriminator.features": ((8, 8),),
    "discriminator.strides": ((2, 1),),
    "discriminator.kernel_size": (3,),
    "discriminator.norm": ("none",),
    "loss.adversarial": ("lsgan",),
    "loss.structure_weight": (1.0,),
    "loss.start_weight": (1.0,),
    "loss.identity_ratio": (0.0,),
    "optimizer.decay_from": (0.0, 1.0),
    "history_size": (4, 10),
    "ema_decay": (0.9,),
    "on_nonfinite": ("skip",),
}
# The others are arguments of the step or lie outside of it.
ELSEWHERE = {
    "seed",
    "steps",
    "average_mirrored",
    "loss.cycle_weight",
    "loss.start_steps",
    "optimizer.generator_learning_rate",
    "optimizer.discriminator_learning_rate",
    "optimizer.b1",
    "optimizer.b2",
    "log_every",
    "sample_every",
    "eval_every",
    "save_every",
    "keep",
}
CASES = [(key, value) for key, values in VALUES.items() for value in values]

PRODUCTS = {"dot_general", "dot", "gather", "dynamic_gather", "custom_call"}
ALLOWED = {
    "loss.start_weight": {"gather"},  # of quantiles, in which each pixel is looked up
    "augment_on_device": {"dot_general"},  # with the matrices that shift and mirror images
}

# The most all-reduces of a step between eight devices, and how many times the bytes of the
# parameters they may have: the metrics are a little more.
COUNT, TIMES = 4, 1.01
EVERYTHING = {
    "dtype": "bfloat16",
    "generator.head": 4,
    "loss.adversarial": "lsgan",
    "loss.structure_weight": 1.0,
    "loss.start_weight": 1.0,
    "ema_decay": 0.9,
    "on_nonfinite": "skip",
    "remat": True,
    "microbatches": 2,
    "batch_size": 16,
    "augment_on_device": True,
}


def test_every_option_is_looked_at():
    options = config_lib.flatten(config_lib.base_config())
    assert VALUES.keys().isdisjoint(ELSEWHERE)
    in_data = {key for key in options if key.startswith("data.")}
    assert options.keys() == VALUES.keys() | ELSEWHERE | in_data


def lowered_for(config, *platforms):
    parallel = Parallel("jit", jax.devices()[:1], config.matmul_precision)
    with config.unlocked():
        config.parallel = "jit"
    step = parallel.compile_train_step(build_recipe(config))
    traced = step._function.trace(*program.abstract_arguments(config, parallel))
    texts = (traced.lower(lowering_platforms=(platform,)).as_text() for platform in platforms)
    return [hlo.operations(text) for text in texts]


@pytest.mark.parametrize(("key", "value"), CASES, ids=str)
def test_convolutions_are_native_on_accelerators(tiny, key, value):
    tiny.update_from_flattened_dict({key: value})
    config_lib.validate(tiny)
    for found in lowered_for(tiny, "tpu", "cuda"):
        # each generator and each discriminator has two down-samplings and what follows
        assert found["convolution"] >= 20
        assert (PRODUCTS - ALLOWED.get(key, set())).isdisjoint(found)
        shifts = augmentation.PRODUCTS if key == "augment_on_device" else 0
        assert found.get("dot_general", 0) == shifts


def test_on_a_cpu_they_are_products_of_patches(tiny):
    (found,) = lowered_for(tiny, "cpu")
    assert found["dot_general"] > 10  # so the test above would see them


@pytest.mark.parametrize(
    "changed", [{}, EVERYTHING, {"history_size": 10}, {"steps_per_call": 2}], ids=str
)
@pytest.mark.parametrize("mode", ["pmap", "jit"])
def test_only_gradients_are_sent_between_devices(tiny, mode, changed):
    tiny.update_from_flattened_dict(changed | {"parallel": mode})
    config_lib.validate(tiny)
    parallel = Parallel(mode, jax.devices())
    step = parallel.compile_train_step(build_recipe(tiny))
    lowered = step.lower(*program.abstract_arguments(tiny, parallel))
    # what is sent does not depend on how fast the code is
    compiled = lowered.compile(compiler_options={"xla_backend_optimization_level": 0})
    found = hlo.collectives(compiled.as_text())
    if tiny.history_size:  # every device offers all generated images
        gathered = [part for part in found if part.kind == "all-gather"]
        images = 2 * 4 * tiny.batch_size * tiny.image_size**2
        assert [(part.dtype, part.count, part.bytes) for part in gathered] == [("f32", 2, images)]
        found = [part for part in found if part.kind != "all-gather"]
    assert [(part.kind, part.dtype) for part in found] == [("all-reduce", "f32")]
    assert found[0].count <= COUNT
    parameters = program.parameter_bytes(tiny)
    assert parameters <= found[0].bytes <= TIMES * parameters
