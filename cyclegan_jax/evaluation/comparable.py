"""Compares another data set that is scored with the one that a run was trained on."""

from cyclegan_jax import InputError
from cyclegan_jax.checkpoints.contents import Checkpoint
from cyclegan_jax.config import Config
from cyclegan_jax.data import from_config, slicing
from cyclegan_jax.data.dataset import Dataset
from cyclegan_jax.domains import CONTRASTS
from cyclegan_jax.inference import pixels_in_training


def check_comparable(saved: Checkpoint, config: Config, dataset: Dataset) -> list[str]:
    """Returns what the user must know where images are of another kind than in training.

    Brains that are cut out do not compare with whole heads, nor pixels with those of another size.

    Axis and pixel size are known of volumes and phantoms, and not of images and stacks, which are
    not compared.

    Args:
      saved: the checkpoint that is scored.
      config: of its run.
      dataset: the data that are scored.

    Raises:
      InputError: the data set is sliced along another axis than that of training.
    """
    notes = _brain_notes(saved, dataset)
    trained, found = pixels_in_training(saved), from_config.pixels_seen(config, dataset)
    if not trained or not found:
        return notes
    was = saved.meta.get("data", {}).get("axis", "axial")
    axis = dataset.axis
    if axis != was:
        raise InputError(
            f"{dataset.folder}: has {axis} slices, but checkpoint {saved.step} was trained on "
            f"{was} ones; prepare the scans with --axis={was}"
        )
    for domain in sorted(trained.keys() & found.keys()):
        if not slicing.alike(found[domain], trained[domain]):
            now, then = (
                " x ".join(f"{n:.4g}" for n in size) for size in (found[domain], trained[domain])
            )
            notes.append(
                f"{CONTRASTS[domain]} pixels of {dataset.folder} are {now} mm for the networks but "
                f"were {then} mm in training, so heads have another size; prepare the scans with "
                "--spacing=MM to compare the networks fairly"
            )
    return notes


def _brain_notes(saved: Checkpoint, dataset: Dataset) -> list[str]:
    was = bool(saved.meta.get("data", {}).get("brain_only", False))
    if was == dataset.brain_only:
        return []
    kinds = "whole heads", "brains that were cut out (--brain_only)"
    how = "with" if was else "without"
    return [
        f"{dataset.folder} has {kinds[dataset.brain_only]}, but checkpoint {saved.step} was "
        f"trained on {kinds[was]}; prepare the scans {how} --brain_only to score what the "
        "networks have learnt"
    ]
