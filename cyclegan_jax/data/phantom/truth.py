"""Gives what is known about the heads of a phantom data set and not stored in it.

These are the tissues, and each head with and without lesions. A head is a function of its seed,
which its name holds, and of facts in the manifest, so it is made again when it is needed.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from cyclegan_jax import InputError
from cyclegan_jax.data import intensity
from cyclegan_jax.data.dataset import Dataset
from cyclegan_jax.data.framing import fit, fitted_size
from cyclegan_jax.data.intensity import from_storage
from cyclegan_jax.data.phantom.head import FIELD_OF_VIEW, TISSUES, Phantom, make_phantom
from cyclegan_jax.data.slicing import index_of_slice, subject_of_slice
from cyclegan_jax.domains import CONTRASTS, DOMAINS

# The largest difference between the stored images and those of a processor that rounds in another
# way, of a range of 2.
_ROUNDING = 1e-4


@dataclasses.dataclass(frozen=True)
class HeadImages:
    """One head in both contrasts: `x` and `y` `[S, H, W, 1]` in [-1, 1].

    `labels` `[S, H, W]` are indices of `TISSUES`.
    """

    x: np.ndarray
    y: np.ndarray
    labels: np.ndarray


@dataclasses.dataclass(frozen=True)
class Head:
    """A head and its twin that differs in lesions alone, as the networks see them.

    Anatomy, coil shading and noise of the two are the same, and both are normalised by the
    intensity range of the one without lesions.

    Attributes:
      subject: its name.
      stored: labels of the images in the data set, `[S, H, W]`.
      plain: without lesions.
      lesioned: with lesions.
    """

    subject: str
    stored: np.ndarray
    plain: HeadImages
    lesioned: HeadImages


def is_phantom(dataset: Dataset) -> bool:
    """Returns whether the data set holds simulated heads."""
    return dataset.manifest["source"]["kind"] == "phantom"


def pixel_size(dataset: Dataset, image_size: int, mode: str) -> float:
    """Returns the size in mm of a pixel of a phantom data set as the networks see it."""
    size = _size(dataset)
    seen = fitted_size((size, size), (image_size, image_size)) if mode == "resize" else (size, size)
    return FIELD_OF_VIEW / seen[0]


def lesioned_contrasts(dataset: Dataset) -> list[str]:
    """Returns the contrasts whose training heads have lesions, for example ["T1"]."""
    facts = dataset.manifest["source"]
    domains = [d for d in DOMAINS if facts.get("lesions_in", "both") in ("both", d)]
    return [CONTRASTS[domain] for domain in domains] if facts["lesions"] else []


def heads(dataset: Dataset, split: str, *, image_size: int, mode: str) -> Iterator[Head]:
    """Makes the heads of a split again, one at a time, in the order of their names.

    Args:
      dataset: a data set of phantoms.
      split: "val" or "test".
      image_size: height and width of the result.
      mode: "pad" or "resize", see `framing.fit`.

    Raises:
      InputError: a head is not the one that is stored, so another version made the data set.
    """
    facts, size = dataset.manifest["source"], _size(dataset)
    records, names = dataset.split(f"{split}_x"), dataset.names(f"{split}_x")
    for subject in sorted({subject_of_slice(name) for name in names}):
        both = [
            make_phantom(
                int(subject.removeprefix("phantom")),
                size=size,
                slices=facts["slices_per_head"],
                lesions=lesions,
                noise=facts["noise"],
                bias=facts["bias"],
            )
            for lesions in (False, True)
        ]
        stored = both[facts["lesions"]]
        again = intensity.normalise(stored.t1, intensity.volume_range(stored.t1))
        wanted = {i: n for i, n in enumerate(names) if subject_of_slice(n) == subject}
        for index, name in wanted.items():
            image = from_storage(records[index]["image"][..., 0])
            if np.abs(image - again[index_of_slice(name)]).max() > _ROUNDING:
                raise InputError(
                    f"{dataset.folder}: {name} is not what this version makes of its manifest "
                    f"({dataset.manifest['made_by']} prepared it), so its tissues are not known; "
                    "remove the folder and prepare it again, or score with that version"
                )
        ranges = intensity.volume_range(both[0].t1), intensity.volume_range(both[0].t2)
        plain, lesioned = (_images(p, ranges, image_size, mode) for p in both)
        yield Head(subject, (plain, lesioned)[facts["lesions"]].labels, plain, lesioned)


def tissues_of(
    heads: Sequence[Head], names: Sequence[str]
) -> tuple[np.ndarray, dict[str, list[int]]]:
    """Returns the tissues of the pixels of slices, `[N, H, W]`, and the label of each tissue.

    Args:
      heads: all heads of which there are slices.
      names: of the slices.
    """
    stored = {head.subject: head.stored for head in heads}
    labels = np.stack([stored[subject_of_slice(n)][index_of_slice(n)] for n in names])
    return labels, {tissue: [i] for i, tissue in enumerate(TISSUES) if tissue != "air"}


def _size(dataset: Dataset) -> int:
    return dataset.manifest["splits"]["test_x"]["sizes"][0][0]


def _images(
    phantom: Phantom,
    ranges: tuple[intensity.IntensityRange, intensity.IntensityRange],
    image_size: int,
    mode: str,
) -> HeadImages:
    def framed(slices: np.ndarray) -> np.ndarray:
        return np.stack([fit(image, (image_size, image_size), mode)[0] for image in slices])

    x, y = (
        framed(intensity.normalise(volume, range_))[..., None]
        for volume, range_ in zip((phantom.t1, phantom.t2), ranges, strict=True)
    )
    # each tissue on its own, so that scaling does not mix the numbers of labels
    fractions = [framed((phantom.labels == i).astype(np.float32)) for i in range(len(TISSUES))]
    return HeadImages(x, y, np.argmax(fractions, axis=0).astype(np.uint8))
