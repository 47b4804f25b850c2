"""Files that come with the package, named without their folder: recipes, names of labels.

They are those of the folder `configs/`, which a wheel holds inside of the package.
"""

from pathlib import Path

import cyclegan_jax


def folder() -> Path:
    """Returns the folder of the shipped files."""
    package = Path(cyclegan_jax.__file__).parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def find(name: str, suffix: str) -> Path | None:
    """Returns the shipped file that `name` stands for, with or without its suffix, or None."""
    stem = name.removesuffix(suffix)
    return folder() / f"{stem}{suffix}" if stem in names(suffix) else None


def names(suffix: str) -> list[str]:
    """Returns the sorted names, without the suffix, of the shipped files that end in `suffix`."""
    return sorted(path.stem for path in folder().glob(f"*{suffix}"))
