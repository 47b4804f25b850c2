"""Measures the volume of the lateral ventricles in the true and in the translated scans.

It is what a study would measure: whether a translation can take the place of the scan that was not
made. The two volumes are compared as Bland and Altman propose (1986,
doi.org/10.1016/S0140-6736(86)90837-8).

The threshold is ours: half way between the median of the ventricles and that of white matter, in
all true scans of the contrast together. One threshold serves true and translated scans of all
subjects, so that it does not correct a translation whose intensities are wrong.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from cyclegan_jax.data.pairs import Pairs
from cyclegan_jax.data.slicing import scan_of_slice, subject_of_slice
from cyclegan_jax.domains import DIRECTIONS
from cyclegan_jax.evaluation.metrics import mean_and_sd
from cyclegan_jax.evaluation.region_scores import region_names
from cyclegan_jax.evaluation.regions import WHITE, pixels_of

_LATERAL = re.compile(r"(?<!inf )(?<!inferior )lateral ventricles?", re.IGNORECASE)
_FLUID = "ventricle"  # name of a tissue
_MARGIN_MM, _MARGIN = 4.0, 2  # by which labels grow; in pixels where their size is not known
_LIMITS = 1.96  # standard deviations: 95 % of a normal distribution

Voxel = tuple[float, float, float]


def ventricle_volumes(
    pairs: Pairs, translated: Mapping[str, np.ndarray], voxel: Voxel | None
) -> dict[str, Any]:
    """Returns the volumes and their agreement, or nothing where the labels are not known.

    The ventricles are the regions whose name says lateral ventricle, without the inferior horns;
    where no region has a name, all labels of the tissue "ventricle". The labels grow by 4 mm (2
    pixels where the size of pixels is not known) in each slice. A pixel in them is fluid if it is
    on the ventricles' side of the threshold.

    Args:
      pairs: held-out images.
      translated: the translations of `pairs`, `{direction: [N, H, W, 1]}` in [-1, 1].
      voxel: height, width and distance of the pixels in mm, if they are known.

    Returns:
      "what" is measured, its "labels", the "unit" (ml or voxels), the "margin" in pixels, and
      "directions": `{direction: {"threshold", "label", "true", "translated", "bias", "sd", "lower",
      "upper", "n", "subjects"}}`. The threshold is in units of the images. "label", "true" and
      "translated" are the volumes of the label map and of the two scans, {mean, sd, n} over
      subjects; "subjects" holds the three of each, means over the subject's scans. The others are
      of `bland_altman`.
    """
    what, labels = _lateral(pairs)
    if pairs.labels is None or not labels:
        return {}
    fluid = np.isin(pairs.labels, labels)
    is_white = pixels_of(pairs, WHITE)
    if not fluid.any() or not is_white.any():
        return {}
    margin = max(1, round(_MARGIN_MM * 2 / (voxel[0] + voxel[1]))) if voxel else _MARGIN
    in_slice = ndimage.generate_binary_structure(2, 1)[None]
    grown = ndimage.binary_dilation(fluid, in_slice, iterations=margin)
    size = float(np.prod(voxel)) / 1000 if voxel else 1.0
    subjects = np.array([subject_of_slice(name) for name in pairs.names])
    scans = Counter(subject_of_slice(scan) for scan in {scan_of_slice(n) for n in pairs.names})
    scores = {}
    for direction in DIRECTIONS:
        truth = getattr(pairs, direction.target)[..., 0]
        medians = float(np.median(truth[fluid])), float(np.median(truth[is_white]))
        threshold, side = sum(medians) / 2, np.sign(medians[0] - medians[1])
        masks = [fluid]
        for image in (truth, translated[direction][..., 0]):
            masks.append(grown & ((image - threshold) * side > 0))
        volumes = {
            str(s): [size * int(mask[subjects == s].sum()) / scans[s] for mask in masks]
            for s in np.unique(subjects)
            if fluid[subjects == s].any()
        }
        of_label, true, made = zip(*volumes.values(), strict=True)
        scores[str(direction)] = {
            "threshold": threshold,
            "label": mean_and_sd(of_label),
            "true": mean_and_sd(true),
            "translated": mean_and_sd(made),
            **bland_altman(true, made),
            "subjects": volumes,
        }
    return {
        "what": what,
        "labels": labels,
        "unit": "ml" if voxel else "voxels",
        "margin": margin,
        "directions": scores,
    }


def bland_altman(true: Sequence[float], made: Sequence[float]) -> dict[str, float | int]:
    """Returns the agreement of two measurements of the same subjects.

    "bias" is the mean of the differences `made - true`, "sd" their standard deviation, "lower" and
    "upper" the 95 % limits of agreement, bias ± 1.96 sd, and "n" the number of subjects. With one
    subject the last three figures are NaN.
    """
    differences = np.subtract(made, true)
    bias = float(differences.mean())
    sd = float(differences.std(ddof=1)) if len(differences) > 1 else float("nan")
    reach = _LIMITS * sd
    limits = {"lower": bias - reach, "upper": bias + reach}
    return {"bias": bias, "sd": sd, **limits, "n": len(differences)}


def _lateral(pairs: Pairs) -> tuple[str, list[int]]:
    """Returns what is measured, in words, and its labels."""
    names = region_names(pairs)
    plain = {label: re.sub(r"[^a-z]+", " ", name.lower()) for label, name in names.items()}
    labels = [label for label, name in plain.items() if _LATERAL.search(name)]
    if labels:
        return "lateral ventricles", labels
    return "ventricles", [*pairs.tissues.get(_FLUID, ())]
