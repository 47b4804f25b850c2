"""Scores against scikit-image and against hand-computed values."""

import jax.numpy as jnp
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from cyclegan_jax.metrics import LossAverages, scores, ssim, summary


def pair(height=40, width=33):
    rng = np.random.default_rng(0)
    a = rng.uniform(-1, 1, (3, height, width, 1)).astype(np.float32)
    smooth = np.cumsum(rng.normal(size=a.shape), axis=1).astype(np.float32) / 10
    return np.clip(smooth, -1, 1), np.clip(smooth + 0.3 * a, -1, 1)


def reference_ssim(a, b):
    return structural_similarity(
        a, b, data_range=2.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )


def test_scores_agree_with_scikit_image():
    a, b = pair()
    result = scores(jnp.asarray(a), jnp.asarray(b), jnp.ones(a.shape, bool))
    for i in range(3):
        x, y = a[i, :, :, 0], b[i, :, :, 0]
        assert result["ssim"][i] == pytest.approx(reference_ssim(x, y), abs=1e-4)
        psnr = peak_signal_noise_ratio(x, y, data_range=2.0)
        assert result["psnr"][i] == pytest.approx(psnr, abs=1e-3)
        assert result["mae"][i] == pytest.approx(np.abs(x - y).mean(), rel=1e-4)


def test_padding_does_not_count():
    a, b = pair()
    bare = scores(jnp.asarray(a), jnp.asarray(b), jnp.ones(a.shape, bool))
    around = ((0, 0), (5, 9), (3, 4), (0, 0))
    padded = [jnp.asarray(np.pad(i, around, constant_values=-1.0)) for i in (a, b)]
    mask = jnp.asarray(np.pad(np.ones(a.shape, bool), around))
    for name, values in scores(*padded, mask).items():
        np.testing.assert_allclose(values, bare[name], rtol=1e-4)


def test_equal_images_are_perfect_and_more_noise_is_worse():
    a, b = map(jnp.asarray, pair())
    mask = jnp.ones(a.shape, bool)
    np.testing.assert_allclose(ssim(a, a, mask), 1.0, atol=1e-5)
    assert bool((ssim(a, a + 2 * (b - a), mask) < ssim(a, b, mask)).all())


def test_psnr_and_mae_of_a_constant_offset():
    a = jnp.zeros((1, 16, 16, 1))
    result = scores(a, a + 0.2, jnp.ones(a.shape, bool))
    assert result["psnr"][0] == pytest.approx(20.0, abs=1e-4)  # 10 log10(4 / 0.04)
    assert result["mae"][0] == pytest.approx(0.2, rel=1e-5)


def test_summary_uses_the_sample_deviation():
    assert summary([1.0, 3.0]) == {"mean": 2.0, "sd": pytest.approx(2**0.5), "n": 2}
    assert summary([4.0]) == {"mean": 4.0, "sd": 0.0, "n": 1}


def test_loss_averages_weigh_every_step_alike_and_start_anew():
    averages = LossAverages()
    for value in (1.0, 2.0, 6.0):
        averages.add({"cycle": np.float32(value)})
    assert averages.result() == {"cycle": 3.0}
    averages.add({"cycle": np.float32(5.0)})
    assert averages.result() == {"cycle": 5.0}
