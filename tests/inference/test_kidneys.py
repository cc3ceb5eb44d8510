"""The rule of two kidneys, on blocks: voxels of 4 x 2 x 2 mm, the midline at column 50 of 100."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from renalmap.inference.components import DroppedComponent
from renalmap.inference.kidneys import keep_two_kidneys
from renalmap.inference.placement import Placement
from renalmap.inference.probability import GridProbabilities
from renalmap.preprocess import Plan

SPACING_MM = (4.0, 2.0, 2.0)  # 0.016 ml
SHAPE = (40, 60, 100)
MIDLINE_X = 50.0
PLAN = Plan(keep="two_kidneys")

# Each 20 x 20 x 20 voxels: 128 ml.
RIGHT = (slice(10, 30), slice(30, 50), slice(15, 35))
LEFT = (slice(12, 32), slice(30, 50), slice(65, 85))
BOWEL = (slice(10, 20), slice(5, 15), slice(60, 75))  # 1500 voxels: 24 ml, left
PELVIS = (slice(1, 7), slice(5, 30), slice(20, 45))  # 3750 voxels: 60 ml, right, low


def scene(*parts) -> tuple[np.ndarray, np.ndarray]:
    """Labels and kidney probability; a part is a place, or (place, label), or (place, label, value)."""
    labels, evidence = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    for part in parts:
        place, label, value = (
            part if len(part) == 3 and not isinstance(part[0], slice) else (part, 1, 255)
        )
        labels[place] = label
        evidence[place] = value if label == 1 else 0
    return labels, evidence


def mask(*places):
    found = np.zeros(SHAPE, bool)
    for place in places:
        found[place] = True
    return found


class Outcome(NamedTuple):
    mask: np.ndarray
    dropped: tuple[DroppedComponent, ...]
    notes: tuple[str, ...]


def keep(labels, evidence, placement=None, *, plan=PLAN, midline_x=MIDLINE_X):
    """What stays; tumour has no evidence of being kidney."""
    tumour = np.where(evidence > 0, 60, 200).astype(np.uint8)
    kidney = np.minimum(evidence.astype(int) + tumour, 255).astype(np.uint8)
    probability = GridProbabilities((0, 0, 0), kidney, kidney - evidence)
    labels = labels.copy()
    placement = placement or Placement.whole(labels.shape, SPACING_MM)
    kept = keep_two_kidneys(labels, probability, placement, midline_x, plan)
    return Outcome(labels > 0, kept.dropped, kept.notes)


def test_two_kidneys_stay_and_bowel_goes_with_a_reason():
    kept = keep(*scene(RIGHT, LEFT, BOWEL))
    np.testing.assert_array_equal(kept.mask, mask(RIGHT, LEFT))
    (bowel,) = kept.dropped
    assert bowel.volume_ml == pytest.approx(24.0)
    assert bowel.centre_zyx == (14.5, 9.5, 67.0)
    assert bowel.reason == ("rule of two kidneys: kidney in it 24.0 ml, 128.0 ml in the one on the left")
    assert kept.notes == ()


def test_evidence_decides_not_volume():
    """A dim blob larger than the kidney of its side; small enough to be dropped."""
    dim = (slice(12, 32), slice(5, 20), slice(60, 68))  # 2400 voxels: 38.4 ml
    small = (slice(12, 32), slice(30, 40), slice(65, 75))  # 2000 voxels: 32 ml
    kept = keep(*scene(RIGHT, small, (dim, 1, 140)))
    np.testing.assert_array_equal(kept.mask, mask(RIGHT, small))
    assert "kidney in it 21.1 ml, 32.0 ml in the one on the left" in kept.dropped[0].reason


def test_a_single_kidney_stays_alone():
    kept = keep(*scene(LEFT))
    np.testing.assert_array_equal(kept.mask, mask(LEFT))
    assert (kept.dropped, kept.notes) == ((), ())


def test_after_a_nephrectomy_a_second_blob_on_the_kidneys_side_is_no_kidney():
    kept = keep(*scene(LEFT, BOWEL))
    np.testing.assert_array_equal(kept.mask, mask(LEFT))
    assert len(kept.dropped) == 1


def test_an_atrophic_kidney_on_the_other_side_stays():
    small = (slice(15, 25), slice(30, 40), slice(20, 30))  # 16 ml
    kept = keep(*scene(LEFT, small, BOWEL))
    np.testing.assert_array_equal(kept.mask, mask(LEFT, small))


HORSESHOE = (RIGHT, LEFT, (slice(12, 16), slice(30, 40), slice(35, 65)))


def test_a_horseshoe_kidney_counts_as_both():
    kept = keep(*scene(*HORSESHOE, BOWEL))
    np.testing.assert_array_equal(kept.mask, mask(*HORSESHOE))
    assert "in the one across the midline" in kept.dropped[0].reason
    assert kept.notes == (
        "one component crosses the midline: a horseshoe kidney, or two joined by mistake",
    )


def test_a_tumour_that_reaches_across_the_midline_makes_no_horseshoe():
    tumour = (slice(10, 30), slice(10, 30), slice(15, 64))
    kept = keep(*scene(RIGHT, (tumour, 2, 0), LEFT))
    np.testing.assert_array_equal(kept.mask, mask(RIGHT, tumour, LEFT))
    assert (kept.dropped, kept.notes) == ((), ())


def test_a_transplanted_kidney_stays_with_a_note():
    kept = keep(*scene(RIGHT, LEFT, PELVIS))
    np.testing.assert_array_equal(kept.mask, mask(RIGHT, LEFT, PELVIS))
    assert kept.dropped == ()
    assert kept.notes == ("three kidney-sized components: all are kept, though one may not be a kidney",)


def test_a_transplanted_kidney_beside_the_only_one_stays():
    kept = keep(*scene(RIGHT, PELVIS))
    np.testing.assert_array_equal(kept.mask, mask(RIGHT, PELVIS))
    assert kept.notes[0].startswith("two kidney-sized components on one side of the body:")


@pytest.mark.parametrize(
    ("limits", "stays"),
    [
        ({}, True),
        ({"further_kidney_min_ml": 61}, False),
        ({"further_kidney_min_share": 0.46}, True),
        ({"further_kidney_min_share": 0.48}, False),
    ],
)
def test_a_further_kidney_needs_both_volume_and_share(limits, stays):
    kept = keep(*scene(RIGHT, LEFT, PELVIS), plan=PLAN.model_copy(update=limits))
    assert (kept.dropped == ()) is stays


def test_the_share_is_of_the_second_kidney_without_its_tumour():
    """With its tumour the left kidney is 512 ml, of which 60 would be little."""
    tumour = (slice(0, 40), slice(20, 50), slice(85, 100)), 2, 0
    kept = keep(*scene(RIGHT, LEFT, tumour, PELVIS))
    assert kept.mask[PELVIS].all()


TUMOUR = (slice(14, 20), slice(20, 26), slice(70, 80))  # 5.8 ml; 8 mm before the left kidney's front


@pytest.mark.parametrize(("away", "stays"), [(0, True), (1, False)])
def test_a_separate_tumour_near_a_kidney_stays(away, stays):
    """Voxel centres lie 10 mm apart, then 12."""
    tumour = (TUMOUR[0], slice(20 - away, 26 - away), TUMOUR[2])
    core = (slice(16, 17), slice(22 - away, 24 - away), slice(72, 74))
    kept = keep(*scene(RIGHT, LEFT, (tumour, 2, 0), (core, 1, 255)))
    assert kept.mask[tumour].all() == stays
    assert len(kept.dropped) == (0 if stays else 1)
    assert kept.notes == ()


def test_kidney_near_a_kidney_does_not_stay_for_that():
    kept = keep(*scene(RIGHT, LEFT, TUMOUR))
    np.testing.assert_array_equal(kept.mask, mask(RIGHT, LEFT))


@pytest.mark.parametrize(("first", "stays"), [(33, True), (34, False)])
def test_a_pole_beyond_a_missed_slice_is_part_of_its_kidney(first, stays):
    pole = (slice(first, first + 3), slice(32, 48), slice(70, 80))  # 7.7 ml
    kept = keep(*scene(RIGHT, LEFT, pole))
    assert kept.mask[pole].all() == stays


# Scans that end amid a kidney.


@pytest.mark.parametrize("cut", [slice(0, 2), slice(38, 40)])
def test_a_cut_component_is_measured_by_its_section(cut):
    """A kidney's section is 1600 mm2. The component is 13 ml, the scan may have cut off the rest."""
    large, small = (cut, slice(2, 22), slice(40, 49)), (cut, slice(2, 22), slice(40, 47))
    kept = keep(*scene(RIGHT, LEFT, large))  # 720 mm2
    np.testing.assert_array_equal(kept.mask, mask(RIGHT, LEFT, large))
    assert kept.notes[0].startswith("three kidney-sized components")
    kept = keep(*scene(RIGHT, LEFT, small))  # 560 mm2
    np.testing.assert_array_equal(kept.mask, mask(RIGHT, LEFT))


def test_of_a_cut_kidney_pieces_near_each_other_stay():
    """The lips of a kidney about its sinus, joined below the scan."""
    lip = (slice(0, 3), slice(30, 50), slice(65, 80))
    other = (slice(0, 3), slice(30, 40), slice(84, 87))
    right = (slice(0, 5), slice(30, 50), slice(15, 35))
    kept = keep(*scene(right, lip, other))
    np.testing.assert_array_equal(kept.mask, mask(right, lip, other))


def test_kidneys_that_the_scan_cuts_are_kidneys():
    right, left = ((slice(0, 3), *place[1:]) for place in (RIGHT, LEFT))
    kept = keep(*scene(right, left))
    np.testing.assert_array_equal(kept.mask, mask(right, left))


def test_whether_it_is_cut_is_asked_of_the_scan_not_of_the_box():
    small = (slice(10, 12), slice(5, 25), slice(20, 45))  # 16 ml, section 2000 mm2
    labels, evidence = (array[10:32, 4:] for array in scene(RIGHT, LEFT, small))
    inside = Placement((10, 4, 0), 40, SPACING_MM)
    at_the_feet = Placement((0, 4, 0), 40, SPACING_MM)
    assert keep(labels, evidence, at_the_feet).dropped == ()
    kept = keep(labels, evidence, inside)
    assert [component.volume_ml for component in kept.dropped] == pytest.approx([16.0])


def test_one_slice_keeps_all():
    one = slice(20, 21)
    lips = ((one, slice(30, 50), slice(15, 22)), (one, slice(30, 50), slice(40, 45)))
    speck = (one, slice(5, 9), slice(5, 9))
    labels, evidence = (array[one] for array in scene(*lips, speck))
    assert len(keep(*scene(*lips, speck)).dropped) == 2
    kept = keep(labels, evidence)
    np.testing.assert_array_equal(kept.mask, labels > 0)
    assert kept.dropped == ()


# Where things lie.


def test_the_body_may_lie_off_the_images_centre():
    """With the midline at column 24 both blocks are kidneys of their own side; at 50 they share one."""
    near = (slice(10, 20), slice(30, 40), slice(5, 15))  # 16 ml
    further = (slice(10, 30), slice(30, 50), slice(30, 50))
    assert keep(*scene(near, further), midline_x=24.0).dropped == ()
    assert len(keep(*scene(near, further), midline_x=60.0).dropped) == 1


def test_the_midline_is_a_column_of_the_scan_not_of_the_box():
    labels, evidence = (array[:, :, 10:] for array in scene(RIGHT, LEFT, BOWEL))
    inside = Placement((0, 0, 10), 40, SPACING_MM)
    kept = keep(labels, evidence, inside)
    np.testing.assert_array_equal(kept.mask, mask(RIGHT, LEFT)[:, :, 10:])


def test_limits_are_in_millimetres_not_voxels():
    """On a grid of half the spacing PELVIS is 7.5 ml: no kidney."""
    labels, evidence = scene(RIGHT, LEFT, PELVIS)
    finer = Placement.whole(SHAPE, (2.0, 1.0, 1.0))
    kept = keep(labels, evidence, finer)
    assert [component.volume_ml for component in kept.dropped] == pytest.approx([7.5])


def test_nothing_found_is_nothing_kept():
    kept = keep(*scene())
    assert not kept.mask.any()
    assert (kept.dropped, kept.notes) == ((), ())
