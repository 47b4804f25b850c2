"""Training images at the size of the networks, as they wait for their use."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cyclegan_jax.data.framing import fit, pad_stored
from cyclegan_jax.data.intensity import from_storage

_TYPES = {"pad": "uint16", "resize": "float32"}  # the narrowest that are exact


def frame_type(mode: str) -> str:
    """Returns the type of frames: "uint16" as stored, or "float32" where they are scaled."""
    return _TYPES[mode]


class Frames(Sequence[Any]):
    """The images of records, padded, cropped or scaled to the networks' size.

    An element is uint16 `[size, size]` as it is stored, or float32 in [-1, 1] (`frame_type`).
    """

    def __init__(self, records: Sequence[Any], size: int, mode: str):
        """Reads nothing yet.

        Args:
          records: of `Dataset.split`.
          size: height and width of the frames.
          mode: "pad" or "resize", see `framing.fit`.
        """
        self.size, self.mode = size, mode
        self._records = records
        self._kept: list[Any] | None = None

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: Any) -> Any:
        if self._kept is None:
            return self._frame(index)
        if self._kept[index] is None:
            self._kept[index] = self._frame(index)
        return self._kept[index]

    def kept(self) -> "Frames":
        """Returns the same frames, which stay in memory from their first use on."""
        other = Frames(self._records, self.size, self.mode)
        other._kept = [None] * len(self)
        return other

    @property
    def bytes(self) -> int:
        """The memory that all frames need."""
        return len(self) * self.size**2 * np.dtype(frame_type(self.mode)).itemsize

    def _frame(self, index: int) -> np.ndarray:
        stored, frame = self._records[index]["image"][..., 0], (self.size, self.size)
        if self.mode == "pad":
            return pad_stored(stored, frame)
        return fit(from_storage(stored), frame, self.mode)[0]


def normalised(frame: np.ndarray) -> np.ndarray:
    """Returns a frame, or several, as float32 in [-1, 1]."""
    return from_storage(frame) if frame.dtype == np.uint16 else frame
