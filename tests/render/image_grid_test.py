"""Tests of the labelled grids: layout, sizes, grey values, and that files are replaced whole."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cyclegan_jax.render.image_grid import description, save_grid

GAP = 40  # the grey between tiles


def constant(value: float, *shape: int) -> np.ndarray:
    return np.full(shape or (128, 128), value, np.float32)


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.mode == "L"
        return np.asarray(image)


def test_images_stand_in_rows_and_columns(tmp_path):
    values = [[-1, 0, 1], [0.5, -0.5, 0.25]]
    save_grid(tmp_path / "g.png", [[constant(v) for v in row] for row in values], [])
    pixels = read(tmp_path / "g.png")
    assert pixels.shape == (2 * 132, 3 * 132)
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            tile = pixels[i * 132 : i * 132 + 128, j * 132 : j * 132 + 128]
            assert (tile == round((value + 1) * 127.5)).all()
    assert (pixels[128:132] == GAP).all()
    assert (pixels[:, 128:132] == GAP).all()


def test_values_are_clipped_and_a_channel_is_dropped(tmp_path):
    save_grid(tmp_path / "g.png", [[constant(-3, 128, 128, 1), constant(7, 128, 128, 1)]], [])
    pixels = read(tmp_path / "g.png")
    assert (pixels[:128, :128] == 0).all()
    assert (pixels[:128, 132:260] == 255).all()


@pytest.mark.parametrize(
    ("shape", "tile"),
    [((16, 20), (128, 160)), ((48, 48), (144, 144)), ((200, 150), (200, 150))],
)
def test_small_images_are_enlarged_by_a_whole_factor(tmp_path, shape, tile):
    save_grid(tmp_path / "g.png", [[constant(1, *shape)]], [])
    pixels = read(tmp_path / "g.png")
    assert pixels.shape == (tile[0] + 4, tile[1] + 4)
    assert (pixels[: tile[0], : tile[1]] == 255).all()


def test_rows_may_differ_in_length_and_images_in_size(tmp_path):
    save_grid(tmp_path / "g.png", [[constant(1, 150, 140)], [constant(1), constant(1)]], [])
    pixels = read(tmp_path / "g.png")
    assert pixels.shape == (2 * 154, 2 * 144)
    assert (pixels[:150, 144:] == GAP).all()
    assert (pixels[154 : 154 + 128, 144 : 144 + 128] == 255).all()


def test_titles_stand_over_columns_and_under_rows(tmp_path):
    rows = [[constant(-1), constant(-1)]] * 2
    save_grid(tmp_path / "g.png", rows, ["", "HH"], ["", "HH"])
    pixels = read(tmp_path / "g.png")
    assert pixels.shape == (18 + 2 * (128 + 18 + 4), 2 * 132)
    assert (pixels[:18, :132] == GAP).all()  # no title over the first column
    assert (pixels[:18, 132:] > 200).any()
    assert (pixels[18 + 128 : 168] == GAP).all()  # nor under the first row
    assert (pixels[168 + 128 : -4, :132] > 200).any()
    for top in (18, 168):  # titles cover no image
        assert (pixels[top : top + 128, :128] == 0).all()


def test_file_is_replaced_whole(tmp_path, monkeypatch):
    path = tmp_path / "g.png"
    save_grid(path, [[constant(1)]], [])
    before = path.read_bytes()

    def fail(self, data):
        with self.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fail)
        with pytest.raises(OSError, match="No space"):
            save_grid(path, [[constant(-1)]], [])
    assert path.read_bytes() == before
    save_grid(path, [[constant(-1)]], [])
    assert (read(path)[:128, :128] == 0).all()
    assert [p.name for p in tmp_path.iterdir()] == ["g.png"]


def test_a_grid_says_in_words_what_it_shows(tmp_path):
    rows = [[constant(0), constant(0)]] * 2
    save_grid(tmp_path / "g.png", rows, ["T1", "T1→T2"], ["first", "second"])
    words = "2 row(s) of images. Columns: T1, T1→T2. Rows: first; second."
    assert description(tmp_path / "g.png") == words
    Image.new("L", (4, 4)).save(tmp_path / "silent.png")
    assert description(tmp_path / "silent.png") == ""
