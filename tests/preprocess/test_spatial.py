"""The grid, crops about blobs, and the way back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.strategies import seeds, spacings_yx_mm

from renalmap.imaging.volume import Box
from renalmap.preprocess import InPlaneFit, Plan, crop_boxes, cut_crop
from renalmap.preprocess.spatial import crop_box

PLAN = Plan()
SIZES = st.integers(2, 900)

KNOWN_SIZES = [
    pytest.param(512, 796, (0.78, 0.78), id="case_00160"),
    pytest.param(768, 768, (0.5, 0.5), id="768"),
    pytest.param(122, 101, (3.0, 3.0), id="3mm"),
    pytest.param(512, 400, (0.7, 0.9), id="unequal-spacing"),
]


def disk(rows: int, columns: int, radius: float) -> np.ndarray:
    y, x = np.ogrid[:rows, :columns]
    inside = (y - rows / 2 + 0.5) ** 2 + (x - columns / 2 + 0.5) ** 2 < radius**2
    return inside.astype(np.uint8)


@settings(max_examples=20)
@given(spacing_mm=spacings_yx_mm)
def test_slices_of_the_grids_size_are_used_as_they_are_whatever_their_spacing(
    spacing_mm: tuple[float, float],
):
    fit = InPlaneFit(512, 512, spacing_mm, 512)
    hu = np.arange(512 * 512, dtype=np.int32).reshape(512, 512)
    labels = (hu % 3).astype(np.uint8)
    assert fit.is_identity
    assert fit.box == Box((0, 0), (512, 512))
    np.testing.assert_array_equal(fit.to_grid(hu, -1024), hu)
    np.testing.assert_array_equal(fit.labels_to_grid(labels), labels)
    np.testing.assert_array_equal(fit.from_grid(labels), labels)


@settings(max_examples=60)
@given(rows=SIZES, columns=SIZES, spacing_mm=spacings_yx_mm)
def test_fitted_slice_fills_the_grid_is_centred_and_has_square_pixels(
    rows: int, columns: int, spacing_mm: tuple[float, float]
):
    fit = InPlaneFit(rows, columns, spacing_mm, 512)
    if fit.is_identity:
        return
    height, width = fit.box.shape
    assert max(height, width) == 512
    for low, high in zip(fit.box.start, fit.box.stop, strict=True):
        assert 0 <= 512 - high - low <= 1
    pixel_mm = max(rows * spacing_mm[0], columns * spacing_mm[1]) / 512
    assert abs(rows * spacing_mm[0] - height * pixel_mm) <= 0.5001 * pixel_mm or height == 1
    assert abs(columns * spacing_mm[1] - width * pixel_mm) <= 0.5001 * pixel_mm or width == 1


@settings(max_examples=60)
@given(
    rows=st.integers(2, 512),
    columns=st.integers(2, 512),
    spacing_mm=spacings_yx_mm,
    seed=seeds,
)
def test_labels_return_unchanged_where_the_grid_is_finer(
    rows: int, columns: int, spacing_mm: tuple[float, float], seed: int
):
    fit = InPlaneFit(rows, columns, spacing_mm, 512)
    if fit.box.shape[0] < rows or fit.box.shape[1] < columns:
        return
    labels = np.random.default_rng(seed).integers(0, 3, (rows, columns), np.uint8)
    on_grid = fit.labels_to_grid(labels)
    assert on_grid.shape == (512, 512)
    np.testing.assert_array_equal(fit.from_grid(on_grid), labels)


@pytest.mark.parametrize(("rows", "columns", "spacing_mm"), KNOWN_SIZES)
def test_a_disk_returns_with_its_area_from_known_sizes(
    rows: int, columns: int, spacing_mm: tuple[float, float]
):
    labels = disk(rows, columns, 0.2 * min(rows, columns))
    back = InPlaneFit(rows, columns, spacing_mm, 512).from_grid(
        InPlaneFit(rows, columns, spacing_mm, 512).labels_to_grid(labels)
    )
    assert back.shape == labels.shape
    overlap = 2 * (back & labels).sum() / (int(back.sum()) + int(labels.sum()))
    assert overlap > 0.99


@pytest.mark.parametrize(("rows", "columns", "spacing_mm"), KNOWN_SIZES)
def test_constant_images_stay_constant_and_the_rest_is_outside(
    rows: int, columns: int, spacing_mm: tuple[float, float]
):
    fit = InPlaneFit(rows, columns, spacing_mm, 512)
    grid = fit.to_grid(np.full((rows, columns), 40, np.int16), -1024)
    np.testing.assert_allclose(grid[fit.box.slices], 40, atol=1e-3)
    outside = np.ones((512, 512), bool)
    outside[fit.box.slices] = False
    assert (grid[outside] == -1024).all()
    assert grid.dtype == np.float32


@pytest.mark.parametrize(("rows", "columns", "spacing_mm"), KNOWN_SIZES)
def test_ramps_stay_ramps_so_nothing_is_displaced(
    rows: int, columns: int, spacing_mm: tuple[float, float]
):
    fit = InPlaneFit(rows, columns, spacing_mm, 512)
    y, x = np.mgrid[:rows, :columns]
    for axis, ramp in enumerate((y, x)):
        size, fitted = ramp.shape[axis], fit.box.shape[axis]
        got = fit.to_grid(ramp.astype(np.float32), 0)[fit.box.slices].mean(axis=1 - axis)
        expected = (np.arange(fitted) + 0.5) * size / fitted - 0.5
        edge = int(np.ceil(2 * max(1, fitted / size)))
        np.testing.assert_allclose(got[edge:-edge], expected[edge:-edge], atol=0.12)


def test_shrinking_averages_noise_away():
    noise = np.random.default_rng(0).normal(0, 20, (768, 768)).astype(np.float32)
    assert InPlaneFit(768, 768, (0.5, 0.5), 512).to_grid(noise, 0).std() < 14


@given(st.tuples(st.floats(-50, 600), st.floats(-50, 600)))
def test_a_crop_lies_inside_the_grid_as_near_its_centre_as_it_can(centre: tuple[float, float]):
    box = crop_box(centre, PLAN)
    assert box.shape == (256, 256)
    for low, high, wanted in zip(box.start, box.stop, centre, strict=True):
        assert low >= 0
        assert high <= 512
        if 128 <= wanted <= 384:
            assert abs((low + high) / 2 - wanted) <= 0.5


def painted(*rectangles: tuple[int, int, int, int]) -> np.ndarray:
    """Foreground on the grid from rectangles (top, bottom, left, right)."""
    foreground = np.zeros((512, 512), bool)
    for top, bottom, left, right in rectangles:
        foreground[top:bottom, left:right] = True
    return foreground


RIGHT_KIDNEY = (220, 300, 100, 160)
LEFT_KIDNEY = (220, 280, 350, 410)


def test_two_kidneys_get_two_crops_the_larger_first():
    boxes = crop_boxes(painted(LEFT_KIDNEY, RIGHT_KIDNEY), PLAN)
    assert boxes == (crop_box((259.5, 129.5), PLAN), crop_box((249.5, 379.5), PLAN))


def test_slice_mode_takes_one_crop_about_all_foreground():
    plan = PLAN.model_copy(update={"crop": "slice"})
    foreground = painted(LEFT_KIDNEY, RIGHT_KIDNEY)
    rows, columns = np.nonzero(foreground)
    assert crop_boxes(foreground, plan) == (crop_box((rows.mean(), columns.mean()), plan),)
    box = crop_boxes(foreground, plan)[0]
    assert foreground.sum() > foreground[box.slices].sum(), "the paper's crop loses kidney here"


def test_diagonal_neighbours_are_one_blob():
    touching = painted((100, 120, 100, 120), (120, 300, 120, 300))
    apart = painted((100, 119, 100, 119), (120, 300, 120, 300))
    assert (len(crop_boxes(touching, PLAN)), len(crop_boxes(apart, PLAN))) == (1, 2)


@pytest.mark.parametrize(("gap", "expected"), [(23, 2), (24, 1)])
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_blob_inside_anothers_crop_needs_the_margin_to_go_without_its_own(
    side: str, gap: int, expected: int
):
    large = (206, 306, 206, 306)  # centre 255.5: its crop spans 128..384
    left = 128 + gap if side == "left" else 384 - gap - 10
    boxes = crop_boxes(painted(large, (250, 260, left, left + 10)), PLAN)
    assert boxes[0] == Box((128, 128), (384, 384))
    assert len(boxes) == expected


def test_no_margin_is_needed_at_the_edge_of_the_grid():
    large, small = (20, 120, 100, 200), (0, 5, 100, 105)
    assert len(crop_boxes(painted(large, small), PLAN)) == 1


@given(
    st.lists(
        st.tuples(st.integers(0, 500), st.integers(1, 90), st.integers(0, 500), st.integers(1, 90)),
        min_size=1,
        max_size=5,
    )
)
@settings(max_examples=40)
def test_crops_hold_every_blob_that_fits_into_one(shapes: list[tuple[int, int, int, int]]):
    foreground = painted(*[(y, y + height, x, x + width) for y, height, x, width in shapes])
    left = foreground.copy()
    boxes = crop_boxes(foreground, PLAN)
    for box in boxes:
        assert min(box.start) >= 0
        assert max(box.stop) <= 512
        left[box.slices] = False
    rows, columns = np.nonzero(foreground)
    if np.ptp(rows) < 128 and np.ptp(columns) < 128:
        assert not left.any()
    assert 1 <= len(boxes) <= len(shapes)


@pytest.mark.parametrize("mode", ["blob", "slice"])
@pytest.mark.parametrize(("height", "edge"), [(144, 192), (145, 256)])
def test_a_crop_is_narrow_where_it_holds_the_blob_with_the_margin(mode: str, height: int, edge: int):
    plan = PLAN.model_copy(update={"narrow_crop_size": 192, "crop": mode})
    foreground = painted((100, 100 + height, 200, 210))
    (box,) = crop_boxes(foreground, plan)
    assert box.shape == (edge, edge)
    assert foreground[box.slices].sum() == foreground.sum()


def test_a_blob_that_reaches_far_to_one_side_of_its_centroid_gets_a_wide_crop():
    plan = PLAN.model_copy(update={"narrow_crop_size": 192})
    club = painted(
        (200, 240, 200, 240), (219, 221, 240, 330)
    )  # 130 pixels long, but not about its centroid
    (box,) = crop_boxes(club, plan)
    assert box.shape == (256, 256)


@pytest.mark.parametrize("mode", ["blob", "slice"])
def test_no_foreground_no_crop(mode: str):
    assert crop_boxes(painted(), PLAN.model_copy(update={"crop": mode})) == ()


def test_a_crop_is_a_view_through_which_it_is_laid_back():
    values = np.random.default_rng(0).normal(size=(3, 512, 512))
    box = crop_box((40.0, 400.0), PLAN)
    crop = cut_crop(values, box)
    assert crop.shape == (3, 256, 256)
    np.testing.assert_array_equal(crop[1, 0], values[1, 0, 256:])
    empty = np.zeros_like(values)
    cut_crop(empty, box)[:] = crop
    np.testing.assert_array_equal(cut_crop(empty, box), crop)
    assert np.count_nonzero(empty) == crop.size


def test_a_place_on_the_grid_is_found_in_the_scan():
    fit = InPlaneFit(60, 90, (0.7, 0.9), 128)
    labels = np.zeros((60, 90), np.uint8)
    labels[20:33, 50:71] = 1
    on_grid = [float(at.mean()) for at in np.nonzero(fit.labels_to_grid(labels))]
    assert fit.place_on_scan(*on_grid) == pytest.approx((26.0, 60.0), abs=0.5)
    assert InPlaneFit(64, 64, (1.0, 1.0), 64).place_on_scan(3.0, 5.0) == (3.0, 5.0)
