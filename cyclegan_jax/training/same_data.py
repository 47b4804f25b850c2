"""Opening the data of a run in every process that trains it."""

from cyclegan_jax import InputError
from cyclegan_jax import config as config_lib
from cyclegan_jax.data import from_config
from cyclegan_jax.data.dataset import Dataset
from cyclegan_jax.parallel import multihost


def open_same_data(config: config_lib.Config) -> Dataset:
    """Opens the data of a run, and checks that all processes have the same config and data.

    The primary process makes phantoms, and the other processes find them.

    Raises:
      InputError: the data are unusable, or the processes' configs or data differ. Such processes
        would wait for each other, or train on each other's test images.
    """
    own = ("data.dir", "data.workers")
    flat = {k: v for k, v in config_lib.flatten(config).items() if k not in own}
    if not multihost.same(repr(sorted(flat.items()))):
        raise InputError(
            "the processes were given different configs; launch all with the same --config and the "
            "same values after it"
        )
    dataset = multihost.primary_first(lambda: from_config.open_data(config))
    if not multihost.same(dataset.digest):
        raise InputError(
            f"the processes were given different data (here {dataset.folder}); copy one prepared "
            "folder to all of them"
        )
    return dataset
