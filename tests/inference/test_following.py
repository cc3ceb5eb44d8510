"""Stage 2 follows a kidney through the slices that stage 1 missed, and stops where something else begins."""

from __future__ import annotations

import numpy as np
import pytest

from renalmap.bundle import Bundle
from renalmap.imaging import Volume, build_geometry
from renalmap.inference.cascade import Cascade, SegmentOptions

AIR, BODY = -1000, 40
BRIGHT = 110
"""Kidney that both stages see."""
DULL = 85
"""Kidney that only stage 2 sees: stage 1's probability is 0.95."""
OTHER = 75
"""What only stage 2 sees, and a dark liver might be."""

SPACING_MM = (3.0, 0.8, 0.8)
KIDNEY = (slice(40, 70), slice(30, 60))


@pytest.fixture(scope="module")
def segment(make_bundle):
    """A function from a volume to labels; keywords are the Plan's. Stage 2 calls all above 70 HU kidney."""

    def run(volume: Volume, options: SegmentOptions = SegmentOptions(), **plan: object) -> np.ndarray:
        settings = {"localizer_threshold": 0.99, "follow_gap_mm": 7.0, "follow_growth_per_mm": 0.1}
        root = make_bundle(slopes=(0, 40, 0), offsets=(0, -28, -99), **(settings | plan))
        return Cascade(Bundle.open(root)).segment(volume, options).label_map.labels

    return run


def scan(
    depth: int, *objects: tuple[int, int | slice, tuple[slice, slice]]
) -> tuple[Volume, np.ndarray]:
    """A scan, and where its objects (HU, slices, place) are."""
    hu = np.full((depth, 128, 128), BODY, np.int16)
    hu[:, :4] = AIR
    shown = np.zeros(hu.shape, bool)
    for value, z, place in objects:
        hu[(z, *place)] = value
        shown[(z, *place)] = True
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2] = SPACING_MM[0], -SPACING_MM[1], -SPACING_MM[2]
    affine[3, 3] = 1.0
    return Volume(hu, build_geometry(hu.shape, affine)), shown


def inside(place: tuple[slice, slice], by: int) -> tuple[slice, slice]:
    """A place made smaller on all sides; or larger."""
    y, x = place
    return slice(y.start + by, y.stop - by), slice(x.start + by, x.stop - by)


def with_poles() -> tuple[Volume, np.ndarray]:
    """A kidney whose three lowest and three highest slices stage 1 misses; they shrink towards the ends."""
    poles = [(DULL, 4 - step, inside(KIDNEY, 3 * step)) for step in (1, 2, 3)]
    poles += [(DULL, 8 + step, inside(KIDNEY, 3 * step)) for step in (0, 1, 2)]
    return scan(14, (BRIGHT, slice(4, 8), KIDNEY), *poles)


def test_both_poles_are_found(segment):
    volume, kidney = with_poles()
    np.testing.assert_array_equal(segment(volume) > 0, kidney)


def test_without_a_gap_in_the_plan_nothing_is_followed(segment):
    volume, kidney = with_poles()
    labels = segment(volume, follow_gap_mm=0.0)
    assert not labels[:4].any()
    assert not labels[8:].any()
    np.testing.assert_array_equal(labels[4:8] > 0, kidney[4:8])


def test_a_run_in_the_middle_is_found(segment):
    volume, kidney = scan(
        14, (BRIGHT, slice(2, 5), KIDNEY), (DULL, slice(5, 9), KIDNEY), (BRIGHT, slice(9, 12), KIDNEY)
    )
    np.testing.assert_array_equal(segment(volume) > 0, kidney)


@pytest.mark.parametrize(("missing", "bridged"), [(1, True), (2, True), (3, False)])
def test_a_gap_of_a_few_slices_is_bridged_by_what_both_sides_share(segment, missing: int, bridged: bool):
    """Slices lie 3 mm apart: with two missing, the sections are 9 mm from each other."""
    smaller = inside(KIDNEY, 2)
    volume, kidney = scan(
        16, (BRIGHT, slice(2, 5), KIDNEY), (DULL, slice(5 + missing, 9 + missing), smaller)
    )
    labels = segment(volume, follow_gap_mm=9.0) > 0
    np.testing.assert_array_equal(labels[:5], kidney[:5])
    if bridged:
        np.testing.assert_array_equal(labels[5 + missing :], kidney[5 + missing :])
        gap = np.zeros((128, 128), bool)
        gap[smaller] = True
        assert all((labels[z] == gap).all() for z in range(5, 5 + missing))
    else:
        assert not labels[5:].any()


@pytest.mark.parametrize(
    ("what", "beyond"),
    [
        ("a spleen, far larger", (DULL, 8, inside(KIDNEY, -14))),
        ("bowel beside it", (DULL, 8, (slice(40, 70), slice(55, 85)))),
        ("another organ, not over it", (DULL, 8, (slice(90, 110), slice(30, 60)))),
        ("tissue that is much darker", (OTHER, 8, KIDNEY)),
        ("a speck", (DULL, 8, (slice(50, 54), slice(40, 44)))),
    ],
)
def test_what_is_not_the_kidneys_next_section_is_left_alone(segment, what: str, beyond):
    volume, _ = scan(12, (BRIGHT, slice(4, 8), KIDNEY), beyond)
    labels = segment(volume, follow_hu=30.0)
    assert labels[7].any()
    assert not labels[8].any(), what


def test_an_unsure_section_is_refused(segment):
    """At 72 HU stage 2 gives 0.69."""
    volume, _ = scan(12, (BRIGHT, slice(4, 8), KIDNEY), (72, 8, KIDNEY))
    assert segment(volume, follow_min_probability=0.6)[8].any()
    assert not segment(volume, follow_min_probability=0.8)[8].any()


def test_without_stage_1s_agreement_it_is_followed_only_so_far(segment):
    """Stage 1's 0.95 is not enough here: four slices of 3 mm are within 12 mm."""
    volume, kidney = scan(20, (BRIGHT, slice(2, 6), KIDNEY), (DULL, slice(6, 18), KIDNEY))
    agreed = segment(volume, follow_unsupported_mm=12.0)
    np.testing.assert_array_equal(agreed > 0, kidney)
    alone = segment(volume, follow_agreement=0.99, follow_unsupported_mm=12.0)
    found = np.flatnonzero(alone.any(axis=(1, 2)))
    assert found.tolist() == list(range(2, 11))


def test_a_mistake_too_small_to_be_a_kidney_is_not_followed(segment):
    small = (slice(90, 96), slice(90, 96))
    volume, _ = scan(14, (BRIGHT, slice(4, 8), KIDNEY), (BRIGHT, 6, small), (DULL, slice(7, 11), small))
    any_size = segment(volume, component_min_ml=0.0, component_min_kidney_ml=0.0)
    assert any_size[7][small].any(), "followed, if any size counts"
    larger = segment(volume, component_min_ml=1.0, component_min_kidney_ml=0.0)
    assert not larger[6:][:, *small].any()


def test_kidneys_are_followed_to_the_ends_of_the_scan(segment):
    volume, kidney = scan(
        8, (BRIGHT, slice(3, 5), KIDNEY), (DULL, slice(0, 3), KIDNEY), (DULL, slice(5, 8), KIDNEY)
    )
    np.testing.assert_array_equal(segment(volume) > 0, kidney)


def test_two_kidneys_are_followed_apart(segment):
    other = (slice(45, 75), slice(80, 110))
    volume, kidneys = scan(
        14,
        (BRIGHT, slice(4, 8), KIDNEY),
        (DULL, slice(8, 11), KIDNEY),
        (BRIGHT, slice(6, 10), other),
        (DULL, slice(2, 6), other),
    )
    np.testing.assert_array_equal(segment(volume) > 0, kidneys)


@pytest.mark.parametrize("smoothing_sigma_mm", [0.0, 3.0])
def test_threads_change_nothing(segment, smoothing_sigma_mm: float):
    volume, _ = with_poles()
    one, four = (
        segment(volume, SegmentOptions(threads=threads), smoothing_sigma_mm=smoothing_sigma_mm)
        for threads in (1, 4)
    )
    np.testing.assert_array_equal(one, four)


def test_probabilities_tell_of_what_was_followed(make_bundle):
    volume, kidney = with_poles()
    root = make_bundle(
        slopes=(0, 40, 0), offsets=(0, -28, -99), localizer_threshold=0.99, follow_gap_mm=7.0
    )
    found = Cascade(Bundle.open(root)).segment(volume)
    whole = found.probabilities["kidney"].full(volume.geometry.shape)
    assert (whole[kidney] > 250).all()
    assert not found.probabilities["tumour"].values.any()
