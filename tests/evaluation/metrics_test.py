"""Scores against slow references, against scikit-image and against hand-computed values."""

import jax.numpy as jnp
import numpy as np
import pytest
from skimage.metrics import (
    normalized_root_mse,
    peak_signal_noise_ratio,
    structural_similarity,
)

from cyclegan_jax.evaluation.metrics import ENERGY, MAX_PSNR, PROTOCOLS, mean_and_sd, scores, ssim


def pair(height=40, width=33):
    rng = np.random.default_rng(0)
    a = rng.uniform(-1, 1, (3, height, width, 1)).astype(np.float32)
    smooth = np.cumsum(rng.normal(size=a.shape), axis=1).astype(np.float32) / 10
    return np.clip(smooth, -1, 1), np.clip(smooth + 0.3 * a, -1, 1)


def disc(height=40, width=33):
    """A mask that is no rectangle, with a hole, one for each image of `pair`."""
    y, x = np.mgrid[:height, :width]
    radius = np.hypot(y - 17, x - 18)
    return np.repeat(((radius < 14) & (radius > 3))[None, ..., None], 3, axis=0)


def brain():
    """A part of the disc."""
    mask = disc()
    mask[:, :, :14] = False
    return mask


def score(a, b, mask=None, head=None, protocols=("fixed",), inside=None):
    mask = np.ones(a.shape, bool) if mask is None else mask
    masks = (mask, mask if head is None else head, mask if inside is None else inside)
    found = scores(*map(jnp.asarray, (a, b, *masks)), protocols=protocols)
    return {p: {m: np.asarray(v) for m, v in metrics.items()} for p, metrics in found.items()}


def reference_ssim_map(a, b, data_range):
    """Of windows that lie in the image; NaN elsewhere."""
    full = structural_similarity(
        a.astype(np.float64),
        b.astype(np.float64),
        data_range=data_range,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )[1]
    inner = np.full(full.shape, np.nan)
    inner[5:-5, 5:-5] = full[5:-5, 5:-5]
    return inner


def reference(protocol, a, b, masks):
    """Scores of two images `[H, W]`, pixel by pixel in Python; SSIM by scikit-image."""
    where = np.argwhere(masks.get(protocol, np.ones(a.shape)))
    a, b = a.astype(np.float64), b.astype(np.float64)
    air, data_range = -1.0, 2.0
    if protocol in ("slice_max", "gt_max"):
        a, b, air, data_range = a + 1, b + 1, 0.0, b.max() + 1
    if protocol == "slice_max":
        a, b, data_range = a / a.max(), b / b.max(), 1.0
    absolute = squares = energy = total_ssim = 0.0
    windows = 0
    ssim_map = reference_ssim_map(a, b, data_range)
    for y, x in where:
        absolute += abs(a[y, x] - b[y, x])
        squares += (a[y, x] - b[y, x]) ** 2
        energy += (b[y, x] - air) ** 2
        if not np.isnan(ssim_map[y, x]):
            total_ssim, windows = total_ssim + ssim_map[y, x], windows + 1
    return {
        "ssim": total_ssim / windows,
        "psnr": 10 * np.log10(data_range**2 / (squares / len(where))),
        "mae": absolute / len(where),
        "nmse": squares / energy,
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol_agrees_with_a_slow_reference(protocol):
    a, b = pair()
    b[1] = 0.6 * b[1] - 0.3  # maxima that are not 1, and not the same
    a[2] = 0.8 * a[2] - 0.1
    head = disc()
    found = score(a, b, head=head, protocols=(protocol,), inside=brain())[protocol]
    for i in range(3):
        masks = {"foreground": head[i, ..., 0], "brain": brain()[i, ..., 0]}
        wanted = reference(protocol, a[i, ..., 0], b[i, ..., 0], masks)
        assert found["ssim"][i] == pytest.approx(wanted["ssim"], abs=1e-4)
        for metric in ("psnr", "mae", "nmse"):
            assert found[metric][i] == pytest.approx(wanted[metric], rel=1e-4)
        if protocol == "brain":
            inside = masks["brain"]
            wanted = np.corrcoef(a[i, ..., 0][inside], b[i, ..., 0][inside])[0, 1]
            assert found["correlation"][i] == pytest.approx(wanted, abs=1e-5)
        assert ("correlation" in found) is (protocol == "brain")


def test_scalp_and_air_do_not_move_the_score_of_the_brain():
    a, b = pair()
    bare = score(a, b, protocols=("brain",), inside=brain())["brain"]
    scalp = ~brain()
    other = score(np.where(scalp, b, a), b, protocols=("brain", "fixed"), inside=brain())
    for metric in ("psnr", "mae", "nmse", "correlation"):
        np.testing.assert_allclose(other["brain"][metric], bare[metric], rtol=1e-5)
    inverted = score(np.where(scalp, b, -a), b, protocols=("brain", "fixed"), inside=brain())
    assert (inverted["brain"]["correlation"] < -0.5).all()
    assert (inverted["brain"]["ssim"] < bare["ssim"]).all()


def test_fixed_agrees_with_scikit_image():
    a, b = pair()
    result = score(a, b)["fixed"]
    for i in range(3):
        x, y = a[i, :, :, 0], b[i, :, :, 0]
        wanted = structural_similarity(
            x, y, data_range=2.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        assert result["ssim"][i] == pytest.approx(wanted, abs=1e-4)
        psnr = peak_signal_noise_ratio(y, x, data_range=2.0)
        assert result["psnr"][i] == pytest.approx(psnr, abs=1e-3)
        assert result["mae"][i] == pytest.approx(np.abs(x - y).mean(), rel=1e-4)
        assert result["nmse"][i] == pytest.approx(normalized_root_mse(y + 1, x + 1) ** 2, rel=1e-4)


def test_padding_does_not_count():
    a, b = pair()
    bare = score(a, b, head=disc(), protocols=PROTOCOLS, inside=brain())
    around = ((0, 0), (5, 9), (3, 4), (0, 0))
    padded = [np.pad(i, around, constant_values=v) for i, v in ((a, 1.0), (b, -1.0))]
    mask, head, inside = (np.pad(m, around) for m in (np.ones(a.shape, bool), disc(), brain()))
    for protocol, metrics in score(*padded, mask, head, PROTOCOLS, inside).items():
        for name, values in metrics.items():
            np.testing.assert_allclose(values, bare[protocol][name], rtol=1e-4)


def test_a_wrong_global_intensity_shows_in_fixed_and_not_in_slice_max():
    _, truth = pair()
    prediction = 0.8 * (truth + 1) - 1
    found = score(prediction, truth, head=disc(), protocols=PROTOCOLS)
    np.testing.assert_allclose(found["slice_max"]["ssim"], 1, atol=1e-5)
    np.testing.assert_allclose(found["slice_max"]["mae"], 0, atol=1e-6)
    assert (found["slice_max"]["psnr"] > 90).all()
    for protocol in ("fixed", "foreground", "gt_max"):
        assert (found[protocol]["ssim"] < 0.999).all()
        assert (found[protocol]["psnr"] < 30).all()
        np.testing.assert_allclose(found[protocol]["nmse"], 0.04, rtol=1e-4)
    for protocol in set(PROTOCOLS) - {"brain"}:
        np.testing.assert_allclose(found[protocol]["intensity_error"], -0.2, rtol=1e-4)
    np.testing.assert_allclose(found["brain"]["correlation"], 1, rtol=1e-4)


def test_equal_images_are_perfect_and_more_noise_is_worse():
    a, b = map(jnp.asarray, pair())
    mask = jnp.ones(a.shape, bool)
    np.testing.assert_allclose(ssim(a, a, mask), 1.0, atol=1e-5)
    assert bool((ssim(a, a + 2 * (b - a), mask) < ssim(a, b, mask)).all())
    for metrics in score(a, a, head=disc(), protocols=PROTOCOLS).values():
        assert (metrics["psnr"] == MAX_PSNR).all()  # not infinite
        assert (metrics["nmse"] == 0).all()


def test_what_is_not_defined_is_nan_and_nothing_else():
    a, b = pair()
    head, inside = disc(), brain()
    b[0], head[1], inside[1] = -1, False, False
    a[2] = -1
    found = score(a, b, head=head, protocols=PROTOCOLS, inside=inside)
    bad = {
        (protocol, metric, i)
        for protocol, metrics in found.items()
        for metric, values in metrics.items()
        for i in np.flatnonzero(~np.isfinite(values))
        if metric != ENERGY
    }
    black = {("slice_max", m, 0) for m in ("ssim", "psnr", "mae", "nmse")}
    black |= {("gt_max", m, 0) for m in ("ssim", "psnr")}
    black |= {(p, "nmse", 0) for p in PROTOCOLS}
    black |= {(p, "intensity_error", 0) for p in PROTOCOLS if p != "brain"}
    black |= {("brain", "correlation", i) for i in (0, 2)}
    headless = {("foreground", m, 1) for m in ("ssim", "psnr", "mae", "nmse")}
    headless |= {(p, "intensity_error", 1) for p in PROTOCOLS if p != "brain"}
    headless |= {("brain", m, 1) for m in ("ssim", "psnr", "mae", "nmse", "correlation")}
    assert bad == black | headless
    np.testing.assert_allclose(found["fixed"]["intensity_error"][2], -1)


def test_psnr_and_mae_of_a_constant_offset():
    a = np.zeros((1, 16, 16, 1), np.float32)
    result = score(a, a + np.float32(0.2))["fixed"]
    assert result["psnr"][0] == pytest.approx(20.0, abs=1e-4)  # 10 log10(4 / 0.04)
    assert result["mae"][0] == pytest.approx(0.2, rel=1e-5)


def test_summary_uses_the_sample_deviation_and_leaves_out_what_is_not_defined():
    assert mean_and_sd([1.0, 3.0]) == {"mean": 2.0, "sd": pytest.approx(2**0.5), "n": 2}
    assert mean_and_sd([1.0, float("nan"), 3.0]) == mean_and_sd([1.0, 3.0])
    assert mean_and_sd([4.0]) == {"mean": 4.0, "sd": 0.0, "n": 1}
    nothing = mean_and_sd([float("nan")])
    assert nothing["n"] == 0
    assert np.isnan(nothing["mean"])
