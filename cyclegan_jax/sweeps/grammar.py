"""Turns the sweep that a config file declares into trials, and checks them.

A file in `configs/` may define `sweep()` beside `get_config()`. It returns one of two things:
- a dict of dotted config keys and the values that each takes. Every combination is a trial.
- a list of trials. A trial is a dict of keys and single values. The functions here make such lists:

    def sweep():
        return {"loss.cycle_weight": (5, 10, 15), "seed": (0, 1, 2)}       # 9 trials

    def sweep():
        rates = zipped({
            "optimizer.generator_learning_rate": (1e-4, 2e-4),
            "optimizer.discriminator_learning_rate": (1e-4, 4e-4),
        })
        weights = draws(8, seed=0, values={"loss.cycle_weight": log_uniform(1, 30)})
        return cross(rates, weights) + product({"loss.adversarial": ("bce", "lsgan")})
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from cyclegan_jax import InputError
from cyclegan_jax import config as config_lib
from cyclegan_jax.config import Config

SEED = "seed"

Trial = dict[str, Any]  # {dotted config key: value}
Draw = Callable[[np.random.Generator], Any]


def product(values: Mapping[str, Sequence[Any]]) -> list[Trial]:
    """Returns a trial for every combination of the values; the last key changes fastest."""
    return [
        dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*_listed(values))
    ]


def zipped(values: Mapping[str, Sequence[Any]]) -> list[Trial]:
    """Returns a trial of the first values of all keys, one of the second values, and so on.

    Raises:
      InputError: the keys have different numbers of values.
    """
    columns = _listed(values)
    if len({len(column) for column in columns}) > 1:
        counts = ", ".join(f"{k}: {len(c)}" for k, c in zip(values, columns, strict=True))
        raise InputError(f"zipped() needs equally many values for each key, not {counts}")
    return [dict(zip(values, row, strict=True)) for row in zip(*columns, strict=True)]


def draws(count: int, seed: int, values: Mapping[str, Draw | Sequence[Any]]) -> list[Trial]:
    """Returns random trials.

    Args:
      count: the number of trials.
      seed: chooses the numbers; the same seed gives the same trials.
      values: for each key a `log_uniform` range, or the values to choose from.

    Raises:
      InputError: a key has no value.
    """
    rng = np.random.default_rng(seed)
    chosen = {key: value for key, value in values.items() if not callable(value)}
    for key, several in zip(chosen, _listed(chosen), strict=True):
        if not several:
            raise InputError(f"draws(): {key!r} has no value; give at least one")

    def drawn(value: Draw | Sequence[Any]) -> Any:
        return value(rng) if callable(value) else value[int(rng.integers(len(value)))]

    return [{key: drawn(value) for key, value in values.items()} for _ in range(count)]


def log_uniform(low: float, high: float) -> Draw:
    """Returns a range for `draws`: numbers between `low` and `high` whose logarithm is uniform.

    The numbers have three digits.

    Raises:
      InputError: the bounds are not 0 < low < high.
    """
    if not 0 < low < high < math.inf:
        raise InputError(f"log_uniform({low!r}, {high!r}) needs 0 < low < high")
    # people type these numbers again
    return lambda rng: float(f"{np.exp(rng.uniform(math.log(low), math.log(high))):.3g}")


def cross(*lists: Sequence[Trial]) -> list[Trial]:
    """Returns every trial of the first list joined with every trial of the next lists.

    If two of them set the same key, the value of the later list counts.
    """
    return [
        {key: value for trial in chosen for key, value in trial.items()}
        for chosen in itertools.product(*lists)
    ]


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A config and the trials that change it.

    Attributes:
      base: the config that every trial changes.
      trials: the keys that each trial sets, and their values.
      configs: the whole config of each trial, in the order of `trials`.
    """

    base: Config
    trials: list[Trial]
    configs: list[Config]

    @functools.cached_property
    def flat_configs(self) -> list[dict[str, Any]]:
        """The config of each trial as `{dotted key: value}`."""
        return [config_lib.flatten(config) for config in self.configs]

    @functools.cached_property
    def swept_keys(self) -> list[str]:
        """The keys that have more than one value in the sweep, in the order of declaration."""
        keys = dict.fromkeys(key for trial in self.trials for key in trial)
        return [key for key in keys if len({str(flat[key]) for flat in self.flat_configs}) > 1]

    def overrides(self, trial: int) -> dict[str, Any]:
        """Returns what a trial changes in the base config, without a swept seed."""
        base = config_lib.flatten(self.base)
        return {
            key: value
            for key, value in self.flat_configs[trial].items()
            if value != base[key] and not (key == SEED and SEED in self.swept_keys)
        }

    def given(self, trial: int) -> list[str]:
        """Returns the swept keys that a trial sets; the others keep the base config's value."""
        return [key for key in self.swept_keys if key in self.trials[trial]]

    @property
    def indices(self) -> range:
        """The numbers of the trials."""
        return range(len(self.trials))

    def value(self, trial: int, key: str) -> Any:
        """Returns the value of `key` in a trial, also if the trial does not set it."""
        return self.flat_configs[trial][key]


def expand(base: Config, declared: Any, overridden: Sequence[str] = ()) -> Sweep:
    """Makes the trials that a `sweep()` declares, and checks each of them.

    Args:
      base: the config that every trial changes.
      declared: what `sweep()` returned: a dict (see `product`) or a list of trials.
      overridden: keys of `base` that were set on the command line.

    Raises:
      InputError: there is no trial, a key is unknown, a config cannot have a value, two trials are
        equal, or a trial sets a key that the command line sets, too.
    """
    trials = product(declared) if isinstance(declared, Mapping) else declared
    if not isinstance(trials, Sequence) or not all(isinstance(t, Mapping) for t in trials):
        raise InputError(
            f"sweep() returned {type(declared).__name__}: return a dict of keys and their values, "
            "or a list of trials (dicts of keys and single values)"
        )
    if not trials:
        raise InputError("sweep() has no trial: every key needs at least one value")
    configs: list[Config] = []
    seen: dict[str, int] = {}
    for index, trial in enumerate(trials):
        where = f"trial {index} of sweep()"
        for key in trial:
            if key in overridden:
                raise InputError(
                    f"--config.{key} would change nothing, since sweep() sets {key}, too; "
                    "leave the flag out, or change sweep()"
                )
        config = base.copy_and_resolve_references()
        try:
            config_lib.check_known(trial)
            with config.unlocked():
                config.update_from_flattened_dict(trial)
            config_lib.validate(config)
        except (InputError, TypeError) as error:
            raise InputError(f"{where} {trial}: {error}") from error
        earlier = seen.setdefault(config_lib.to_json(config), index)
        if earlier != index:
            raise InputError(f"trials {earlier} and {index} of sweep() are equal; remove one")
        configs.append(config.lock())
    return Sweep(base, [dict(trial) for trial in trials], configs)


def _listed(values: Mapping[str, Sequence[Any]]) -> list[list[Any]]:
    for key, several in values.items():
        if isinstance(several, str) or not isinstance(several, Sequence):
            raise InputError(
                f"sweep(): {key!r} has {several!r}; give a tuple of values, such as (1, 2)"
            )
    return [list(several) for several in values.values()]
