"""Scores both directions on held-out pairs, during training and from a checkpoint."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cyclegan_jax import config as config_lib
from cyclegan_jax.checkpoint import Checkpoints
from cyclegan_jax.data import loading
from cyclegan_jax.data.pipeline import Pairs
from cyclegan_jax.files import write_whole
from cyclegan_jax.metrics import scores, summary
from cyclegan_jax.parallel import Parallel
from cyclegan_jax.pictures import save_grid
from cyclegan_jax.state import Networks, Recipe, build_modules, build_recipe, init_params

PROTOCOL = "fixed"
DIRECTIONS = ("t1_to_t2", "t2_to_t1")
UNTRANSLATED = "untranslated"  # the floor: the source image taken for the target
_BATCH = 8
_GRID_ROWS = 8

Translate = Callable[[Any, np.ndarray], np.ndarray]
Summary = dict[str, dict[str, dict[str, Any]]]  # {direction: {metric: {mean, sd, n}}}
PerImage = dict[str, dict[str, np.ndarray]]  # {direction: {metric: [N]}}


def scalar_name(direction: str, metric: str) -> str:
    """What a score is called in `metrics.jsonl` and TensorBoard."""
    return f"eval/{direction}/{metric}"


def compile_translators(recipe: Recipe, parallel: Parallel) -> tuple[Translate, Translate]:
    """G and F on any number of host images."""
    m = recipe.modules
    return (
        parallel.compile_translate_step(m.generator_g, _BATCH),
        parallel.compile_translate_step(m.generator_f, _BATCH),
    )


class Evaluator:
    """Translates and scores pairs, at every evaluation of a run."""

    def __init__(self, translators: tuple[Translate, Translate], pairs: Pairs):
        self.pairs = pairs
        self._g, self._f = translators

    def summary(self, generators: Networks) -> Summary:
        """Mean scores of all pairs; see `summarise`."""
        return summarise(self.score(self.translate(generators)), self.pairs.names)

    def translate(self, generators: Networks) -> dict[str, np.ndarray]:
        """`{direction: [N, H, W, 1]}`, the translations of all pairs."""
        return {
            "t1_to_t2": self._g(generators.generator_g, self.pairs.x),
            "t2_to_t1": self._f(generators.generator_f, self.pairs.y),
        }

    def score(self, translated: dict[str, np.ndarray]) -> PerImage:
        """Every metric of every image for both directions and for the untranslated source."""
        p = self.pairs
        compared = {
            "t1_to_t2": (translated["t1_to_t2"], p.y),
            "t2_to_t1": (translated["t2_to_t1"], p.x),
            UNTRANSLATED: (p.x, p.y),
        }
        return {
            name: jax.device_get(scores(prediction, truth, p.mask))
            for name, (prediction, truth) in compared.items()
        }


def summarise(per_image: PerImage, names: list[str]) -> Summary:
    """`{direction: {metric: {mean, sd, n}}}` over subjects; a subject counts by its mean.

    Args:
      per_image: as `Evaluator.score` returns.
      names: of the pairs; a slice of a volume is `subject#index`.
    """
    subjects = np.array([name.split("#")[0] for name in names])
    return {
        direction: {
            metric: summary([values[subjects == s].mean() for s in np.unique(subjects)])
            for metric, values in metrics.items()
        }
        for direction, metrics in per_image.items()
    }


def mean_score(summarised: Summary, metric: str) -> float:
    """The mean of both directions, by which the best checkpoint is chosen."""
    return float(np.mean([summarised[d][metric]["mean"] for d in DIRECTIONS]))


def evaluate(workdir: Path, checkpoint: str = "best", data_dir: str = "") -> Path:
    """Scores a checkpoint on the test pairs and writes `<workdir>/eval/<step>/`.

    The folder gets `scores.json` (`{protocol: {direction: {metric: {mean, sd, n}}}}`), `images.csv`
    (one line for each image and direction) and `grid.png`.

    Args:
      workdir: of the run.
      checkpoint: "best", "latest" or a step.
      data_dir: a prepared data set; "" is the one the run trained on.

    Returns:
      The folder.

    Raises:
      InputError: no such checkpoint, or no test pairs.
    """
    with Checkpoints(workdir) as checkpoints:
        step = checkpoints.resolve(checkpoint)
        config = config_lib.from_json(json.dumps(checkpoints.meta(step)["config"]))
        if data_dir:
            with config.unlocked():
                config.data.dir = data_dir
        dataset = loading.open_data(config)
        pairs = loading.paired_images(config, dataset, "test")
        parallel = Parallel(config.parallel)
        generators = load_generators(checkpoints, step, config, parallel)
    evaluator = Evaluator(compile_translators(build_recipe(config), parallel), pairs)
    translated = evaluator.translate(generators)
    per_image = evaluator.score(translated)
    summarised = summarise(per_image, pairs.names)
    folder = workdir / "eval" / str(step)
    folder.mkdir(parents=True, exist_ok=True)
    _write_csv(folder / "images.csv", per_image, pairs.names)
    _write_grid(folder / "grid.png", pairs, translated, per_image)
    write_whole(folder / "scores.json", json.dumps({PROTOCOL: summarised}, indent=1))
    print(f"checkpoint {step}, {len(pairs.names)} test pairs of {dataset.folder}")
    print(table(summarised))
    return folder


def load_generators(
    checkpoints: Checkpoints, step: int, config: Any, parallel: Parallel
) -> Networks:
    """The generators of a checkpoint, on the devices; averaged if the run averaged."""
    shapes = jax.eval_shape(lambda: init_params(config, build_modules(config), config.seed))
    return checkpoints.restore_generators(step, parallel.placed_like(shapes))


def table(summarised: Summary) -> str:
    """A text table of `summarise`'s result."""
    n = summarised[UNTRANSLATED]["ssim"]["n"]
    lines = [f"protocol {PROTOCOL}, mean ± sd over n = {n}"]
    lines.append(f"{'':14}{'SSIM':>16}{'PSNR / dB':>18}{'MAE':>18}")
    for direction in (*DIRECTIONS, UNTRANSLATED):
        m = summarised[direction]
        cells = [
            f"{m[k]['mean']:{f}} ± {m[k]['sd']:{f}}"
            for k, f in (("ssim", ".3f"), ("psnr", ".2f"), ("mae", ".4f"))
        ]
        lines.append(f"{direction:14}{cells[0]:>16}{cells[1]:>18}{cells[2]:>18}")
    return "\n".join(lines)


def _write_csv(path: Path, per_image: PerImage, names: list[str]) -> None:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(["name", "direction", *next(iter(per_image.values()))])
    for direction, metrics in per_image.items():
        for i, name in enumerate(names):
            writer.writerow([name, direction, *(float(v[i]) for v in metrics.values())])
    write_whole(path, buffer.getvalue())


def _write_grid(
    path: Path, pairs: Pairs, translated: dict[str, np.ndarray], per_image: PerImage
) -> None:
    chosen = np.linspace(0, len(pairs.names) - 1, min(len(pairs.names), _GRID_ROWS)).round()
    rows, titles = [], []
    for i in map(int, chosen):
        fake_y, fake_x = translated["t1_to_t2"][i], translated["t2_to_t1"][i]
        errors = [np.abs(fake_y - pairs.y[i]) - 1, np.abs(fake_x - pairs.x[i]) - 1]
        rows.append([pairs.x[i], fake_y, pairs.y[i], errors[0], fake_x, errors[1]])
        ssim = [per_image[d]["ssim"][i] for d in DIRECTIONS]
        titles.append(f"{pairs.names[i]}: SSIM T1 to T2 {ssim[0]:.3f}, T2 to T1 {ssim[1]:.3f}")
    columns = ["T1", "T2 from T1", "T2", "|error| T2", "T1 from T2", "|error| T1"]
    save_grid(path, rows, columns, titles)
