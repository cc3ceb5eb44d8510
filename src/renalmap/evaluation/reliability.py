"""Is a confidence of 0.8 right eight times in ten? Fitting confidences to outcomes, and the check.

Fit and check need outcomes of patients on whom the networks were not trained, as cross-validation provides;
and the check needs other patients than the fit, or it is too optimistic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from renalmap.bundle import CalibrationCurve

FloatArray = NDArray[np.float64]

DEFAULT_PULL: Final = 1.0
DEFAULT_BINS: Final = 10


@dataclass(frozen=True)
class ReliabilityBin:
    """Outcomes of similar confidence.

    Attributes:
        from_confidence, to_confidence: the bin; the last holds its upper limit, the others do not.
        n: how many.
        mean_confidence: what was claimed.
        observed: what happened: the mean outcome.
    """

    from_confidence: float
    to_confidence: float
    n: int
    mean_confidence: float
    observed: float


def fit_calibration(
    raw: NDArray[Any], observed: NDArray[Any], *, pull: float = DEFAULT_PULL
) -> CalibrationCurve:
    """Isotonic regression by pool-adjacent-violators (Ayer et al. 1955, doi:10.1214/aoms/1177728423).

    Outcomes of equal raw score count as one, and neighbours that would descend are pooled. A pool
    becomes a knot at its mean raw score; between knots the curve is linear, beyond the ends constant.

    Args:
        raw: (n,), raw scores in [0, 1].
        observed: (n,), the outcomes in [0, 1]: a Dice, or whether a tumour was real.
        pull: every pool's mean is pulled to the mean of all outcomes, as if that had been seen this many
            times more: three real tumours do not make the fourth certain. 0 for plain
            isotonic regression.

    Returns:
        The knots.

    Raises:
        ValueError: nothing is given, the sizes differ, or a value lies outside [0, 1].
    """
    scores, outcomes = _checked(raw, observed)
    distinct, which = np.unique(scores, return_inverse=True)
    weights = np.bincount(which).astype(np.float64)
    means = np.bincount(which, outcomes) / weights
    pools = _pool_adjacent_violators(distinct, means, weights)
    # The pull moves small pools further than large ones, which may reverse two of them.
    pulled = (pools[1] * pools[2] + pull * outcomes.mean()) / (pools[2] + pull)
    knots, values, _ = _pool_adjacent_violators(pools[0], pulled, pools[2])
    return CalibrationCurve(
        raw=tuple(float(value) for value in knots),
        confidence=tuple(float(value) for value in np.clip(values, 0.0, 1.0)),
        n=scores.size,
    )


def reliability_table(
    confidence: NDArray[Any], observed: NDArray[Any], *, bins: int = DEFAULT_BINS
) -> tuple[ReliabilityBin, ...]:
    """Claims compared with outcomes, in bins of equal width; empty bins are left out.

    Args:
        confidence: (n,), in [0, 1].
        observed: (n,), the outcomes in [0, 1].
        bins: how many.

    Raises:
        ValueError: as `fit_calibration`.
    """
    claimed, outcomes = _checked(confidence, observed)
    number = np.minimum((claimed * bins).astype(np.intp), bins - 1)
    return tuple(
        ReliabilityBin(
            from_confidence=index / bins,
            to_confidence=(index + 1) / bins,
            n=int(np.count_nonzero(number == index)),
            mean_confidence=float(claimed[number == index].mean()),
            observed=float(outcomes[number == index].mean()),
        )
        for index in np.unique(number).tolist()
    )


def expected_calibration_error(
    confidence: NDArray[Any], observed: NDArray[Any], *, bins: int = DEFAULT_BINS
) -> float:
    """Mean gap between claim and outcome over the bins, by their size (Naeini et al. 2015).

    Raises:
        ValueError: as `fit_calibration`.
    """
    table = reliability_table(confidence, observed, bins=bins)
    gaps = [row.n * abs(row.mean_confidence - row.observed) for row in table]
    return sum(gaps) / sum(row.n for row in table)


def brier_score(confidence: NDArray[Any], observed: NDArray[Any]) -> float:
    """Mean squared gap between each claim and its outcome (Brier 1950); 0 is best.

    Raises:
        ValueError: as `fit_calibration`.
    """
    claimed, outcomes = _checked(confidence, observed)
    return float(((claimed - outcomes) ** 2).mean())


def _checked(first: NDArray[Any], second: NDArray[Any]) -> tuple[FloatArray, FloatArray]:
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.ndim != 1 or a.shape != b.shape or a.size == 0:
        raise ValueError(f"two vectors of one length are needed, got shapes {a.shape} and {b.shape}")
    for values in (a, b):
        if not ((values >= 0.0) & (values <= 1.0)).all():
            raise ValueError(f"values must lie in 0..1, got {values.min()} to {values.max()}")
    return a, b


def _pool_adjacent_violators(
    x: FloatArray, y: FloatArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Weighted means of x and of y in each pool, and the pools' weights; y strictly ascends."""
    pools: list[tuple[float, float, float]] = []
    for pool in zip(x.tolist(), y.tolist(), weights.tolist(), strict=True):
        at, value, weight = pool
        while pools and pools[-1][1] >= value:
            at_before, value_before, before = pools.pop()
            at = (at_before * before + at * weight) / (before + weight)
            value = (value_before * before + value * weight) / (before + weight)
            weight += before
        pools.append((at, value, weight))
    knots, values, sizes = np.array(pools).T
    return knots, values, sizes
