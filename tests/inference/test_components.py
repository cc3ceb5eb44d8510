"""Which components of stage 1's foreground stay."""

from __future__ import annotations

import numpy as np
import pytest

from renalmap.inference.components import DroppedComponent, drop_small, drop_unconnected
from renalmap.inference.placement import Placement
from renalmap.preprocess import Plan

SPACING_MM = (5.0, 1.0, 1.0)
VOXEL_ML = 0.005
WHERE = Placement.whole((20, 128, 128), SPACING_MM)
PLAN = Plan(component_min_ml=5.0, component_min_area_mm2=300.0, component_min_share=0.1)


def foreground(*blocks: tuple[slice, slice, slice]) -> np.ndarray:
    mask = np.zeros((20, 128, 128), bool)
    for block in blocks:
        mask[block] = True
    return mask


KIDNEY = (slice(4, 16), slice(20, 60), slice(20, 50))  # 12 x 1200 voxels: 72 ml
SPECK = (slice(8, 10), slice(110, 120), slice(112, 122))  # 200 voxels, section 100 mm2: 1 ml
PLATE = (slice(8, 10), slice(80, 100), slice(80, 100))  # 800 voxels, section 400 mm2: 4 ml
LUMP = (slice(8, 11), slice(80, 100), slice(80, 100))  # 1200 voxels, 6 ml: below a tenth of 72 ml
SECOND = (slice(6, 14), slice(70, 100), slice(80, 110))  # 8 x 900 voxels: 36 ml


def keep(
    mask: np.ndarray, placement: Placement, plan: Plan, kidney: np.ndarray | None = None
) -> tuple[np.ndarray, tuple[DroppedComponent, ...]]:
    """What stays of a foreground, kidney all of it or where told and tumour elsewhere; what does not."""
    labels = np.where(mask, 1 if kidney is None else np.where(kidney, 1, 2), 0).astype(np.uint8)
    before = labels.copy()
    dropped = drop_small(labels, placement, plan, judge_kidney=kidney is not None)
    np.testing.assert_array_equal(labels[labels > 0], before[labels > 0])
    return labels > 0, dropped


def test_two_kidneys_stay_and_a_speck_goes():
    mask = foreground(KIDNEY, SECOND, SPECK)
    kept, dropped = keep(mask, WHERE, PLAN)
    np.testing.assert_array_equal(kept, foreground(KIDNEY, SECOND))
    assert len(dropped) == 1
    assert dropped[0].volume_ml == pytest.approx(200 * VOXEL_ML)
    assert dropped[0].centre_zyx == pytest.approx((8.5, 114.5, 116.5))
    assert dropped[0].reason == "largest section 100 mm2 < 300 mm2"


@pytest.mark.parametrize(
    ("block", "reason"),
    [(PLATE, "volume 4.0 ml < 5 ml"), (LUMP, "volume 6.0 ml < 0.1 of the largest")],
)
def test_volume_limits_name_their_reason(block: tuple[slice, slice, slice], reason: str):
    kept, dropped = keep(foreground(KIDNEY, block), WHERE, PLAN)
    np.testing.assert_array_equal(kept, foreground(KIDNEY))
    assert [component.reason for component in dropped] == [reason]


@pytest.mark.parametrize("cut", [slice(0, 2), slice(18, 20)])
def test_a_kidney_cut_by_the_first_or_last_slice_stays_however_small(cut: slice):
    mask = foreground(KIDNEY, (cut, slice(80, 100), slice(80, 100)))
    kept, dropped = keep(mask, WHERE, PLAN)
    np.testing.assert_array_equal(kept, mask)
    assert dropped == ()


def test_a_speck_in_the_first_slice_goes_by_its_area():
    mask = foreground(KIDNEY, (slice(0, 1), slice(80, 90), slice(80, 90)))
    kept, dropped = keep(mask, WHERE, PLAN)
    np.testing.assert_array_equal(kept, foreground(KIDNEY))
    assert dropped[0].centre_zyx[0] == 0.0


def test_dropped_come_largest_first():
    _, dropped = keep(foreground(KIDNEY, SPECK, PLATE), WHERE, PLAN)
    assert [component.volume_ml for component in dropped] == pytest.approx([4.0, 1.0])


def test_voxels_that_touch_at_a_corner_are_one_component():
    corner = (slice(16, 17), slice(60, 61), slice(50, 51))
    mask = foreground(KIDNEY, corner)
    kept, dropped = keep(mask, WHERE, PLAN)
    np.testing.assert_array_equal(kept, mask)
    assert dropped == ()


def test_limits_are_in_millimetres_not_voxels():
    _, coarse = keep(foreground(SECOND), WHERE, PLAN)
    finer = Placement.whole((20, 128, 128), (5.0, 0.5, 0.5))
    _, fine = keep(foreground(SECOND), finer, PLAN)
    assert coarse == ()
    assert [component.reason for component in fine] == ["largest section 225 mm2 < 300 mm2"]


def test_empty_foreground_gives_nothing():
    kept, dropped = keep(foreground(), WHERE, PLAN)
    assert not kept.any()
    assert dropped == ()


def test_after_stage_2_a_component_without_kidney_goes():
    mask = foreground(KIDNEY, SECOND)
    kidney = foreground(KIDNEY)
    kept, dropped = keep(mask, WHERE, PLAN, kidney)
    np.testing.assert_array_equal(kept, kidney)
    assert [component.reason for component in dropped] == ["kidney in it 0.0 ml < 2 ml"]


def test_a_tumour_with_little_kidney_left_stays():
    kidney = foreground((slice(6, 7), slice(70, 90), slice(80, 100)))  # 400 voxels of SECOND: 2 ml
    kept, dropped = keep(foreground(SECOND), WHERE, PLAN, kidney)
    np.testing.assert_array_equal(kept, foreground(SECOND))
    assert dropped == ()


def test_a_box_is_judged_where_it_lies_in_the_scan():
    """In the box the blocks touch the first and last slice; of the scan they touch neither, or one."""
    inside = (slice(4, 16), slice(10, 110), slice(10, 122))
    box = foreground(KIDNEY, PLATE)[inside]
    box[-2:, 70:90, 70:90] = True  # 4 ml
    within = Placement((4, 10, 10), 20, SPACING_MM)
    _, dropped = keep(box, within, PLAN)
    assert [component.centre_zyx for component in dropped] == [(8.5, 89.5, 89.5), (14.5, 89.5, 89.5)]
    _, at_the_end = keep(box, Placement((4, 10, 10), 16, SPACING_MM), PLAN)
    assert [component.centre_zyx for component in at_the_end] == [(8.5, 89.5, 89.5)]


# Hysteresis.


def perhaps(strong: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    return np.where(strong, 1, np.where(candidates, 3, 0)).astype(np.uint8)


def test_weak_voxels_count_where_a_chain_of_them_leads_to_a_strong_one():
    strong = foreground((slice(5, 6), slice(10, 12), slice(10, 12)))
    chain = foreground(
        *[(slice(5 + k, 6 + k), slice(12 + k, 13 + k), slice(12 + k, 13 + k)) for k in range(4)]
    )
    alone = foreground((slice(5, 8), slice(40, 50), slice(40, 50)))
    labels = perhaps(strong, strong | chain | alone)
    drop_unconnected(labels, 1)
    np.testing.assert_array_equal(labels, (strong | chain).astype(np.uint8))


def test_without_a_strong_voxel_nothing_counts():
    for candidates in (foreground(KIDNEY), foreground()):
        labels = perhaps(foreground(), candidates)
        drop_unconnected(labels, 1)
        assert not labels.any()
