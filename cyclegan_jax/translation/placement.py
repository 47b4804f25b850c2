"""Places the heads of scans into the frame that the networks were trained at."""

import dataclasses

import numpy as np

from cyclegan_jax.data.framing import AIR

_ACROSS = ((0, 2), (0, 1))  # the axes of slices `[N, H, W]` beside rows, and beside columns
_OFF_CENTRE = 1 / 32  # of the frame: how far from its middle heads lie in training scans


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where the networks' frame lies in the slices of one scan.

    Attributes:
      size: height and width of the slices.
      frame: height and width of the frame.
      corner: row and column of the slices at which the frame begins; negative where it begins
        outside them.
    """

    size: tuple[int, int]
    frame: tuple[int, int]
    corner: tuple[int, int]

    def frame_of(self, slices: np.ndarray) -> np.ndarray:
        """Returns what the frame shows of slices `[N, H, W]`, filled up with air."""
        framed = np.full((len(slices), *self.frame), AIR, np.float32)
        inside, part = self._overlap()
        framed[:, *inside] = slices[:, *part]
        return framed

    def back(self, framed: np.ndarray) -> np.ndarray:
        """Returns slices `[N, H, W]` of framed ones; they are air outside the frame."""
        slices = np.full((len(framed), *self.size), AIR, np.float32)
        inside, part = self._overlap()
        slices[:, *part] = framed[:, *inside]
        return slices

    def crop(self, slices: np.ndarray) -> np.ndarray:
        """Returns the part of slices `[N, H, W]` that lies in the frame."""
        return slices[:, *self._overlap()[1]]

    def _overlap(self) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """Returns where frame and slices overlap, in the frame and in the slices."""
        inside, part = [], []
        for n, room, start in zip(self.size, self.frame, self.corner, strict=True):
            first, last = max(start, 0), min(start + room, n)
            part.append(slice(first, last))
            inside.append(slice(first - start, last - start))
        return tuple(inside), tuple(part)


def place(
    head: np.ndarray, recorded: tuple[slice, slice], image_size: int, multiple: int
) -> Placement:
    """Returns where the frame of training lies in the slices of a scan.

    Instance norm sees the air around the head as well, so a head must stand in the same frame
    however much air its scan has. Slices that fit into the frame stand in its middle, as in
    training. In larger slices the middle of the frame is that of what was recorded, if the head
    is near it, and else that of the head's bounding box. Where the head itself does not fit, the
    frame gets larger.

    Args:
      head: bool `[N, H, W]`, the head in all slices of the scan.
      recorded: rows and columns of the slices without the padding around them; see `recorded`.
      image_size: height and width of the frame of training.
      multiple: the height and the width of a frame must be multiples of it.
    """
    size = (head.shape[1], head.shape[2])
    frame, corner = [], []
    for n, across, part in zip(size, _ACROSS, recorded, strict=True):
        places = np.flatnonzero(head.any(axis=across))
        first, end = (int(places[0]), int(places[-1]) + 1) if len(places) else (0, n)
        room = max(image_size, min(n, end - first))
        room += -room % multiple
        own = (part.start, part.stop)
        if n <= room or not own[0] < first < end < own[1]:  # no air is left around such a head
            own = (0, n)
        centred, by_head = _corner(own, room), _corner((first, end), room)
        fits = centred <= first and end <= centred + room
        near = abs(centred - by_head) <= _OFF_CENTRE * room
        frame.append(room)
        corner.append(centred if n <= room or (fits and near) else by_head)
    return Placement(size, (frame[0], frame[1]), (corner[0], corner[1]))


def recorded(slices: np.ndarray) -> tuple[slice, slice]:
    """Returns the rows and the columns of slices `[N, H, W]` inside of constant padding.

    Rows and columns at the edges that have one value in all slices are padding.
    """
    found = []
    for n, across in zip(slices.shape[1:], _ACROSS, strict=True):
        varied = np.flatnonzero(slices.min(axis=across) != slices.max(axis=across))
        found.append(slice(int(varied[0]), int(varied[-1]) + 1) if len(varied) else slice(0, n))
    return found[0], found[1]


def _corner(part: tuple[int, int], room: int) -> int:
    """Returns where a frame of `room` pixels begins whose middle is that of a part."""
    return -((room - sum(part)) // 2)
