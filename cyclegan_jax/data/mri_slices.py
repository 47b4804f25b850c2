"""The prepared data set: a TFDS builder over any `Source`, its manifest, and how to open it.

A prepared folder holds `mri_slices/` (TFDS, array_record: no TensorFlow is needed to write or
read), `manifest.json` (splits by subject, intensity ranges, slice names) and `contact_sheet.png`.
"""

import contextlib
import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from cyclegan_jax import InputError, __version__
from cyclegan_jax.data.intensity import IntensityRange, from_storage, to_storage
from cyclegan_jax.data.sources import Source
from cyclegan_jax.pictures import save_grid

MANIFEST = "manifest.json"
CONTACT_SHEET = "contact_sheet.png"
_FORMAT = 1
_SHEET_COLUMNS = 8


class MriSlices(tfds.core.GeneratorBasedBuilder):
    """2-D slices of both domains: `image` uint16 `[H, W, 1]` (see `to_storage`) and `name`."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, *, source: Source, **kwargs: Any):
        self._source = source
        self.names: dict[str, list[str]] = {}
        self.sizes: dict[str, list[tuple[int, int]]] = {}
        self.ranges: dict[str, list[IntensityRange]] = {}
        self.shapes: dict[str, dict[str, tuple[int, ...]]] = {}
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Slices of T1-weighted (x) and T2-weighted (y) MRI.",
            features=tfds.features.FeaturesDict(
                {
                    # zlib: Tensor needs an encoding where the shape is not fixed
                    "image": tfds.features.Tensor(
                        shape=(None, None, 1), dtype=np.uint16, encoding="zlib"
                    ),
                    "name": tfds.features.Text(),
                }
            ),
            disable_shuffling=True,  # so that the manifest's names are in the records' order
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {split: self._generate_examples(split) for split in self._source.splits}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        names, sizes, ranges = [], set(), []
        self.names[split], self.ranges[split] = names, ranges
        self.shapes[split] = {}
        for scan in self._source.splits[split]:
            read = scan.read()
            ranges.append(read.intensity)
            self.shapes[split][scan.subject] = read.shape
            for name, image in read.images.items():
                yield len(names), {"image": to_storage(image)[..., None], "name": name}
                names.append(name)
                sizes.add(image.shape)
        self.sizes[split] = sorted(sizes)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """An opened data set; `split(name)` is a random-access sequence of records."""

    folder: Path
    manifest: dict[str, Any]

    def has(self, split: str) -> bool:
        """Whether there are images in `split`, for example "test_x"."""
        return split in self.manifest["splits"]

    def names(self, split: str) -> list[str]:
        """Slice names of `split`, in the order of its records."""
        return self.manifest["splits"][split]["names"]

    def split(self, name: str) -> Sequence[dict[str, Any]]:
        """Records `{"image": uint16 [H, W, 1], "name": bytes}` of one split and domain."""
        folder = self.folder / MriSlices.name / str(MriSlices.VERSION)
        builder: Any = tfds.builder_from_directory(folder)
        return builder.as_data_source(split=name)

    def image_bytes(self, split: str) -> int:
        """At most how much memory the decoded images of `split` need."""
        entry = self.manifest["splits"][split]
        largest = max(height * width for height, width in entry["sizes"])
        return len(entry["names"]) * largest * np.dtype(np.uint16).itemsize

    def summary(self) -> str:
        """A few lines for people: what it is, how many images and subjects in each split."""
        lines = [f"data: {self.folder} ({self.manifest['source']['kind']})"]
        for name, split in self.manifest["splits"].items():
            sizes = ", ".join(f"{w}x{h}" for h, w in split["sizes"])
            lines.append(
                f"  {name:8} {len(split['names']):5} images of {len(split['subjects'])} "
                f"subjects, {sizes} pixels"
            )
        for domain, contrast in (("x", "T1"), ("y", "T2")):
            info = self.manifest["domains"][domain]
            low, high = info["range"]
            lines.append(f"  {domain} ({contrast}): {info['dtype']}, {low:g}..{high:g} is -1..1")
        return "\n".join(lines)


def prepare(source: Source, out: Path) -> Dataset:
    """Reads every scan of `source` and writes the prepared folder `out`, whole or not at all.

    Raises:
      InputError: `out` is not empty or cannot be written, or a scan cannot be used.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists and is not an empty folder; name another or remove it")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror}") from error
    try:
        manifest = _write(source, work)
        work.chmod(0o755)
        os.replace(work, out)
    except (OSError, RuntimeError) as error:  # array_record reports a full disk as the latter
        reason = str(error).split("\n")[0]
        raise InputError(
            f"{out}: cannot be written: {reason}; make room or name another"
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Dataset(out, manifest)


def open_dataset(folder: Path) -> Dataset:
    """Opens what `prepare` wrote.

    Raises:
      InputError: the folder does not exist or is no prepared data set of this version.
    """
    path = folder / MANIFEST
    mend = "make one with scripts/prepare_data.py"
    try:
        manifest = json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{folder} is no prepared data set (no {MANIFEST}); {mend}") from None
    except (OSError, ValueError) as error:  # ValueError: neither UTF-8 nor JSON
        raise InputError(f"{path} cannot be read ({error}); {mend}") from error
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != _FORMAT:
        raise InputError(f"{path} has format {found}, not {_FORMAT}; {mend}")
    return Dataset(folder, manifest)


def _write(source: Source, folder: Path) -> dict[str, Any]:
    builder = MriSlices(source=source, data_dir=folder, file_format="array_record")
    with _no_progress_bars():
        builder.download_and_prepare()
    shutil.rmtree(folder / "downloads", ignore_errors=True)
    for split in ("val", "test"):
        _check_pairs(builder.shapes.get(f"{split}_x", {}), builder.shapes.get(f"{split}_y", {}))
    domains = {}
    for domain in "xy":
        ranges = builder.ranges[f"train_{domain}"]
        low, high = np.median(np.array(ranges), axis=0).tolist()
        domains[domain] = {"dtype": source.dtypes[domain], "range": [low, high]}
    manifest = {
        "format": _FORMAT,
        "made_by": f"cyclegan_jax {__version__}",
        "source": source.facts,
        "domains": domains,
        "splits": {
            split: {
                "subjects": [s.subject for s in scans],
                "sizes": builder.sizes[split],
                "names": builder.names[split],
            }
            for split, scans in source.splits.items()
        },
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1))
    dataset = Dataset(folder, manifest)
    rows = [_spread(dataset.split(f"train_{domain}")) for domain in "xy"]
    save_grid(folder / CONTACT_SHEET, rows, [], ["x: T1-weighted", "y: T2-weighted"])
    return manifest


def _check_pairs(x: dict[str, tuple[int, ...]], y: dict[str, tuple[int, ...]]) -> None:
    """Slices pair up by number, so the two scans of a pair must be one grid."""
    for subject in x.keys() & y.keys():
        if x[subject] != y[subject]:
            raise InputError(
                f"test pair {subject!r}: the T1 scan has {_size(x[subject])} and the T2 scan "
                f"{_size(y[subject])}; register and resample one to the other"
            )


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} slice(s) of {shape[2]}x{shape[1]} pixels"


def _spread(records: Sequence[dict[str, Any]]) -> list[np.ndarray]:
    chosen = np.linspace(0, len(records) - 1, min(len(records), _SHEET_COLUMNS)).round()
    return [from_storage(records[int(i)]["image"]) for i in chosen]


@contextlib.contextmanager
def _no_progress_bars() -> Iterator[None]:
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(None):  # TFDS prints its own announcements
            yield
    finally:
        tfds.enable_progress_bar()
