"""The scores of a checkpoint as tables, for a terminal and for a page."""

from typing import Any

from cyclegan_jax.render.text_table import Table

_NAMES = {
    "t1_to_t2": "T1→T2",
    "t2_to_t1": "T2→T1",
    "t1_as_t2": "T1 as T2",
    "t2_as_t1": "T2 as T1",
    "t1_to_t2_to_t1": "T1→T2→T1",
    "t2_to_t1_to_t2": "T2→T1→T2",
}
_METRICS = {  # header, decimals, factor
    "ssim": ("SSIM", 3, 1),
    "psnr": ("PSNR / dB", 2, 1),
    "mae": ("MAE", 4, 1),
    "nmse": ("NMSE", 4, 1),
    "intensity_error": ("intensity / %", 1, 100),
}
_PROTOCOLS = {
    "fixed": "all pixels, data range 2",
    "foreground": "inside the head, data range 2",
    "slice_max": "each image divided by its own maximum, which hides a wrong intensity",
    "gt_max": "data range the maximum of the true image",
}
_FLOOR = "T1 as T2 and T2 as T1: untranslated, the floor."
_INTENSITY = "Intensity: signed error of the mean head intensity."
_WHAT_LESIONS_MEAN = (
    "Retained: the translation changes inside the lesion by at least half of the true change. "
    "Invention: a region of white matter in the translation of a head without lesions, as large "
    "as a lesion, off by half of a lesion's contrast to the lesions' side; mottled white matter "
    "counts too. Mean ± sd over heads."
)
_NOT_CORRECTNESS = "This does not measure whether a translation is correct."


def score_tables(scores: dict[str, Any]) -> list[Table]:
    """The tables of a `scores.json`: one for each protocol, then tissues and lesions, or unpaired.

    Args:
      scores: as `evaluate` writes them.
    """
    tables = [
        protocol_table(protocol, summarised, f", {scores['split']} images")
        for protocol, summarised in scores.get("protocols", {}).items()
    ]
    if "tissues" in scores:
        tables.append(_tissues(scores["tissues"]))
    if "lesions" in scores:
        tables += _lesions(scores["lesions"], scores["lesions_in_data"])
    if "unpaired" in scores:
        tables += _unpaired(scores["unpaired"])
    return tables


def protocol_table(protocol: str, summarised: dict[str, Any], images: str = "") -> Table:
    """Of `scoring.summarise`'s result under one protocol; `images` goes into the title."""
    metrics = list(next(iter(summarised.values())))
    every = [entry for metrics in summarised.values() for entry in metrics.values()]
    note = f"{_PROTOCOLS[protocol]}; mean ± sd over {max(e['n'] for e in every)} subjects. {_FLOOR}"
    if "intensity_error" in metrics:
        note += f" {_INTENSITY}"
    if left_out := max(e["left_out"] for e in every):
        note += f" Not defined for {left_out} image(s), which are left out."
    return Table(f"protocol {protocol}{images}", note, *_body(summarised, metrics))


def _body(summarised: dict[str, Any], metrics: list[str]) -> tuple[list[str], list[list[str]]]:
    rows = [
        [_NAMES.get(direction, direction), *(_cell(entry[m], m) for m in metrics)]
        for direction, entry in summarised.items()
    ]
    return ["", *(_METRICS[m][0] for m in metrics)], rows


def _cell(entry: dict[str, Any], metric: str) -> str:
    _, decimals, factor = _METRICS[metric]
    return _mean_sd(entry, decimals, factor)


def _mean_sd(entry: dict[str, Any], decimals: int, factor: float) -> str:
    if not entry["n"]:
        return "none"
    mean, sd = (f"{factor * entry[key]:.{decimals}f}" for key in ("mean", "sd"))
    return f"{mean} ± {sd}"


def _tissues(scores: dict[str, Any]) -> Table:
    directions = list(scores)
    pairs = [(d, m) for d in directions for m in ("mae", "intensity_error")]
    names = list(dict.fromkeys(tissue for d in directions for tissue in scores[d]))
    n = max(entry["mae"]["n"] for d in directions for entry in scores[d].values())
    note = (
        f"Phantom, mean ± sd over {n} heads. A pixel is of the tissue with the largest share of "
        "it; intensity: signed error of the tissue's mean, large where the true mean is near 0."
    )
    header = ["", *(f"{_NAMES[d]} {_METRICS[m][0]}" for d, m in pairs)]
    rows = [
        [name.replace("_", " "), *(_cell(scores[d][name][m], m) for d, m in pairs)]
        for name in names
    ]
    return Table("tissues", note, header, rows)


def _lesions(scores: dict[str, Any], lesions_in_data: bool) -> list[Table]:
    trained = "have lesions" if lesions_in_data else "have none"
    some = next(iter(scores.values()))
    note = (
        f"{some['lesions']} lesions in {len(some['heads'])} heads, of at least {some['smallest']} "
        f"pixels in a slice ({some['smallest_mm2']:.0f} mm²); {some['too_small']} smaller ones "
        f"are left out. The data set's training heads {trained}. {_WHAT_LESIONS_MEAN}"
    )
    rows, heads = [], []
    for direction, s in scores.items():
        shares = [_mean_sd(s[key], 1, 100) for key in ("retention", "invention")]
        rows.append([_NAMES[direction], *shares])
        for subject, head in s["heads"].items():
            counts = (head["retained"], head["lesions"], head["inventions"])
            slices = f"{head['slices_with_inventions']} of {head['slices']}"
            heads.append([f"{_NAMES[direction]} {subject}", *map(str, counts), slices])
    return [
        Table("lesions", note, ["", "retained / %", "slices with inventions / %"], rows),
        Table(
            "lesions of each head",
            "",
            ["", "retained", "lesions", "inventions", "slices with inventions"],
            heads,
        ),
    ]


def _unpaired(scores: dict[str, Any]) -> list[Table]:
    n, cycle = scores["images"], scores["cycle"]
    subjects = " and ".join(str(entry["ssim"]["n"]) for entry in cycle.values())
    spread = f"{n['x']} T1 and {n['y']} T2 training images, spread over the data set"
    distances = [
        [_NAMES.get(direction, direction), f"{value:.4f}" if value is not None else "none"]
        for direction, value in scores["histogram_distance"].items()
    ]
    return [
        Table(
            "cycles, no pairs",
            f"there and back against the image itself, protocol fixed; {spread}; mean ± sd over "
            f"{subjects} subjects. {_NOT_CORRECTNESS}",
            *_body(cycle, ["ssim", "psnr"]),
        ),
        Table(
            "histograms, no pairs",
            "1-D Wasserstein distance of head intensities (range 2) to those of real images of "
            f"the target contrast. {_NOT_CORRECTNESS}",
            ["", "distance"],
            distances,
        ),
    ]
