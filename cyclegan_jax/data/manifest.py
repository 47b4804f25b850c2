"""Reads the manifest of a prepared data set and checks all of it before any of it is used."""

import json
import math
import re
import shlex
from pathlib import Path
from typing import Any

from cyclegan_jax import InputError
from cyclegan_jax.data import limits
from cyclegan_jax.data.familiarity import check_limits
from cyclegan_jax.data.scan_measures import check_measures
from cyclegan_jax.data.slicing import AXES
from cyclegan_jax.domains import DOMAINS
from cyclegan_jax.system.command_line import start_of

MANIFEST = "manifest.json"
FORMAT = 1
_WHAT_TO_DO = f"make one with {shlex.join(start_of('prepare'))}"
_IMAGES = {f"{split}_{domain}" for split in ("train", "val", "test") for domain in DOMAINS}
_LABELS = "_labels"
MOST_LABEL = 65535  # labels are stored in 16 bits
_LONGEST_NAME = 500  # characters of a slice's name, which pictures show
_MOST_MADE_AGAIN = 2**26  # pixels of a phantom head


def labels_of(split: str) -> str:
    """Returns the name of the split with the labels of the pairs of `split`, "val" or "test"."""
    return split + _LABELS


def holds_images(split: str) -> bool:
    """Returns whether a split of the manifest holds images, and not labels of their pixels."""
    return not split.endswith(_LABELS)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Returns the manifest that `preparation.write.prepare` wrote into `folder`.

    Raises:
      InputError: there is none, or it has another format, or anything in it is not what `prepare`
        writes.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(
            f"{folder} is no prepared data set (no {MANIFEST}); {_WHAT_TO_DO}"
        ) from None
    except (OSError, ValueError, RecursionError) as error:  # ValueError: neither UTF-8 nor JSON
        raise InputError(f"{path} cannot be read ({error}); {_WHAT_TO_DO}") from error
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != FORMAT:
        raise InputError(f"{path} has format {str(found)[:20]}, not {FORMAT}; {_WHAT_TO_DO}")
    check_manifest(path, manifest, _WHAT_TO_DO)
    return manifest


def check_manifest(path: Path, manifest: dict[str, Any], what_to_do: str) -> None:
    """Raises InputError about `path` if the manifest holds what `prepare` must not write.

    The message ends with `what_to_do`.
    """
    with limits.reading(path, "manifest", what_to_do):
        _check(manifest)


def _check(manifest: dict[str, Any]) -> None:
    """Raises KeyError, TypeError or ValueError for what is missing or wrong."""
    source, domains, splits = manifest["source"], manifest["domains"], manifest["splits"]
    for text in (manifest["made_by"], source["kind"], *manifest.get("notes", [])):
        _require(_is_text(text), "text", text)
    _require(source.get("axis", "axial") in AXES, "axis", source)
    _require(type(source.get("brain_only", False)) is bool, "brain_only", source)
    _check_each_is_positive("slice_mm", source.get("slice_mm", {}))
    _check_domains(domains)
    images = {split for split in splits if holds_images(split)}
    _require({"train_x", "train_y"} <= images <= _IMAGES, "splits", list(splits))
    _require(splits.keys() - images <= {labels_of(s) for s in ("val", "test")}, "splits", [*splits])
    _check_label_names(manifest.get("label_names", {}))
    _check_region_names(manifest.get("region_names", {}))
    for text in (*(groups := manifest.get("groups", {})), *groups.values()):
        _require(_is_text(text) and 0 < len(text) <= _LONGEST_NAME, "groups", text)
    for split, entry in splits.items():
        _check_split(entry)
        if not holds_images(split):
            both = {
                n for d in DOMAINS for n in splits[f"{split.removesuffix(_LABELS)}_{d}"]["names"]
            }
            _require(both >= set(entry["names"]), "names of labels", split)
            continue
        if source["kind"] == "phantom":
            _check_phantom(source, entry)
        partner = f"{split[:-1]}{'y' if split.endswith('x') else 'x'}"
        _require(partner in splits, "splits without their partner", split)


def check_training_facts(facts: dict[str, Any]) -> None:
    """Checks what a checkpoint says of its training data, see `checkpoints.contents.provenance`.

    Raises KeyError, TypeError, AttributeError or ValueError for what is missing or wrong.
    """
    _check_domains(facts["domains"])
    _require(facts["axis"] in AXES, "axis", facts["axis"])
    _require(type(facts["brain_only"]) is bool, "brain_only", facts["brain_only"])
    below = facts["below_vertex_mm"]
    _require(below is None or (_is_number(below) and below > 0), "below_vertex_mm", below)
    for height, width in facts["pixel_seen_mm"].values():
        _check_each_is_positive("pixel_seen_mm", {"height": height, "width": width})
    _check_each_is_positive("slice_mm", facts["slice_mm"])
    _check_each_is_positive("slice_jump", facts.get("slice_jump", {}))
    for least in facts["least_head"].values():
        if least is not None:
            _check_least_head(least)
    for of_scans in facts.get("training_scans", {}).values():
        check_limits(of_scans)


def _check_domains(domains: dict[str, Any]) -> None:
    for domain in DOMAINS:
        info = domains[domain]
        _require(info["dtype"] in ("uint8", "uint16", "float32"), "dtype", info["dtype"])
        low, high = info["range"]
        _require(_is_number(low) and _is_number(high) and low < high, "range", info["range"])
        height, width = info.get("pixel_mm", (1, 1))
        positive = _is_number(height) and _is_number(width) and min(height, width) > 0
        _require(positive, "pixel_mm", (height, width))
        most = info.get("most_head_ml", 1)
        _require(_is_number(most) and most > 0, "most_head_ml", most)


def _check_each_is_positive(what: str, values: dict[Any, Any]) -> None:
    for value in values.values():
        _require(_is_number(value) and value > 0, what, value)


def _check_least_head(least: dict[str, Any]) -> None:
    for value in (least["pixels"], least["share"]):
        _require(_is_number(value) and value >= 0, "least_head", least)


def _check_split(entry: dict[str, Any]) -> None:
    names, sizes = entry["names"], entry["sizes"]
    for name in (*names, *entry["subjects"]):
        _require(_is_text(name) and len(name) <= _LONGEST_NAME, "name", name)
    _require(len(set(names)) == len(names), "names, each once,", names)
    _require(len(sizes) > 0 or not names, "sizes", sizes)
    for height, width in sizes:
        whole = type(height) is type(width) is int and min(height, width) > 0
        _require(whole and height * width <= limits.MOST_PIXELS, "size", (height, width))
    if "least_head" in entry:  # older manifests lack it
        _check_least_head(entry["least_head"])
    for measures in entry.get("measures", {}).values():
        check_measures(measures)
    for voxel in entry.get("native_mm", []):
        _check_each_is_positive("native_mm", dict(enumerate(voxel)))
        _require(len(voxel) == 3, "native_mm", voxel)
    for file in entry.get("files", []):
        # a path may have any characters: it is never shown as it is
        _require(isinstance(file["file"], str) and _is_text(file["sha256"]), "file", file)


def _check_label_names(names: dict[str, list[int]]) -> None:
    for name, labels in names.items():
        _require(_is_text(name) and 0 < len(name) <= _LONGEST_NAME, "label_names", name)
        whole = all(type(n) is int and 0 < n <= MOST_LABEL for n in labels)
        _require(type(labels) is list and len(labels) > 0 and whole, "label_names", labels)


def _check_region_names(names: dict[str, str]) -> None:
    for label, name in names.items():
        _require(re.fullmatch(r"[1-9][0-9]{0,4}", label) is not None, "region_names", label)
        _require(int(label) <= MOST_LABEL, "region_names", label)
        _require(_is_text(name) and 0 < len(name) <= _LONGEST_NAME, "region_names", name)


def _check_phantom(source: dict[str, Any], entry: dict[str, Any]) -> None:
    """Checks what `phantom.truth` makes heads of."""
    ((height, width),), slices = entry["sizes"], source["slices_per_head"]
    whole = type(slices) is int and slices * len(entry["subjects"]) == len(entry["names"]) > 0
    _require(whole, "slices_per_head", slices)
    made = height == width and height * width * slices <= _MOST_MADE_AGAIN
    _require(made, "size of a phantom", (height, width, slices))
    _require(type(source["lesions"]) is bool, "lesions", source["lesions"])
    lesioned = source.get("lesions_in", "both")
    _require(lesioned in ("both", *DOMAINS), "lesions_in", lesioned)
    for key in ("noise", "bias"):
        _require(_is_number(source[key]) and source[key] >= 0, key, source[key])
    for name in entry["names"]:
        found = re.fullmatch(r"phantom\d{4,9}#(\d{3,9})", name)
        _require(found is not None and int(found[1]) < slices, "name of a phantom", name)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable()


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and abs(value) < 1e38


def _require(condition: bool, what: str, value: Any) -> None:
    if not condition:
        raise ValueError(f"no {what} can be {str(value)[:80]!r}")
