"""The one abstraction of where trained generators come from: `Origin`, and its two kinds."""

import dataclasses
import os
from pathlib import Path
from typing import Protocol

from cyclegan_jax import InputError
from cyclegan_jax.checkpoints.contents import Checkpoint
from cyclegan_jax.checkpoints.manager import Checkpoints
from cyclegan_jax.trained import model_folder
from cyclegan_jax.trained.shipped import find_model, models

BEST = "best"


class Origin(Protocol):
    """Where trained generators come from. Nothing is read before it is asked for.

    Attributes:
      path: of the folder that the user gave.
      name: what the model is called in results.
      workdir: of the run, which has data and takes scores; None of a model folder.
    """

    @property
    def path(self) -> Path: ...

    @property
    def name(self) -> str: ...

    @property
    def workdir(self) -> Path | None: ...

    def read(self) -> Checkpoint:
        """Reads the generators and the facts saved with them, compared with their digests.

        Raises:
          InputError: there are none, or they are damaged.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Run:
    """A checkpoint of a run: "best", "latest" or a step."""

    path: Path
    checkpoint: str = BEST

    @property
    def name(self) -> str:
        """The name of the workdir."""
        return Path(os.path.abspath(self.path)).name

    @property
    def workdir(self) -> Path:
        """The path."""
        return self.path

    def read(self) -> Checkpoint:
        """See `Origin.read`."""
        with Checkpoints(self.path) as checkpoints:
            return checkpoints.choose(self.checkpoint)


@dataclasses.dataclass(frozen=True)
class ModelFolder:
    """An exported model, see `model_folder`."""

    path: Path

    @property
    def name(self) -> str:
        """The name that the model was exported with. Raises `InputError` as `read` does."""
        return model_folder.read_facts(self.path)["name"]

    @property
    def workdir(self) -> None:
        """There is none."""
        return None

    def read(self) -> Checkpoint:
        """See `Origin.read`."""
        return model_folder.read_model(self.path)


def origin_of(workdir: str | None, checkpoint: str, model: str | None) -> Origin:
    """Returns what the flags --workdir and --checkpoint, or --model, name.

    Raises:
      InputError: not exactly one of --workdir and --model is given, --checkpoint is given with
        --model, or there is no such model.
    """
    if not workdir and not model:
        raise InputError(
            "give --workdir, the folder of a run, or --model, an exported model or one of "
            f"{', '.join(models())}"
        )
    if workdir and model:
        raise InputError("--workdir and --model exclude each other; give one of them")
    if workdir:
        return Run(Path(workdir), checkpoint)
    if checkpoint != BEST:
        raise InputError(
            f"--checkpoint={checkpoint}: --model={model} has one set of weights; omit it"
        )
    return ModelFolder(find_model(model or ""))
