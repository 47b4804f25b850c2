"""The order of checkpoints by score."""

import numpy as np

from cyclegan_jax.checkpoints.retention import best_first


def test_the_best_comes_first_and_the_earliest_of_equals():
    assert best_first({3: 0.5, 1: 0.5, 2: 0.9, 4: 0.1}) == [2, 1, 3, 4]


def test_scores_that_are_not_finite_do_not_count():
    assert best_first({1: None, 2: np.nan, 3: np.inf, 4: -np.inf, 5: 0.1}) == [5]
    assert best_first({1: None}) == []
