"""The models that are shipped with the package, by name. Imports no JAX."""

from pathlib import Path

from cyclegan_jax import InputError
from cyclegan_jax.system.workdir import MODEL

_FOLDER = Path(__file__).parents[1] / "shipped"  # holds model folders; may be missing


def models() -> list[str]:
    """Returns the names of the models that are shipped with the package, sorted."""
    return sorted(path.parent.name for path in _FOLDER.glob(f"*/{MODEL}"))


def find_model(name: str) -> Path:
    """Returns the model folder that `name` means: a folder, or the name of a shipped model.

    Raises:
      InputError: there is neither, or both are there.
    """
    folder, shipped = Path(name), name in models()
    if shipped and (folder / MODEL).is_file():
        raise InputError(
            f"--model={name}: there is a folder here and a shipped model of this name; give "
            f"./{name} for the folder, or rename it"
        )
    if shipped:
        return _FOLDER / name
    if folder.exists():
        return folder
    known = f"the shipped models are {', '.join(models())}" if models() else "no model is shipped"
    raise InputError(
        f"--model={name}: there is no such folder, and {known}; give the folder of an exported "
        "model"
    )
