"""Smoothing across slices, by formula."""

from __future__ import annotations

import numpy as np
import pytest

from renalmap.inference.smoothing import (
    gaussian_weights,
    likeliest,
    reach_slices,
    smooth_across_slices,
)


def smoothed(values, weights):
    values = values.copy()
    smooth_across_slices(values, weights)
    return values


def column(*values):
    return np.array(values, np.uint8)[:, None, None]


def test_weights_are_a_gaussian_in_millimetres():
    weights = gaussian_weights(4.0, 2.0)
    assert weights.size == 11  # 2.5 sigmas: 10 mm, 5 slices up and down
    assert weights.sum() == pytest.approx(1.0)
    assert weights[5] / weights[7] == pytest.approx(np.exp(0.5))  # 4 mm away: one sigma
    np.testing.assert_array_equal(weights, weights[::-1])


@pytest.mark.parametrize(
    ("sigma_mm", "distance_mm", "reach"), [(0.0, 1.0, 0), (1.0, 5.0, 0), (2.0, 5.0, 1), (3.0, 0.5, 15)]
)
def test_the_reach_respects_the_distance_of_slices(sigma_mm, distance_mm, reach):
    assert reach_slices(sigma_mm, distance_mm) == reach
    assert gaussian_weights(sigma_mm, distance_mm).size == 2 * reach + 1


def test_a_single_slice_between_others_is_spread_by_the_weights():
    weights = gaussian_weights(2.0, 2.0)
    smooth = smoothed(column(*[0] * 5, 255, *[0] * 5), weights).ravel()
    expected = np.rint(255 * np.pad(weights, 3))
    np.testing.assert_array_equal(smooth, expected)


@pytest.mark.parametrize("depth", [1, 2, 9])
def test_what_is_the_same_in_all_slices_stays_so_up_to_the_ends(depth):
    plane = np.random.default_rng(0).integers(0, 256, (4, 5)).astype(np.uint8)
    values = np.repeat(plane[None], depth, axis=0)
    np.testing.assert_array_equal(smoothed(values, gaussian_weights(3.0, 1.0)), values)


def test_at_the_scans_ends_the_weights_left_are_scaled_to_1():
    weights = gaussian_weights(2.0, 2.0)
    smooth = smoothed(column(255, 0, 0, 0, 0, 0, 0), weights).ravel()
    assert smooth[0] == np.rint(255 * weights[2] / weights[2:].sum())
    assert smooth[1] == np.rint(255 * weights[1] / weights[1:].sum())


def test_only_slices_are_mixed_not_pixels():
    values = np.zeros((5, 3, 3), np.uint8)
    values[2, 1, 1] = 200
    smooth = smoothed(values, gaussian_weights(2.0, 2.0))
    assert np.unique(np.nonzero(smooth)[1]) == np.unique(np.nonzero(smooth)[2]) == [1]
    assert values.sum() == 200, "the input is left alone"


def test_no_slices_are_no_trouble():
    empty = np.zeros((0, 0, 0), np.uint8)
    assert smoothed(empty, gaussian_weights(2.0, 1.0)).shape == (0, 0, 0)


def test_tumour_never_exceeds_kidney_and_tumour():
    generator = np.random.default_rng(0)
    kidney = generator.integers(0, 256, (20, 30, 30)).astype(np.uint8)
    tumour = (kidney * generator.random(kidney.shape)).astype(np.uint8)
    weights = gaussian_weights(3.0, 1.5)
    smooth = (smoothed(values, weights) for values in (kidney, tumour))
    assert np.less_equal(*reversed(list(smooth))).all()


def test_the_most_probable_label_is_argmax_of_the_three():
    kidney, tumour = (plane.astype(np.uint8) for plane in np.mgrid[:256, :256])
    kidney, tumour = np.maximum(kidney, tumour), np.minimum(kidney, tumour)
    background, only = 255 - kidney, kidney - tumour
    expected = np.stack([background, only, tumour]).argmax(axis=0)
    np.testing.assert_array_equal(likeliest(background, only, tumour), expected)
