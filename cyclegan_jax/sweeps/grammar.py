"""How a config file declares its sweep, and what trials that makes.

A file in `configs/` may define `sweep()` beside `get_config()`. It returns a dict of dotted config
keys and the values each takes (their product is swept), or a list of trials, each a dict of keys
and single values, as the functions here make them:

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

Trial = dict[str, Any]  # dotted config keys and their values
Draw = Callable[[np.random.Generator], Any]


def product(values: Mapping[str, Sequence[Any]]) -> list[Trial]:
    """Every combination of the keys' values; the last key changes fastest."""
    return [
        dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*_listed(values))
    ]


def zipped(values: Mapping[str, Sequence[Any]]) -> list[Trial]:
    """The keys' first values, then their second ones, and so on; all have equally many."""
    columns = _listed(values)
    if len({len(column) for column in columns}) > 1:
        counts = ", ".join(f"{k}: {len(c)}" for k, c in zip(values, columns, strict=True))
        raise InputError(f"zipped() needs equally many values for each key, not {counts}")
    return [dict(zip(values, row, strict=True)) for row in zip(*columns, strict=True)]


def draws(count: int, seed: int, values: Mapping[str, Draw | Sequence[Any]]) -> list[Trial]:
    """`count` random trials; a key has a `log_uniform` range, or values to choose from."""
    rng = np.random.default_rng(seed)
    chosen = {key: value for key, value in values.items() if not callable(value)}
    for key, several in zip(chosen, _listed(chosen), strict=True):
        if not several:
            raise InputError(f"draws(): {key!r} has no value")

    def drawn(value: Draw | Sequence[Any]) -> Any:
        return value(rng) if callable(value) else value[int(rng.integers(len(value)))]

    return [{key: drawn(value) for key, value in values.items()} for _ in range(count)]


def log_uniform(low: float, high: float) -> Draw:
    """For `draws`: a number between `low` and `high` whose logarithm is uniform."""
    if not 0 < low < high < math.inf:
        raise InputError(f"log_uniform({low!r}, {high!r}) needs 0 < low < high")
    # three digits: as exact as anyone will type again
    return lambda rng: float(f"{np.exp(rng.uniform(math.log(low), math.log(high))):.3g}")


def cross(*lists: Sequence[Trial]) -> list[Trial]:
    """Every trial of the first list with every one of the next; a later one's keys win."""
    return [
        {key: value for trial in chosen for key, value in trial.items()}
        for chosen in itertools.product(*lists)
    ]


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A config and the trials that change it; `configs[i]` is that of `trials[i]`."""

    base: Config
    trials: list[Trial]
    configs: list[Config]

    @functools.cached_property
    def flat(self) -> list[dict[str, Any]]:
        """`config.flatten` of every trial's config."""
        return [config_lib.flatten(config) for config in self.configs]

    @functools.cached_property
    def keys(self) -> list[str]:
        """The keys that take more than one value, in the order of their declaration."""
        keys = dict.fromkeys(key for trial in self.trials for key in trial)
        return [key for key in keys if len({str(flat[key]) for flat in self.flat}) > 1]

    def overrides(self, trial: int) -> dict[str, Any]:
        """What makes the base config this trial's, without a swept seed."""
        base = config_lib.flatten(self.base)
        return {
            key: value
            for key, value in self.flat[trial].items()
            if value != base[key] and not (key == SEED and SEED in self.keys)
        }

    def given(self, trial: int) -> list[str]:
        """Those of `keys` that a trial sets; the others have the base config's value."""
        return [key for key in self.keys if key in self.trials[trial]]

    @property
    def indices(self) -> range:
        """Numbers of the trials."""
        return range(len(self.trials))

    def value(self, trial: int, key: str) -> Any:
        """What `key` is in a trial, whether it changes it or not."""
        return self.flat[trial][key]


def expand(base: Config, declared: Any, overridden: Sequence[str] = ()) -> Sweep:
    """The trials of what a `sweep()` returned, each checked.

    Args:
      base: the config that every trial changes.
      declared: a dict of keys and values (see `product`), or a list of trials.
      overridden: keys of `base` that were set on the command line.

    Raises:
      InputError: nothing to sweep, an unknown key, a value that a config cannot have, two trials
        that are the same, or a key set on the command line that the trials set too.
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
                    f"--config.{key} would change nothing: sweep() sets it too; "
                    "leave it out, or change sweep()"
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
            raise InputError(f"trials {earlier} and {index} of sweep() are equal")
        configs.append(config.lock())
    return Sweep(base, [dict(trial) for trial in trials], configs)


def _listed(values: Mapping[str, Sequence[Any]]) -> list[list[Any]]:
    for key, several in values.items():
        if isinstance(several, str) or not isinstance(several, Sequence):
            raise InputError(f"sweep(): {key!r} has {several!r}; give a tuple of values, as (1, 2)")
    return [list(several) for several in values.values()]
