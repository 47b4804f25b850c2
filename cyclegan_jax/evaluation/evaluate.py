"""Scores a checkpoint: on held-out pairs, on what is known of phantoms, or without pairs."""

import contextlib
import csv
import dataclasses
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from cyclegan_jax import InputError
from cyclegan_jax import config as config_lib
from cyclegan_jax.checkpoints.contents import Checkpoint
from cyclegan_jax.data import from_config
from cyclegan_jax.data.dataset import Dataset
from cyclegan_jax.data.manifest import labels_of
from cyclegan_jax.data.pairs import Pairs, spread
from cyclegan_jax.data.phantom import truth as phantom_truth
from cyclegan_jax.data.phantom.head import BRAIN_TISSUES
from cyclegan_jax.data.preparation.label_names import LabelNames, read_label_names
from cyclegan_jax.data.slicing import subject_of_slice
from cyclegan_jax.domains import CONTRASTS, DIRECTIONS, DOMAINS
from cyclegan_jax.evaluation import lesions, regions, unpaired
from cyclegan_jax.evaluation.comparable import check_comparable
from cyclegan_jax.evaluation.implants import heads_with_implants
from cyclegan_jax.evaluation.metrics import BRAIN, METRICS, PROTOCOLS
from cyclegan_jax.evaluation.region_picture import save_region_picture
from cyclegan_jax.evaluation.region_scores import RegionScore, score_regions, summarised
from cyclegan_jax.evaluation.scoring import (
    RANKED_BY,
    PerImage,
    TranslateTo,
    average_by_group,
    average_over_subjects,
    by_subject,
    headline,
    protocols_for,
    score_pairs,
    untranslated,
)
from cyclegan_jax.evaluation.slice_jumps import as_volumes, slice_jumps
from cyclegan_jax.evaluation.tables import score_tables
from cyclegan_jax.evaluation.ventricles import ventricle_volumes
from cyclegan_jax.inference import TrainedGenerators
from cyclegan_jax.parallel import multihost
from cyclegan_jax.render.image_grid import save_grid
from cyclegan_jax.render.text_table import as_text
from cyclegan_jax.system.files import write_whole
from cyclegan_jax.system.workdir import SCORES, Workdir, writing_workdir
from cyclegan_jax.trained.origin import Origin

ALL = "all"
_GRID_ROWS = 8
_EXTREMES = 4
_PICTURES = ("grid.png", "best.png", "worst.png")
_SUBJECTS, _REGIONS = "subjects.png", "regions.png"
_T1, _T2 = (CONTRASTS[domain] for domain in DOMAINS)
_COLUMNS = [_T1, f"{_T2} from {_T1}", _T2, f"|error| {_T2}", f"{_T1} from {_T2}", f"|error| {_T1}"]

Picture = tuple[list[list[np.ndarray]], list[str], list[str]]  # of `save_grid`


class _Outcome(NamedTuple):
    scores: dict[str, Any]  # what `scores.json` has besides step and data
    per_image: dict[str, PerImage]  # for each protocol
    names: dict[str, list[str]]  # of the images of each direction
    pictures: dict[str, Picture]  # by file name
    groups: Mapping[str, str] = MappingProxyType({})  # of subjects
    pairs: Pairs | None = None
    regions: Sequence[RegionScore] = ()


def evaluate(
    origin: Origin,
    data_dir: str = "",
    split: str = "",
    protocol: str = ALL,
    out: Path | None = None,
    label_names: str = "",
) -> Path:
    """Scores a checkpoint and writes `<workdir>/eval/<step>/<split>/`, or scores a model.

    The folder gets `scores.json`, `images.csv` (one line for each image, direction and protocol),
    `subjects.csv` (the same for subjects, see `scoring.by_subject`), `grid.png` (images spread
    over the split) and, only with pairs, `best.png` and `worst.png` (the extremes by the SSIM of
    the headline protocol, the mean of both directions), and `subjects.png` (a slice of the best,
    the median and the worst subject). With label maps it gets `regions.csv` (one line for each
    subject, direction and region) and `regions.png` (the regions in the colours of their errors).

    `scores.json` has "step", "data", "split", "images" and, with pairs, "protocols":
    `{protocol: {direction: {metric: {mean, sd, n, left_out}}}}` over subjects, and "headline", the
    protocol that ranks. Where subjects have groups it has "groups": the same for each group, under
    the headline protocol. Where slices of one scan are neighbours it has "slice_jumps", see
    `slice_jumps`, where the tissues of pixels are known "tissues" and "polarity", see `regions`,
    with label maps "regions", see `region_scores`, where ventricles are known "ventricles", see
    `ventricles`, and where white matter and fluid are known "lesions", see `lesions`. Without pairs
    it has "unpaired" instead, about training images. A mean over nothing is null.

    Args:
      origin: of the generators.
      data_dir: a prepared data set to score, whose name is added to the folder's name; "" is the
        one that the run trained on. A model that was not trained on phantoms needs one.
      split: "test", "val" or "train" (without pairs); "" is the first of these that there is.
      protocol: what is printed: one of `metrics.PROTOCOLS`, or "all". The files have all.
      out: the folder to write instead; it is new, empty, or of an earlier evaluation. A model needs
        it, since it has no workdir.
      label_names: a TSV with the names of labels, see `read_label_names`, in the place of those of
        the data set.

    Returns:
      The folder.

    Raises:
      InputError: there is no such checkpoint, split or protocol, or no pairs for a protocol; the
        data set at `data_dir` is sliced along another axis than in training; the phantom was made
        by another version; a translated value is not finite; or `out` or `data_dir` is missing, or
        `out` holds something else; or `label_names` cannot be read or used.
    """
    names = read_label_names(label_names) if label_names else None
    if protocol not in (ALL, *PROTOCOLS):
        raise InputError(f"--protocol={protocol}: there are {', '.join((ALL, *PROTOCOLS))}")
    _check_out(origin, out)
    saved = origin.read()
    step, config = saved.step, saved.config
    dataset = _open_data(origin, saved, data_dir)
    split = from_config.scored_split(dataset, split)
    if note := from_config.cropped_heads(config, dataset, [f"{split}_{d}" for d in DOMAINS]):
        print(f"note: {note}")
    _check_protocol(dataset, split, protocol)
    if names is not None:
        _check_has_label_maps(dataset, split, label_names)
    if out and multihost.is_primary():
        _make_folder(out)
    translate = TrainedGenerators(saved, origin.name, config).translate
    if split == "train":
        outcome = _score_unpaired(config, dataset, translate)
    else:
        outcome = _score_pairs(saved, dataset, split, translate, names)
    scores = _without_nan({"step": step, "data": str(dataset.folder), **outcome.scores})
    own = f"{split}_{dataset.folder.resolve().name}" if data_dir else split
    folder = out or Workdir(origin.path).evaluation(step, own)
    if multihost.is_primary():
        with contextlib.nullcontext() if out else writing_workdir(origin.path):
            _write(folder, scores, outcome)
    print(f"checkpoint {step}, {scores['images']} {split} images of {dataset.folder}")
    if protocol != ALL:
        scores["protocols"] = {protocol: scores["protocols"][protocol]}
    for table in score_tables(scores):
        print(f"\n{as_text(table)}")
    return folder


def _check_out(origin: Origin, out: Path | None) -> None:
    if out is None:
        if origin.workdir is None:
            raise InputError(f"--model={origin.path} needs --out, a folder for the scores")
        return
    is_new = not out.exists() or (out.is_dir() and not any(out.iterdir()))
    if not is_new and not (out / SCORES).is_file():
        raise InputError(f"--out={out} is there and holds no scores; name a new folder")


def _open_data(origin: Origin, saved: Checkpoint, data_dir: str) -> Dataset:
    """Opens the data set that is scored, which becomes that of the checkpoint's config."""
    config = saved.config
    if not data_dir and origin.workdir is None and config.data.dir:
        raise InputError(
            f"--model={origin.path} needs --data_dir, a prepared data set to score; it holds none"
        )
    if data_dir:
        with config.unlocked():
            config.data.dir = data_dir
    dataset = from_config.open_data(config)
    for note in check_comparable(saved, config, dataset) if data_dir else []:
        print(f"note: {note}", flush=True)
    return dataset


def _check_protocol(dataset: Dataset, split: str, protocol: str) -> None:
    if split == "train" and protocol != ALL:
        raise InputError(f"--protocol={protocol}: {split} images have no pairs; omit it")
    if protocol == BRAIN and not dataset.has(labels_of(split)):
        raise InputError(
            f"--protocol={protocol}: the {split} pairs of {dataset.folder} have no label maps; "
            "prepare it with --labels, or omit it"
        )


def _check_has_label_maps(dataset: Dataset, split: str, label_names: str) -> None:
    if phantom_truth.is_phantom(dataset) or not dataset.has(labels_of(split)):
        raise InputError(
            f"--label_names={label_names}: the {split} images of {dataset.folder} have no label "
            "maps; prepare it with --labels, or omit it"
        )


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out={out}: cannot be made a folder ({error.strerror})") from error


def _score_pairs(
    saved: Checkpoint,
    dataset: Dataset,
    split: str,
    translate: TranslateTo,
    names: LabelNames | None,
) -> _Outcome:
    config = saved.config
    pairs = from_config.scored_pairs(config, dataset, split)
    if names is not None:
        pairs = dataclasses.replace(pairs, tissues=names.tissues, regions=names.regions)
    phantom = phantom_truth.is_phantom(dataset)
    frame: dict[str, Any] = {"image_size": config.image_size, "mode": config.data.fit}
    heads = list(phantom_truth.heads(dataset, split, **frame)) if phantom else []
    sources = {"x": pairs.x, "y": pairs.y}
    voxel = from_config.voxel_of_pairs(config, dataset, split)
    translated: dict[str, Any] = {
        d: as_volumes(translate(d, sources[d.source]), pairs.names, saved, d, voxel)
        for d in DIRECTIONS
    }
    protocols = protocols_for(pairs)
    images = translated | untranslated(pairs)
    per_image = score_pairs(pairs, images, pairs.head, protocols)
    ranking = headline(pairs)
    scores: dict[str, Any] = {
        "split": split,
        "images": len(pairs.names),
        "headline": ranking,
        "protocols": {
            p: average_over_subjects(found, pairs.names) for p, found in per_image.items()
        },
    }
    groups = dataset.manifest.get("groups", {})
    if by_group := average_by_group(per_image[ranking], pairs.names, groups):
        scores["groups"] = by_group
    if jumps := slice_jumps(pairs, images):
        scores["slice_jumps"] = jumps
    if phantom:
        labels, tissues = phantom_truth.tissues_of(heads, pairs.names)
        brain = {tissue: tissues[tissue] for tissue in BRAIN_TISSUES}
    else:
        labels, tissues = pairs.labels, pairs.tissues
        brain = tissues
    if labels is not None and tissues:
        scores["tissues"] = regions.tissue_scores(pairs, translated, labels, tissues)
        scores["polarity"] = regions.polarity(pairs, translated, labels, brain)
    if of_regions := score_regions(pairs, translated):
        scores["regions"] = summarised(of_regions)
    if volumes := ventricle_volumes(pairs, translated, voxel):
        scores["ventricles"] = volumes
    if phantom:
        width = phantom_truth.pixel_size(dataset, **frame)
        scores["lesions"] = lesions.lesion_scores(heads, translate, width**2)
        scores["lesions_in_data"] = phantom_truth.lesioned_contrasts(dataset)
    elif voxel and (heads := heads_with_implants(pairs, voxel[:2])):
        scores["lesions"] = lesions.lesion_scores(heads, translate, voxel[0] * voxel[1])
        scores["lesions_in_data"] = None
    of_images = dict.fromkeys(per_image[ranking], pairs.names)
    pictures = _pictures(pairs, translated, per_image[ranking])
    return _Outcome(scores, per_image, of_images, pictures, groups, pairs, of_regions)


def _score_unpaired(
    config: config_lib.Config, dataset: Dataset, translate: TranslateTo
) -> _Outcome:
    samples = unpaired.training_images(config, dataset)
    translated: dict[str, Any] = {d: translate(d, samples[d.source].images) for d in DIRECTIONS}
    per_image, names, summarised, rows_of = {}, {}, {}, []
    for there in DIRECTIONS:
        real, fake = samples[there.source], translated[there]
        cycled = translate(there.back, fake)
        cycle = there.cycle
        per_image[cycle] = unpaired.cycle_scores(real, cycled)
        names[cycle] = real.names
        summarised |= average_over_subjects({cycle: per_image[cycle]}, real.names)
        rows_of.append(
            [
                [real.images[i], fake[i], cycled[i], _error(cycled[i], real.images[i])]
                for i in spread(len(real.names), _GRID_ROWS)
            ]
        )
    rows = [[*a, *b] for a, b in zip(*rows_of, strict=False)]
    columns = [
        title
        for a, b in ((_T1, _T2), (_T2, _T1))
        for title in (a, f"{b} from {a}", "and back", "|error|")
    ]
    x, y = samples["x"], samples["y"]
    scores = {
        "split": "train",
        "images": len(x.names) + len(y.names),
        "unpaired": {
            "images": {"x": len(x.names), "y": len(y.names)},
            "cycle": summarised,
            "histogram_distance": unpaired.histogram_distances(x, y, translated),
            "patch_distance": unpaired.patch_distances(x, y, translated),
        },
    }
    return _Outcome(scores, {"cycle": per_image}, names, {_PICTURES[0]: (rows, columns, [])})


def _pictures(
    pairs: Pairs, translated: Mapping[str, np.ndarray], per_image: PerImage
) -> dict[str, Picture]:
    def picture(chosen: list[int]) -> Picture:
        rows, titles = [], []
        for i in chosen:
            fake_y, fake_x = (translated[d][i] for d in DIRECTIONS)
            errors = [_error(fake_y, pairs.y[i]), _error(fake_x, pairs.x[i])]
            rows.append([pairs.x[i], fake_y, pairs.y[i], errors[0], fake_x, errors[1]])
            ssim = [per_image[d][RANKED_BY][i] for d in DIRECTIONS]
            said = [f"{_T1} to {_T2} {ssim[0]:.3f}", f"{_T2} to {_T1} {ssim[1]:.3f}"]
            titles.append(f"{pairs.names[i]}: SSIM {', '.join(said)}")
        return rows, _COLUMNS, titles

    mean = np.mean([per_image[d][RANKED_BY] for d in DIRECTIONS], axis=0)
    order = [i for i in np.argsort(-mean).tolist() if not math.isnan(mean[i])]
    chosen = (spread(len(order), _GRID_ROWS), order[:_EXTREMES], order[::-1][:_EXTREMES])
    subjects = _typical(mean, pairs.names)
    rows, columns, _ = picture(list(subjects.values()))
    means = [by_subject({RANKED_BY: per_image[d][RANKED_BY]}, pairs.names) for d in DIRECTIONS]
    titles = []
    for rank, i in subjects.items():
        subject = subject_of_slice(pairs.names[i])
        there, back = (mean[RANKED_BY][subject] for mean in means)
        said = f"SSIM {_T1} to {_T2} {there:.3f}, {_T2} to {_T1} {back:.3f}"
        titles.append(f"{rank} subject, {subject}: {said}; shown: {pairs.names[i]}")
    return dict(zip(_PICTURES, map(picture, chosen), strict=True)) | {
        _SUBJECTS: (rows, columns, titles)
    }


def _typical(score: np.ndarray, names: list[str]) -> dict[str, int]:
    """Returns which image shows the best, the median and the worst subject, by these words.

    It is the image whose score is nearest to its subject's mean. With fewer than three subjects
    the median, and with one the worst, are left out.
    """
    means = by_subject({RANKED_BY: score}, names)[RANKED_BY]
    ranked = sorted((s for s in means if not math.isnan(means[s])), key=lambda s: -means[s])
    chosen = {"best": 0, "median": len(ranked) // 2, "worst": len(ranked) - 1}
    if len(ranked) < 3:
        chosen = dict(zip(("best", "worst"), range(len(ranked)), strict=False))
    subject_of = np.array([subject_of_slice(name) for name in names])
    found = {}
    for rank, place in chosen.items():
        distance = np.abs(score - means[ranked[place]])
        distance[(subject_of != ranked[place]) | np.isnan(distance)] = np.inf
        found[rank] = int(np.argmin(distance))
    return found


def _error(image: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Returns |image - truth| as an image: black is no error, white is the whole range."""
    return np.abs(image - truth) - 1


def _without_nan(tree: Any) -> Any:
    """Returns the tree with None in the place of NaN, which JSON does not have."""
    if isinstance(tree, dict):
        return {key: _without_nan(value) for key, value in tree.items()}
    return None if isinstance(tree, float) and math.isnan(tree) else tree


def _write(folder: Path, scores: dict[str, Any], outcome: _Outcome) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    images, subjects = [], []
    every = [of for directions in outcome.per_image.values() for of in directions.values()]
    some = [metric for metric in METRICS if any(metric in metrics for metrics in every)]
    for protocol, directions in outcome.per_image.items():
        for direction, metrics in directions.items():
            names = outcome.names[direction]
            means_of = by_subject(metrics, names)
            images += [
                [name, direction, protocol, *(metrics[m][i] if m in metrics else "" for m in some)]
                for i, name in enumerate(names)
            ]
            subjects += [
                [
                    subject,
                    direction,
                    protocol,
                    *(means_of.get(m, {}).get(subject, "") for m in some),
                ]
                for subject in next(iter(means_of.values()))
            ]
    _write_csv(folder / "images.csv", ["name", "direction", "protocol", *some], images)
    header = ["subject", "direction", "protocol", *some]
    if outcome.groups:
        header.append("group")
        subjects = [[*row, outcome.groups.get(row[0], "")] for row in subjects]
    _write_csv(folder / "subjects.csv", header, subjects)
    for name, picture in outcome.pictures.items():
        save_grid(folder / name, *picture)
    if outcome.regions and outcome.pairs is not None:
        _write_csv(folder / "regions.csv", [*RegionScore._fields], [*map(list, outcome.regions)])
        save_region_picture(folder / _REGIONS, outcome.pairs, scores["regions"])
    text = json.dumps(scores, indent=1, allow_nan=False)
    write_whole(folder / SCORES, text)


def _write_csv(path: Path, header: list[str], rows: list[list[Any]]) -> None:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(header)
    writer.writerows(["" if v != v else v for v in row] for row in rows)
    write_whole(path, buffer.getvalue())
