"""Makes tables of the scores of a checkpoint, for a terminal and for a page."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from cyclegan_jax.domains import BASELINES, CONTRASTS, TARGETS, label
from cyclegan_jax.render.text_table import Table

_COLUMNS = {  # of each metric: header, decimals, factor
    "ssim": ("SSIM", 3, 1),
    "psnr": ("PSNR / dB", 2, 1),
    "mae": ("MAE", 4, 1),
    "nmse": ("NMSE", 4, 1),
    "intensity_error": ("intensity / %", 1, 100),
    "correlation": ("correlation", 3, 1),
    "median": ("median / %", 1, 50),
    "true_median": ("true median / %", 1, 50),
    "median_error": ("error / %", 1, 100),
}
_TISSUE_COLUMNS = ("median", "true_median", "median_error", "mae", "intensity_error")
_PROTOCOLS = {
    "brain": "Only pixels inside the label maps count; the data range is 2.",
    "fixed": "All pixels count; the data range is 2.",
    "foreground": "Only pixels inside the head count; the data range is 2.",
    "slice_max": "Each image is divided by its own maximum, which hides a wrong intensity.",
    "gt_max": "The data range is the maximum of the true image.",
}
_BASELINE = f"{' and '.join(map(label, BASELINES))} are the untranslated images, the baseline."
_INTENSITY = "Intensity is the signed error of the mean head intensity."
_LESION_TERMS = (
    "A lesion is retained if the translation changes inside it by at least half of the true "
    "change. An invention is a region of white matter in the translation of a head without "
    "lesions. It is at least as large as the smallest lesion and wrong by at least half of a "
    "typical lesion's contrast, to the lesions' side; mottled white matter counts too. The "
    "contrast is the median over lesions; above 100 % they stand out more than they should. Values "
    "are mean ± sd over heads."
)
_SLICE_JUMPS = (
    "How much images change from slice to slice, relative to the true images: 1 is as in the "
    "truth, more is stripes across the slices, and less is blurred."
)
_MOST_REGIONS = 10  # of the table of the worst; the others are in files and in the report
_REGION_TERMS = (
    "Error is the mean absolute error of images in [-1, 1], intensity the signed error of the "
    "mean, and SSIM the mean of its map in the region. Values are mean ± sd over n subjects."
)
_DISTANCES = {  # title and note
    "histogram_distance": (
        "histograms, no pairs",
        "The 1-D Wasserstein distance (range 2) of the head intensities to those of real images of "
        "the target contrast.",
    ),
    "patch_distance": (
        "patches, no pairs",
        "The sliced Wasserstein distance of patches of the head, each without its mean, to those "
        "of real images of the target contrast. It sees edges and texture, and not whether the "
        "contrast is inverted.",
    ),
}
_NOT_CORRECTNESS = "This does not measure whether a translation is correct."


def score_tables(scores: dict[str, Any]) -> list[Table]:
    """Returns the tables of a `scores.json`.

    With pairs there is one table for each protocol, one of the jumps between slices, and one of
    tissues for each direction if they are known; with label maps there are tables of the regions
    with the largest errors, one of the volume of the ventricles, and tables of lesions. Without
    pairs there are tables of cycles and of histograms.

    Args:
      scores: the content of the file, as `evaluate` writes it.
    """
    tables = [
        protocol_table(protocol, summarised, f", {scores['split']} images")
        for protocol, summarised in scores.get("protocols", {}).items()
    ]
    if "groups" in scores:
        tables.append(_group_table(scores["groups"], scores["headline"]))
    if "slice_jumps" in scores:
        tables.append(_slice_jump_table(scores["slice_jumps"]))
    if "tissues" in scores:
        tables += _tissue_tables(scores)
    if "regions" in scores:
        tables += region_tables(scores["regions"], _MOST_REGIONS)
    if "ventricles" in scores:
        tables.append(_ventricle_table(scores["ventricles"]))
    if "lesions" in scores:
        tables += _lesion_tables(scores["lesions"], scores["lesions_in_data"])
    if "unpaired" in scores:
        tables += _unpaired_tables(scores["unpaired"])
    return tables


def protocol_table(protocol: str, summarised: dict[str, Any], images: str = "") -> Table:
    """Returns the table of the scores under one protocol.

    Args:
      protocol: one of `metrics.PROTOCOLS`.
      summarised: the result of `scoring.average_over_subjects`.
      images: what the title says of the images.
    """
    metrics = list(next(iter(summarised.values())))
    every = [entry for metrics in summarised.values() for entry in metrics.values()]
    note = (
        f"{_PROTOCOLS[protocol]} Values are mean ± sd over {max(e['n'] for e in every)} subjects. "
        f"{_BASELINE}"
    )
    if "intensity_error" in metrics:
        note += f" {_INTENSITY}"
    if left_out := max(e["left_out"] for e in every):
        note += f" Not defined for {left_out} image(s), which are left out."
    return Table(f"protocol {protocol}{images}", note, *_header_and_rows(summarised, metrics))


def _header_and_rows(
    summarised: dict[str, Any], metrics: list[str]
) -> tuple[list[str], list[list[str]]]:
    rows = [
        [label(direction), *(_cell(entry[m], m) for m in metrics)]
        for direction, entry in summarised.items()
    ]
    return ["", *(_COLUMNS[m][0] for m in metrics)], rows


def _cell(entry: dict[str, Any], metric: str) -> str:
    _, decimals, factor = _COLUMNS[metric]
    return _mean_sd(entry, decimals, factor)


def _mean_sd(entry: dict[str, Any], decimals: int, factor: float) -> str:
    if not entry["n"]:
        return "none"
    mean, sd = (f"{factor * entry[key]:.{decimals}f}" for key in ("mean", "sd"))
    return f"{mean} ± {sd}"


def _group_table(groups: dict[str, Any], protocol: str) -> Table:
    metrics = [m for m in ("ssim", "psnr") if m in next(iter(next(iter(groups.values())).values()))]
    rows = [
        [
            f"{group}, {label(name)}",
            str(entry[metrics[0]]["n"]),
            *(_cell(entry[m], m) for m in metrics),
        ]
        for group, summarised in groups.items()
        for name, entry in summarised.items()
    ]
    note = (
        f"{_PROTOCOLS[protocol]} Values are mean ± sd over the subjects of the group. {_BASELINE}"
    )
    header = ["", "subjects", *(_COLUMNS[m][0] for m in metrics)]
    return Table(f"groups of participants.tsv, protocol {protocol}", note, header, rows)


def _slice_jump_table(scores: dict[str, Any]) -> Table:
    note = (
        f"{_SLICE_JUMPS} Values are mean ± sd over {max(e['n'] for e in scores.values())} subjects."
    )
    rows = [[label(name), _mean_sd(entry, 2, 1)] for name, entry in scores.items()]
    return Table("jumps between slices", f"{note} {_BASELINE}", ["", "jump"], rows)


def polarity_verdicts(scores: dict[str, Any]) -> list[str]:
    """Returns a sentence for each direction in which the polarity of the brain is inverted."""
    return [
        f"{label(direction)}: polarity is inverted: from dark to bright, the tissues have an order "
        f"opposed to the true one (rank correlation {entry['rank_correlation']['mean']:.2f})"
        for direction, entry in scores.get("polarity", {}).items()
        if entry["inverted"]
    ]


def _tissue_tables(scores: dict[str, Any]) -> list[Table]:
    tables = []
    for direction, tissues in scores["tissues"].items():
        entries = [entry for metrics in tissues.values() for entry in metrics.values()]
        note = (
            f"Values are mean ± sd over {max(e['n'] for e in entries)} subjects. Medians are in % "
            "of the range: 0 is air, 100 the bright end. Error is that of the median, and "
            "intensity the signed error of the mean; both are large where the true value is near 0."
        )
        note += _order_note(scores.get("polarity", {}).get(direction))
        columns = [m for m in _TISSUE_COLUMNS if all(m in metrics for metrics in tissues.values())]
        rows = [
            [tissue.replace("_", " "), *(_cell(metrics[m], m) for m in columns)]
            for tissue, metrics in tissues.items()
        ]
        header = ["", *(_COLUMNS[m][0] for m in columns)]
        tables.append(Table(f"tissues, {label(direction)}", note, header, rows))
    return tables


def _order_note(entry: dict[str, Any] | None) -> str:
    if entry is None:
        return ""
    mean = entry["rank_correlation"]["mean"]
    said = f" The order of the brain's tissues has a rank correlation of {mean:.2f} with the true"
    said += " one: polarity is inverted." if entry["inverted"] else " one."
    if "grey_minus_white" in entry:
        relative = _mean_sd(entry["grey_minus_white"], 0, 100)
        said += f" Grey minus white matter is {relative} % of the true difference."
    return said


def region_tables(scores: Mapping[str, Any], at_most: int | None = None) -> list[Table]:
    """Returns a table of the regions for each direction, the largest error first.

    Args:
      scores: the entry "regions" of a `scores.json`.
      at_most: how many regions each table has; None is all.
    """
    tables = []
    for direction, regions in scores.items():
        ranked = sorted(regions.values(), key=lambda entry: -entry["mae"]["mean"])
        shown = ranked[:at_most]
        title = f"regions, {label(direction)}"
        note = _REGION_TERMS
        if len(shown) < len(ranked):
            note = (
                f"These {len(shown)} of {len(ranked)} regions have the largest errors; regions.csv "
                f"has all. {note}"
            )
        rows = [
            [
                entry["name"].replace("_", " "),
                str(entry["mae"]["n"]),
                str(entry["pixels"]),
                _mean_sd(entry["mae"], 3, 1),
                _mean_sd(entry["intensity_error"], 0, 100),
                _mean_sd(entry["ssim"], 3, 1),
            ]
            for entry in shown
        ]
        header = ["", "n", "pixels", "error", "intensity / %", "SSIM"]
        tables.append(Table(title, note, header, rows))
    return tables


def _ventricle_table(scores: Mapping[str, Any]) -> Table:
    unit = scores["unit"]
    directions = scores["directions"]
    thresholds = " and ".join(
        f"{50 * (entry['threshold'] + 1):.0f} % in {CONTRASTS[TARGETS[name]]}"
        for name, entry in directions.items()
    )
    note = (
        "The volume is measured in the slices of the data set, by a threshold inside the label "
        f"grown by {scores['margin']} pixels. The threshold is half way between the medians of "
        f"white matter and ventricles in the true scans: {thresholds} of the range. Bias is the "
        "mean of translated minus true, and the limits of agreement are bias ± 1.96 sd (Bland and "
        "Altman 1986). Values are mean ± sd over n subjects; with few of them the limits are rough."
    )
    rows = []
    for name, entry in directions.items():
        volumes = [_mean_sd(entry[key], 1, 1) for key in ("label", "true", "translated")]
        known = entry["lower"] is not None and not math.isnan(entry["lower"])
        limits = f"{entry['lower']:.1f} to {entry['upper']:.1f}" if known else "none"
        rows.append([label(name), *volumes, f"{entry['bias']:.1f}", limits, str(entry["n"])])
    header = ["", "label", "true", "translated", "bias", "95 % limits", "n"]
    return Table(f"volume of the {scores['what']} / {unit}", note, header, rows)


def _lesion_tables(
    scores: dict[str, Any], lesions_in_data: bool | Sequence[str] | None
) -> list[Table]:
    some = next(iter(scores.values()))
    note = (
        f"{some['lesions']} lesions in {len(some['heads'])} heads count; each has at least "
        f"{some['smallest']} pixels in a slice ({some['smallest_mm2']:.0f} mm²). "
        f"{some['too_small']} smaller ones are left out. {_origin_of_lesions(lesions_in_data)} "
        f"{_LESION_TERMS}"
    )
    shares, kinds, counts = [], [], []
    for direction, entry in scores.items():
        name = label(direction)
        cells = [_mean_sd(entry[key], 1, 100) for key in ("retention", "invention")]
        share = entry.get("kept")  # without a lesion that counts, and in earlier versions, None
        shares.append([name, *cells, "none" if share is None else f"{100 * share:.0f}"])
        for kind, found in entry.get("kinds", {}).items():
            numbers = (found["retained"], found["lesions"])
            kinds.append([f"{name} {kind}", *map(str, numbers), f"{100 * found['kept']:.0f}"])
        for subject, head in entry["heads"].items():
            numbers = (head["retained"], head["lesions"], head["inventions"])
            slices = f"{head['slices_with_inventions']} of {head['slices']}"
            counts.append([f"{name} {subject}", *map(str, numbers), slices])
    kept, of_heads = "contrast / % of the true one", ["", "retained", "lesions", "inventions"]
    header = ["", "retained / %", "slices with inventions / %", kept]
    tables = [
        Table("lesions", note, header, shares),
        Table("lesions by size and contrast", "", ["", "retained", "lesions", kept], kinds),
        Table("lesions of each head", "", [*of_heads, "slices with inventions"], counts),
    ]
    return [table for table in tables if table.rows]


def _origin_of_lesions(lesions_in_data: bool | Sequence[str] | None) -> str:
    """Says which heads have lesions; earlier versions stored whether phantoms have some."""
    if lesions_in_data is None:
        return "They are drawn into the white matter of real scans, two of three faint."
    if not lesions_in_data:
        return "The training heads of this data set have none."
    where = "" if isinstance(lesions_in_data, bool) else f" in {' and '.join(lesions_in_data)}"
    return f"The training heads of this data set have lesions{where}."


def _unpaired_tables(scores: dict[str, Any]) -> list[Table]:
    n, cycle = scores["images"], scores["cycle"]
    images = " and ".join(f"{n[domain]} {contrast}" for domain, contrast in CONTRASTS.items())
    subjects = " and ".join(str(entry["ssim"]["n"]) for entry in cycle.values())
    return [
        Table(
            "cycles, no pairs",
            "Images that were translated there and back are compared with themselves, protocol "
            f"fixed: {images} training images, spread over the data set. Values are mean ± sd over "
            f"{subjects} subjects. {_NOT_CORRECTNESS}",
            *_header_and_rows(cycle, ["ssim", "psnr"]),
        ),
        # earlier scores have no distances of patches
        *(distance_table(key, scores[key]) for key in _DISTANCES if key in scores),
    ]


def distance_table(key: str, distances: Mapping[str, float | None]) -> Table:
    """Returns the table of distances without pairs.

    Args:
      key: their name in `scores.json`.
      distances: of each direction, and of the untranslated images; None or NaN is unknown.
    """
    title, note = _DISTANCES[key]
    rows = [
        [label(name), "none" if d is None or math.isnan(d) else f"{d:.4f}"]
        for name, d in distances.items()
    ]
    return Table(title, f"{note} {_NOT_CORRECTNESS}", ["", "distance"], rows)
