"""Tests of the order of training batches, of shares of them, and of reading them ahead."""

from typing import Any

import numpy as np
import pytest

from cyclegan_jax import InputError
from cyclegan_jax.data import batches
from cyclegan_jax.data.augmentation import Augmentation, as_seen
from cyclegan_jax.data.batches import read_ahead, unpaired_batches
from cyclegan_jax.data.frames import Frames
from cyclegan_jax.data.intensity import to_storage

PLAIN = Augmentation(views=1, flip=False, contrast=0.0, shift=0)
ALL = Augmentation(views=1, flip=True, contrast=0.3, shift=2)
FOUR = Augmentation(views=4, flip=False, contrast=0.3, shift=0)


def image(*shape: int, seed: int = 0) -> np.ndarray:
    """A random image [H, W] of tissue: nothing as dark as air."""
    return np.random.default_rng(seed).uniform(-0.9, 1, shape).astype(np.float32)


def records(*images: np.ndarray) -> list[dict[str, Any]]:
    return [{"image": to_storage(i)[..., None], "name": b"unused"} for i in images]


def numbered(count: int, first: int) -> list[dict[str, Any]]:
    """Constant images: image i has the value (first + i) / 100."""
    return records(*(np.full((8, 8), (first + i) / 100) for i in range(count)))


def data_set(
    augmentation: Augmentation = PLAIN, x: list[dict[str, Any]] | None = None, **changed: Any
) -> Any:  # to a type checker, the elements of a grain.MapDataset could be None
    """Batches of `x`, else the images 0 to 6, and for y the images 50 to 54."""
    options = {"batch_size": 4, "seed": 3} | changed
    mode = options.pop("mode", "pad")
    frames = (Frames(records, 8, mode) for records in (x or numbered(7, 0), numbered(5, 50)))
    return unpaired_batches(*frames, augmentation, **options)


def numbers(batches: list[dict[str, np.ndarray]], domain: str) -> list[int]:
    """Which images of `numbered` are in the batches, in order."""
    values = np.concatenate([b[domain][:, 4, 4, 0] for b in batches])
    return np.round(values * 100).astype(int).tolist()


def assert_equal(a: dict[str, np.ndarray], b: dict[str, np.ndarray]):
    assert a.keys() == b.keys()
    for name, values in a.items():
        np.testing.assert_array_equal(values, b[name])


@pytest.mark.parametrize("mode", ["pad", "resize"])
@pytest.mark.parametrize("views", [1, 4])
def test_batches_stay_in_range(mode, views):
    rng = np.random.default_rng(0)  # only the extremes, of sizes to pad, crop and scale
    x = records(*(np.where(rng.random((h, 11)) < 0.5, -1, 1) for h in (5, 8, 13)))
    every = Augmentation(views=views, flip=True, contrast=0.9, shift=3)
    batches = data_set(every, x=x, mode=mode)
    for i in range(10):
        batch = batches[i]
        assert batch["x"].dtype == batch["y"].dtype == np.float32
        assert batch["x"].shape == batch["y"].shape == (4, 8, 8, 1)
        assert np.isfinite(batch["x"]).all()
        assert np.abs(batch["x"]).max() <= 1


def test_every_epoch_has_every_image_once_in_a_new_order():
    batches = [data_set()[i] for i in range(35)]  # 140 images: 20 epochs of x, 28 of y
    for domain, wanted in (("x", range(7)), ("y", range(50, 55))):
        seen = np.array(numbers(batches, domain)).reshape(-1, len(wanted))
        assert (np.sort(seen) == wanted).all()
        assert len({tuple(epoch) for epoch in seen}) > 10


def test_domains_are_not_paired():
    x = numbered(5, 0)
    batches = [data_set(x=x)[i] for i in range(30)]  # 24 epochs of both
    together = np.array(numbers(batches, "x")) == np.array(numbers(batches, "y")) - 50
    assert 0.05 < together.mean() < 0.4  # by chance: 0.2


def test_batches_depend_on_seed_and_step_only():
    one, two, other = data_set(ALL), data_set(ALL), data_set(ALL, seed=4)
    _ = one[11]  # what was read before must not matter
    for i in (5, 0, 2):
        assert_equal(one[i], two[i])
    assert not np.array_equal(one[0]["x"], other[0]["x"])
    assert not np.array_equal(one[0]["x"], one[1]["x"])


def test_augmentation_is_drawn_anew_in_every_epoch_and_domain():
    one = Frames(records(image(8, 8)), 8, "pad")
    batches: Any = unpaired_batches(one, one, ALL, batch_size=8, seed=0)
    views = {view.tobytes() for i in range(2) for d in "xy" for view in batches[i][d]}
    assert len(views) == 32


def test_batch_keeps_the_views_of_an_image_together():
    x = records(*(image(8, 8, seed=i) for i in range(7)))
    batch = data_set(FOUR, x=x, batch_size=8)[0]
    assert batch["x"].shape == batch["y"].shape == (8, 8, 8, 1)
    for quartet in batch["x"][:4, ..., 0], batch["x"][4:, ..., 0]:
        np.testing.assert_array_equal(quartet[1], quartet[0][:, ::-1])
        np.testing.assert_array_equal(quartet[3], quartet[2][:, ::-1])
    assert not np.array_equal(batch["x"][0], batch["x"][4])


@pytest.mark.parametrize("share", [(0, 1), (0, 2), (1, 2), (3, 4)])
@pytest.mark.parametrize("augmentation", [PLAIN, ALL, FOUR])
@pytest.mark.parametrize("mode", ["pad", "resize"])
def test_changes_for_the_device_are_those_of_the_host(mode, augmentation, share):
    x = records(*(image(h, 11, seed=h) for h in (5, 8, 13)))
    options = {"x": x, "mode": mode, "batch_size": 8, "share": share}
    host, device = (data_set(augmentation, on_device=on, **options) for on in (False, True))
    for step in (0, 1, 5):
        batch = device[step]
        images, changes = batch["x"], batch["y_changes"]
        assert images.dtype == {"pad": np.uint16, "resize": np.float32}[mode]
        assert images.shape == host[step]["x"].shape == (8 // share[1], 8, 8, 1)
        assert (changes.dtype, changes.shape) == (np.float32, (8 // share[1], 1, 1, 4))
        assert_equal(as_seen(batch), host[step])
    layout = batches.of_each_image(8, mode, True)
    found = {name: (values.shape[1:], str(values.dtype)) for name, values in batch.items()}
    assert found == layout


@pytest.mark.parametrize("start", [0, 3, 1000])
def test_iterator_starts_at_any_step(start):
    batches = data_set(ALL)
    iterator = read_ahead(batches, start, workers=0)
    for step in range(start, start + 4):
        assert_equal(next(iterator), batches[step])


@pytest.mark.parametrize("on_device", [False, True])
def test_workers_give_the_same_batches(on_device):
    batches = data_set(ALL, on_device=on_device)
    iterator = read_ahead(batches, 2, workers=2)
    for step in range(2, 6):
        assert_equal(next(iterator), batches[step])


class Counting(list):
    """Records that remember which were read."""

    def __init__(self, records: list[dict[str, Any]]):
        super().__init__(records)
        self.read: set[int] = set()

    def __getitem__(self, index: Any) -> Any:
        self.read.add(int(index))
        return super().__getitem__(index)


@pytest.mark.parametrize(("augmentation", "parts"), [(ALL, 4), (FOUR, 4), (FOUR, 8), (FOUR, 16)])
def test_shares_make_up_the_batch_and_are_all_that_is_read(augmentation, parts):
    x = records(*(image(8, 8, seed=i) for i in range(16)))
    whole = data_set(augmentation, x=x, batch_size=16)
    each = 16 // parts  # images; of four views, 16 parts hold a quarter of a record
    for part in range(parts):
        counting = Counting(x)
        share = data_set(augmentation, x=counting, batch_size=16, share=(part, parts))
        counting.read.clear()
        for step in (0, 3):
            expected = {d: a[part * each : (part + 1) * each] for d, a in whole[step].items()}
            assert_equal(share[step], expected)
        assert len(counting.read) <= 2 * max(1, each // augmentation.views)


def test_a_share_may_begin_and_end_within_a_records_views():
    x = records(*(image(8, 8, seed=i) for i in range(7)))
    whole = data_set(FOUR, x=x, batch_size=12)
    for part, (begin, end) in enumerate([(0, 6), (6, 12)]):
        share = data_set(FOUR, x=x, batch_size=12, share=(part, 2))
        for step in (0, 5):
            assert_equal(share[step], {d: a[begin:end] for d, a in whole[step].items()})


def test_batches_of_one_image_start_anywhere():
    batches = data_set(ALL, batch_size=1)
    assert_equal(next(read_ahead(batches, 5, workers=0)), batches[5])


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        RuntimeError("Worker process was terminated unexpectedly with exit code -7. Search it."),
    ],
)
def test_shared_memory_that_is_too_small_is_named(error):
    def start():
        yield {"x": 1}
        raise error

    read = batches._of_workers(start, 2)
    assert next(read) == {"x": 1}
    with pytest.raises(InputError, match=r"config\.data\.workers = 2.*/dev/shm.*shm-size"):
        next(read)


def test_another_error_of_a_worker_stays():
    def start():
        raise FileNotFoundError(2, "No such file", "gone")
        yield

    with pytest.raises(FileNotFoundError):
        next(batches._of_workers(start, 2))


def test_calls_take_the_batches_of_several_steps_and_end_with_multiples():
    each = [{d: np.full((2, 4, 4, 1), i) for d in "xy"} for i in range(12)]
    calls = batches.in_calls(iter(each[2:]), 2, 4)
    joined = [next(calls), next(calls)]
    assert [call["y"][:, 0, 0, 0, 0].tolist() for call in joined] == [[2, 3], [4, 5, 6, 7]]
    assert joined[1]["x"].shape == (4, 2, 4, 4, 1)
    for i, batch in enumerate(batches.of_steps(joined[1], True)):
        assert_equal(batch, each[4 + i])
    assert list(batches.in_calls(iter(each), 3, 1)) == each
    assert batches.of_steps(each[0], False) == [each[0]]
