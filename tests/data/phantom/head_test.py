"""Tests of the head phantom: physics, anatomy, determinism."""

import numpy as np
import pytest
import scipy.ndimage

from cyclegan_jax.data.phantom import head as phantom_head

SEEDS = (0, 1, 2, 3)
INDEX = {name: i for i, name in enumerate(phantom_head.TISSUES)}
BRAIN = [INDEX[name] for name in ("grey_matter", "white_matter", "deep_grey_matter")]


@pytest.fixture(scope="module")
def heads() -> dict[int, phantom_head.Phantom]:
    return {seed: phantom_head.make_phantom(seed, size=128, slices=6) for seed in SEEDS}


def _means(head: phantom_head.Phantom, tissue: str) -> tuple[float, float]:
    """Mean T1w and T2w signal where a voxel and its four neighbours are of the tissue."""
    cross = scipy.ndimage.generate_binary_structure(2, 1)[None]
    pure = np.asarray(scipy.ndimage.binary_erosion(head.labels == INDEX[tissue], cross), bool)
    assert pure.sum() >= 10, tissue
    return float(head.t1[pure].mean()), float(head.t2[pure].mean())


def test_shapes_types_and_ranges():
    head = phantom_head.make_phantom(5, size=64, slices=3)
    for image in (head.t1, head.t2):
        assert image.shape == (3, 64, 64)
        assert image.dtype == np.float32
        assert np.isfinite(image).all()
        assert image.min() >= 0
        assert 300 < image.max() < 1100
    assert head.labels.shape == (3, 64, 64)
    assert head.labels.dtype == np.uint8
    assert head.labels.max() < len(phantom_head.TISSUES)
    assert phantom_head.TISSUES[0] == "air"


def test_equal_arguments_give_equal_bits():
    one, two = (phantom_head.make_phantom(7, size=64, slices=2, lesions=True) for _ in range(2))
    for name in ("t1", "t2", "labels"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_seeds_give_different_anatomies(heads: dict[int, phantom_head.Phantom]):
    brains = [np.isin(head.labels, BRAIN) for head in heads.values()]
    for i, one in enumerate(heads.values()):
        for two in list(heads.values())[i + 1 :]:
            inside = np.isin(one.labels, BRAIN) | np.isin(two.labels, BRAIN)
            assert (one.labels != two.labels)[inside].mean() > 0.3
    volumes = [brain.sum() for brain in brains]
    assert max(volumes) > 1.05 * min(volumes)


@pytest.mark.parametrize("seed", SEEDS)
def test_contrasts(heads: dict[int, phantom_head.Phantom], seed: int):
    names = ("air", "skull", "csf", "grey_matter", "white_matter", "deep_grey_matter", "scalp")
    t1, t2 = ({name: _means(heads[seed], name)[i] for name in names} for i in range(2))
    assert t1["scalp"] > 1.05 * t1["white_matter"]
    assert t1["white_matter"] > 1.08 * t1["grey_matter"]
    assert t1["white_matter"] > t1["deep_grey_matter"]
    assert t1["grey_matter"] > 1.3 * t1["csf"]
    assert t2["csf"] > 1.6 * t2["grey_matter"]
    assert t2["grey_matter"] > 1.15 * t2["white_matter"]
    assert t2["deep_grey_matter"] > t2["white_matter"]
    assert t2["csf"] > 1.6 * t2["scalp"]
    for signal in (t1, t2):
        assert signal["skull"] < 0.5 * signal["white_matter"]
        assert signal["air"] < 0.06 * signal["white_matter"]


def test_spin_echo_by_hand():
    # TR = T1 and TE = T2: 0.8 (1 - 1/e) / e = 0.8 * 0.6321206 * 0.3678794.
    pd, t1, t2 = (np.array([x]) for x in (0.8, 500.0, 100.0))
    signal = phantom_head.spin_echo(pd, t1, t2, 500.0, 100.0)
    np.testing.assert_allclose(signal, [0.1860353], rtol=1e-6)
    # BrainWeb white matter, T1w: 0.77 (1 - exp(-350/500)) exp(-10/70) = 0.77 * 0.503415 * 0.866878.
    pd, t1, t2 = (np.array([x]) for x in (0.77, 500.0, 70.0))
    signal = phantom_head.spin_echo(pd, t1, t2, *phantom_head.T1_WEIGHTED)
    np.testing.assert_allclose(signal, [0.336028], rtol=1e-4)


@pytest.mark.parametrize("size", [64, 96, 256])
def test_every_size_shows_the_same_anatomy(size: int):
    fine = phantom_head.make_phantom(3, size=384, slices=3).labels
    coarse = phantom_head.make_phantom(3, size=size, slices=3).labels
    index = ((np.arange(384) + 0.5) * size / 384).astype(int)
    enlarged = coarse[:, index][:, :, index]
    uniform = scipy.ndimage.maximum_filter(fine, (1, 9, 9)) == scipy.ndimage.minimum_filter(
        fine, (1, 9, 9)
    )
    brain = uniform & np.isin(fine, BRAIN)
    assert brain.mean() > 0.02
    assert (enlarged == fine)[uniform].mean() > 0.99
    assert (enlarged == fine)[brain].mean() > 0.95


@pytest.mark.parametrize("size", [64, 128])
def test_coarse_voxels_are_averages_of_fine_ones(size: int):
    fine = phantom_head.make_phantom(3, size=384, slices=2, noise=0, bias=0).t2
    coarse = phantom_head.make_phantom(3, size=size, slices=2, noise=0, bias=0).t2
    averages = fine.reshape(2, size, 384 // size, size, 384 // size).mean(axis=(2, 4))
    assert np.corrcoef(coarse.ravel(), averages.ravel())[0, 1] > 0.99


def test_slices_sample_one_head():
    few = phantom_head.make_phantom(4, size=64, slices=3, noise=0, bias=0)
    many = phantom_head.make_phantom(4, size=64, slices=5, noise=0, bias=0)
    np.testing.assert_array_equal(few.labels, many.labels[::2])
    np.testing.assert_array_equal(few.t2, many.t2[::2])


def test_lesions_only_if_asked_bright_in_t2(heads: dict[int, phantom_head.Phantom]):
    seed = 1
    assert not (heads[seed].labels == INDEX["lesion"]).any()
    sick = phantom_head.make_phantom(seed, size=128, slices=6, lesions=True)
    lesion = sick.labels == INDEX["lesion"]
    assert lesion.sum() >= 20
    white = sick.labels == INDEX["white_matter"]
    assert sick.t2[lesion].mean() > 1.5 * sick.t2[white].mean()
    assert sick.t1[lesion].mean() < sick.t1[white].mean()
    # The rest of the head does not change.
    changed = sick.labels != heads[seed].labels
    np.testing.assert_array_equal(changed, lesion)


def test_every_slice_has_a_sizable_brain_inside_the_field_of_view():
    for seed in range(12):
        labels = phantom_head.make_phantom(seed, size=64, slices=4).labels
        share = np.isin(labels, BRAIN).mean(axis=(1, 2))
        assert share.min() > 0.12
        assert share.max() < 0.4
        assert share[0] > share[-1]  # ordered towards the vertex
        border = np.ones((64, 64), bool)
        border[1:-1, 1:-1] = False
        assert (labels[:, border] == INDEX["air"]).all()


def test_all_tissues_are_present():
    labels = phantom_head.make_phantom(2, size=192, slices=6, lesions=True).labels
    counts = np.bincount(labels.ravel(), minlength=len(phantom_head.TISSUES))
    assert dict(zip(phantom_head.TISSUES, counts > 20, strict=True)) == dict.fromkeys(INDEX, True)


@pytest.mark.parametrize("seed", SEEDS)
def test_anterior_is_at_the_top(heads: dict[int, phantom_head.Phantom], seed: int):
    labels = heads[seed].labels[0]
    rows, columns = np.nonzero(np.isin(labels, BRAIN))
    assert np.ptp(rows) > 1.1 * np.ptp(columns)  # a brain is longer than wide
    # The temporal muscle (deep to the skin, which has the same label) is in the front half.
    depth = scipy.ndimage.distance_transform_edt(labels != INDEX["air"])
    temporal = np.nonzero((labels == INDEX["muscle"]) & (np.asarray(depth) > 3))[0]
    assert len(temporal) >= 10
    assert temporal.mean() < rows.mean() - 5


def test_noise_and_bias_can_be_turned_off_and_are_of_the_stated_size():
    clean = phantom_head.make_phantom(6, size=128, slices=2, noise=0, bias=0)
    noisy = phantom_head.make_phantom(6, size=128, slices=2, noise=0.05, bias=0)
    shaded = phantom_head.make_phantom(6, size=128, slices=2, noise=0, bias=0.15)
    air, white = clean.labels == 0, clean.labels == INDEX["white_matter"]
    for name in ("t1", "t2"):
        signal = getattr(clean, name)
        sigma = 0.05 * signal[white].mean()
        # Rayleigh mean of pure noise: sigma sqrt(pi / 2).
        background = getattr(noisy, name)[air & (signal == 0)].mean()
        assert background == pytest.approx(sigma * np.sqrt(np.pi / 2), rel=0.06)
        ratio = getattr(shaded, name)[white] / signal[white]
        assert 0.849 < ratio.min() < ratio.max() < 1.151
        assert np.ptp(ratio) > 0.01
    # The two contrasts have shading of their own.
    ratios = [getattr(shaded, n)[white] / getattr(clean, n)[white] for n in ("t1", "t2")]
    assert np.abs(ratios[0] - ratios[1]).max() > 0.01
