"""Which tumours are called: by volume, by area where the scan cuts them, by evidence."""

from __future__ import annotations

import numpy as np
import pytest

from renalmap.inference.placement import Placement
from renalmap.inference.tumours import relabel_doubtful_tumours
from renalmap.preprocess import Plan

SPACING_MM = (5.0, 1.0, 2.0)  # 0.01 ml, 2 mm2
SHAPE = (10, 40, 40)
WHERE = Placement.whole(SHAPE, SPACING_MM)

LARGE = (slice(3, 7), slice(2, 22), slice(2, 12))  # 800 voxels, 8 ml, section 400 mm2
SMALL = (slice(4, 6), slice(30, 35), slice(30, 35))  # 50 voxels, 0.5 ml, section 50 mm2
FIRST = (slice(0, 1), slice(30, 35), slice(2, 7))  # 25 voxels, 0.25 ml, section 50 mm2


def scene(**probabilities) -> tuple[np.ndarray, np.ndarray]:
    """Tumours by name with a probability each, 0..1."""
    values = np.zeros(SHAPE, np.uint8)
    for name, probability in probabilities.items():
        values[globals()[name]] = round(255 * probability)
    return values > 0, values


def painted(*places):
    mask = np.zeros(SHAPE, bool)
    for place in places:
        mask[place] = True
    return mask


def doubtful(tumour, values, placement, plan):
    """Which voxels of tumours in a kidney that fills all the rest become kidney; what is told of them."""
    labels = np.where(tumour, 2, 1).astype(np.uint8)
    dropped = relabel_doubtful_tumours(labels, values, placement, plan)
    assert (labels > 0).all()
    return tumour & (labels == 1), dropped


def test_by_default_every_tumour_is_called():
    found, dropped = doubtful(*scene(LARGE=0.4, SMALL=0.01, FIRST=0.4), WHERE, Plan())
    assert not found.any()
    assert dropped == ()


def test_a_small_one_is_doubtful_and_told():
    found, dropped = doubtful(*scene(LARGE=1, SMALL=1), WHERE, Plan(tumour_min_ml=1))
    np.testing.assert_array_equal(found, painted(SMALL))
    (told,) = dropped
    assert told.reason == "tumour: volume 0.5 ml < 1 ml; relabelled kidney"
    assert told.volume_ml == pytest.approx(0.5)
    assert told.centre_zyx == (4.5, 32, 32)


def test_where_the_scan_cuts_it_the_section_counts_and_the_volume_does_not():
    tumours = scene(FIRST=1)
    assert doubtful(*tumours, WHERE, Plan(tumour_min_ml=1))[1] == ()
    assert doubtful(*tumours, WHERE, Plan(tumour_min_area_mm2=50))[1] == ()
    found, dropped = doubtful(*tumours, WHERE, Plan(tumour_min_area_mm2=51))
    np.testing.assert_array_equal(found, painted(FIRST))
    assert dropped[0].reason == "tumour: largest section 50 mm2 < 51 mm2; relabelled kidney"
    inside = doubtful(*scene(SMALL=1), WHERE, Plan(tumour_min_area_mm2=1000))
    assert inside[1] == ()


def test_a_scan_of_one_slice_is_judged_by_area():
    tumour, values = (array[4:5] for array in scene(LARGE=1, SMALL=1))
    plan = Plan(tumour_min_ml=100, tumour_min_area_mm2=100)
    alone = Placement.whole(tumour.shape, SPACING_MM)
    found, _ = doubtful(tumour, values, alone, plan)
    np.testing.assert_array_equal(found, painted(SMALL)[4:5])


def test_whether_it_is_cut_is_asked_of_the_scan_not_of_the_box():
    tumour, values = (array[4:6] for array in scene(SMALL=1))
    inside = Placement((4, 0, 0), 10, SPACING_MM)
    assert len(doubtful(tumour, values, inside, Plan(tumour_min_ml=1))[1]) == 1


def test_the_mean_probability_counts():
    plan = Plan(tumour_min_mean_probability=0.6)
    found, dropped = doubtful(*scene(LARGE=0.55, SMALL=0.65), WHERE, plan)
    np.testing.assert_array_equal(found, painted(LARGE))
    assert dropped[0].reason == "tumour: mean probability 0.55 < 0.6; relabelled kidney"


@pytest.mark.parametrize(("sure_voxels", "called"), [(0, False), (20, False), (80, True)])
def test_the_peak_is_what_the_surest_twentieth_reaches(sure_voxels, called):
    tumour, values = scene(LARGE=0.7)
    where = np.argwhere(tumour)[:sure_voxels]
    values[tuple(where.T)] = 250
    _, dropped = doubtful(tumour, values, WHERE, Plan(tumour_min_peak_probability=0.9))
    assert (dropped == ()) is called
    if not called:
        assert dropped[0].reason == "tumour: peak probability 0.70 < 0.9; relabelled kidney"


def test_voxels_that_touch_at_a_corner_are_one_tumour():
    tumour = painted(LARGE, (slice(7, 8), slice(22, 23), slice(12, 13)))
    values = np.where(tumour, 255, 0).astype(np.uint8)
    assert doubtful(tumour, values, WHERE, Plan(tumour_min_ml=5))[1] == ()


def test_no_tumour_is_no_doubt():
    found, dropped = doubtful(*scene(), WHERE, Plan(tumour_min_ml=5))
    assert not found.any()
    assert dropped == ()
