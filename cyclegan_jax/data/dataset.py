"""The prepared data set: any `Source` written in the format of TFDS, its manifest, and opening it.

A prepared folder holds `mri_slices/` (TFDS, array_record: no TensorFlow is needed to write or
read), `manifest.json` (splits by subject, intensity ranges, slice names, files with checksums) and
`contact_sheet.png`.
"""

import contextlib
import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_data_source import ArrayRecordDataSource

from cyclegan_jax import InputError, __version__
from cyclegan_jax.data import limits
from cyclegan_jax.data.intensity import from_storage, to_storage
from cyclegan_jax.data.manifest import FORMAT, MANIFEST, check_manifest, read_manifest
from cyclegan_jax.data.pairs import spread
from cyclegan_jax.data.preparation import notes
from cyclegan_jax.data.preparation.scan import Scan, ScanImages, Source, in_order
from cyclegan_jax.render.image_grid import save_grid
from cyclegan_jax.system.files import checksum, of_json

CONTACT_SHEET = "contact_sheet.png"
_RECORDS = Path("mri_slices", "1.0.0")  # name and version of the TFDS data set
_SHARD = 4096  # records in a file
_SHEET_COLUMNS = 8
_FEATURES = tfds.features.FeaturesDict(
    {
        # zlib: Tensor needs an encoding where the shape is not fixed
        "image": tfds.features.Tensor(shape=(None, None, 1), dtype=np.uint16, encoding="zlib"),
        "name": tfds.features.Text(),
    }
)


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
        """Records `{"image": uint16 [H, W, 1], "name": bytes}` of one split and domain.

        Raises InputError, also when an element is read, for files that are missing or damaged.
        """
        return _Records(self.folder, name, self.manifest["splits"][name])

    @property
    def digest(self) -> str:
        """Of its images: that of a copy, and of the same scans prepared again, is the same."""
        source, splits = self.manifest["source"], self.manifest["splits"]
        made_of = {
            name: [s["names"], s["sizes"], [file["sha256"] for file in s.get("files", [])]]
            for name, s in splits.items()
        }
        # other facts name the folders of the scans
        settings = source if source["kind"] == "phantom" else {}
        return of_json([settings, self.manifest["domains"], made_of])

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
        lines += [f"  note: {note}" for note in self.manifest.get("notes", [])]
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
        written = json.loads((work / MANIFEST).read_text())
        check_manifest(out / MANIFEST, written, "mend the scans")
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
      InputError: see `manifest.read_manifest`.
    """
    return Dataset(folder, read_manifest(folder))


class _Records(Sequence[Any]):
    """Records of one split, read as they were written.

    Not by TFDS's builder: from the folder's `features.json` it would import whatever module that
    names, and `dataset_info.json` could lead it to other files.
    """

    def __init__(self, folder: Path, split: str, entry: dict[str, Any]):
        self._path = folder / _RECORDS
        self._sizes = {tuple(size) for size in entry["sizes"]}
        shards = sorted(map(str, self._path.glob(f"{_RECORDS.parts[0]}-{split}.array_record-*")))
        with self._reading():
            self._source = ArrayRecordDataSource(shards)
            if len(self._source) != len(entry["names"]):
                raise ValueError(f"{split}: {len(self._source)} of {len(entry['names'])} records")

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(index)
        with self._reading():
            skip = {"image": tfds.decode.SkipDecoding()}
            if not (stored := self._source[index]):
                raise ValueError(f"record {index} is empty")
            record: Any = _FEATURES.deserialize_example_np(stored, decoders=skip)
            height, width, _ = shape = tuple(record["image"]["shape"].tolist())
            if (height, width) not in self._sizes:
                raise ValueError(f"record {index} has {shape}, not in {MANIFEST}")
            # TFDS would inflate all there is
            pixels = limits.inflate_whole(record["image"]["value"], 2 * height * width)
            return {**record, "image": np.frombuffer(pixels, np.uint16).reshape(height, width, 1)}

    def _reading(self) -> contextlib.AbstractContextManager[None]:
        return limits.reading(
            self._path, "prepared images", "see that they are there, or prepare them again"
        )


@dataclasses.dataclass(frozen=True)
class _Stored:
    """A scan's records, emptied once they are written, and what the manifest needs of it."""

    name: str
    records: list[dict[str, Any]]
    slices: list[str]
    sizes: set[tuple[int, ...]]
    read: ScanImages  # without its images
    file: dict[str, str]


def _store(scan: Scan) -> _Stored:
    read = scan.read()
    records = [{"image": to_storage(i)[..., None], "name": n} for n, i in read.images.items()]
    file = {}
    if scan.path is not None:
        file = {"scan": scan.name, "file": str(scan.path), "sha256": checksum(scan.path)}
    sizes = {image.shape for image in read.images.values()}
    facts = dataclasses.replace(read, images={})
    return _Stored(scan.name, records, [*read.images], sizes, facts, file)


def _write(source: Source, folder: Path) -> dict[str, Any]:
    stored = _write_records(source, folder)
    manifest = _manifest(source, stored)
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1))
    dataset = Dataset(folder, manifest)
    rows = [_spread(dataset.split(f"train_{domain}")) for domain in "xy"]
    save_grid(folder / CONTACT_SHEET, rows, [], ["x: T1-weighted", "y: T2-weighted"])
    return manifest


def _write_records(source: Source, folder: Path) -> dict[str, list[_Stored]]:
    """Writes as it reads: a TFDS builder would hold a whole split in memory to order it."""
    path = folder / _RECORDS
    path.mkdir(parents=True)
    name, version = _RECORDS.parts
    identity = tfds.core.DatasetIdentity(
        name=name, version=tfds.core.Version(version), data_dir=str(path), module_name=__name__
    )
    info = tfds.core.DatasetInfo(
        builder=identity,
        description="Slices of T1-weighted (x) and T2-weighted (y) MRI.",
        features=_FEATURES,
        disable_shuffling=True,
    )
    writer = tfds.core.SequentialWriter(info, _SHARD, file_format="array_record")
    writer.initialize_splits(list(source.splits))
    stored: dict[str, list[_Stored]] = {}
    for split in sorted(source.splits, key=lambda s: s.startswith("train")):  # pairs fail early
        stored[split] = []
        for scan in in_order(_store, source.splits[split]):
            writer.add_examples({split: scan.records})
            scan.records.clear()
            stored[split].append(scan)
        if split in ("val_y", "test_y"):
            _check_pairs(split[:-2], *({s.name: s for s in stored[split[:-1] + d]} for d in "xy"))
    writer.close_all()
    return stored


def _manifest(source: Source, stored: dict[str, list[_Stored]]) -> dict[str, Any]:
    domains = {}
    for domain in "xy":
        ranges = [scan.read.intensity for scan in stored[f"train_{domain}"]]
        low, high = np.median(np.array(ranges), axis=0).tolist()
        domains[domain] = {"dtype": source.dtypes[domain], "range": [low, high]}
        if domain in source.pixels:
            domains[domain]["pixel_mm"] = list(source.pixels[domain])
    splits = {
        split: {
            "subjects": list(dict.fromkeys(scan.subject for scan in scans)),
            "sizes": sorted(set().union(*(scan.sizes for scan in stored[split]))),
            "names": [name for scan in stored[split] for name in scan.slices],
        }
        for split, scans in source.splits.items()
    }
    for split, entry in splits.items():
        if files := [scan.file for scan in stored[split] if scan.file]:
            entry["files"] = files
    lines = [*source.notes]
    lines += [notes.clipped(s, [scan.read.clipped for scan in stored[s]]) for s in source.splits]
    for split in ("val", "test"):
        if f"{split}_x" in splits:
            x, y = f"{split}_x", f"{split}_y"
            lines.append(notes.unpaired_slices(split, splits[x]["names"], splits[y]["names"]))
            places = ({scan.name: scan.read.corners for scan in stored[s]} for s in (x, y))
            lines.append(notes.apart(split, *places))
    lines.append(notes.copies(splits))
    return {
        "format": FORMAT,
        "made_by": f"cyclegan_jax {__version__}",
        "source": source.facts,
        "domains": domains,
        "splits": splits,
        "notes": [line for line in lines if line],
    }


def _check_pairs(split: str, x: dict[str, _Stored], y: dict[str, _Stored]) -> None:
    """Slices pair up by number, so the two scans of a pair must be one grid."""
    for name in x.keys() & y.keys():
        a, b = x[name], y[name]
        if a.read.shape != b.read.shape:
            raise InputError(
                f"{split} pair {name!r}: the T1 scan has {_size(a.read.shape)} and the T2 scan "
                f"{_size(b.read.shape)}; register and resample one to the other"
            )
    if not any(set(x[name].slices) & set(y[name].slices) for name in x.keys() & y.keys()):
        raise InputError(
            f"{split}: no slice is in both scans of its pair; lower --min_head, or name the files "
            "of a pair alike"
        )


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} slice(s) of {shape[2]}x{shape[1]} pixels"


def _spread(records: Sequence[dict[str, Any]]) -> list[np.ndarray]:
    return [from_storage(records[i]["image"]) for i in spread(len(records), _SHEET_COLUMNS)]
