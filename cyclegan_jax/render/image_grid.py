"""Writes labelled grids of images as PNG files: sample grids, evaluation grids, contact sheets.

A PNG states in words what it shows.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from cyclegan_jax.system.files import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure  # it would delay every start

_DESCRIPTION = "Description"  # a keyword of the PNG specification
_GAP = 4  # pixels between images
_TEXT = 18  # pixels of a line of text
_SMALLEST_TILE = 128  # pixels; smaller images are enlarged by a whole factor to be readable
_WIDEST_TILE = 2048  # pixels up to which that is done


def save_grid(
    path: Path,
    rows: Sequence[Sequence[np.ndarray]],
    titles: Sequence[str],
    row_titles: Sequence[str] = (),
) -> None:
    """Writes rows of images with titles over the columns and under the rows.

    The PNG also states the titles in words, which `description` reads.

    Args:
      path: the PNG to write. It is replaced whole, never half-written.
      rows: rows of images `[H, W]` or `[H, W, 1]` in [-1, 1]; -1 is black, 1 is white.
      titles: one for each column, "" for none.
      row_titles: one for each row, or an empty sequence.
    """
    tiles = [[_tile(image) for image in row] for row in rows]
    height = max(t.height for row in tiles for t in row)
    width = max(t.width for row in tiles for t in row)
    line = _TEXT if any(row_titles) else 0
    top = _TEXT if any(titles) else 0
    columns = max(len(row) for row in tiles)
    canvas = Image.new(
        "L", (columns * (width + _GAP), top + len(tiles) * (height + line + _GAP)), 40
    )
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(12)
    for column, title in enumerate(titles):
        draw.text((column * (width + _GAP) + 3, 2), title, fill=255, font=font)
    for i, row in enumerate(tiles):
        y = top + i * (height + line + _GAP)
        for column, tile in enumerate(row):
            canvas.paste(tile, (column * (width + _GAP), y))
        if line:
            draw.text((3, y + height + 1), row_titles[i], fill=255, font=font)
    buffer = io.BytesIO()
    words = PngInfo()
    words.add_text(_DESCRIPTION, _in_words(len(rows), titles, row_titles))
    canvas.save(buffer, format="PNG", pnginfo=words)
    write_whole(path, buffer.getvalue())


def save_drawing(path: Path, figure: "Figure", words: str) -> None:
    """Writes a matplotlib figure, and in it the words that say what it shows.

    The file is replaced whole, never half-written.
    """
    buffer = io.BytesIO()
    figure.savefig(
        buffer, format="png", dpi=110, bbox_inches="tight", metadata={_DESCRIPTION: words}
    )
    write_whole(path, buffer.getvalue())


def description(path: Path) -> str:
    """Returns in words what a PNG of `save_grid` shows, for those who cannot see it.

    It is empty for a PNG that states nothing.
    """
    with Image.open(path) as image:
        return image.info.get(_DESCRIPTION, "")


def _in_words(count: int, titles: Sequence[str], row_titles: Sequence[str]) -> str:
    words = f"{count} row(s) of images."
    if any(titles):
        words += f" Columns: {', '.join(titles)}."
    if any(row_titles):
        words += f" Rows: {'; '.join(row_titles)}."
    return words


def _tile(image: np.ndarray) -> Image.Image:
    pixels = np.clip((np.asarray(image, np.float32).squeeze() + 1) * 127.5, 0, 255)
    tile = Image.fromarray(pixels.round().astype(np.uint8))
    factor = max(1, min(-(-_SMALLEST_TILE // tile.height), _WIDEST_TILE // tile.width))
    return tile.resize((tile.width * factor, tile.height * factor), Image.Resampling.BICUBIC)
