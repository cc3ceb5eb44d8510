"""Distances between masks, against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.strategies import seeds

from renalmap.imaging.connected import find_box
from renalmap.inference.components import Component
from renalmap.inference.nearness import comes_within, continues_along_z
from renalmap.inference.placement import Placement

SPACING_MM = (5.0, 0.8, 1.5)


def component(mask):
    """All of a mask as if it were connected."""
    box = find_box(mask)
    assert box is not None
    return Component(box, mask[box.slices], Placement.whole(mask.shape, SPACING_MM))


def voxel(*place, shape=(12, 40, 30)):
    mask = np.zeros(shape, bool)
    mask[place] = True
    return component(mask)


@given(seeds, st.floats(0.0, 25.0))
def test_it_agrees_with_brute_force(seed, limit_mm):
    generator = np.random.default_rng(seed)
    one, other = (generator.random((6, 12, 10)) < 0.01 for _ in range(2))
    ours, theirs = (np.argwhere(mask) * SPACING_MM for mask in (one, other))
    distances = np.linalg.norm(ours[:, None] - theirs[None], axis=-1)
    assume(one.any() and other.any())
    assume(np.abs(distances - limit_mm).min() >= 1e-3)  # equal but for rounding
    found = comes_within(component(one), component(other), SPACING_MM, limit_mm)
    assert found == (distances.min() <= limit_mm)


@pytest.mark.parametrize("place", [(4, 10, 10), (2, 22, 10), (2, 10, 16), (3, 19, 12)])
def test_the_limit_is_in_millimetres_whatever_the_axis(place):
    start = (2, 10, 10)
    distance = float(np.linalg.norm(np.subtract(place, start) * SPACING_MM))
    assert comes_within(voxel(*start), voxel(*place), SPACING_MM, distance + 0.01)
    assert not comes_within(voxel(*start), voxel(*place), SPACING_MM, distance - 0.01)


@pytest.mark.parametrize(("gap", "found"), [(1, True), (2, True), (3, False)])
@pytest.mark.parametrize("way", [1, -1])
def test_what_goes_on_above_or_below_does_so_within_the_limit(gap, found, way):
    assert continues_along_z(voxel(6, 10, 10), voxel(6 + way * gap, 10, 10), 5.0, 10.0) is found


def test_what_lies_beside_does_not_go_on():
    assert not continues_along_z(voxel(6, 10, 10), voxel(7, 10, 11), 5.0, 10.0)
