"""Overlap metrics against values worked out by hand."""

from __future__ import annotations

from math import isnan

import numpy as np
import pytest
from hypothesis import given
from tests.strategies import mask_pairs

from renalmap.evaluation.metrics import dice, kits19_score, region_mask, volume_ml


def test_dice_of_a_hand_counted_pair():
    prediction = np.array([[[1, 1, 1, 0]]], dtype=bool)
    reference = np.array([[[0, 1, 1, 1], [0, 0, 0, 1]][0:1]], dtype=bool)
    assert dice(prediction, reference) == pytest.approx(2 * 2 / (3 + 3))


def test_dice_of_cubes_shifted_by_a_quarter():
    cube = np.zeros((8, 8, 8), dtype=bool)
    cube[2:6, 2:6, 2:6] = True
    assert dice(np.roll(cube, 1, axis=2), cube) == pytest.approx(0.75)


@given(mask_pairs)
def test_dice_is_symmetric_and_bounded(pair):
    first, second = pair
    value = dice(first, second, both_empty=1.0)
    assert value == dice(second, first, both_empty=1.0)
    assert 0.0 <= value <= 1.0
    assert (value == 1.0) == np.array_equal(first, second)
    assert (value == 0.0) == (not (first & second).any() and bool((first | second).any()))


def test_dice_of_empty_masks_follows_the_convention_asked_for():
    empty, full = np.zeros((2, 2, 2), dtype=bool), np.ones((2, 2, 2), dtype=bool)
    assert isnan(dice(empty, empty))
    assert dice(empty, empty, both_empty=1.0) == 1.0
    assert dice(empty, full, both_empty=1.0) == 0.0
    assert dice(full, empty) == 0.0


def test_dice_refuses_masks_that_would_broadcast():
    with pytest.raises(ValueError, match="differ in shape"):
        dice(np.ones((1, 4, 4), dtype=bool), np.ones((3, 4, 4), dtype=bool))


def test_kits19_kidney_holds_the_tumour():
    reference = np.array([1, 1, 1, 2, 0, 0], dtype=np.uint8)
    prediction = np.array([1, 1, 2, 2, 1, 0], dtype=np.uint8)
    expected = (2 * 4 / (5 + 4), 2 * 1 / (2 + 1))
    assert kits19_score(prediction, reference) == pytest.approx(expected)


def test_kits19_scores_what_is_undefined_as_zero():
    kidney_only = np.array([0, 1], dtype=np.uint8)
    assert kits19_score(kidney_only, kidney_only) == (1.0, 0.0)
    nothing = np.zeros(2, dtype=np.uint8)
    assert kits19_score(nothing, nothing) == (0.0, 0.0)


def test_regions_are_unions_of_labels():
    labels = np.array([0, 1, 2], dtype=np.uint8)
    assert region_mask(labels, "kidney").tolist() == [False, True, True]
    assert region_mask(labels, "kidney_only").tolist() == [False, True, False]
    assert region_mask(labels, "tumour").tolist() == [False, False, True]


def test_volume_uses_every_spacing():
    mask = np.zeros((5, 5, 5), dtype=bool)
    assert volume_ml(mask, (2.5, 0.8, 0.7)) == 0.0
    mask[:2, :2, :5] = True
    assert volume_ml(mask, (2.5, 0.8, 0.7)) == pytest.approx(20 * 1.4 / 1000)
    with pytest.raises(ValueError, match="as many spacings"):
        volume_ml(mask, (0.8, 0.7))
