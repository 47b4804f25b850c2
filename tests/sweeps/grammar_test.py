"""A declared sweep becomes trials, and every mistake in it is refused."""

import re

import numpy as np
import pytest

from cyclegan_jax import InputError
from cyclegan_jax.sweeps import results, runner
from cyclegan_jax.sweeps.grammar import cross, draws, expand, log_uniform, product, zipped

WEIGHT, RATIO = "loss.cycle_weight", "loss.identity_ratio"


def test_product_is_every_combination_with_the_last_key_fastest():
    assert product({"a": (1, 2), "b": ("x", "y")}) == [
        {"a": 1, "b": "x"},
        {"a": 1, "b": "y"},
        {"a": 2, "b": "x"},
        {"a": 2, "b": "y"},
    ]


def test_zipped_pairs_values_in_order():
    assert zipped({"a": (1, 2), "b": (3, 4)}) == [{"a": 1, "b": 3}, {"a": 2, "b": 4}]
    with pytest.raises(InputError, match=r"equally many values for each key, not a: 2, b: 1"):
        zipped({"a": (1, 2), "b": (3,)})


def test_cross_merges_every_pair_and_a_later_key_wins():
    assert cross([{"a": 1}, {"a": 2}], [{"b": 3}]) == [{"a": 1, "b": 3}, {"a": 2, "b": 3}]
    assert cross([{"a": 1}], [{"a": 5}]) == [{"a": 5}]


def test_draws_are_reproducible_and_log_uniform():
    values = {WEIGHT: log_uniform(1, 100), RATIO: (0.0, 0.5)}
    trials = draws(400, 3, values)
    assert trials == draws(400, 3, values)
    assert trials != draws(400, 4, values)
    logs = np.log10([trial[WEIGHT] for trial in trials])
    assert -0.01 <= logs.min() < 0.1
    assert 1.9 < logs.max() <= 2.01
    assert np.mean(logs < 1) == pytest.approx(0.5, abs=0.1)
    assert {trial[RATIO] for trial in trials} == {0.0, 0.5}


@pytest.mark.parametrize("values", [(), 5, "bce"])
def test_draws_need_a_range_or_values(values):
    with pytest.raises(InputError, match=r"'loss\.adversarial' has"):
        draws(3, 0, {"loss.adversarial": values})


def test_log_uniform_needs_positive_bounds():
    with pytest.raises(InputError, match="needs 0 < low < high"):
        log_uniform(0, 1)


def test_a_dict_is_a_product_and_integers_become_the_configs_type(tiny):
    sweep = expand(tiny, {WEIGHT: (5, 10), "seed": (0, 1)})
    assert [c.loss.cycle_weight for c in sweep.configs] == [5.0, 5.0, 10.0, 10.0]
    assert [c.seed for c in sweep.configs] == [0, 1, 0, 1]
    assert isinstance(sweep.configs[0].loss.cycle_weight, float)
    assert tiny.loss.cycle_weight == 15


def test_a_list_of_trials_may_set_different_keys(tiny):
    sweep = expand(tiny, [{WEIGHT: 5.0}, {RATIO: 0.5}, {}])
    assert [(c.loss.cycle_weight, c.loss.identity_ratio) for c in sweep.configs] == [
        (5.0, 0.25),
        (15.0, 0.5),
        (15.0, 0.25),
    ]
    assert sweep.swept_keys == [WEIGHT, RATIO]


def test_keys_are_those_that_change(tiny):
    assert expand(tiny, {RATIO: (0.5,), WEIGHT: (1.0, 2.0)}).swept_keys == [WEIGHT]


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"loss.cycle_wieght": (5,)}, "no key 'loss.cycle_wieght'; did you mean"),
        ({WEIGHT: ()}, "no trial: every key needs at least one value"),
        ([], "no trial"),
        ({WEIGHT: 5}, "'loss.cycle_weight' has 5; give a tuple of values"),
        ({"loss.adversarial": "bce"}, "give a tuple of values"),
        ({WEIGHT: (5, 5.0)}, "trials 0 and 1 of sweep() are equal"),
        ({WEIGHT: (5, -1)}, r"trial 1 of sweep\(\) .*cycle_weight = -1.*at least 0"),
        ({WEIGHT: ("five",)}, "trial 0 of sweep"),
        ({"image_size": (17,)}, "image_size = 17"),
        ("weights", "sweep() returned str"),
        (None, "sweep() returned NoneType"),
        ([5], "return a dict of keys and their values"),
    ],
)
def test_bad_sweeps_are_refused(tiny, declared, words):
    with pytest.raises(InputError, match=words if "\\" in words else re.escape(words)):
        expand(tiny, declared)


def test_overrides_make_the_base_the_trial(tiny):
    declared = {RATIO: (0.5,), WEIGHT: (1.0, 2.0), "seed": (0, 1), "steps": (6,)}
    sweep = expand(tiny, declared)
    assert sweep.overrides(3) == {RATIO: 0.5, WEIGHT: 2.0, "steps": 6}
    config = tiny.copy_and_resolve_references()
    config.update_from_flattened_dict(sweep.overrides(3) | {"seed": 1})
    assert config == sweep.configs[3].copy_and_resolve_references().unlock()
    assert expand(tiny, {"seed": (3,)}).overrides(0) == {"seed": 3}


def test_a_trial_is_named_by_what_it_sets(tiny, tmp_path):
    sweep = expand(tiny, [{"seed": 0}, {WEIGHT: 2.0, "seed": 0}, {RATIO: 0.5, "seed": 1}])
    assert runner.listing(sweep).splitlines()[1:] == [
        "  0: seed=0",
        f"  1: seed=0, {WEIGHT}=2.0",
        f"  2: seed=1, {RATIO}=0.5",
    ]
    settings = results.ranked_settings(results.read_results(sweep, tmp_path), "ssim")
    assert [s.name for s in settings] == [
        "the config as it is",
        f"{WEIGHT} = 2.0",
        f"{RATIO} = 0.5",
    ]


def test_a_key_of_the_command_line_that_is_swept_is_refused(tiny):
    with pytest.raises(InputError, match=r"--config\.seed would change nothing"):
        expand(tiny, {"seed": (0, 1)}, overridden=["steps", "seed"])
