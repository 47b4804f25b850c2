"""Makes a refined model folder of one or several trained ones, see `training.back_translation`."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cyclegan_jax import InputError
from cyclegan_jax import config as config_lib
from cyclegan_jax.checkpoints.contents import Checkpoint, generators_by_path
from cyclegan_jax.data import from_config
from cyclegan_jax.data.dataset import Dataset
from cyclegan_jax.evaluation.evaluate import evaluate
from cyclegan_jax.evaluation.tables import polarity_verdicts
from cyclegan_jax.export.model import open_data_of, write_folder
from cyclegan_jax.export.texts import check_texts
from cyclegan_jax.models.networks import init_params
from cyclegan_jax.report.result import Evaluation, read_evaluation
from cyclegan_jax.state import build_recipe
from cyclegan_jax.system.files import new_folder
from cyclegan_jax.trained.model_folder import Facts, read_model, write_model
from cyclegan_jax.trained.origin import ModelFolder
from cyclegan_jax.training.back_translation import refine
from cyclegan_jax.training.init_from import changes_in_words


def refine_models(
    folders: Sequence[Path],
    data_dir: str,
    out: Path,
    steps: int,
    texts: dict[str, str] | None = None,
    stored_as: str = "float32",
) -> Evaluation | None:
    """Writes a model folder with refined generators, whole or not at all.

    It has the facts of the first model, without what was measured on that, and "refined": the steps
    and what translated. If the data set has held-out pairs, the refined generators are scored.

    Args:
      folders: of the models, all trained on this data set. The first one is refined, and all of
        them translate.
      data_dir: the prepared data set that the models were trained on; "" is for models of phantoms.
      out: the folder to make.
      steps: of the refinement.
      texts: "name", "data" and "license", see `export_model`; "" or missing: those of the first.
      stored_as: the type of the weights in the file, one of `model_folder.TYPES`.

    Returns:
      The scores, or None without pairs.

    Raises:
      InputError: `out` is there or cannot be written; a model cannot be read, has other generators,
        or was trained on other data; or a loss is not finite.
    """
    if os.path.lexists(out):
        raise InputError(f"--out={out} is there already; name a new folder, or remove it")
    if steps < 1:
        raise InputError(f"--steps={steps}: give at least 1")
    texts = texts or {}
    check_texts(texts)
    models = [read_model(folder) for folder in folders]
    _check_same_generators(folders, models)
    first = models[0]
    dataset = open_data_of(folders[0], first, data_dir)
    _check_same_data(folders, models, dataset)
    config = first.config
    modules = build_recipe(config).modules
    like = jax.eval_shape(lambda: init_params(config, modules, config.seed))
    networks, _ = refine(config, dataset, [model.generators(like) for model in models], steps)
    arrays = {path: np.asarray(a) for path, a in generators_by_path(networks).items()}
    facts = _facts(models, texts, steps)
    with tempfile.TemporaryDirectory() as scratch:
        found = _scored(Path(scratch), facts, arrays, dataset, data_dir)
        if found is not None:
            scores = {**found.scores, "data": Path(found.scores["data"]).name}
            facts |= {"scores": scores, "failures": facts["failures"] + polarity_verdicts(scores)}
        write_folder(out, facts, arrays, stored_as, found)
    return found


def _check_same_generators(folders: Sequence[Path], models: Sequence[Checkpoint]) -> None:
    for folder, model in zip(folders[1:], models[1:], strict=True):
        changed = config_lib.changes(models[0].config, model.config)
        if other := changes_in_words("generator.", changed):
            raise InputError(
                f"--model={folder} has other generators than {folders[0]}: {other}; give models of "
                "one recipe"
            )


def _check_same_data(
    folders: Sequence[Path], models: Sequence[Checkpoint], dataset: Dataset
) -> None:
    for folder, model in zip(folders, models, strict=True):
        if model.meta["data"].get("digest") != dataset.digest:
            raise InputError(
                f"--model={folder} was trained on other data than {dataset.folder}; give the data "
                "set that it was trained on, or refine it by training on: train --init_from"
            )


def _facts(models: Sequence[Checkpoint], texts: dict[str, str], steps: int) -> Facts:
    """Returns the facts of the first model that still hold, and what refined it."""
    first = models[0].meta
    measured = ("intervals", "regions", "weights", "format", "made_by", "digest")
    kept = {key: value for key, value in first.items() if key not in measured}
    verdicts = polarity_verdicts(first["scores"]) if first["scores"] else []
    about = {key: texts.get(key) or first["about"][key] for key in ("data", "license")}
    return {
        **kept,
        "name": texts.get("name") or first["name"],
        "about": about,
        "scores": None,
        "failures": [sentence for sentence in first["failures"] if sentence not in verdicts],
        "refined": {
            "steps": steps,
            "models": [
                {"name": m.meta["name"], "sha256": m.meta["weights"]["sha256"]} for m in models
            ],
        },
    }


def _scored(
    scratch: Path, facts: Facts, arrays: dict[str, Any], dataset: Dataset, data_dir: str
) -> Evaluation | None:
    """Returns the scores of the generators on held-out pairs, or None if there are none."""
    if from_config.scored_split(dataset) == "train":
        return None
    folder, out = scratch / "model", scratch / "scores"
    with new_folder(folder) as work:
        write_model(work, facts, arrays)
    evaluate(ModelFolder(folder), data_dir, out=out)
    return read_evaluation(out)
