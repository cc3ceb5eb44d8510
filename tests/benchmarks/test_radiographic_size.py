"""The statistics of agreement, on numbers whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.radiographic_size import agreement, ranks


def test_ranks_share_ties():
    assert ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1.0, 3.5, 2.0]


def test_agreement_of_a_shifted_and_a_curved_measure():
    sizes = np.array([10.0, 20.0, 30.0, 40.0])
    shifted = agreement(sizes + 2.0, sizes)
    assert (shifted.pearson, shifted.spearman) == pytest.approx((1.0, 1.0))
    assert (shifted.bias_mm, shifted.mean_absolute_mm, shifted.sd_mm) == (2.0, 2.0, 0.0)
    assert shifted.within_5_mm == 1.0
    curved = agreement(sizes**2, sizes)
    assert curved.spearman == pytest.approx(1.0)
    assert curved.pearson == pytest.approx(0.9844, abs=1e-4)
    assert agreement(-sizes, sizes).spearman == pytest.approx(-1.0)
