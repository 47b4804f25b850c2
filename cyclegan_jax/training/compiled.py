"""What a run compiles. Runs of one shape share it, so that a sweep compiles once."""

import functools
from collections.abc import Sequence
from typing import Any

import jax

from cyclegan_jax import config as config_lib
from cyclegan_jax.config import Config
from cyclegan_jax.evaluation.scoring import compile_translators
from cyclegan_jax.parallel.devices import Parallel, TrainStep, Trials
from cyclegan_jax.state import build_recipe


class Programs:
    """Initialisation, step, samples and translation of every config of one `config.shape`."""

    def __init__(self, config: Config, devices: Sequence[Any] | None = None):
        """Compiles nothing yet.

        Args:
          config: validated here.
          devices: to train on; default: all local ones.

        Raises:
          InputError: bad config, or a batch that the devices cannot share.
        """
        config_lib.validate(config)
        self.parallel = Parallel(config.parallel, devices)
        self.parallel.check_batch_size(config.batch_size)
        self.recipe = build_recipe(config)
        self.create_state = self.parallel.compile_create_state(config, self.recipe)
        self.train_step = self.parallel.compile_train_step(self.recipe)
        self.sample_step = self.parallel.compile_sample_step(self.recipe)
        self.translators = compile_translators(self.recipe, self.parallel)

    @functools.cache  # noqa: B019 - lives as long as the process
    def together(self, trials: int) -> tuple[Trials, TrainStep]:
        """Devices and step of several trials in one program, one on each of the first devices."""
        devices = Trials(jax.local_devices()[:trials])
        return devices, devices.compile_train_step(self.recipe)
