"""Fat is taken off the border of a mask, and off nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from renalmap.inference.fat import peel_fat

PIXEL_MM = (0.8, 0.8)
KIDNEY_HU, FAT_HU, CYST_HU = 160.0, -100.0, 5.0


def kidney_in_fat(*, inside_hu=KIDNEY_HU, called_beyond=2, label=1):
    """A square kidney of 40x40 pixels in fat, called that many pixels too large."""
    hu = np.full((1, 80, 80), FAT_HU)
    hu[0, 20:60, 20:60] = inside_hu
    labels = np.zeros((1, 80, 80), np.uint8)
    called = slice(20 - called_beyond, 60 + called_beyond)
    labels[0, called, called] = label
    return hu, labels


def peeled(hu, labels, depth_mm=2.4):
    found = labels.copy()
    peel_fat(found, lambda z: hu[z], PIXEL_MM, depth_mm)
    return found


@pytest.mark.parametrize("inside_hu", [KIDNEY_HU, 35.0, CYST_HU])
@pytest.mark.parametrize("label", [1, 2])
def test_the_border_comes_to_lie_on_the_tissues(inside_hu, label):
    hu, labels = kidney_in_fat(inside_hu=inside_hu, label=label)
    np.testing.assert_array_equal(peeled(hu, labels), np.where(hu > FAT_HU, label, 0))


def test_no_deeper_than_asked():
    hu, labels = kidney_in_fat(called_beyond=5)
    assert (peeled(hu, labels)[0].any(axis=0)).sum() == 50 - 2 * 3
    assert (peeled(hu, labels, depth_mm=0.1)[0].any(axis=0)).sum() == 50 - 2


def test_fat_inside_a_tumour_stays():
    hu, labels = kidney_in_fat(called_beyond=0)
    hu[0, 35:45, 35:45] = FAT_HU
    np.testing.assert_array_equal(peeled(hu, labels), labels)


def test_slices_clipped_at_zero_are_left_alone():
    hu, labels = kidney_in_fat()
    np.testing.assert_array_equal(peeled(np.clip(hu, 0, 255), labels), labels)


def test_the_rim_of_a_cyst_stays_where_that_of_a_kidney_goes():
    """At -20 HU a pixel is more fat than enhanced kidney, but more fluid than fat."""
    for inside_hu, stays in ((KIDNEY_HU, False), (CYST_HU, True)):
        hu, labels = kidney_in_fat(inside_hu=inside_hu, called_beyond=1)
        hu[0, 19, 19:61] = -20.0
        assert peeled(hu, labels)[0, 19, 30:50].any() == stays


def test_nothing_called_and_nothing_but_fat():
    hu, labels = kidney_in_fat()
    assert not peeled(hu, np.zeros_like(labels)).any()
    assert not peeled(np.full_like(hu, FAT_HU), labels)[0, 18].any()
    whole = np.ones((1, 6, 6), np.uint8)  # touches every edge of the array
    assert not peeled(np.full((1, 6, 6), FAT_HU), whole).any()
