"""Brings images to the size that the networks take, and back to their own size."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

AIR = -1.0  # the darkest normalised value, with which images are padded


def fit(image: np.ndarray, frame: tuple[int, int], mode: str) -> tuple[np.ndarray, np.ndarray]:
    """Brings an image to the networks' size.

    Args:
      image: `[H, W]` float32 in [-1, 1].
      frame: height and width to bring it to.
      mode: "pad" centres it without resampling, fills the rest with air and crops what is too
        large; "resize" first scales it (bilinear, anti-aliased) so that it just fits.

    Returns:
      The image `[*frame]`, and a bool mask `[*frame]` of the pixels that come from the image.
    """
    if mode == "resize":
        image = resize(image, fitted_size(image.shape, frame))
    framed = np.full(frame, AIR, np.float32)
    mask = np.zeros(frame, bool)
    target, origin = _centred(image.shape, frame)
    framed[target] = image[origin]
    mask[target] = True
    return framed, mask


def pad_stored(stored: np.ndarray, frame: tuple[int, int]) -> np.ndarray:
    """Brings uint16 `[H, W]`, as images are stored, to `frame` as mode "pad" of `fit` does.

    The result is uint16 `[*frame]`; 0 is air.
    """
    framed = np.zeros(frame, np.uint16)
    target, origin = _centred(stored.shape, frame)
    framed[target] = stored[origin]
    return framed


def fit_labels(labels: np.ndarray, frame: tuple[int, int], mode: str) -> np.ndarray:
    """Brings the labels `[H, W]` of an image's pixels to where `fit` brings the image.

    Padding gets the label 0. In mode "resize" a pixel has the label that is nearest to its centre.
    The result is uint16 `[*frame]`.
    """
    if mode == "resize":
        height, width = fitted_size(labels.shape, frame)
        pixels = Image.fromarray(np.asarray(labels, np.float32))
        labels = np.asarray(pixels.resize((width, height), Image.Resampling.NEAREST))
    return pad_stored(labels, frame)


def cropped_share(mask: np.ndarray, frame: tuple[int, int]) -> float:
    """Returns the share of the pixels of a bool mask `[H, W]` that `fit` crops in mode "pad"."""
    _, origin = _centred(mask.shape, frame)
    pixels = np.count_nonzero(mask)
    return 1 - np.count_nonzero(mask[origin]) / pixels if pixels else 0.0


def unfit(framed: np.ndarray, size: tuple[int, int], mode: str) -> np.ndarray:
    """Undoes `fit`: returns the part of `framed` `[h, w]` that came from an image of `size`.

    `size` is `[H, W]`, and so is the result. Pixels that `fit` cropped come back as air.
    """
    inner = fitted_size(size, framed.shape) if mode == "resize" else size
    target, origin = _centred(inner, framed.shape)
    image = np.full(inner, AIR, np.float32)
    image[origin] = framed[target]
    return resize(image, size) if mode == "resize" else image


def fitted_size(size: tuple[int, ...], frame: tuple[int, ...]) -> tuple[int, int]:
    """Returns height and width of an image of `size` after it is scaled to just fit `frame`."""
    scale = min(frame[0] / size[0], frame[1] / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def pixel_as_seen(
    pixel: tuple[float, float], size: Sequence[int], *, image_size: int, mode: str
) -> tuple[float, float]:
    """Returns height and width in mm that a pixel of an image has after `fit`.

    Args:
      pixel: height and width of the image's own pixels.
      size: height and width of the image in pixels.
      image_size: height and width of the frame.
      mode: "pad" or "resize", see `fit`.
    """
    seen = fitted_size(tuple(size), (image_size, image_size)) if mode == "resize" else size
    return pixel[0] * size[0] / seen[0], pixel[1] * size[1] / seen[1]


def resize(image: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Scales `[H, W]` float32 to `size`: bilinear, and anti-aliased when it gets smaller."""
    if image.shape == size:
        return image
    pixels = Image.fromarray(np.asarray(image, np.float32))
    return np.asarray(pixels.resize((size[1], size[0]), Image.Resampling.BILINEAR))


def _centred(size: tuple[int, ...], frame: tuple[int, ...]) -> tuple[Any, Any]:
    """Returns slices into the frame and into the image: where they overlap if both are centred."""
    target, origin = [], []
    for n, room in zip(size, frame, strict=True):
        length, offset = min(n, room), (room - n) // 2
        target.append(slice(max(offset, 0), max(offset, 0) + length))
        origin.append(slice(max(-offset, 0), max(-offset, 0) + length))
    return tuple(target), tuple(origin)
