"""Lists the simulated heads of a data set, divided into splits."""

import numpy as np

from cyclegan_jax.data.phantom.head import BRAIN_TISSUES, TISSUES, make_phantom
from cyclegan_jax.data.preparation.scan import Scan, ScanImages, Source
from cyclegan_jax.domains import DOMAINS

_NUMBERS = {tissue: TISSUES.index(tissue) for tissue in BRAIN_TISSUES}


def phantom_source(
    *,
    subjects: int,
    held_out: int,
    unpaired: str,
    slices: int,
    lesions: bool,
    lesions_in: str,
    noise: float,
    bias: float,
    size: int,
) -> Source:
    """Returns phantom heads to train on, others to validate on and others to test on.

    The labels of pixels are their brain tissues, 0 outside the brain.

    Args:
      subjects: number of training heads, at least 2.
      held_out: number of heads in each of "val" and "test"; they come in both contrasts.
      unpaired: "disjoint" divides the training heads between the domains, "shared" trains both
        domains on all.
      slices: number of axial slices of each head.
      lesions: whether white-matter lesions occur.
      lesions_in: the domain whose training heads have them, or "both"; those held out have them in
        both.
      noise: standard deviation of the noise, relative to white matter.
      bias: largest relative change by the bias field.
      size: height and width in pixels.
    """

    def scan(subject: int, split: str) -> Scan:
        domain = split[-1]
        has_lesions = lesions and (lesions_in in ("both", domain) or not split.startswith("train"))

        def read() -> ScanImages:
            phantom = make_phantom(
                subject, size=size, slices=slices, lesions=has_lesions, noise=noise, bias=bias
            )
            volume = phantom.t1 if domain == "x" else phantom.t2
            brain = np.isin(phantom.labels, list(_NUMBERS.values()))
            return ScanImages.of_volume(volume, name).with_labels(phantom.labels * brain)

        name = f"phantom{subject:04d}"
        return Scan(name, read)

    heads = list(range(subjects + 2 * held_out))
    val, test, train = heads[:held_out], heads[held_out : 2 * held_out], heads[2 * held_out :]
    members = {"train_x": train, "train_y": train}
    if unpaired == "disjoint":
        members = {"train_x": train[::2], "train_y": train[1::2]}
    for name, group in (("val", val), ("test", test)):
        members |= {f"{name}_x": group, f"{name}_y": group}
    splits = {name: [scan(s, name) for s in group] for name, group in members.items()}
    facts = {"kind": "phantom", "unpaired": unpaired, "slices_per_head": slices}
    facts |= {"lesions": lesions, "noise": noise, "bias": bias}
    if lesions and lesions_in != "both":  # data of earlier versions keep their digests
        facts["lesions_in"] = lesions_in
    names = {tissue: [number] for tissue, number in _NUMBERS.items()}
    return Source(splits, dict.fromkeys(DOMAINS, "float32"), facts, label_names=names)
