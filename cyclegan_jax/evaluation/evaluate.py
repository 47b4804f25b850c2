"""Scores a checkpoint: on held-out pairs, on what is known of phantoms, or without pairs."""

import csv
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cyclegan_jax import InputError
from cyclegan_jax import config as config_lib
from cyclegan_jax.checkpoints.contents import Saved
from cyclegan_jax.checkpoints.manager import Checkpoints
from cyclegan_jax.data import from_config
from cyclegan_jax.data.batches import Pairs, spread
from cyclegan_jax.data.dataset import Dataset
from cyclegan_jax.data.phantom import truth as phantom_truth
from cyclegan_jax.evaluation import lesions, regions, unpaired
from cyclegan_jax.evaluation.metrics import PROTOCOLS
from cyclegan_jax.evaluation.scoring import (
    DIRECTIONS,
    PROTOCOL,
    PerImage,
    TranslateTo,
    by_subject,
    compile_translators,
    floors,
    load_generators,
    score_pairs,
    summarise,
)
from cyclegan_jax.evaluation.tables import score_tables
from cyclegan_jax.parallel import multihost
from cyclegan_jax.parallel.devices import Parallel
from cyclegan_jax.render.image_grid import save_grid
from cyclegan_jax.render.text_table import as_text
from cyclegan_jax.state import build_recipe
from cyclegan_jax.system.files import write_whole, writing_workdir

ALL = "all"
EVALUATIONS = "eval"  # folder in a workdir
CYCLES = {"x": "t1_to_t2_to_t1", "y": "t2_to_t1_to_t2"}
_GRID_ROWS = 8
_EXTREMES = 4
_PICTURES = ("grid.png", "best.png", "worst.png")
_COLUMNS = ["T1", "T2 from T1", "T2", "|error| T2", "T1 from T2", "|error| T1"]

Picture = tuple[list[list[np.ndarray]], list[str], list[str]]  # of `save_grid`


class _Outcome(NamedTuple):
    scores: dict[str, Any]  # what `scores.json` has besides step and data
    per_image: dict[str, PerImage]  # for each protocol
    names: dict[str, list[str]]  # of the images of each direction
    pictures: dict[str, Picture]  # by file name


def evaluate(
    workdir: Path,
    checkpoint: str = "best",
    data_dir: str = "",
    split: str = "",
    protocol: str = ALL,
) -> Path:
    """Scores a checkpoint and writes `<workdir>/eval/<step>/<split>/`.

    The folder gets `scores.json`, `images.csv` (one line for each image, direction and protocol),
    `subjects.csv` (the same for subjects, by the mean of their images), `grid.png` (images spread
    over the split), `best.png` and `worst.png` (the extremes by SSIM `fixed`, the mean of both
    directions; only with pairs).

    `scores.json` has "step", "data", "split", "images" and, with pairs, "protocols":
    `{protocol: {direction: {metric: {mean, sd, n, left_out}}}}` over subjects. Of phantoms it has
    "tissues" and "lesions" besides, see modules `regions` and `lesions`. Without pairs it has
    "unpaired" instead, of training images. A mean over nothing is null.

    Args:
      workdir: of the run.
      checkpoint: "best", "latest" or a step.
      data_dir: a prepared data set, whose name is added to the folder's; "" is the one the run
        trained on.
      split: "test", "val" or "train" (without pairs); "" is the first of these there is.
      protocol: of the printed tables: one of `metrics.PROTOCOLS`, or "all". Files have all.

    Returns:
      The folder.

    Raises:
      InputError: no such checkpoint, split or protocol, a protocol without pairs, a phantom of
        another version, or generators whose images are not finite.
    """
    if protocol not in (ALL, *PROTOCOLS):
        raise InputError(f"--protocol={protocol}: there are {', '.join((ALL, *PROTOCOLS))}")
    with Checkpoints(workdir) as checkpoints:
        saved = checkpoints.choose(checkpoint)
    step, config = saved.step, saved.config
    if data_dir:
        with config.unlocked():
            config.data.dir = data_dir
    dataset = from_config.open_data(config)
    split = from_config.scored_split(dataset, split)
    translate = _translate(saved, config)
    if split == "train" and protocol != ALL:
        raise InputError(f"--protocol={protocol}: {split} images have no pairs; omit it")
    if split == "train":
        outcome = _score_unpaired(config, dataset, translate)
    else:
        outcome = _score_pairs(config, dataset, split, translate)
    scores = _without_nan({"step": step, "data": str(dataset.folder), **outcome.scores})
    own = f"{split}_{dataset.folder.resolve().name}" if data_dir else split
    folder = workdir / EVALUATIONS / str(step) / own
    if multihost.is_primary():
        with writing_workdir(workdir):
            _write(folder, scores, outcome)
    print(f"checkpoint {step}, {scores['images']} {split} images of {dataset.folder}")
    if protocol != ALL:
        scores["protocols"] = {protocol: scores["protocols"][protocol]}
    for table in score_tables(scores):
        print(f"\n{as_text(table)}")
    return folder


def _translate(saved: Saved, config: config_lib.Config) -> TranslateTo:
    parallel = Parallel(config.parallel)
    generators = load_generators(saved, config, parallel)
    g, f = compile_translators(build_recipe(config), parallel)

    def translate(direction: str, images: np.ndarray) -> np.ndarray:
        to_t2 = direction == DIRECTIONS[0]
        params = generators.generator_g if to_t2 else generators.generator_f
        found = (g if to_t2 else f)(params, images)
        if not np.isfinite(found).all():
            raise InputError(
                f"checkpoint {saved.step} translates {direction} to values that are not finite; "
                "choose another --checkpoint"
            )
        return found

    return translate


def _score_pairs(
    config: config_lib.Config,
    dataset: Dataset,
    split: str,
    translate: TranslateTo,
) -> _Outcome:
    pairs = from_config.paired_images(config, dataset, split)
    phantom = phantom_truth.is_phantom(dataset)
    frame: dict[str, Any] = {"image_size": config.image_size, "mode": config.data.fit}
    heads = list(phantom_truth.heads(dataset, split, **frame)) if phantom else []
    translated = {d: translate(d, i) for d, i in zip(DIRECTIONS, (pairs.x, pairs.y), strict=True)}
    per_image = score_pairs(pairs, translated | floors(pairs), pairs.head, PROTOCOLS)
    scores: dict[str, Any] = {
        "split": split,
        "images": len(pairs.names),
        "protocols": {p: summarise(found, pairs.names) for p, found in per_image.items()},
    }
    if phantom:
        scores["tissues"] = regions.tissue_scores(heads, pairs, translated)
        pixel = phantom_truth.pixel_size(dataset, **frame)
        scores["lesions"] = lesions.lesion_scores(heads, translate, pixel)
        scores["lesions_in_data"] = dataset.manifest["source"]["lesions"]
    names = dict.fromkeys(per_image[PROTOCOL], pairs.names)
    return _Outcome(scores, per_image, names, _pictures(pairs, translated, per_image[PROTOCOL]))


def _score_unpaired(
    config: config_lib.Config, dataset: Dataset, translate: TranslateTo
) -> _Outcome:
    x, y = (
        unpaired.sample(
            dataset.split(f"train_{d}"),
            dataset.names(f"train_{d}"),
            image_size=config.image_size,
            mode=config.data.fit,
        )
        for d in "xy"
    )
    to_t2, to_t1 = DIRECTIONS
    translated = {to_t2: translate(to_t2, x.images), to_t1: translate(to_t1, y.images)}
    cycled = {
        "x": translate(to_t1, translated[to_t2]),
        "y": translate(to_t2, translated[to_t1]),
    }
    per_image, names, summarised, pictures = {}, {}, {}, {}
    for domain, images, there in (("x", x, to_t2), ("y", y, to_t1)):
        direction, back = CYCLES[domain], cycled[domain]
        per_image[direction] = unpaired.cycle_scores(images, back)
        names[direction] = images.names
        summarised |= summarise({direction: per_image[direction]}, images.names)
        pictures[direction] = [
            [images.images[i], translated[there][i], back[i], _error(back[i], images.images[i])]
            for i in spread(len(images.names), _GRID_ROWS)
        ]
    rows = [[*a, *b] for a, b in zip(*pictures.values(), strict=False)]
    columns = ["T1", "T2 from T1", "and back", "|error|", "T2", "T1 from T2", "and back", "|error|"]
    scores = {
        "split": "train",
        "images": len(x.names) + len(y.names),
        "unpaired": {
            "images": {"x": len(x.names), "y": len(y.names)},
            "cycle": summarised,
            "histogram_distance": unpaired.histogram_distances(x, y, translated),
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
            ssim = [per_image[d]["ssim"][i] for d in DIRECTIONS]
            titles.append(f"{pairs.names[i]}: SSIM T1 to T2 {ssim[0]:.3f}, T2 to T1 {ssim[1]:.3f}")
        return rows, _COLUMNS, titles

    order = np.argsort(-np.mean([per_image[d]["ssim"] for d in DIRECTIONS], axis=0)).tolist()
    chosen = (spread(len(order), _GRID_ROWS), order[:_EXTREMES], order[::-1][:_EXTREMES])
    return dict(zip(_PICTURES, map(picture, chosen), strict=True))


def _error(image: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Black is no error, white the whole range."""
    return np.abs(image - truth) - 1


def _without_nan(tree: Any) -> Any:
    """JSON has no NaN; what is not defined is null."""
    if isinstance(tree, dict):
        return {key: _without_nan(value) for key, value in tree.items()}
    return None if isinstance(tree, float) and math.isnan(tree) else tree


def _write(folder: Path, scores: dict[str, Any], outcome: _Outcome) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    images, subjects = [], []
    for protocol, directions in outcome.per_image.items():
        for direction, metrics in directions.items():
            names = outcome.names[direction]
            images += [
                [name, direction, protocol, *values]
                for name, values in zip(names, zip(*metrics.values(), strict=True), strict=True)
            ]
            means = [by_subject(values, names) for values in metrics.values()]
            subjects += [
                [subject, direction, protocol, *(mean[subject] for mean in means)]
                for subject in means[0]
            ]
    some = next(iter(next(iter(outcome.per_image.values())).values()))
    _write_csv(folder / "images.csv", ["name", "direction", "protocol", *some], images)
    _write_csv(folder / "subjects.csv", ["subject", "direction", "protocol", *some], subjects)
    for name, picture in outcome.pictures.items():
        save_grid(folder / name, *picture)
    text = json.dumps(scores, indent=1, allow_nan=False)
    write_whole(folder / "scores.json", text)


def _write_csv(path: Path, header: list[str], rows: list[list[Any]]) -> None:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(header)
    writer.writerows(["" if v != v else v for v in row] for row in rows)
    write_whole(path, buffer.getvalue())
