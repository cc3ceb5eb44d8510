"""Connected parts found piece by piece are those of the whole."""

from __future__ import annotations

import cc3d
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from tests.strategies import kidneys_with_tumours, noise

from renalmap.imaging.connected import connected_blobs, connected_parts, find_box, pieces_apart
from renalmap.imaging.volume import Box


@given(kidneys_with_tumours((9, 14, 11), (0.002, 0.01, 0.05, 0.3)), st.booleans())
def test_they_are_those_of_the_whole(labels, of_tumour):
    numbers = cc3d.connected_components(labels == 2 if of_tumour else labels > 0, connectivity=26)
    found = np.zeros(labels.shape, int)
    for number, (box, inside) in enumerate(connected_parts(labels, (2,) if of_tumour else ()), start=1):
        assert find_box(inside) == Box((0, 0, 0), box.shape), "the box is tight"
        assert not found[box.slices][inside].any(), "no voxel is of two parts"
        found[box.slices][inside] = number
    pairs = {*zip(numbers.ravel().tolist(), found.ravel().tolist(), strict=True)}
    assert len(pairs) == numbers.max() + 1 == found.max() + 1


def test_pieces_have_an_empty_plane_between_them_and_hold_everything():
    labels = np.zeros((20, 30, 40), np.uint8)
    labels[2:5, 3:9, 4:12] = 1
    labels[2:5, 3:9, 13:20] = 2  # column 12 is empty
    labels[4:9, 20:25, 4:20] = 1
    shapes = sorted(box.shape for box in pieces_apart(labels))
    assert shapes == [(3, 6, 7), (3, 6, 8), (5, 5, 16)]


def test_parts_that_touch_at_a_corner_are_in_one_piece():
    labels = np.zeros((6, 6, 6), np.uint8)
    labels[1:3, 1:3, 1:3] = 1
    labels[3:5, 3:5, 3:5] = 1
    ((box, inside),) = connected_parts(labels)
    assert (box.start, box.stop, inside.sum()) == ((1, 1, 1), (5, 5, 5), 16)


@pytest.mark.parametrize("shape", [(3, 4, 5), (0, 4, 5)])
def test_nothing_has_no_parts(shape):
    assert list(connected_parts(np.zeros(shape, np.uint8))) == []
    assert find_box(np.zeros(shape, np.uint8)) is None


@given(
    st.tuples(st.integers(2, 39), st.integers(2, 39)).flatmap(
        lambda shape: noise(shape, (0.05, 0.3, 0.5, 0.7, 0.95))
    )
)
def test_blobs_are_scipys_and_no_background_is_in_them(mask):
    """Of bool arrays cc3d 4.1.1 numbers background as well, about once in twenty of these."""
    numbers, count = connected_blobs(mask)
    expected, expected_count = ndimage.label(mask, np.ones((3, 3)))
    assert count == expected_count
    pairs = {*zip(numbers.ravel().tolist(), expected.ravel().tolist(), strict=True)}
    assert len(pairs) == count + (not mask.all())
    np.testing.assert_array_equal(numbers > 0, mask)
