"""Writes a prepared data set from any `Source`: images, manifest and contact sheet."""

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from cyclegan_jax import InputError, __version__
from cyclegan_jax.data.dataset import FEATURES, RECORDS, Dataset
from cyclegan_jax.data.intensity import (
    HEAD,
    from_storage,
    part_sizes,
    reference_range,
    to_storage,
)
from cyclegan_jax.data.manifest import FORMAT, MANIFEST, check_manifest, labels_of
from cyclegan_jax.data.pairs import spread
from cyclegan_jax.data.preparation import notes
from cyclegan_jax.data.preparation.reading import in_order
from cyclegan_jax.data.preparation.scan import Scan, ScanImages, Source
from cyclegan_jax.data.slicing import subject_of_slice
from cyclegan_jax.domains import CONTRASTS, DOMAINS
from cyclegan_jax.render.image_grid import save_grid
from cyclegan_jax.system.files import file_digest, hidden_folder_beside, publish

CONTACT_SHEET = "contact_sheet.png"
_SHARD = 4096  # records in a file
_SHEET_COLUMNS = 8
_MOST_MEASURED = 500  # scans of a split whose measures the manifest holds: each has 2 KB


def prepare(source: Source, out: Path) -> Dataset:
    """Reads every scan of `source` and writes the prepared folder `out`, whole or not at all.

    Raises:
      InputError: `out` is not empty or cannot be written, or a scan cannot be used.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists and is not an empty folder; name another or remove it")
    try:
        work = hidden_folder_beside(out)
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror}") from error
    try:
        manifest = _write(source, work)
        written = json.loads((work / MANIFEST).read_text())
        check_manifest(out / MANIFEST, written, "fix the scans")
        publish(work, out)
    except (OSError, RuntimeError) as error:  # array_record reports a full disk as the latter
        reason = str(error).split("\n")[0]
        raise InputError(
            f"{out}: cannot be written: {reason}; make room or name another"
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Dataset(out, manifest)


@dataclasses.dataclass
class _Stored:
    """A scan's records, which are removed once they are written, and what the manifest needs."""

    name: str
    records: list[dict[str, Any]]
    slices: list[str]
    sizes: set[tuple[int, ...]]
    read: ScanImages  # without its images
    file: dict[str, str]
    heads: list[tuple[int, float]]  # of each slice: pixels of its head, and their share
    labels: list[dict[str, Any]]  # records, removed as those of the images are
    labelled: list[str]  # the names of the slices of `labels`
    labels_file: dict[str, str]

    @property
    def subject(self) -> str:
        return subject_of_slice(self.name)


def _store(scan: Scan) -> _Stored:
    read = scan.read()
    records = [{"image": to_storage(i)[..., None], "name": n} for n, i in read.images.items()]
    labels = [{"image": i[..., None], "name": n} for n, i in read.labels.items()]
    file, labels_file = _file(scan.name, scan.path), _file(scan.name, scan.labels)
    sizes = {image.shape for image in read.images.values()}
    facts = dataclasses.replace(read, images={}, labels={})
    return _Stored(
        name=scan.name,
        records=records,
        slices=[*read.images],
        sizes=sizes,
        read=facts,
        file=file,
        heads=[_head(image) for image in read.images.values()],
        labels=labels,
        labelled=[*read.labels],
        labels_file=labels_file,
    )


def _file(scan: str, path: Path | None) -> dict[str, str]:
    """Returns what the manifest says of a file, which is nothing where there is none."""
    if path is None:
        return {}
    try:
        digest = file_digest(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); see to it") from error
    return {"scan": scan, "file": str(path), "sha256": digest}


def _head(image: np.ndarray) -> tuple[int, float]:
    pixels = int(part_sizes(image[None] > HEAD).max())
    return pixels, pixels / image.size


def _write(source: Source, folder: Path) -> dict[str, Any]:
    stored, labelled = _write_records(source, folder)
    manifest = _manifest(source, stored, labelled)
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1))
    dataset = Dataset(folder, manifest)
    rows = [_examples(dataset.split(f"train_{domain}")) for domain in DOMAINS]
    titles = [f"{domain}: {contrast}-weighted" for domain, contrast in CONTRASTS.items()]
    save_grid(folder / CONTACT_SHEET, rows, [], titles)
    return manifest


def _write_records(
    source: Source, folder: Path
) -> tuple[dict[str, list[_Stored]], dict[str, list[_Stored]]]:
    """Writes while it reads; a TFDS builder would hold a whole split in memory to order it.

    Returns the scans of each split of images, and those whose labels are in each split of labels.
    """
    path = folder / RECORDS
    path.mkdir(parents=True)
    name, version = RECORDS.parts
    identity = tfds.core.DatasetIdentity(
        name=name, version=tfds.core.Version(version), data_dir=str(path), module_name=__name__
    )
    info = tfds.core.DatasetInfo(
        builder=identity,
        description="Slices of MRI: "
        + ", ".join(f"{contrast}-weighted ({domain})" for domain, contrast in CONTRASTS.items()),
        features=FEATURES,
        disable_shuffling=True,
    )
    writer = tfds.core.SequentialWriter(info, _SHARD, file_format="array_record")
    writer.initialize_splits(list(source.splits))
    stored: dict[str, list[_Stored]] = {}
    labelled: dict[str, list[_Stored]] = {}
    for split in sorted(source.splits, key=lambda s: s.startswith("train")):  # pairs fail early
        stored[split] = []
        for scan in in_order(_store, source.splits[split]):
            writer.add_examples({split: scan.records})
            scan.records.clear()
            stored[split].append(scan)
            if scan.labels and not split.startswith("train"):
                # the two scans of a pair lie on one grid, so the labels of one are those of both
                of_pairs = labelled.setdefault(labels_of(split[:-2]), [])
                if scan.name not in {other.name for other in of_pairs}:
                    of_pairs.append(scan)
                    writer.initialize_splits([labels_of(split[:-2])], fail_if_exists=False)
                    writer.add_examples({labels_of(split[:-2]): scan.labels})
            scan.labels = []
        if split in ("val_y", "test_y"):
            x, y = ({s.name: s for s in stored[split[:-1] + d]} for d in DOMAINS)
            _check_pairs(split[:-2], x, y)
    writer.close_all()
    return stored, labelled


def _manifest(
    source: Source, stored: dict[str, list[_Stored]], labelled: dict[str, list[_Stored]]
) -> dict[str, Any]:
    domains = {}
    for domain in DOMAINS:
        low, high = reference_range([scan.read.intensity for scan in stored[f"train_{domain}"]])
        domains[domain] = {"dtype": source.dtypes[domain], "range": [low, high]}
        if domain in source.pixels:
            domains[domain]["pixel_mm"] = list(source.pixels[domain])
        sizes = [s.read.head_ml for s in stored[f"train_{domain}"] if s.read.head_ml is not None]
        if sizes:  # of brains; a whole head is larger
            domains[domain]["most_head_ml"] = max(sizes)
    splits = {
        split: {
            "subjects": list(dict.fromkeys(scan.subject for scan in scans)),
            "sizes": sorted(set().union(*(scan.sizes for scan in stored[split]))),
            "names": [name for scan in stored[split] for name in scan.slices],
            "least_head": _least_head(stored[split]),
        }
        for split, scans in source.splits.items()
    }
    for split, entry in splits.items():
        if split.startswith("train"):
            entry |= _measures(stored[split])
        if files := [scan.file for scan in stored[split] if scan.file]:
            entry["files"] = files
        if source.facts.get("brain_only"):  # then the images depend on the labels
            for scan in stored[split]:
                if scan.labels_file:
                    scan.file["labels_sha256"] = scan.labels_file["sha256"]
    lines = [*source.notes]
    lines += [notes.clipped(s, [scan.read.clipped for scan in stored[s]]) for s in source.splits]
    for split, scans in stored.items():
        lines += notes.of_scans(split, {scan.name: scan.read.notes for scan in scans})
    for split in ("val", "test"):
        if f"{split}_x" in splits:
            x, y = f"{split}_x", f"{split}_y"
            lines.append(notes.unpaired_slices(split, splits[x]["names"], splits[y]["names"]))
            places = ({scan.name: scan.read.corners for scan in stored[s]} for s in (x, y))
            lines.append(notes.apart(split, *places))
            pairs = {s.name for s in stored[x]} & {s.name for s in stored[y]}
            have = {s.name for s in labelled.get(labels_of(split), ())}
            lines.append(notes.unlabelled(split, sorted(pairs - have), len(pairs)) if have else "")
    lines.append(notes.copies(splits))
    return {
        "format": FORMAT,
        "made_by": f"cyclegan_jax {__version__}",
        "source": source.facts,
        "domains": domains,
        "splits": splits | {split: _labels_entry(scans) for split, scans in labelled.items()},
        **({"label_names": source.label_names} if labelled and source.label_names else {}),
        **({"region_names": source.region_names} if labelled and source.region_names else {}),
        **({"groups": source.groups} if source.groups else {}),
        "notes": [line for line in lines if line],
    }


def _measures(scans: Sequence[_Stored]) -> dict[str, Any]:
    """Returns what the manifest says of how training scans look; no digest depends on it."""
    measured = [scan for scan in scans if scan.read.measures]
    chosen = [measured[i] for i in spread(len(measured), _MOST_MEASURED)] if measured else []
    natives = {scan.read.native_mm for scan in scans if scan.read.native_mm is not None}
    entry: dict[str, Any] = {}
    if chosen:
        entry["measures"] = {scan.name: scan.read.measures for scan in chosen}
    if natives:
        entry["native_mm"] = sorted(natives)
    return entry


def _labels_entry(scans: Sequence[_Stored]) -> dict[str, Any]:
    entry = {
        "subjects": list(dict.fromkeys(scan.subject for scan in scans)),
        "sizes": sorted(set().union(*(scan.sizes for scan in scans))),
        "names": [name for scan in scans for name in scan.labelled],
    }
    files = [scan.labels_file for scan in scans if scan.labels_file]
    return entry | ({"files": files} if files else {})


def _least_head(scans: Sequence[_Stored]) -> dict[str, float]:
    """Returns the head of the slice that has the least: its pixels, and their share of a slice."""
    pixels, shares = zip(*(head for scan in scans for head in scan.heads), strict=True)
    return {"pixels": min(pixels), "share": min(shares)}


def _check_pairs(split: str, x: dict[str, _Stored], y: dict[str, _Stored]) -> None:
    """Checks that the two scans of a pair are one grid, since slices pair up by number."""
    for name in x.keys() & y.keys():
        a, b = x[name], y[name]
        if a.read.shape != b.read.shape:
            raise InputError(
                f"{split} pair {name!r}: the {CONTRASTS['x']} scan has {_size(a.read.shape)} and "
                f"the {CONTRASTS['y']} scan {_size(b.read.shape)}; register and resample one to "
                "the other"
            )
    if not any(set(x[name].slices) & set(y[name].slices) for name in x.keys() & y.keys()):
        raise InputError(
            f"{split}: no slice is in both scans of its pair; lower --min_head, or give the files "
            "of a pair equal names"
        )


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} slice(s) of {shape[2]}x{shape[1]} pixels"


def _examples(records: Sequence[dict[str, Any]]) -> list[np.ndarray]:
    """Returns images for a row of the contact sheet."""
    return [from_storage(records[i]["image"]) for i in spread(len(records), _SHEET_COLUMNS)]
