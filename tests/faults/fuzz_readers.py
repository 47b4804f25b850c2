"""The readers of files that a user did not make, and what each of them must return."""

import dataclasses
import functools
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_changes import (
    change_bytes,
    change_csv,
    change_json,
    change_mat,
    change_nifti,
    change_nifti_gz,
    change_npy,
    change_png,
    change_shard,
)
from hypothesis import strategies as st

from cyclegan_jax.data import limits

COMPANIONS = Path(__file__).parent / "corpus" / "companions"


@dataclasses.dataclass(frozen=True)
class Reader:
    """A reader, and how its files are crafted.

    Attributes:
      name: of its file; the suffix matters.
      read: raises InputError, or an AssertionError where what it returns is not sane.
      change: draws a change of a seed; most change bytes, some know the format.
      fresh: make seeds that a kept file would not be for long.
      companions: makes files that must be there too, in a folder that is not there yet.
    """

    name: str
    read: Callable[[Path], None]
    change: Callable[[st.DataObject, bytes], bytes]
    companions: Callable[[Path], object] | None = None
    fresh: Sequence[Callable[[], bytes]] = ()

    def prepare(self, folder: Path) -> Path:
        """Makes the folder; returns the path of the file to craft."""
        if self.companions:
            self.companions(folder)
        folder.mkdir(parents=True, exist_ok=True)
        return folder / self.name

    def crafted(self, seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
        """One of the seeds, changed once or several times."""

        @st.composite
        def draw_one(draw: Any) -> bytes:
            data = draw(st.data())
            made = data.draw(st.sampled_from(seeds))
            for _ in range(data.draw(st.sampled_from([1, 1, 1, 2, 3, 5]))):
                made = self.change(data, made)
            return made

        return draw_one()


def _with_loop(folder: Path) -> None:
    shutil.copytree(COMPANIONS / "csv", folder)
    (folder / "loop").symlink_to("loop")


def _phantoms(folder: Path) -> None:
    from cyclegan_jax.data.phantom.source import phantom_source
    from cyclegan_jax.data.preparation.write import prepare

    facts: dict[str, Any] = {"subjects": 2, "held_out": 1, "unpaired": "disjoint", "slices": 2}
    facts |= {"lesions": False, "lesions_in": "both", "noise": 0.03, "bias": 0.15, "size": 16}
    prepare(phantom_source(**facts), folder)


def bound_sizes() -> None:
    """Smaller bounds, so that what goes past them is seen before the machine feels it."""
    limits.MOST_VOXELS = limits.MOST_PIXELS = limits.MOST_HEADER = 2**22


def _image(path: Path) -> None:
    from cyclegan_jax.data.formats.images import read_image

    image = read_image(path)
    assert image.ndim == 2
    assert image.dtype in (np.uint8, np.uint16)
    assert 0 < image.size <= limits.MOST_PIXELS


def _volume(path: Path) -> None:
    from cyclegan_jax.data.formats import readers

    volume = readers.read_volume(path.parent if path.suffix == ".dcm" else path)
    _check_array(volume.data)
    assert np.isfinite(volume.corners).all()
    spacing = readers.read_spacing(path.parent if path.suffix == ".dcm" else path)
    assert spacing == volume.spacing
    assert all(np.isfinite(n) and n > 0 for n in spacing)


def _stack(path: Path) -> None:
    from cyclegan_jax.data.formats.stacks import read_stack

    _check_array(read_stack(path))


def _check_array(array: np.ndarray) -> None:
    assert array.ndim == 3
    assert array.dtype == np.float32
    assert np.isfinite(array).all()
    assert 0 < array.size <= limits.MOST_VOXELS


def _listing(path: Path) -> None:
    from cyclegan_jax.data.preparation import csv_list, splits

    items = csv_list.read_listing(path)
    assert all(item.path.exists() for item in items)
    divided = splits.divide(items, unpaired="shared")
    assert divided.splits["train_x"]
    assert divided.splits["train_y"]


def _newest_config() -> bytes:
    from cyclegan_jax import config

    return config.to_json(config.base_config()).encode()


def _config(path: Path) -> None:
    from cyclegan_jax import config

    made = config.from_json(path.read_bytes().decode("latin1"))
    config.validate(made)
    assert config.to_json(config.from_json(config.to_json(made))) == config.to_json(made)
    assert config.compilation_key(made)
    assert not config.differences(made, made)


def _dataset(folder: Path) -> None:
    from cyclegan_jax.data.dataset import open_dataset
    from cyclegan_jax.data.phantom import truth

    dataset = open_dataset(folder)
    assert all(line.isprintable() for line in dataset.summary().split("\n"))
    assert dataset.has("train_x")
    for split in dataset.manifest["splits"]:
        records = dataset.split(split)
        assert len(records) == len(dataset.names(split))
        assert records[0]["image"].dtype == np.uint16
    if truth.is_phantom(dataset) and dataset.has("test_x"):
        assert truth.pixel_size(dataset, 16, "resize") > 0
        assert len(list(truth.heads(dataset, "test", image_size=16, mode="pad"))) == 1


_SHARD = "mri_slices/1.0.0/mri_slices-train_x.array_record-00000"
READERS = {
    "png": Reader("a.png", _image, change_png),
    "tiff": Reader("a.tif", _image, change_bytes),
    "nifti": Reader("a.nii", _volume, change_nifti),
    "nifti_gz": Reader("a.nii.gz", _volume, change_nifti_gz),
    "npy": Reader("a.npy", _stack, change_npy),
    "mat_old": Reader("a.mat", _stack, change_mat),
    "mat_73": Reader("a.mat", _stack, change_bytes),
    "dicom": Reader(
        "1.dcm", _volume, change_bytes, functools.partial(shutil.copytree, COMPANIONS / "dicom")
    ),
    "csv": Reader("a.csv", _listing, change_csv, _with_loop),
    "config": Reader("config.json", _config, change_json, fresh=(_newest_config,)),
    "manifest": Reader("manifest.json", lambda path: _dataset(path.parent), change_json, _phantoms),
    "records": Reader(_SHARD, lambda path: _dataset(path.parents[2]), change_shard, _phantoms),
}
