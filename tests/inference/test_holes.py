"""Tiny holes are filled, the sinus is not."""

from __future__ import annotations

import numpy as np
import pytest

from renalmap.inference.holes import fill_holes


def filled_holes(labels, pixel_mm2, largest_mm2):
    labels = labels.copy()
    fill_holes(labels, pixel_mm2, largest_mm2)
    return labels


def disc_with(*holes, label=1):
    labels = np.zeros((3, 30, 30), np.uint8)
    labels[1, 5:25, 5:25] = label
    for hole in holes:
        labels[(1, *hole)] = 0
    return labels


SMALL = (slice(10, 12), slice(10, 12))  # 4 pixels
SINUS = (slice(14, 20), slice(14, 20))  # 36 pixels


def test_up_to_the_area_holes_are_filled():
    filled = filled_holes(disc_with(SMALL, SINUS), pixel_mm2=0.5, largest_mm2=2.0)
    np.testing.assert_array_equal(filled, disc_with(SINUS))
    np.testing.assert_array_equal(filled_holes(disc_with(SMALL), 0.5, 1.9), disc_with(SMALL))


def test_a_bay_is_no_hole():
    bay = disc_with((slice(10, 12), slice(5, 12)))
    np.testing.assert_array_equal(filled_holes(bay, 1.0, 1000.0), bay)


def test_a_hole_that_opens_at_a_corner_only_is_enclosed():
    labels = disc_with((5, 5), (6, 6))
    labels[1, 5, 5] = 0
    np.testing.assert_array_equal(filled_holes(labels, 1.0, 4.0)[1, 6, 6], 1)


def test_a_hole_at_the_edge_of_the_array_is_not_enclosed():
    labels = np.ones((1, 8, 8), np.uint8)
    labels[0, 3, 0], labels[0, 5, 5] = 0, 0
    filled = filled_holes(labels, 1.0, 4.0)
    assert (filled[0, 3, 0], filled[0, 5, 5]) == (0, 1)


@pytest.mark.parametrize(("around", "expected"), [(0, 1), (1, 1), (3, 2), (4, 2)])
def test_a_hole_gets_the_label_of_most_about_it(around, expected):
    labels = disc_with((10, 10))
    for y, x in ((9, 10), (11, 10), (10, 9), (10, 11))[:around]:
        labels[1, y, x] = 2
    assert filled_holes(labels, 1.0, 1.0)[1, 10, 10] == expected


def test_no_foreground_has_no_holes():
    empty = np.zeros((2, 8, 8), np.uint8)
    assert not filled_holes(empty, 1.0, 1000.0).any()
