"""Exports the generators of a run's checkpoint as a model folder with its card."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from cyclegan_jax import InputError
from cyclegan_jax.checkpoints.contents import Checkpoint, inference_item
from cyclegan_jax.data import from_config
from cyclegan_jax.data.dataset import Dataset
from cyclegan_jax.domains import DOMAINS
from cyclegan_jax.evaluation.tables import polarity_verdicts
from cyclegan_jax.export.card import card
from cyclegan_jax.export.texts import check_texts
from cyclegan_jax.inference import pixels_in_training
from cyclegan_jax.report.result import SUBJECTS, WORST, Evaluation, newest_evaluation
from cyclegan_jax.system.files import new_folder, write_whole
from cyclegan_jax.system.workdir import Workdir
from cyclegan_jax.trained.model_folder import CARD, Facts, read_model, write_model
from cyclegan_jax.trained.origin import Run


def export_model(
    workdir: Path,
    checkpoint: str,
    out: Path,
    name: str = "",
    data: str = "",
    data_license: str = "",
    stored_as: str = "float32",
) -> int:
    """Writes a model folder, whole or not at all; see `trained.model_folder` for what it holds.

    Args:
      workdir: of the run.
      checkpoint: "best", "latest" or a step.
      out: the folder to make.
      name: of the model; "" is the name of the workdir.
      data: the training data in words, for the card.
      data_license: their licence, for the card.
      stored_as: the type of the weights in the file, one of `model_folder.TYPES`.

    Returns:
      The step of the checkpoint.

    Raises:
      InputError: `out` is there or cannot be written, there is no such checkpoint, the scores of
        its evaluation cannot be read, or a text is not one line.
    """
    if os.path.lexists(out):
        raise InputError(f"--out={out} is there already; name a new folder, or remove it")
    run = Run(workdir, checkpoint)
    texts = {"name": name or run.name, "data": data, "license": data_license}
    check_texts(texts)
    saved = run.read()
    evaluation = _evaluation(workdir, saved.step)
    facts = _facts(saved, workdir, texts, evaluation)
    arrays = saved.items[inference_item(saved.items)]
    write_folder(out, facts, arrays, stored_as, evaluation)
    return saved.step


def open_data_of(folder: Path, saved: Checkpoint, data_dir: str) -> Dataset:
    """Opens a data set for a model, which becomes that of the model's config.

    Args:
      folder: of the model, for messages.
      saved: the model.
      data_dir: a prepared data set; "" is for models of phantoms.

    Raises:
      InputError: there is no such data set, or none is named for a model that needs one.
    """
    config = saved.config
    if not data_dir and config.data.dir:
        raise InputError(
            f"--model={folder} needs --data_dir, the prepared data set that it was trained on"
        )
    with config.unlocked():
        config.data.dir = data_dir
    return from_config.open_data(config)


def _evaluation(workdir: Path, step: int) -> Evaluation | None:
    try:
        return newest_evaluation(workdir, step)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{Workdir(workdir).evaluation(step)}: the scores cannot be read ({error}); evaluate "
            f"--checkpoint={step} again"
        ) from error


def _facts(
    saved: Checkpoint, workdir: Path, texts: dict[str, str], evaluation: Evaluation | None
) -> Facts:
    config = saved.config.to_dict()
    if config["data"]["dir"]:  # where it lay says nothing elsewhere
        config["data"]["dir"] = Path(os.path.abspath(config["data"]["dir"])).name
    if "data" not in saved.meta:
        raise InputError(
            f"{workdir}: checkpoint {saved.step} does not know the ranges of its training data; "
            "train it further with this version, and export that"
        )
    scores: dict[str, Any] | None = None
    failures = _warnings(workdir)
    if evaluation is not None:
        scores = dict(evaluation.scores)
        scores["data"] = Path(scores["data"]).name
        failures += polarity_verdicts(scores)
    # what older checkpoints do not say is not known
    unknown = {
        "axis": "axial",
        "brain_only": False,
        "below_vertex_mm": None,
        "slice_mm": {},
        "slice_jump": {},
        "least_head": dict.fromkeys(DOMAINS),
    }
    pixels = {domain: list(size) for domain, size in pixels_in_training(saved).items()}
    return {
        "name": texts["name"],
        "step": saved.step,
        "averaged": inference_item(saved.items) == "ema",
        "config": config,
        "data": {**unknown, **saved.meta["data"], "pixel_seen_mm": pixels},
        "about": {"data": texts["data"], "license": texts["license"]},
        "scores": scores,
        "failures": failures,
    }


def _warnings(workdir: Path) -> list[str]:
    """Returns the failure modes that training has seen, each once."""
    path = Workdir(workdir).warnings
    return list(dict.fromkeys(path.read_text().splitlines())) if path.exists() else []


def write_folder(
    out: Path,
    facts: Facts,
    arrays: dict[str, np.ndarray],
    stored_as: str,
    evaluation: Evaluation | None,
) -> None:
    """Writes a model folder with its card and the pictures of an evaluation, whole or not at all.

    Args:
      out: the folder to make.
      facts: see `write_model`.
      arrays: see `write_model`.
      stored_as: see `write_model`.
      evaluation: of the weights; None if there is none.
    """
    with new_folder(out) as work:
        write_model(work, facts, arrays, stored_as)
        pictures = []
        for name in (SUBJECTS, WORST):
            if evaluation is not None and (evaluation.folder / name).is_file():
                shutil.copyfile(evaluation.folder / name, work / name)
                pictures.append(name)
        written = read_model(work)  # what cannot be read back must not come out later
        write_whole(work / CARD, card(out.name, written.meta, pictures))
