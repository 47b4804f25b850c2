"""Validation names the key and the mend; JSON round trip; what may change on resume."""

import json

import pytest

from cyclegan_jax import InputError
from cyclegan_jax import config as config_lib


def test_base_config_is_valid_and_survives_json():
    config = config_lib.base_config()
    config_lib.validate(config)
    again = config_lib.from_json(config_lib.to_json(config))
    assert config_lib.flatten(again) == config_lib.flatten(config)
    assert isinstance(again.generator.features, tuple)
    assert again.is_locked


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("steps", 0, "at least 1"),
        ("parallel", "sharded", "'pmap', 'jit'"),
        ("image_size", 100, "multiple of 128.*128"),
        ("image_size", 200, "128 or 256"),
        ("generator.features", (), "1 to 30 positive widths"),
        ("discriminator.strides", (2, 2), "1 or 2 for each"),
        ("discriminator.strides", (2, 2, 2, 2, 2, 3), "1 or 2 for each"),
        ("loss.adversarial", "wgan", "'bce', 'lsgan'"),
        ("loss.cycle_weight", -1.0, "at least 0"),
        ("generator.head", 3, "at least 4"),
        ("ema_decay", 1.0, r"in \[0, 1\)"),
        ("optimizer.decay_from", 1.5, "no decay"),
        ("data.views", 2, "1, 4"),
        ("dtype", "float16", "'bfloat16'"),
        ("microbatches", 0, "at least 1"),
        ("microbatches", 5, "a divisor of batch_size = 32"),
        ("steps_per_call", 0, "at least 1"),
    ],
)
def test_bad_value_is_refused_with_key_value_and_mend(key, value, words):
    config = config_lib.base_config()
    config.update_from_flattened_dict({key: value})
    with pytest.raises(InputError, match=rf"config\.{key} = .*{words}"):
        config_lib.validate(config)


def test_four_views_need_a_change_of_contrast():
    config = config_lib.base_config()
    config.data.views = 4
    with pytest.raises(InputError, match=r"data\.views = 4: must be 1 if data\.contrast is 0"):
        config_lib.validate(config)
    assert config_lib.from_json(config_lib.to_json(config)).data.views == 4  # of an old run
    config.data.contrast = 0.1
    config_lib.validate(config)


def test_mirrored_translations_need_mirrored_training():
    config = config_lib.base_config()
    config.average_mirrored = True
    config_lib.validate(config)
    config.data.flip = False
    with pytest.raises(InputError, match=r"average_mirrored = True: must be False if data\.flip"):
        config_lib.validate(config)


def test_batch_must_hold_whole_sets_of_views():
    config = config_lib.base_config()
    config.data.views, config.batch_size, config.data.contrast = 4, 6, 0.2
    with pytest.raises(InputError, match=r"batch_size = 6.*data\.views = 4"):
        config_lib.validate(config)


@pytest.mark.parametrize("key", ["steps", "log_every", "sample_every", "eval_every", "save_every"])
def test_work_is_due_between_calls_of_the_training_step(key):
    config = config_lib.base_config()
    config.steps_per_call = 10
    config_lib.validate(config)
    config[key] = 104
    words = rf"config\.{key} = 104: must be a multiple of config\.steps_per_call = 10.* 100 or 110"
    with pytest.raises(InputError, match=words):
        config_lib.validate(config)


def test_unknown_key_gets_a_suggestion():
    config = config_lib.base_config()
    config.loss.cycle_wieght = 3.0
    with pytest.raises(InputError, match=r"'loss\.cycle_wieght'.*'loss\.cycle_weight'"):
        config_lib.validate(config)


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("lr", "'optimizer.discriminator_learning_rate' or 'optimizer.generator_learning_rate'"),
        ("loss.lr", "optimizer.generator_learning_rate"),
        ("learning_rate", "optimizer.generator_learning_rate"),
        ("bs", "batch_size"),
        ("train.batch", "batch_size"),
        ("epochs", "steps"),
        ("lambda", "loss.cycle_weight"),
        ("cycle_weight", "loss.cycle_weight"),
        ("workers", "data.workers"),
        ("features", "'discriminator.features' or 'generator.features'"),
        ("optimiser.b1", "optimizer.b1"),
        ("setps", "steps"),
    ],
)
def test_names_of_other_programs_and_last_parts_are_recognised(key, meant):
    with pytest.raises(InputError, match=f"did you mean .*{meant}"):
        config_lib.check_known([key])


def test_every_other_name_stands_for_an_option():
    keys = config_lib.flatten(config_lib.base_config())
    for name in config_lib._KNOWN_AS.values():
        assert any(key.endswith(name) for key in keys), name


def test_saved_config_of_another_version_names_the_key():
    text = config_lib.to_json(config_lib.base_config())
    with pytest.raises(InputError, match=r"no key 'stepz'.*'steps'"):
        config_lib.from_json(text.replace('"steps"', '"stepz"'))
    with pytest.raises(InputError, match="cannot be read"):
        config_lib.from_json(text[:-20])


def test_identity_weight_is_relative_to_lambda():
    config = config_lib.base_config()
    assert config_lib.loss_weights(config)["identity"] == 0.25 * 15
    config.loss.cycle_weight = 10.0
    assert config_lib.loss_weights(config)["identity"] == 2.5


def test_a_weight_of_0_computes_no_term_but_the_cycle():
    config = config_lib.base_config()
    assert config_lib.computed_terms(config) == ("cycle", "identity")
    config.loss.cycle_weight = 0.0  # and with it the identity weight
    assert config_lib.computed_terms(config) == ("cycle",)


def test_compilation_key_changes_with_the_program_alone():
    def key(**changes):
        config = config_lib.base_config()
        config.update_from_flattened_dict(changes)
        return config_lib.compilation_key(config)

    for free in (
        {"loss.cycle_weight": 3.0},
        {"loss.identity_ratio": 0.5},
        {"seed": 5},
        {"optimizer.generator_learning_rate": 1.0},
        {"data.shift": 3},
        {"log_every": 3},
    ):
        assert key(**free) == key()
    for compiled in ({"loss.identity_ratio": 0.0}, {"steps": 7}, {"loss.adversarial": "lsgan"}):
        assert key(**compiled) != key()
    # scaled images are sent in another type
    assert key(**{"data.fit": "resize"}) == key()
    on_device = {"augment_on_device": True}
    assert key(**on_device, **{"data.fit": "resize"}) != key(**on_device) != key()


def test_an_option_that_an_earlier_version_did_not_have_gets_what_it_did():
    old = config_lib.base_config().to_dict()
    del old["generator"]["type"], old["matmul_precision"]
    again = config_lib.from_json(json.dumps(old))
    assert again.generator.type == "unet"
    assert again.matmul_precision == "default"
    assert config_lib.differences(old, again) == []
    del old["steps"]
    with pytest.raises(InputError, match="lacks the key 'steps'"):
        config_lib.from_json(json.dumps(old))


def test_differences_show_old_and_new_but_not_what_may_change():
    old, new = config_lib.base_config(), config_lib.base_config()
    new.loss.cycle_weight, new.log_every, new.data.workers = 10.0, 7, 2
    new.parallel = "jit"
    assert config_lib.differences(old, new) == ["loss.cycle_weight: 15.0 -> 10.0"]


def test_what_a_run_may_be_resumed_with():
    keys = config_lib.flatten(config_lib.base_config()).keys()
    assert set(config_lib.FREE_ON_RESUME) <= keys
    assert {key for key in keys if config_lib.may_change(key)} == {
        *config_lib.FREE_ON_RESUME,
        "steps",
        "batch_size",
        "data.views",
        "data.flip",
        "data.contrast",
        "data.shift",
        "loss.structure_weight",
        "loss.start_weight",
        "loss.start_steps",
        "loss.cycle_weight",
        "loss.identity_ratio",
        "optimizer.generator_learning_rate",
        "optimizer.discriminator_learning_rate",
        "optimizer.decay_from",
    }
    old, new = config_lib.base_config(), config_lib.base_config()
    new.steps, new.loss.cycle_weight, new.keep, new.seed = 1, 1.0, 9, 5
    assert config_lib.refused_changes(old, new) == ["seed: 0 -> 5"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", "[" * 5000),
        ("seed", "9" * 5000),
        ("loss.cycle_weight", "1" + "0" * 400),
        ("generator.features", f"[{', '.join(['1'] * 15000)}]"),
        ("data.dir", "[]"),
    ],
)
def test_saved_values_beyond_python_are_refused(key, value):
    saved = config_lib.base_config().to_dict()
    *sections, last = key.split(".")
    section = saved
    for name in sections:
        section = section[name]
    section[last] = "MARK"
    with pytest.raises(InputError, match=rf"saved config cannot be read|{key} = "):
        config_lib.from_json(json.dumps(saved).replace('"MARK"', value))
