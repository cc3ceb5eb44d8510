"""What became of every lesion and kidney, in scenes of which that is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.followup.scene import Ball, Patient, compared, turned

from renalmap.anatomy import Anatomy
from renalmap.followup import Comparison, Timepoint, compare_anatomies
from renalmap.imaging import LabelMap

LARGE = Ball("left", (-22.0, 0.0, 18.0), 11.0)
SMALL = Ball("left", (-14.0, -8.0, -30.0), 7.0)
OTHER = Ball("right", (20.0, 5.0, 0.0), 9.0)
BEFORE = Patient((LARGE, SMALL, OTHER))


@pytest.fixture(scope="module")
def before() -> Timepoint:
    return Timepoint.of(BEFORE.anatomy())


def follow(before: Timepoint, after: Patient, **known: Any) -> Comparison:
    return compare_anatomies(before, Timepoint.of(after.anatomy()), **known)


def told(found: Comparison) -> list[tuple[object, ...]]:
    return [(one.status, one.before, one.after) for one in found.lesions]


def codes(found: Comparison) -> set[str]:
    return {caution.code for caution in found.cautions}


def breathed(patient: Patient) -> Patient:
    """Each kidney goes its own way."""
    moved = patient.moved("left", turned((1, 2, 1), 14.0), (5.0, 8.0, -20.0))
    return moved.moved("right", turned((0, 1, 1), 9.0), (-5.0, 3.0, 12.0))


def test_growth_new_and_vanished_in_kidneys_that_moved_on_another_grid(before):
    """The small one has gone; the large one has doubled in volume; another has come, larger than the right one."""
    grown = replace(LARGE, radius_mm=11.0 * 2 ** (1 / 3))
    come = Ball("left", (4.0, 18.0, 26.0), 10.0)
    after = breathed(Patient((OTHER, come, grown), spacing_mm=(2.0, 1.6, 1.6)))
    found = follow(before, after, interval_days=365)
    assert told(found) == [
        ("matched", [1], [1]),
        ("new", [], [2]),
        ("matched", [2], [3]),
        ("vanished", [3], []),
    ]
    first, new, same, gone = found.lesions
    assert first.volume_ml is not None
    assert first.volume_ml.percent == pytest.approx(100.0, abs=8.0)
    assert first.volume_ml.verdict == "larger"
    assert first.doubling_time is not None
    assert first.doubling_time.days == pytest.approx(365.0, rel=0.08)
    assert first.longest_axial_diameter_mm is not None
    assert first.longest_axial_diameter_mm.change == pytest.approx(5.7, abs=1.2)
    assert first.longest_axial_diameter_mm.per_year == pytest.approx(
        first.longest_axial_diameter_mm.change, abs=0.01
    )
    assert first.distance_mm is not None
    assert first.distance_mm < 1.0
    assert same.volume_ml is not None
    assert (same.volume_ml.verdict, same.doubling_time, same.side) == ("within error", None, "right")
    assert (new.volume_ml, gone.volume_ml, new.speck, gone.speck) == (None, None, False, False)
    assert codes(found) == set()
    for kidney in found.kidneys:
        assert kidney.parenchyma_ml is not None
        assert kidney.parenchyma_ml.verdict == "within error"
        assert kidney.alignment is not None
        assert kidney.alignment.residual_mm < 0.9


def test_a_new_lesions_place_is_found_in_the_earlier_scan(before):
    found = follow(before, breathed(Patient((*BEFORE.lesions, Ball("right", (20.0, 0.0, -36.0), 6.0)))))
    (new,) = (one for one in found.lesions if one.status == "new")
    assert new.counterpart is not None
    assert new.counterpart.world_mm == pytest.approx((85.0, -20.0, -46.0), abs=1.5)


def test_in_the_other_direction_the_same_is_told_the_other_way_round(before):
    after = Timepoint.of(breathed(Patient((LARGE, OTHER))).anatomy())
    assert told(compare_anatomies(after, before)) == [
        ("matched", [1], [1]),
        ("matched", [2], [2]),
        ("new", [], [3]),
    ]


def test_lesions_that_merge_and_split(before):
    bridge = Ball("left", (-20.0, -4.0, -6.0), 20.0)
    joined = Timepoint.of(Patient((LARGE, SMALL, bridge, OTHER)).anatomy())
    merged = compare_anatomies(before, joined)
    assert told(merged) == [("merged", [1, 3], [1]), ("matched", [2], [2])]
    volume = merged.lesions[0].volume_ml
    assert volume is not None
    assert volume.before == pytest.approx(
        before.measurements.lesions[0].volume_ml + before.measurements.lesions[2].volume_ml
    )
    assert told(compare_anatomies(joined, before)) == [("split", [1], [1, 3]), ("matched", [2], [2])]


def test_neighbours_are_not_taken_for_each_other():
    """Two lesions 4 mm apart, in a kidney that turned: the small one has grown larger than the large one."""
    pair = (Ball("left", (-24.0, 0.0, 12.0), 9.0), Ball("left", (-24.0, 0.0, -11.0), 8.0))
    grown = (pair[0], replace(pair[1], radius_mm=9.8))
    found = compared(Patient(pair), breathed(Patient(grown)))
    assert told(found) == [("matched", [2], [1]), ("matched", [1], [2])]


def test_a_small_lesion_that_slipped_is_still_the_nearest(before):
    slipped = replace(SMALL, at_mm=(-14.0, -8.0, -42.5))
    found = follow(before, Patient((LARGE, slipped, OTHER)))
    (one,) = (one for one in found.lesions if one.before == [3])
    assert (one.status, one.how) == ("matched", "nearest")
    assert one.distance_mm == pytest.approx(12.5, abs=1.5)


def test_a_cyst_that_became_a_tumour_is_told(before):
    found = follow(before, Patient((LARGE, replace(SMALL, label=3), OTHER)), interval_days=365)
    assert told(found)[2] == ("matched", [3], [3])
    assert codes(found) == {"kind_changed"}
    assert (
        found.cautions[0].text == "cyst 3 of the later scan was labelled tumour and is now labelled cyst"
    )


def test_a_remnant_below_the_least_volume_is_told(before):
    found = follow(before, Patient((LARGE, replace(SMALL, radius_mm=2.2), OTHER)))
    (gone,) = (one for one in found.lesions if one.status == "vanished")
    assert gone.speck


def test_a_kidney_that_was_removed(before):
    found = follow(before, Patient((LARGE, SMALL), sides=("left",)), interval_days=100)
    kidneys = {one.kidney: one for one in found.kidneys}
    assert (kidneys["right"].after, kidneys["right"].parenchyma_ml) == (None, None)
    assert ("kidney_missing", [2], []) in told(found)
    assert "kidney_missing" in codes(found)
    assert "the right kidney is only in the earlier scan" in found.cautions[0].text


def test_a_kidney_that_is_cut_off_is_not_measured_against_the_whole_one(before):
    """The lower third is missing: the upper lesion is compared, the lower lies beyond the scan, volumes are not."""
    found = follow(before, breathed(replace(BEFORE, heights_mm=(-25.0, 90.0))))
    left = found.kidneys[0]
    assert (left.parenchyma_ml, left.length_mm) == (None, None)
    assert left.alignment is not None
    assert left.alignment.fits
    assert "kidney_incomplete" in codes(found)
    outcomes = {tuple(one.before): one for one in found.lesions}
    assert (outcomes[1,].status, outcomes[3,].status) == ("matched", "outside_scan")
    assert outcomes[1,].volume_ml is not None


def test_a_lesion_that_is_cut_off_is_not_compared(before):
    found = follow(before, replace(BEFORE, heights_mm=(-90.0, 20.0)))
    (cut,) = (one for one in found.lesions if one.before == [1])
    assert (cut.status, cut.volume_ml, cut.longest_axial_diameter_mm) == ("matched", None, None)
    assert "lesion_incomplete" in codes(found)


def test_kidneys_that_do_not_fit_are_matched_by_side_alone(before):
    """Every dimension of the later scan is twice as large: no rigid move brings its kidneys onto the others."""
    large = replace(BEFORE.label_map().geometry, spacing_mm=(6.0, 4.0, 4.0))
    affine = large.affine.copy()
    affine[:3, :3] *= 2.0
    anatomy = Anatomy.of(LabelMap(BEFORE.label_map().labels, replace(large, affine=affine)))
    found = compare_anatomies(before, Timepoint.of(anatomy))
    assert "alignment_failed" in codes(found)
    by_side = {(one.status, one.side, one.how) for one in found.lesions}
    assert by_side == {("matched", "right", "side"), ("unmatched", "left", None)}
    assert "lesion_unmatched" in codes(found)


def test_what_is_known_of_the_scans_is_said(before):
    same = replace(BEFORE, spacing_mm=(6.0, 2.0, 2.0))
    assert codes(follow(before, same)) >= {"date_unknown", "slices_differ"}
    soon = follow(before, BEFORE, interval_days=3)
    assert codes(soon) == {"interval_short"}
    assert all(one.volume_ml is not None and one.volume_ml.per_year is None for one in soon.lesions)


def test_hu_are_compared_in_one_contrast_phase_only():
    pair = [Timepoint.of(Anatomy.of(BEFORE.label_map(), BEFORE.scan(hu))) for hu in (170, 200)]
    alike = compare_anatomies(*pair, interval_days=400, same_phase=True)
    assert [kidney.hu_change for kidney in alike.kidneys] == [30.0, 30.0]
    assert {lesion.hu_change for lesion in alike.lesions} == {0.0}
    unlike = compare_anatomies(*pair, interval_days=400)
    assert {one.hu_change for one in unlike.kidneys} == {None}
    assert {one.hu_change for one in unlike.lesions} == {None}
    assert codes(unlike) == {"contrast_differs"}


def test_a_kidney_much_longer_is_doubted(before):
    """As breathing during the scan makes them: the upper pole 18 mm farther away, for the same kidney."""
    labels = BEFORE.label_map().labels
    middle = labels.shape[0] // 2
    stretched = np.concatenate(
        [labels[3:middle], labels[middle : middle + 1].repeat(6, axis=0), labels[middle:-3]]
    )
    label_map = LabelMap(stretched, BEFORE.label_map().geometry)
    found = compare_anatomies(before, Timepoint.of(Anatomy.of(label_map)), interval_days=400)
    assert "kidney_stretched" in codes(found)


def test_nothing_has_changed_if_nothing_has(before):
    found = compare_anatomies(before, before, interval_days=400)
    changes = [one.volume_ml for one in found.lesions] + [one.parenchyma_ml for one in found.kidneys]
    assert {change.change for change in changes if change is not None} == {0.0}
    assert {one.distance_mm for one in found.lesions} == {0.0}
    assert all(
        np.allclose(one.alignment.shift_mm, 0.0, atol=0.11) for one in found.kidneys if one.alignment
    )
