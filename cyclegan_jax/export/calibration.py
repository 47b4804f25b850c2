"""Adds to a model folder what says how far its translations can be trusted."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cyclegan_jax import InputError
from cyclegan_jax.checkpoints.contents import Checkpoint
from cyclegan_jax.data import from_config
from cyclegan_jax.data.dataset import Dataset
from cyclegan_jax.data.intervals import Voxels, measured, places
from cyclegan_jax.data.pairs import Pairs
from cyclegan_jax.data.slicing import index_of_slice, scan_of_slice, subject_of_slice
from cyclegan_jax.domains import DIRECTIONS, Direction
from cyclegan_jax.evaluation.comparable import check_comparable
from cyclegan_jax.evaluation.region_scores import score_regions, summarised
from cyclegan_jax.evaluation.slice_jumps import as_volumes
from cyclegan_jax.export.card import card
from cyclegan_jax.export.model import open_data_of
from cyclegan_jax.inference import TrainedGenerators
from cyclegan_jax.report.result import SUBJECTS, WORST
from cyclegan_jax.system.files import write_whole
from cyclegan_jax.trained.model_folder import CARD, read_model, rewrite_facts

_FEWEST_SUBJECTS = 3
_WORST = 8  # regions of each direction that the folder keeps


@dataclasses.dataclass(frozen=True)
class Calibrated:
    """What `calibrate_model` has done.

    Attributes:
      added: what the folder has now, in words.
      notes: what the user must know, a line each.
    """

    added: list[str]
    notes: list[str]


def calibrate_model(folder: Path, data_dir: str = "") -> Calibrated:
    """Writes limits of training scans and intervals into a model folder, and its card anew.

    The limits come from the training scans of a data set, if the model was trained on these. The
    intervals come from its validation pairs, or from its test pairs if it has no others. Their
    coverage is measured on the test pairs if it has both, and else on each subject by the intervals
    of the others.

    Args:
      folder: of the model.
      data_dir: a prepared data set; "" is for models of phantoms.

    Raises:
      InputError: there is no such model or data set, the data add nothing to the model, or the
        folder cannot be written.
    """
    saved = read_model(folder)
    dataset = open_data_of(folder, saved, data_dir)
    facts, done = dict(saved.meta), Calibrated([], [])
    if scans := _training_scans(saved, dataset, done.notes):
        facts["data"] = {
            **facts["data"],
            "training_scans": scans,
            "slice_jump": dataset.slice_jumps,
        }
        saved = saved._replace(meta=facts)
        done.added.append("limits of the training scans")
    if of_pairs := _of_pairs(folder, saved, dataset, done.notes):
        facts |= of_pairs
        done.added.append("calibrated intervals")
    if not done.added:
        raise InputError(f"{folder}: nothing is added, since {'; '.join(done.notes)}")
    try:
        rewrite_facts(folder, facts)
        pictures = [name for name in (SUBJECTS, WORST) if (folder / name).is_file()]
        write_whole(folder / CARD, card(folder.resolve().name, facts, pictures))
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written ({error.strerror}); copy the folder to a place of yours"
        ) from error
    return done


def _of_pairs(
    folder: Path, saved: Checkpoint, dataset: Dataset, notes: list[str]
) -> dict[str, Any]:
    """Returns the facts "intervals" and "regions", or nothing where there are too few pairs."""
    config = saved.config
    notes += check_comparable(saved, config, dataset)
    splits = [s for s in ("val", "test") if dataset.has(f"{s}_x") and dataset.has(f"{s}_y")]
    pairs = [from_config.scored_pairs(config, dataset, split) for split in splits]
    if not pairs or len({subject_of_slice(name) for name in pairs[0].names}) < _FEWEST_SUBJECTS:
        notes.append(
            f"{dataset.folder} has no held-out pairs of {_FEWEST_SUBJECTS} subjects, which "
            "intervals need"
        )
        return {}
    translate = TrainedGenerators(saved, folder.name, config).translate
    made = [
        {
            str(d): as_volumes(
                translate(d, getattr(p, d.source)),
                p.names,
                saved,
                d,
                from_config.voxel_of_pairs(config, dataset, split),
            )
            for d in DIRECTIONS
        }
        for split, p in zip(splits, pairs, strict=True)
    ]
    found = {}
    for direction in DIRECTIONS:
        subjects, *others = (
            _subjects(p, direction, m[direction], _below(dataset, split, direction, p.names))
            for split, p, m in zip(splits, pairs, made, strict=True)
        )
        found[str(direction)] = measured(subjects, *others) | {"data": dataset.folder.name}
    regions = {
        direction: dict(sorted(all_.items(), key=lambda r: -r[1]["mae"]["mean"])[:_WORST])
        for direction, all_ in summarised(score_regions(pairs[0], made[0])).items()
    }
    return {"intervals": found, "regions": regions}


def _below(dataset: Dataset, split: str, direction: Direction, names: Sequence[str]) -> np.ndarray:
    """Returns how far slices lie below the highest one of their scan in mm; 0 if not known."""
    between = dataset.manifest["source"].get("slice_mm", {}).get(direction.source)
    if between is None:
        return np.zeros(len(names))
    top: dict[str, int] = {}
    for name in dataset.names(f"{split}_{direction.source}"):
        scan = scan_of_slice(name)
        top[scan] = max(top.get(scan, 0), index_of_slice(name))
    return np.array([(top[scan_of_slice(n)] - index_of_slice(n)) * between for n in names])


def _subjects(
    pairs: Pairs, direction: Direction, made: np.ndarray, below: np.ndarray
) -> list[Voxels]:
    """Returns the voxels in the head of each subject; `below` is of each slice, see `places`."""
    source, truth = getattr(pairs, direction.source), getattr(pairs, direction.target)
    head, depth, below = places(source[..., 0], below)
    of_slices = np.array([subject_of_slice(name) for name in pairs.names])
    labels = np.zeros(head.shape, int) if pairs.labels is None else pairs.labels
    names = np.full(int(labels.max()) + 1, "", object)
    for tissue, numbers in pairs.tissues.items():
        names[[n for n in numbers if n < len(names)]] = tissue
    found = []
    for subject in np.unique(of_slices):
        own = of_slices == subject
        inside = head[own]
        heights = np.linspace(0, 1, len(inside))[:, None, None]
        found.append(
            {
                "source": source[own][inside][:, 0],
                "made": made[own][inside][:, 0],
                "truth": truth[own][inside][:, 0],
                "depth": depth[own][inside],
                "below": below[own][inside],
                "height": np.broadcast_to(heights, inside.shape)[inside],
                "tissue": names[labels[own][inside]].astype(str),
            }
        )
    return found


def _training_scans(
    saved: Checkpoint, dataset: Dataset, notes: list[str]
) -> dict[str, dict[str, Any]]:
    if saved.meta["data"].get("digest") != dataset.digest:
        notes.append(f"{dataset.folder} holds other data than the model was trained on")
        return {}
    found = dataset.training_scans
    if not any(found.values()):
        notes.append(
            f"{dataset.folder} does not say what its training scans look like; prepare the same "
            "scans again with this version"
        )
        return {}
    return found
