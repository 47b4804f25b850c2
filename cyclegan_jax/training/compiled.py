"""What a run compiles. Runs with one `config.compilation_key` share it: a sweep compiles once."""

import functools
from collections.abc import Sequence
from typing import Any

import jax

from cyclegan_jax import config as config_lib
from cyclegan_jax.config import Config
from cyclegan_jax.inference import CompiledGenerators
from cyclegan_jax.parallel.data_parallel import Parallel, TrainStep
from cyclegan_jax.parallel.trials import Trials
from cyclegan_jax.state import build_recipe


class Programs:
    """The compiled initialisation, training step, samples and translation of a config."""

    def __init__(self, config: Config, devices: Sequence[Any] | None = None):
        """Compiles nothing yet.

        Args:
          config: is validated here.
          devices: to train on; default: all devices of all processes.

        Raises:
          InputError: the config is bad, or the devices cannot share a batch evenly.
        """
        config_lib.validate(config)
        self.parallel = Parallel(config.parallel, devices, config.matmul_precision)
        self._precision = config.matmul_precision
        self.parallel.check_batch_size(config.batch_size, config.microbatches)
        self.recipe = build_recipe(config)
        self.create_state = self.parallel.compile_create_state(config, self.recipe)
        self.train_step = self.parallel.compile_train_step(
            self.recipe, config_lib.compilation_key(config)
        )
        self.sample_step = self.parallel.compile_sample_step(self.recipe)
        self.compiled_generators = CompiledGenerators(
            self.recipe.modules, self.parallel, config.average_mirrored
        )

    @functools.cache  # noqa: B019 - lives as long as the process
    def parallel_trials(self, count: int) -> tuple[Trials, TrainStep]:
        """Returns the devices and the step of `count` trials, one on each of the first devices."""
        trials = Trials(jax.local_devices()[:count], self._precision)
        return trials, trials.compile_train_step(self.recipe)
