"""What is kept of the networks' probabilities, and where."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from tests.strategies import boxes

from renalmap.imaging.volume import Box
from renalmap.inference.probability import (
    GridProbabilities,
    RegionProbability,
    pack,
    to_bytes,
    unpack,
)
from renalmap.preprocess import InPlaneFit

SHAPE = (6, 9, 8)


def example():
    values = np.random.default_rng(0).integers(1, 256, (3, 4, 5)).astype(np.uint8)
    return RegionProbability((2, 3, 1), values)


def test_outside_the_box_the_whole_grid_is_0():
    whole = example().full(SHAPE)
    np.testing.assert_array_equal(whole[2:5, 3:7, 1:6], example().values)
    assert np.count_nonzero(whole) == example().values.size


@given(boxes(SHAPE))
def test_a_part_is_that_of_the_whole_grid(box):
    expected = example().full(SHAPE)[box.slices]
    np.testing.assert_array_equal(example().at(box), expected)
    z, y, x = box.slices
    np.testing.assert_array_equal(example().at((z, y, x)), expected)


def test_a_part_can_be_written_to_without_changing_the_whole():
    probability = example()
    before = probability.values.copy()
    probability.at((slice(2, 5), slice(3, 7), slice(1, 6)))[:] = 0
    np.testing.assert_array_equal(probability.values, before)


def test_nothing_found_is_0_everywhere():
    for probability in GridProbabilities.zeros(None).on_scan(InPlaneFit(8, 8, (1, 1), 8)).values():
        assert probability.values.size == 0
        assert probability.full(SHAPE).shape == SHAPE
        assert not probability.full(SHAPE).any()
        assert not probability.at((slice(0, 2), slice(3, 4), slice(0, 8))).any()


def test_a_packed_slice_comes_back():
    values = np.random.default_rng(0).integers(0, 256, (7, 5)).astype(np.uint8)
    np.testing.assert_array_equal(unpack(pack(values), (7, 5)), values)
    assert len(pack(np.zeros((512, 512), np.uint8))) < 3000


def test_probabilities_are_rounded_not_cut():
    np.testing.assert_array_equal(
        to_bytes(np.array([0, 0.499, 0.501, 0.999, 1], np.float32)), [0, 127, 128, 255, 255]
    )


@pytest.mark.parametrize(("rows", "columns"), [(64, 64), (30, 50), (100, 70), (90, 90)])
@pytest.mark.parametrize("box", [Box((1, 0, 0), (3, 64, 64)), Box((1, 20, 30), (3, 33, 51))])
def test_on_the_scan_a_box_lies_where_the_whole_grid_would(rows, columns, box):
    fit = InPlaneFit(rows, columns, (1.0, 1.0), 64)
    grid = GridProbabilities.zeros(box)
    grid.kidney[:] = np.random.default_rng(1).integers(1, 256, box.shape)
    whole = np.zeros((4, 64, 64), np.uint8)
    whole[box.slices] = grid.kidney
    expected = np.stack([fit.from_grid(plane) for plane in whole])

    found = grid.on_scan(fit)["kidney"]

    np.testing.assert_array_equal(found.full((4, rows, columns)), expected)


def test_a_box_in_the_grids_margin_has_no_place_on_the_scan():
    fit = InPlaneFit(20, 64, (1.0, 1.0), 64)
    found = GridProbabilities.zeros(Box((0, 0, 0), (1, 10, 64))).on_scan(fit)["kidney"]
    assert found.values.size == 0
    assert not found.full((1, 20, 64)).any()
