"""Confidences against outcomes: the fit is isotonic and says no more than it saw; the checks are exact."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies import shares

from renalmap.evaluation.reliability import (
    brier_score,
    expected_calibration_error,
    fit_calibration,
    reliability_table,
)


def test_ascending_outcomes_are_their_own_fit():
    raw, observed = np.array([0.1, 0.5, 0.9]), np.array([0.2, 0.6, 0.8])
    curve = fit_calibration(raw, observed, pull=0.0)
    assert curve.raw == pytest.approx(raw)
    assert curve.confidence == pytest.approx(observed)
    assert curve.n == 3


def test_violators_are_pooled():
    """By hand: 1, 0 at 0.2 and 0.4 pool to 0.5 at 0.3; 0.9 then ascends."""
    curve = fit_calibration(np.array([0.4, 0.8, 0.2]), np.array([0.0, 0.9, 1.0]), pull=0.0)
    assert curve.raw == pytest.approx((0.3, 0.8))
    assert curve.confidence == pytest.approx((0.5, 0.9))


def test_pooling_reaches_back_as_far_as_it_must():
    curve = fit_calibration(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.5, 0.6, 0.7, 0.0]), pull=0.0)
    assert curve.confidence == pytest.approx((0.45,))
    assert curve.raw == pytest.approx((0.25,))


def test_equal_scores_are_one_knot():
    curve = fit_calibration(np.array([0.5, 0.5, 0.5, 0.9]), np.array([1, 0, 0, 1]), pull=0.0)
    assert curve.raw == (0.5, 0.9)
    assert curve.confidence == pytest.approx((1 / 3, 1.0))


def test_the_pull_keeps_few_outcomes_from_certainty():
    raw, observed = np.array([0.1, 0.2, 0.8, 0.9]), np.array([0, 0, 1, 1])
    assert fit_calibration(raw, observed, pull=0.0).confidence == (0.0, 1.0)
    assert fit_calibration(raw, observed, pull=1.0).confidence == pytest.approx((0.5 / 3, 2.5 / 3))


@given(st.lists(st.tuples(shares, shares), min_size=1, max_size=40), st.floats(0.0, 5.0))
def test_a_fit_ascends_and_stays_within_the_outcomes(pairs, pull):
    raw, observed = np.array(pairs).T
    curve = fit_calibration(raw, observed, pull=pull)
    values = np.array([curve(score) for score in np.linspace(0, 1, 21)])
    assert (np.diff(values) >= -1e-12).all()
    assert values.min() >= observed.min() - 1e-9
    assert values.max() <= observed.max() + 1e-9


def test_a_fit_comes_closer_to_its_outcomes_than_their_true_chances_and_near_those():
    generator = np.random.default_rng(5)
    raw = np.sort(generator.random(200))
    observed = (generator.random(200) < raw**2).astype(float)
    curve = fit_calibration(raw, observed, pull=0.0)
    error = brier_score(np.array([curve(score) for score in raw]), observed)
    truth = brier_score(raw**2, observed)
    assert len(curve.raw) > 5
    assert error < truth
    assert np.abs([curve(score) - score**2 for score in (0.2, 0.5, 0.8)]).max() < 0.15


def test_a_table_by_hand():
    confidence = np.array([0.05, 0.15, 0.15, 0.95, 1.0])
    observed = np.array([0, 0, 1, 1, 1])
    first, second, last = reliability_table(confidence, observed)
    assert (first.from_confidence, first.to_confidence, first.n) == (0.0, 0.1, 1)
    assert (second.n, second.observed) == (2, 0.5)
    assert second.mean_confidence == pytest.approx(0.15)
    assert (last.to_confidence, last.n) == (1.0, 2)
    assert last.mean_confidence == pytest.approx(0.975)
    error = (0.05 + 2 * 0.35 + 2 * 0.025) / 5
    assert expected_calibration_error(confidence, observed) == pytest.approx(error)
    brier = (0.05**2 + 0.15**2 + 0.85**2 + 0.05**2) / 5
    assert brier_score(confidence, observed) == pytest.approx(brier)


def test_honest_confidences_have_a_small_error():
    generator = np.random.default_rng(1)
    confidence = generator.random(20_000)
    observed = generator.random(20_000) < confidence
    assert expected_calibration_error(confidence, observed) < 0.02
    assert expected_calibration_error(np.full(20_000, 0.9), observed) == pytest.approx(0.4, abs=0.02)


@pytest.mark.parametrize(
    ("raw", "observed"),
    [([], []), ([0.1], [0.1, 0.2]), ([1.1], [0.5]), ([0.5], [np.nan]), ([[0.5]], [[0.5]])],
)
def test_what_is_no_confidence_is_refused(raw, observed):
    with pytest.raises(ValueError, match=r"one length|0\.\.1"):
        fit_calibration(np.array(raw), np.array(observed))
    with pytest.raises(ValueError, match=r"one length|0\.\.1"):
        brier_score(np.array(raw), np.array(observed))
