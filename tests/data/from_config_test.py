"""Tests of how a config becomes data: phantoms kept in the cache, prepared folders, test pairs."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cyclegan_jax import InputError
from cyclegan_jax.config import Config, base_config
from cyclegan_jax.data import from_config
from cyclegan_jax.data.dataset import Dataset
from cyclegan_jax.data.intensity import IntensityRange
from cyclegan_jax.data.preparation.scan import Scan, ScanImages, Source
from cyclegan_jax.data.preparation.write import prepare


def small_config() -> Config:
    c = base_config()
    c.image_size = 32
    c.batch_size = 4
    c.data.phantom.subjects = 8
    c.data.phantom.held_out = 1
    c.data.phantom.slices = 2
    return c


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "cyclegan_jax"


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory) -> Dataset:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return from_config.open_data(small_config())


def first_batch(config: Config, dataset: Dataset) -> dict[str, np.ndarray]:
    batch = from_config.training_batches(config, dataset)[0]
    assert batch is not None
    return batch


def flat(*splits: str, names: tuple[str, ...] = ("a",)) -> Source:
    """A source of one small image for each name in each split."""

    def scan(name: str) -> Scan:
        images = {name: np.linspace(-1, 1, 30, dtype=np.float32).reshape(5, 6)}
        return Scan(name, lambda: ScanImages(images, IntensityRange(0, 1), (1, 16, 16)))

    dtypes = {"x": "float32", "y": "float32"}
    return Source({s: [scan(n) for n in names] for s in splits}, dtypes, {"kind": "test"})


def test_phantoms_are_prepared_once(cache, monkeypatch, capsys):
    first = from_config.open_data(small_config())
    assert first.folder.parent == cache
    assert f"preparing phantom heads in {first.folder}" in capsys.readouterr().out
    written = {p: p.stat().st_mtime_ns for p in cache.rglob("*")}

    def unexpected(*_args):
        raise AssertionError("prepared again")

    monkeypatch.setattr(from_config, "prepare", unexpected)
    again = from_config.open_data(small_config())
    assert again.folder == first.folder
    assert again.names("test_x") == first.names("test_x")
    assert capsys.readouterr().out == ""
    assert {p: p.stat().st_mtime_ns for p in cache.rglob("*")} == written


@pytest.mark.parametrize(
    "change",
    [{"image_size": 64}]
    + [{f"data.phantom.{k}": v} for k, v in (("subjects", 11), ("slices", 3), ("lesions", True))],
)
def test_another_setting_is_another_folder(cache, monkeypatch, change):
    monkeypatch.setattr(from_config, "prepare", lambda source, folder: folder)
    changed = small_config()
    changed.update_from_flattened_dict(change)
    assert from_config.open_data(small_config()) != from_config.open_data(changed)


def test_other_keys_share_the_phantoms(cache, monkeypatch):
    monkeypatch.setattr(from_config, "prepare", lambda source, folder: folder)
    changed = small_config()
    changed.seed, changed.batch_size, changed.data.views = 5, 8, 4
    assert from_config.open_data(small_config()) == from_config.open_data(changed)


def test_another_version_is_another_folder(cache, monkeypatch):
    monkeypatch.setattr(from_config, "prepare", lambda source, folder: folder)
    before = from_config.open_data(small_config())
    monkeypatch.setattr(from_config, "__version__", "99")
    assert from_config.open_data(small_config()) != before


def test_cache_without_its_variable_is_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(from_config, "prepare", lambda source, folder: folder)
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("", None):
        if value is None:
            monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        else:
            monkeypatch.setenv("XDG_CACHE_HOME", value)
        folder: object = from_config.open_data(small_config())
        assert isinstance(folder, Path)
        assert folder.parent == tmp_path / ".cache" / "cyclegan_jax"


def test_phantoms_that_another_process_finished_first_are_used(cache, monkeypatch):
    def overtaken(source, folder):
        prepare(flat("train_x", "train_y"), folder)
        raise InputError(f"{folder} exists")

    monkeypatch.setattr(from_config, "prepare", overtaken)
    assert from_config.open_data(small_config()).manifest["source"] == {"kind": "test"}


def test_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(InputError, match=re.escape(f"{tmp_path}/file/cyclegan_jax")):
        from_config.open_data(small_config())


def test_data_dir_is_opened(tmp_path, monkeypatch):
    prepare(flat("train_x", "train_y"), tmp_path / "mine")
    monkeypatch.setenv("HOME", str(tmp_path))
    c = small_config()
    for c.data.dir in (str(tmp_path / "mine"), "~/mine"):
        assert from_config.open_data(c).names("train_x") == ["a"]
    c.data.dir = str(tmp_path / "gone")
    with pytest.raises(InputError, match="gone is no prepared data set"):
        from_config.open_data(c)


def test_training_batches_follow_the_config(phantoms):
    c = small_config()
    batch = first_batch(c, phantoms)
    assert batch["x"].shape == batch["y"].shape == (4, 32, 32, 1)
    np.testing.assert_array_equal(first_batch(c, phantoms)["x"], batch["x"])
    c.seed = 1
    assert not np.array_equal(first_batch(c, phantoms)["x"], batch["x"])
    c.data.views, c.data.contrast, c.batch_size = 4, 0.2, 8
    views = first_batch(c, phantoms)["y"]
    assert views.shape == (8, 32, 32, 1)
    np.testing.assert_array_equal(views[1], views[0][:, ::-1])
    assert not np.array_equal(views[2], views[0])


def test_sagittal_slices_are_never_mirrored(phantoms):
    c = small_config()
    source = phantoms.manifest["source"] | {"axis": "sagittal"}
    sagittal = Dataset(phantoms.folder, phantoms.manifest | {"source": source})
    flipping = from_config.training_batches(c, sagittal)
    c.data.flip = False
    plain = from_config.training_batches(c, sagittal)
    axial = from_config.training_batches(c, phantoms)
    for step in range(8):
        a, b, d = flipping[step], plain[step], axial[step]
        assert a is not None
        assert b is not None
        assert d is not None
        np.testing.assert_array_equal(a["x"], b["x"])
        np.testing.assert_array_equal(b["x"], d["x"])
    assert from_config.notes_on_training(c, sagittal) == []
    c.data.flip = True
    assert from_config.notes_on_training(c, phantoms) == []
    (note,) = from_config.notes_on_training(c, sagittal)
    assert "sagittal slices are not flipped" in note
    c.data.views, c.data.contrast = 4, 0.2
    with pytest.raises(InputError, match=r"config\.data\.views = 4: .*sagittal.*set it to 1"):
        from_config.training_batches(c, sagittal)
    c.data.views, c.average_mirrored = 1, True
    with pytest.raises(InputError, match=r"mirrored = True: .*sagittal.*to False"):
        from_config.training_batches(c, sagittal)


def with_heads(folder: Path, size: tuple[int, int], head: tuple[int, int]) -> Dataset:
    """A data set with a head of some height and width in the middle of larger images."""
    image = np.full(size, -1, np.float32)
    (top, left) = ((n - h) // 2 for n, h in zip(size, head, strict=True))
    image[top : top + head[0], left : left + head[1]] = 0.5
    image[0, 0] = 1  # an artefact

    def scan(name: str, image: np.ndarray) -> Scan:
        return Scan(name, lambda: ScanImages({name: image}, IntensityRange(0, 1), (1, *size)))

    small = np.full((16, 16), 0.5, np.float32)
    splits = {"train_x": [scan("a", small)], "train_y": [scan("a", small), scan("b", image)]}
    dtypes = {"x": "float32", "y": "float32"}
    return prepare(Source(splits, dtypes, {"kind": "test"}), folder)


def test_cropping_air_is_nothing_to_say(tmp_path, phantoms):
    c = small_config()
    assert from_config.cropped_heads(c, phantoms) == ""
    dataset = with_heads(tmp_path / "out", (48, 40), (30, 32))
    assert from_config.cropped_heads(c, dataset) == ""
    assert from_config.notes_on_training(c, dataset) == []


@pytest.mark.parametrize(("height", "percent"), [(100, ""), (102, "2 %"), (108, "7 %")])
def test_little_of_a_head_may_be_cropped(tmp_path, height, percent):
    c = small_config()
    c.image_size = 100
    dataset = with_heads(tmp_path / "out", (112, 40), (height, 32))
    said = from_config.cropped_heads(c, dataset)
    assert f"up to {percent} of the head" in said if percent else said == ""


def test_cropping_heads_is_said_with_what_to_do(tmp_path):
    c = small_config()
    c.generator.features = c.discriminator.features = (4, 8, 8)
    c.discriminator.strides = (2, 2, 2)
    dataset = with_heads(tmp_path / "out", (50, 40), (40, 32))
    said = from_config.cropped_heads(c, dataset)
    for words in ("out: ", "40x50 pixels", "image_size = 32, up to 20 % of the head"):
        assert words in said
    assert said.endswith("set config.data.fit=resize, or config.image_size=56")
    assert from_config.notes_on_training(c, dataset) == [said]
    assert from_config.cropped_heads(c, dataset, ["train_x"]) == ""
    assert from_config.cropped_heads(c, dataset, ["train_y"]) == said
    c.image_size = 56
    assert from_config.cropped_heads(c, dataset) == ""
    c.image_size, c.data.fit = 32, "resize"
    assert from_config.cropped_heads(c, dataset) == ""


def test_test_pairs_show_one_head_in_two_contrasts(phantoms):
    pairs = from_config.scored_pairs(small_config(), phantoms, "test")
    assert pairs.names == phantoms.names("test_x") == ["phantom0001#000", "phantom0001#001"]
    assert pairs.x.shape == pairs.y.shape == (2, 32, 32, 1)
    assert pairs.mask.all()
    heads = [image > -0.8 for image in (pairs.x[0], pairs.y[0])]
    overlap = (heads[0] & heads[1]).sum() / (heads[0] | heads[1]).sum()
    assert overlap > 0.6
    assert np.abs(pairs.x - pairs.y).mean() > 0.05


def test_pairs_are_framed_as_the_config_says(tmp_path):
    dataset = prepare(flat("train_x", "train_y", "test_x", "test_y"), tmp_path / "out")
    c = small_config()
    for c.data.fit, pixels in (("pad", 5 * 6), ("resize", 27 * 32)):
        assert from_config.scored_pairs(c, dataset, "test").mask.sum() == pixels


def test_monitoring_takes_val_then_test_then_nothing(phantoms, tmp_path):
    train = ("train_x", "train_y")
    tested = prepare(flat(*train, "test_x", "test_y"), tmp_path / "tested")
    alone = prepare(flat(*train), tmp_path / "alone")
    assert [from_config.monitoring_split(d) for d in (phantoms, tested, alone)] == [
        "val",
        "test",
        None,
    ]


def test_missing_pairs_say_how_to_get_them(tmp_path):
    dataset = prepare(flat("train_x", "train_y"), tmp_path / "out")
    for split, flag in (("test", "--holdout"), ("val", "--validation")):
        words = f"no {split} pairs; prepare it with {flag}, or --{split}_x and --{split}_y"
        with pytest.raises(InputError, match=re.escape(f"{tmp_path}/out has {words}")):
            from_config.scored_pairs(small_config(), dataset, split)


def test_no_training_image_is_an_error(tmp_path):
    # the contact sheet needs training images, so such a folder can only be made by hand
    dataset = prepare(flat("train_x", "train_y"), tmp_path / "out")
    for domain, contrast in (("x", "T1"), ("y", "T2")):
        splits = dataset.manifest["splits"] | {f"train_{domain}": {"names": []}}
        empty = Dataset(dataset.folder, {**dataset.manifest, "splits": splits})
        with pytest.raises(InputError, match=f"has no {contrast} training image"):
            from_config.training_batches(small_config(), empty)


class CountedReads(list[Any]):
    """Records that count how often they are read."""

    def __init__(self, records: Sequence[Any]):
        super().__init__(records)
        self.reads = 0

    def __getitem__(self, index: Any) -> Any:
        self.reads += 1
        return super().__getitem__(index)


@pytest.mark.parametrize(("room", "reads"), [(2**30, 16), (0, 3 * 16)])
def test_a_small_data_set_is_read_once(phantoms, monkeypatch, room, reads):
    before = [first_batch(small_config(), phantoms)]
    records = CountedReads([phantoms.split("train_x")[i] for i in range(8)])
    monkeypatch.setattr(Dataset, "split", lambda self, name: records)
    monkeypatch.setattr(from_config, "_KEPT_BYTES", room)
    batches = from_config.training_batches(small_config(), phantoms)
    after = [batches[i] for i in range(6)]  # three times all 8 images of each domain
    assert records.reads == reads
    np.testing.assert_array_equal(after[0]["x"], before[0]["x"])


def test_a_cache_that_cannot_be_written_names_its_variable(tiny, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"file/.*cannot be written.*set XDG_CACHE_HOME"):
        from_config.open_data(tiny)


def test_the_pixels_that_networks_see_are_known_of_phantoms_and_volumes(phantoms, tmp_path):
    config = small_config()
    assert from_config.pixels_seen(config, phantoms) == dict.fromkeys("xy", (230 / 32, 230 / 32))
    source = flat("train_x", "train_y")
    assert from_config.pixels_seen(config, prepare(source, tmp_path / "images")) == {}
    source.pixels["y"] = (2.0, 3.0)
    volumes = prepare(source, tmp_path / "volumes")
    assert from_config.pixels_seen(config, volumes) == {"y": (2, 3)}
    config.data.fit = "resize"  # from 5 x 6 pixels to 27 x 32
    seen = from_config.pixels_seen(config, volumes)["y"]
    assert seen == (pytest.approx(2 * 5 / 27), pytest.approx(3 * 6 / 32))
