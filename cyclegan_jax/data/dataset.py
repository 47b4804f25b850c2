"""Opens a prepared data set: its manifest and its images.

A prepared folder holds `mri_slices/` (in the format of TFDS, array_record: no TensorFlow is needed
to write or read it), `manifest.json` (splits by subject, intensity ranges, slice names, files with
checksums) and `contact_sheet.png`. Where pairs have label maps, these are splits of their own,
"val_labels" and "test_labels": in their records the integers of "image" are labels.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_data_source import ArrayRecordDataSource

from cyclegan_jax.data import limits
from cyclegan_jax.data.familiarity import limits_of
from cyclegan_jax.data.intensity import from_storage
from cyclegan_jax.data.manifest import MANIFEST, holds_images, read_manifest
from cyclegan_jax.data.slicing import AXES, is_slice, scan_of_slice
from cyclegan_jax.data.through_plane import typical_jump
from cyclegan_jax.domains import CONTRASTS, DOMAINS
from cyclegan_jax.system.files import json_digest

_FURTHEST = 1.5  # pixels between slices, for which slices can be compared with pixels
_MOST_VOLUMES = 20  # that are measured
RECORDS = Path("mri_slices", "1.0.0")  # name and version of the TFDS data set
FEATURES = tfds.features.FeaturesDict(
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
        """Returns whether there are images in `split`, for example in "test_x"."""
        return split in self.manifest["splits"]

    @property
    def image_splits(self) -> list[str]:
        """The names of the splits that hold images, and not labels."""
        return [split for split in self.manifest["splits"] if holds_images(split)]

    @property
    def label_names(self) -> dict[str, list[int]]:
        """Which labels each tissue has, by its name; empty if they have no names."""
        return self.manifest.get("label_names", {})

    @property
    def region_names(self) -> dict[int, str]:
        """The own name of each label that has one; older data sets have none."""
        return {int(n): name for n, name in self.manifest.get("region_names", {}).items()}

    @property
    def brain_only(self) -> bool:
        """Whether everything outside the label maps was made air."""
        return bool(self.manifest["source"].get("brain_only", False))

    def names(self, split: str) -> list[str]:
        """Returns the slice names of `split`, in the order of its records."""
        return self.manifest["splits"][split]["names"]

    def sizes(self, split: str) -> list[tuple[int, int]]:
        """Returns the heights and widths that images of `split` have."""
        return [(height, width) for height, width in self.manifest["splits"][split]["sizes"]]

    def split(self, name: str) -> Sequence[dict[str, Any]]:
        """Returns the records `{"image": uint16 [H, W, 1], "name": bytes}` of one split and domain.

        Raises InputError for files that are missing or damaged, also when an element is read.
        """
        return _Records(self.folder, name, self.manifest["splits"][name])

    @property
    def axis(self) -> str:
        """Along which volumes were sliced, one of `slicing.AXES`; the first for images."""
        return self.manifest["source"].get("axis", AXES[0])

    @property
    def digest(self) -> str:
        """A digest of the images; a copy, and the same scans prepared again, have the same one.

        Another slicing axis or frame gives another digest. Labels of pairs give the same one, since
        no image depends on them, unless everything outside them was made air.
        """
        source, splits = self.manifest["source"], self.manifest["splits"]
        made_of = {
            name: [splits[name]["names"], splits[name]["sizes"], _checksums(splits[name])]
            for name in self.image_splits
        }
        # Other facts name the folders of the scans. What was not asked for is not in the digest,
        # and was not in it before these were.
        asked = {
            "axis": self.axis,
            "frame": source.get("frame"),
            "brain_only": self.brain_only or None,
        }
        asked = {k: v for k, v in asked.items() if v not in (AXES[0], None)}
        settings = source if source["kind"] == "phantom" else asked
        return json_digest([settings, self.manifest["domains"], made_of])

    @functools.cached_property
    def slice_jumps(self) -> dict[str, float]:
        """How much training scans change from slice to slice, by domain; see `typical_jump`.

        Of at most 20 scans of each domain. Where slices are much further apart than pixels, or
        their distance is not known, it says nothing and is left out.
        """
        found = {}
        for domain in DOMAINS:
            pixel = self.manifest["domains"][domain].get("pixel_mm")
            between = self.manifest["source"].get("slice_mm", {}).get(domain)
            if pixel and between and between <= _FURTHEST * sum(pixel) / 2:
                value = typical_jump(self._volumes(f"train_{domain}", _MOST_VOLUMES))
                if np.isfinite(value):
                    found[domain] = value
        return found

    def _volumes(self, split: str, at_most: int) -> Iterator[np.ndarray]:
        """Yields the slices `[N, H, W]` in [-1, 1] of some scans, from the first on."""
        records, places = self.split(split), {}
        for place, name in enumerate(self.names(split)):
            if is_slice(name):
                places.setdefault(scan_of_slice(name), []).append(place)
        for scan in list(places)[:at_most]:
            images = [from_storage(records[place]["image"][..., 0]) for place in places[scan]]
            if len({image.shape for image in images}) == 1:
                yield np.stack(images)

    @property
    def training_scans(self) -> dict[str, dict[str, Any]]:
        """The limits that the training scans of each domain set, see `familiarity.limits_of`.

        They are empty for data that an older version prepared, and for stacks.
        """
        found = {}
        for domain in DOMAINS:
            entry, facts = (self.manifest[k] for k in ("splits", "domains"))
            entry, facts = entry[f"train_{domain}"], facts[domain]
            between = self.manifest["source"].get("slice_mm", {}).get(domain)
            voxel = (between, *facts["pixel_mm"]) if between and "pixel_mm" in facts else None
            natives = np.array(entry.get("native_mm", [])).reshape(-1, 3)
            largest = natives.max(axis=0).tolist() if len(natives) else None
            found[domain] = limits_of(
                list(entry.get("measures", {}).values()),
                "volume" if facts["dtype"] == "float32" else "image",
                voxel,
                largest,
            )
        return found

    def summary(self) -> str:
        """Returns a few lines to print: the kind, the images and subjects of each split, notes."""
        lines = [f"data: {self.folder} ({self.manifest['source']['kind']})"]
        for name, split in self.manifest["splits"].items():
            sizes = ", ".join(f"{w}x{h}" for h, w in split["sizes"])
            what = "images" if holds_images(name) else "label maps"
            lines.append(
                f"  {name:8} {len(split['names']):5} {what} of {len(split['subjects'])} "
                f"subjects, {sizes} pixels"
            )
        for domain, contrast in CONTRASTS.items():
            info = self.manifest["domains"][domain]
            low, high = info["range"]
            lines.append(f"  {domain} ({contrast}): {info['dtype']}, {low:g}..{high:g} is -1..1")
        lines += [f"  note: {note}" for note in self.manifest.get("notes", [])]
        return "\n".join(lines)


def _checksums(entry: dict[str, Any]) -> list[str]:
    """Returns the checksums of a split's files, and of the label maps that cut the brain out."""
    files = entry.get("files", [])
    return [file[key] for file in files for key in ("sha256", "labels_sha256") if key in file]


def open_dataset(folder: Path) -> Dataset:
    """Opens what `preparation.write.prepare` wrote.

    Raises:
      InputError: see `manifest.read_manifest`.
    """
    return Dataset(folder, read_manifest(folder))


class _Records(Sequence[Any]):
    """The records of one split, read as they were written.

    TFDS's builder is not used: it would import whatever module the folder's `features.json` names,
    and `dataset_info.json` could lead it to other files.
    """

    def __init__(self, folder: Path, split: str, entry: dict[str, Any]):
        self._path = folder / RECORDS
        self._sizes = {tuple(size) for size in entry["sizes"]}
        shards = sorted(map(str, self._path.glob(f"{RECORDS.parts[0]}-{split}.array_record-*")))
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
            record: Any = FEATURES.deserialize_example_np(stored, decoders=skip)
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
