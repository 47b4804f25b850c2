"""The workdir of a run or of a sweep: the paths in it, the config it holds, and its lock."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

from cyclegan_jax import InputError
from cyclegan_jax import config as config_lib
from cyclegan_jax.system.files import write_whole

try:
    import fcntl
except ImportError:  # not a POSIX system: there are no locks
    fcntl = None

SCORES = "scores.json"  # in the folder of an evaluation
MODEL = "model.json"  # in a model folder, which is no workdir


@dataclasses.dataclass(frozen=True)
class Workdir:
    """Names everything in the workdir of a run or of a sweep; it reads and makes nothing.

    No other module spells these names.
    """

    path: Path

    # of a run

    @property
    def config(self) -> Path:
        """The file of the run's config, see `config.to_json`."""
        return self.path / "config.json"

    @property
    def init_from(self) -> Path:
        """The file that says which run's weights this run has started from, if there is one."""
        return self.path / "init_from.json"

    @property
    def lock(self) -> Path:
        """The file that the training process locks."""
        return self.path / ".lock"

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    def checkpoint(self, step: int) -> Path:
        """Returns the folder of one checkpoint."""
        return self.checkpoints / str(step)

    @property
    def damaged_checkpoints(self) -> Path:
        """The folder that damaged checkpoints are moved to."""
        return self.path / "damaged_checkpoints"

    @property
    def networks(self) -> Path:
        """The file that lists every array of the networks' parameters."""
        return self.path / "networks.txt"

    @property
    def metrics(self) -> Path:
        """The file of the logged numbers, one JSON object in a line."""
        return self.path / "metrics.jsonl"

    @property
    def warnings(self) -> Path:
        """The file of the failure modes that training has seen, one in a line."""
        return self.path / "warnings.txt"

    @property
    def tensorboard(self) -> Path:
        """The folder of TensorBoard's event files."""
        return self.path / "tensorboard"

    @property
    def profile(self) -> Path:
        """The folder of the profiler's traces."""
        return self.path / "profile"

    @property
    def samples(self) -> Path:
        """The folder of the sample images."""
        return self.path / "samples"

    def sample(self, step: int) -> Path:
        """Returns the file of the sample image of a step."""
        return self.samples / f"step_{step:07d}.png"

    def newest_sample(self) -> tuple[int, Path] | None:
        """Returns the step and the path of the newest sample image, or None if there is none."""
        steps = ((path.stem.removeprefix("step_"), path) for path in self.samples.glob("*.png"))
        return max(((int(s), path) for s, path in steps if s.isdecimal()), default=None)

    @property
    def nonfinite(self) -> Path:
        """The folder of the batches that led to numbers which are not finite."""
        return self.path / "nonfinite"

    def nonfinite_batch(self, step: int, process: int) -> Path:
        """Returns the file of the batch of a step that one of several processes (from 0) saw."""
        share = f"_process{process}" if process else ""
        return self.nonfinite / f"step_{step:07d}{share}.npz"

    @property
    def evaluations(self) -> Path:
        """The folder of all evaluations."""
        return self.path / "eval"

    def evaluation(self, step: int, name: str = "") -> Path:
        """Returns the folder of a checkpoint's evaluations, or of the one called `name`."""
        return self.evaluations / str(step) / name

    @property
    def report(self) -> Path:
        """The page that shows the run."""
        return self.path / "report.html"

    # of a sweep

    @property
    def sweep(self) -> Path:
        """The file of the base config and the trials."""
        return self.path / "sweep.json"

    def trial(self, index: int) -> Path:
        """Returns the workdir of a trial, a run like any other."""
        return self.path / "trials" / f"{index:03d}"

    def trial_end(self, index: int) -> Path:
        """Returns the file that says how a trial ended."""
        return self.trial(index) / "end.json"

    @property
    def sweep_table(self) -> Path:
        """The table of all trials."""
        return self.path / "sweep.csv"

    @property
    def sweep_page(self) -> Path:
        """The page that ranks the settings."""
        return self.path / "sweep.html"

    @property
    def test_scores(self) -> Path:
        """The file of the best setting's scores on the test pairs."""
        return self.path / "test.json"


def refuse_model_folder(workdir: Path) -> None:
    """Raises `InputError` if a path that was given as a workdir is a model folder."""
    if (workdir / MODEL).is_file():
        raise InputError(
            f"{workdir} is a model folder, not the workdir of a run; give it as --model to "
            "translate, evaluate or report, or give another --workdir"
        )


def claim_workdir(config: config_lib.Config, workdir: Path, *, writes: bool) -> None:
    """Makes `workdir` the workdir of this config, or checks that its run can train on with it.

    The config of a run that is there already is not written: `save_config` does so once the run is
    read.

    Args:
      config: of the run.
      workdir: made if it does not exist.
      writes: whether this process writes the config; of several processes one does.

    Raises:
      InputError: the workdir holds a run whose config differs in more than `config.may_change`
        allows (the message shows what differs), holds checkpoints without a config, is a model
        folder, or cannot be written.
    """
    path = Workdir(workdir).config
    refuse_model_folder(workdir)
    with writing_workdir(workdir):
        workdir.mkdir(parents=True, exist_ok=True)
        if path.exists():
            try:
                old = config_lib.from_json(path.read_text())
            except ValueError as error:  # an InputError, or text that is not UTF-8
                raise InputError(
                    f"{path} is not a config of this program ({error}); use a new --workdir"
                ) from error
            check_changes(old, config, workdir)
        elif Workdir(workdir).checkpoints.exists():
            raise InputError(f"{workdir} has checkpoints but no {path.name}; use a new --workdir")
        elif writes:
            save_config(config, workdir)


def check_changes(old: config_lib.Config, new: config_lib.Config, workdir: Path) -> None:
    """Raises `InputError` if the run in `workdir` cannot train on with its config changed so."""
    if refused := config_lib.refused_changes(old, new):
        raise InputError(
            f"{workdir} holds a run of another config; use a new --workdir, with "
            f"--init_from={workdir} to start from its weights, or undo: " + "; ".join(refused)
        )


def save_config(config: config_lib.Config, workdir: Path) -> None:
    """Writes the config of the run in `workdir`. Raises `InputError` if it cannot be written."""
    with writing_workdir(workdir):
        write_whole(Workdir(workdir).config, config_lib.to_json(config))


@contextlib.contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Keeps other processes from training in `workdir` while the block runs.

    The workdir is made if it does not exist. The operating system releases the lock when the
    process ends, even if it is killed.

    Raises:
      InputError: another process trains there, or the workdir cannot be written.
    """
    with writing_workdir(workdir):
        workdir.mkdir(parents=True, exist_ok=True)
        file = Workdir(workdir).lock.open("w")
    with file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise InputError(
                    f"another process trains in {workdir}; wait for it, stop it, or use a new "
                    "--workdir"
                ) from error
            except OSError:  # a file system without locks
                pass
        yield


@contextlib.contextmanager
def writing_workdir(workdir: Path) -> Iterator[None]:
    """Turns an `OSError` of the block into an `InputError` that says what to do."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"--workdir={workdir} cannot be written ({error.strerror}); make room or fix the "
            "permissions and launch again, or use another --workdir"
        ) from error
