"""Tests of the planes that a preview shows."""

import numpy as np
from PIL import Image

from cyclegan_jax.translation import preview
from cyclegan_jax.translation.preview import save_preview


def captured(monkeypatch, volumes, spacing):
    """The rows of planes, and the column titles, that would be drawn."""
    calls = []
    monkeypatch.setattr(preview, "save_grid", lambda *arguments: calls.append(arguments))
    save_preview("a.png", volumes, ["one", "two"], spacing)
    ((_, rows, columns, titles),) = calls
    assert titles == ["one", "two"]
    return rows, columns


def ball(spacing, centre) -> np.ndarray:
    """A ball of 20 mm around `centre` (mm) in a volume of 96 x 108 x 90 mm."""
    shape = np.round(np.array([96, 108, 90]) / spacing).astype(int)
    places = [(np.arange(n) + 0.5) * s for n, s in zip(shape, spacing, strict=True)]
    x, y, z = np.meshgrid(*places, indexing="ij")
    inside = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2 < 20**2
    return np.where(inside, 1, -1).astype(np.float32)


def test_planes_cross_in_the_middle_of_the_head_at_one_scale(monkeypatch):
    spacing = (1.0, 2.0, 4.5)
    head = ball(spacing, (30, 70, 45))
    rows, columns = captured(monkeypatch, [head, -head], spacing)
    assert columns == ["axial (R | L)", "coronal (R | L)", "sagittal (A | P)"]
    heights = [plane.shape for plane in rows[0]]
    assert heights == [(230, 205), (192, 205), (192, 230)]  # 0.47 mm for each pixel
    for plane in rows[0]:  # through the centre, so that each shows the whole width, undistorted
        bright = np.argwhere(plane > 0)
        down, right = np.ptp(bright, axis=0) * 90 / 192
        assert abs(down - 40) < 6
        assert abs(right - 40) < 6
    middle = np.argwhere(rows[0][0] > 0).mean(axis=0) * 90 / 192
    np.testing.assert_allclose(middle, (108 - 70, 96 - 30), atol=2)  # anterior up, right on left
    for plane, negative in zip(*rows, strict=True):
        np.testing.assert_allclose(plane, -negative, atol=1e-6)


def test_a_slab_does_not_explode(monkeypatch):
    slab = np.ones((120, 120, 1), np.float32)
    slab[:60] = -1
    (row,), _ = captured(monkeypatch, [slab], (2.0, 2.0, 2.0))
    assert [plane.shape for plane in row] == [(768, 768), (6, 768), (6, 768)]


def test_a_file_is_drawn(tmp_path):
    head = ball((2, 2, 2), (48, 54, 45))
    save_preview(tmp_path / "a.png", [head, -head], ["one", "two"], (2, 2, 2))
    with Image.open(tmp_path / "a.png") as image:
        assert image.width > 3 * 192
        assert image.height > 2 * 192
