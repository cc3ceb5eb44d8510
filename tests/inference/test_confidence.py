from __future__ import annotations

import numpy as np
import pytest

from renalmap.anatomy import Voxels
from renalmap.anatomy.voxels import find_components
from renalmap.imaging import LabelMap, build_geometry
from renalmap.imaging.volume import Box
from renalmap.inference.confidence import expected_dice, tumour_score
from renalmap.inference.probability import RegionProbability


def label_map(labels, spacing_mm=(5.0, 1.0, 1.0)):
    affine = np.diag([*reversed(spacing_mm), 1.0])[:, [2, 1, 0, 3]] * np.array([1, -1, -1, 1])
    return LabelMap(labels, build_geometry(labels.shape, affine))


@pytest.fixture
def labels():
    labels = np.zeros((6, 40, 60), np.uint8)
    labels[2:4, 15:25, 10:20] = 1
    labels[2:4, 15:25, 28:38] = 1
    return labels


def test_certainty_about_exactly_the_mask_is_a_dice_of_one(labels):
    whole = label_map(labels)
    certain = RegionProbability((0, 0, 0), (labels > 0).astype(np.uint8) * 255)
    for part in find_components(whole, (1, 2)):
        assert expected_dice(certain, [part], whole) == 1.0


def test_doubt_about_what_was_left_out_lowers_it(labels):
    """200 voxels of mask, certain; 100 more beside it at 0.4, below the threshold."""
    whole = label_map(labels)
    values = (labels > 0).astype(np.uint8) * 255
    values[2:4, 25:30, 10:20] = 102
    first, second = sorted(find_components(whole, (1, 2)), key=lambda part: part.box.start)
    got = expected_dice(RegionProbability((0, 0, 0), values), [first], whole)
    assert got == pytest.approx(2 * 200 / (200 + 40 + 200))
    # The other kidney lies within 10 mm as well, but is none of this one's doubt.
    other = expected_dice(RegionProbability((0, 0, 0), values), [second], whole)
    assert 2 * 200 / (440) < other < 1.0


def test_doubt_beyond_the_margin_is_none_of_its_business(labels):
    whole = label_map(labels)
    values = (labels > 0).astype(np.uint8) * 255
    values[:, 38:, 48:] = 120
    first = min(find_components(whole, (1, 2)), key=lambda part: part.box.start[2])
    assert expected_dice(RegionProbability((0, 0, 0), values), [first], whole) == 1.0


def test_probabilities_in_a_box_of_their_own(labels):
    whole = label_map(labels)
    values = np.full((2, 10, 10), 255, np.uint8)
    found = find_components(whole, (1, 2))
    scores = sorted(
        expected_dice(RegionProbability((2, 15, 10), values), [part], whole) for part in found
    )
    assert scores == [0.0, 1.0]


def test_the_margin_stops_at_the_scans_border():
    labels = np.ones((3, 8, 8), np.uint8)
    whole = label_map(labels)
    certain = RegionProbability((0, 0, 0), labels * np.uint8(255))
    assert expected_dice(certain, find_components(whole, (1,)), whole) == 1.0


def test_an_empty_mask_has_no_confidence(labels):
    certain = RegionProbability((0, 0, 0), labels * np.uint8(255))
    assert expected_dice(certain, [], label_map(labels)) == 0.0
    empty = Voxels(Box((0, 0, 0), (1, 1, 1)), np.zeros((1, 1, 1), bool))
    assert tumour_score(certain, empty, 0.001) == 0.0


def test_a_tumour_of_one_ml_has_half_its_probability():
    labels = np.zeros((4, 20, 20), np.uint8)
    labels[1:3, 5:15, 5:15] = 2
    part = find_components(label_map(labels), (2,))[0]
    sure = RegionProbability((0, 0, 0), np.full(labels.shape, 204, np.uint8))
    assert tumour_score(sure, part, 0.005) == pytest.approx(0.4)
    assert tumour_score(sure, part, 0.1) == pytest.approx(0.8 * 20 / 21)
