"""Distances between masks, against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from renalmap.inference.nearness import comes_within, continues_along_z

SPACING_MM = (5.0, 0.8, 1.5)


def voxel(*place, shape=(12, 40, 30)):
    mask = np.zeros(shape, bool)
    mask[place] = True
    return mask


@given(st.integers(0, 2**32 - 1), st.floats(0.0, 25.0))
def test_it_agrees_with_brute_force(seed, limit_mm):
    generator = np.random.default_rng(seed)
    one, other = (generator.random((6, 12, 10)) < 0.01 for _ in range(2))
    ours, theirs = (np.argwhere(mask) * SPACING_MM for mask in (one, other))
    distances = np.linalg.norm(ours[:, None] - theirs[None], axis=-1)
    if np.abs(distances - limit_mm).min(initial=np.inf) < 1e-3:
        return  # equal but for rounding
    assert comes_within(one, other, SPACING_MM, limit_mm) == (distances.min(initial=np.inf) <= limit_mm)


@pytest.mark.parametrize("place", [(4, 10, 10), (2, 22, 10), (2, 10, 16), (3, 19, 12)])
def test_the_limit_is_in_millimetres_whatever_the_axis(place):
    start = (2, 10, 10)
    distance = float(np.linalg.norm(np.subtract(place, start) * SPACING_MM))
    assert comes_within(voxel(*start), voxel(*place), SPACING_MM, distance + 0.01)
    assert not comes_within(voxel(*start), voxel(*place), SPACING_MM, distance - 0.01)


def test_an_empty_mask_is_near_nothing():
    empty = np.zeros((3, 4, 5), bool)
    full = ~empty
    assert not comes_within(empty, full, SPACING_MM, 100.0)
    assert not comes_within(full, empty, SPACING_MM, 100.0)
    assert not continues_along_z(empty, full, 5.0, 100.0)


@pytest.mark.parametrize(("gap", "found"), [(1, True), (2, True), (3, False)])
@pytest.mark.parametrize("way", [1, -1])
def test_what_goes_on_above_or_below_does_so_within_the_limit(gap, found, way):
    assert continues_along_z(voxel(6, 10, 10), voxel(6 + way * gap, 10, 10), 5.0, 10.0) is found


def test_what_lies_beside_does_not_go_on():
    assert not continues_along_z(voxel(6, 10, 10), voxel(7, 10, 11), 5.0, 10.0)
