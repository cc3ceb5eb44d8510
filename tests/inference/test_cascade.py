"""The cascade on hand-made graphs (see `make_bundle`): every label is known beforehand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from renalmap.bundle import Bundle
from renalmap.errors import BundleError
from renalmap.imaging import Volume, build_geometry
from renalmap.inference.cascade import Cascade, SegmentOptions
from renalmap.inference.flipping import flip_averaged
from renalmap.preprocess import Plan, crop_boxes

AIR, BODY, TUMOUR, KIDNEY = -1000, 40, 100, 200
SPACING_MM = (3.0, 0.8, 0.7)


@pytest.fixture
def cascade(make_bundle):
    """A function that makes a cascade; keywords as `make_bundle`'s."""
    return lambda **changes: Cascade(Bundle.open(make_bundle(**changes)))


def volume_of(hu, spacing_mm=SPACING_MM):
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2] = spacing_mm[0], -spacing_mm[1], -spacing_mm[2]
    affine[3, 3] = 1.0
    return Volume(hu.astype(np.int16), build_geometry(hu.shape, affine))


def paint(shape, *objects):
    """HU and the labels to be found; an object is (HU, z, y, x) with slices."""
    hu = np.full(shape, BODY)
    hu[:, :4], hu[:, -4:] = AIR, AIR
    labels = np.zeros(shape, np.uint8)
    for value, *where in objects:
        hu[tuple(where)] = value
        labels[tuple(where)] = {KIDNEY: 1, TUMOUR: 2}[value]
    return volume_of(hu), labels


def two_kidneys():
    return paint(
        (7, 128, 128),
        (KIDNEY, slice(1, 6), slice(50, 80), slice(15, 40)),
        (TUMOUR, slice(2, 4), slice(45, 60), slice(10, 25)),
        (KIDNEY, slice(2, 7), slice(48, 75), slice(90, 117)),
    )


# Where things are laid back.


def test_labels_lie_where_the_kidneys_are(cascade):
    volume, labels = two_kidneys()
    found = cascade().segment(volume)
    np.testing.assert_array_equal(found.label_map.labels, labels)
    assert found.label_map.geometry is volume.geometry
    assert found.kidney_found
    assert found.dropped == ()


@pytest.mark.parametrize(("y", "x"), [*product((0, 60, 118), repeat=2)])
def test_crops_at_the_edge_of_the_grid_are_laid_back_right(cascade, y, x):
    hu = np.full((1, 128, 128), BODY)
    hu[0, y : y + 10, x : x + 10] = KIDNEY
    hu[0, y + 3 : y + 5, x : x + 4] = TUMOUR
    expected = np.select([hu == KIDNEY, hu == TUMOUR], [1, 2])
    found = cascade().segment(volume_of(hu))
    np.testing.assert_array_equal(found.label_map.labels, expected)


def test_several_blobs_of_a_slice_each_get_a_crop(cascade):
    corners = [(slice(a, a + 9), slice(b, b + 9)) for a, b in product((6, 110), repeat=2)]
    volume, labels = paint((1, 128, 128), *[(TUMOUR, 0, y, x) for y, x in corners])
    np.testing.assert_array_equal(cascade().segment(volume).label_map.labels, labels)


def test_outside_every_crop_stage_1_keeps_its_word(cascade):
    """All that stage 2 sees becomes tumour; of a blob wider than the crop it sees the middle."""
    volume, _ = paint((1, 128, 128), (KIDNEY, 0, slice(60, 70), slice(10, 118)))
    found = cascade(slopes=(0, 0, 0), offsets=(0, 0, 9)).segment(volume)
    expected = np.zeros((1, 128, 128), np.uint8)
    expected[0, 60:70, 10:118] = 1
    expected[0, 32:96, 32:96] = 2  # centroid (64.5, 63.5), rounded to even
    np.testing.assert_array_equal(found.label_map.labels, expected)


def test_one_crop_per_slice_is_cut_about_all_foreground(cascade):
    """The paper's literal crop misses both kidneys of this slice: stage 1's word stands."""
    volume, labels = paint(
        (1, 128, 128),
        (TUMOUR, 0, slice(60, 70), slice(10, 20)),
        (TUMOUR, 0, slice(60, 70), slice(108, 118)),
    )
    by_slice = cascade(crop="slice").segment(volume).label_map.labels
    by_blob = cascade(crop="blob").segment(volume).label_map.labels
    np.testing.assert_array_equal(by_slice, (labels > 0).astype(np.uint8))
    np.testing.assert_array_equal(by_blob, labels)


@pytest.mark.parametrize("mirrored", [False, True])
def test_overlapping_crops_are_merged_by_probability(cascade, mirrored):
    """Left in its crop a pixel is surely kidney, right in it perhaps tumour: where the left of one crop
    meets the right of another it is kidney, whichever crop comes first."""
    place = np.zeros((3, 64, 64))
    place[1, :, :32] = 5.0
    place[2, :, 32:] = 1.0
    left, right = (slice(56, 72), slice(24, 32)), (slice(56, 72), slice(60, 68))
    large, small = (left, right) if mirrored else (right, left)
    small = (slice(58, 70), small[1])
    volume, labels = paint((1, 128, 128), (KIDNEY, 0, *large), (KIDNEY, 0, *small))
    boxes = crop_boxes(labels[0] > 0, Plan(grid_size=128, crop_size=64, crop_margin=8))
    assert sorted(box.start for box in boxes) == [(32, 0), (32, 32)]  # one moved inwards

    merged = cascade(slopes=(0, 0, 0), offsets=(0, 0, 0), position_logits=place).segment(volume)

    expected = np.zeros((128, 128), np.uint8)
    expected[32:96, :32] = 1  # left in the one, not in the other
    expected[32:96, 32:64] = 1  # right in the one, left in the other
    expected[32:96, 64:96] = 2  # right in the other
    np.testing.assert_array_equal(merged.label_map.labels[0], expected)


def test_small_blobs_get_narrow_crops(cascade):
    """Of the two only the large one needs the wide crop; labels are the same."""
    volume, labels = paint(
        (1, 128, 128),
        (KIDNEY, 0, slice(20, 70), slice(10, 60)),
        (KIDNEY, 0, slice(50, 64), slice(100, 110)),
    )
    mixed = cascade(narrow_crop_size=32)
    mixed._segmenter = counted = Counted(mixed._segmenter)
    np.testing.assert_array_equal(mixed.segment(volume).label_map.labels, labels)
    assert counted.shapes == {(64, 64), (32, 32)}


def test_crops_of_two_sizes_need_a_graph_that_takes_them(make_bundle):
    folder = make_bundle(narrow_crop_size=32, position_logits=np.zeros((3, 64, 64)), fixed_crop=64)
    with pytest.raises(BundleError, match=r"segmenter takes one.*Export the bundle again"):
        Cascade(Bundle.open(folder))


# Grids of other sizes.


@pytest.mark.parametrize(
    ("shape", "spacing_mm"),
    [
        ((8, 122, 101), (3.0, 3.0, 3.0)),
        ((2, 768, 768), (3.0, 0.5, 0.5)),
        ((2, 512, 796), (3.0, 0.8, 0.8)),
        ((2, 300, 256), (3.0, 1.0, 1.5)),
    ],
)
def test_other_slice_sizes_come_back_on_the_scans_own_grid(cascade, shape, spacing_mm):
    _, rows, columns = shape
    y, x = slice(rows // 3, rows // 2), slice(columns // 5, columns // 3)
    volume, labels = paint(shape, (KIDNEY, slice(0, 2), y, x))
    volume = volume_of(volume.hu, spacing_mm)

    found = cascade(grid_size=512, crop_size=256).segment(volume).label_map

    assert found.labels.shape == shape
    ours, theirs = found.labels > 0, labels > 0
    assert 2 * (ours & theirs).sum() / (ours.sum() + theirs.sum()) > 0.95
    for axis in range(3):
        centre, expected = (np.nonzero(mask)[axis].mean() for mask in (ours, theirs))
        assert abs(centre - expected) < 0.8  # a shift by one voxel is seen, rounding on the grid is not


# Which components stay.


def test_specks_are_dropped_and_told(cascade):
    volume, labels = paint(
        (9, 128, 128),
        (KIDNEY, slice(2, 7), slice(50, 80), slice(20, 50)),
        (KIDNEY, slice(3, 5), slice(100, 104), slice(100, 104)),
    )
    found = cascade(component_min_ml=1.0).segment(volume)
    labels[:, 90:] = 0
    np.testing.assert_array_equal(found.label_map.labels, labels)
    (speck,) = found.dropped
    assert speck.volume_ml == pytest.approx(2 * 16 * np.prod(SPACING_MM) / 1000)
    assert speck.centre_zyx == pytest.approx((3.5, 101.5, 101.5))
    assert "ml" in speck.reason


def test_a_small_component_that_the_scan_cuts_stays(cascade):
    """The rule measures blobs in 3D: the same speck in the first slice may be a kidney's pole."""
    volume, labels = paint(
        (9, 128, 128),
        (KIDNEY, slice(2, 7), slice(50, 80), slice(20, 50)),
        (KIDNEY, slice(0, 2), slice(100, 104), slice(100, 104)),
    )
    found = cascade(component_min_ml=1.0).segment(volume)
    np.testing.assert_array_equal(found.label_map.labels, labels)


def test_what_stage_2_leaves_over_is_measured_again(cascade):
    """Stage 2 keeps nothing below 190 HU: of the paler blob a speck is left, too small to stay."""
    volume, labels = paint(
        (9, 128, 128),
        (KIDNEY, slice(2, 7), slice(50, 80), slice(20, 50)),
        (TUMOUR, slice(2, 7), slice(50, 80), slice(90, 120)),
        (KIDNEY, slice(4, 6), slice(60, 63), slice(100, 103)),
    )
    only_kidney = {"slopes": (0, 40, 0), "offsets": (0, -76, -99)}
    found = cascade(component_min_ml=1.0, **only_kidney).segment(volume)
    labels[:, :, 80:] = 0
    np.testing.assert_array_equal(found.label_map.labels, labels)
    assert len(found.dropped) == 1


# Normalisation.


def test_each_pixel_is_normalised_where_it_lies(cascade):
    ramp = np.linspace(0.0, 900.0, 128, dtype=np.float32) * np.ones((128, 1), np.float32)
    volume, labels = two_kidneys()
    shifted = volume_of(volume.hu + np.rint(ramp).astype(int))
    found = cascade(mean_hu=np.rint(ramp), clip_hu=None).segment(shifted)
    np.testing.assert_array_equal(found.label_map.labels, labels)


def test_the_plan_says_which_normalisation(cascade):
    volume, labels = two_kidneys()
    found = cascade(normalisation="global_zscore", mean_hu=5000.0).segment(volume)
    np.testing.assert_array_equal(found.label_map.labels, labels)


def test_a_scan_is_normalised_by_itself_if_the_plan_says_so(cascade):
    hu = np.where(two_kidneys()[1] > 0, KIDNEY, AIR)
    itself = cascade(normalisation="volume_zscore", mean_hu=5000.0, clip_hu=None)
    found = itself.segment(volume_of(hu), SegmentOptions(stage1_only=True))
    np.testing.assert_array_equal(found.label_map.labels, hu == KIDNEY)


# How it is run.


@pytest.mark.parametrize(("batch_size", "threads"), [*product((1, 3, 5), (1, 2, 4))])
def test_batch_size_and_threads_change_nothing(cascade, batch_size, threads):
    volume, labels = two_kidneys()
    noisy = volume_of(volume.hu + np.random.default_rng(0).normal(0, 60, labels.shape))
    one = cascade().segment(noisy, SegmentOptions(1, 1))
    many = cascade().segment(noisy, SegmentOptions(threads, batch_size))
    np.testing.assert_array_equal(many.label_map.labels, one.label_map.labels)
    for region, values in one.probabilities.items():
        assert many.probabilities[region].origin_zyx == values.origin_zyx
        np.testing.assert_array_equal(many.probabilities[region].values, values.values)


def test_stage_1_alone_knows_no_tumour(cascade):
    volume, labels = two_kidneys()
    found = cascade().segment(volume, SegmentOptions(stage1_only=True))
    np.testing.assert_array_equal(found.label_map.labels, labels > 0)
    assert found.seconds.keys() == {"stage1", "postprocess"}


def test_probabilities_agree_with_the_labels(cascade):
    volume, labels = two_kidneys()
    found = cascade().segment(volume)
    kidney, tumour = (found.probabilities[name].full(labels.shape) for name in ("kidney", "tumour"))
    assert kidney.dtype == tumour.dtype == np.uint8
    np.testing.assert_array_equal(kidney > 127, labels > 0)
    np.testing.assert_array_equal(tumour > 127, labels == 2)
    assert kidney[labels == 1].min() == 255
    assert kidney[volume.hu == AIR].max() == 0


def test_an_empty_scan_gives_an_empty_map(cascade):
    volume, _ = paint((3, 128, 128))
    found = cascade().segment(volume)
    assert not found.kidney_found
    assert not found.label_map.labels.any()
    assert found.probabilities["tumour"].values.size == 0
    assert not found.probabilities["kidney"].full(volume.hu.shape).any()


def test_progress_counts_every_slice_of_both_stages(cascade):
    volume, labels = two_kidneys()
    told = []
    cascade().segment(volume, progress=lambda *step: told.append(step))
    found = int(labels.any(axis=(1, 2)).sum())
    assert told == [
        *[("stage 1", done, 7) for done in range(1, 8)],
        *[("stage 2", done, found) for done in range(1, found + 1)],
    ]


# Rules after the networks: each off by default, so that all above is without them.


def test_probabilities_are_kept_in_a_box_about_kidneys_and_crops(cascade):
    hu = np.full((9, 128, 128), BODY)
    hu[3:6, 20:30, 30:40] = KIDNEY
    found = cascade().segment(volume_of(hu)).probabilities["kidney"]
    assert found.origin_zyx == (3, 0, 2)  # one crop of 64, about (24.5, 34.5), moved inwards
    assert found.values.shape == (3, 64, 64)


def test_of_what_stage_1_found_and_lost_no_probability_is_left(cascade):
    """The speck lies in the box, in a slice and place where stage 2 does not look."""
    volume, _ = paint(
        (9, 128, 128),
        (KIDNEY, slice(2, 7), slice(10, 40), slice(10, 40)),
        (KIDNEY, slice(2, 7), slice(80, 110), slice(80, 110)),
        (KIDNEY, slice(4, 5), slice(20, 23), slice(100, 103)),
    )
    found = cascade(component_min_ml=1.0).segment(volume)
    assert len(found.stage1_dropped) == len(found.dropped) == 1
    kidney = found.probabilities["kidney"]
    assert kidney.at((slice(4, 5), slice(20, 23), slice(100, 103))).max() == 0
    where = kidney.full(volume.hu.shape) > 127
    np.testing.assert_array_equal(where, found.label_map.labels > 0)


def one_sided():
    """Logits that see tumour on a crop's left half only, where the image is kidney or tumour."""
    place = np.zeros((3, 64, 64))
    place[2, :, :32] = 2.0
    place[1, :, 32:] = 2.5
    return {"slopes": (0, 0, 0), "offsets": (0, 0, 0), "position_logits": place}


def test_flip_averaging_sees_the_mirror_image(cascade):
    """Left it is tumour by logit 2, right kidney by 2.5: together kidney is the likelier everywhere."""
    volume, _ = paint((1, 128, 128), (KIDNEY, 0, slice(60, 68), slice(60, 68)))
    plain = cascade(**one_sided()).segment(volume).label_map.labels
    assert (plain == 2).sum() == (plain == 1).sum() == 64 * 32
    both = cascade(**one_sided(), flip_averaging="segmenter").segment(volume).label_map.labels
    asked = cascade(**one_sided()).segment(volume, SegmentOptions(flip_averaging="segmenter"))
    assert (both == 1).sum() == 64 * 64
    np.testing.assert_array_equal(asked.label_map.labels, both)


def test_far_from_kidneys_only_every_third_slice_is_looked_at(cascade):
    """Slices are 3 mm apart; two that show something are between the coarse ones and are found."""
    volume, labels = paint((40, 128, 128), (KIDNEY, slice(13, 17), slice(50, 80), slice(15, 40)))
    some, told = cascade(), []
    found = some.segment(volume, progress=lambda *step: told.append(step))
    np.testing.assert_array_equal(found.label_map.labels, labels)
    looked = [step for step in told if step[0] == "stage 1"]
    assert looked[-1] == (
        "stage 1",
        19,
        19,
    )  # every third, with the last; 13, 14, 16, 17 about 15; 11 about 13


@pytest.mark.parametrize("mode", ["segmenter", "both"])
def test_flip_averaging_changes_nothing_where_nothing_depends_on_the_side(cascade, mode):
    volume, labels = two_kidneys()
    found = cascade(flip_averaging=mode).segment(volume)
    np.testing.assert_array_equal(found.label_map.labels, labels)


class Counted:
    """A session that counts the images it is given, and notes their sizes."""

    def __init__(self, session):
        self.session, self.images, self.shapes = session, 0, set()

    def run(self, images):
        self.images += len(images)
        self.shapes.add(images.shape[2:])
        return self.session.run(images)


@pytest.mark.parametrize(
    ("mode", "localized", "segmented"), [("none", 7, 10), ("segmenter", 7, 20), ("both", 14, 20)]
)
def test_each_network_is_averaged_only_if_asked(cascade, mode, localized, segmented):
    volume, _ = two_kidneys()
    counted = cascade(flip_averaging=mode)
    counted._localizer = Counted(counted._localizer)
    counted._segmenter = Counted(counted._segmenter)
    counted.segment(volume, SegmentOptions(threads=1, batch_size=2))
    assert (counted._localizer.images, counted._segmenter.images) == (localized, segmented)


def test_the_average_is_laid_over_the_image_not_its_mirror_image():
    """A network that sees what is in the left half, and doubts it."""
    images = np.random.default_rng(0).random((2, 1, 4, 6)).astype(np.float32)
    doubt = np.array([0.5, 0.5, 0.5, 1.0, 1.0, 1.0], np.float32)
    averaged = flip_averaged(lambda given: given * doubt, images)
    np.testing.assert_allclose(averaged, 0.75 * images, rtol=1e-6)


def test_smoothing_fills_a_slice_that_was_missed(cascade):
    volume, labels = paint((11, 128, 128), (KIDNEY, slice(2, 9), slice(50, 80), slice(20, 50)))
    hu = volume.hu.copy()
    hu[5] = BODY
    gap = labels.copy()
    gap[5] = 0
    plain = cascade().segment(volume_of(hu)).label_map.labels
    np.testing.assert_array_equal(plain, gap)
    for found in (
        cascade(smoothing_sigma_mm=4.0).segment(volume_of(hu)),
        cascade().segment(volume_of(hu), SegmentOptions(smoothing_sigma_mm=4.0)),
    ):
        np.testing.assert_array_equal(found.label_map.labels, labels)


def test_smoothing_takes_away_what_shows_in_one_slice(cascade):
    volume, labels = paint(
        (11, 128, 128),
        (KIDNEY, slice(2, 9), slice(50, 80), slice(20, 50)),
        (TUMOUR, slice(5, 6), slice(60, 70), slice(30, 40)),
    )
    found = cascade(smoothing_sigma_mm=4.0).segment(volume)
    np.testing.assert_array_equal(found.label_map.labels, labels > 0)
    assert found.probabilities["tumour"].values.max() < 128


@pytest.mark.parametrize(("depth", "sigma_mm"), [(1, 10.0), (7, 1.1)])
def test_smoothing_needs_a_neighbour_within_reach(cascade, depth, sigma_mm):
    shape = (depth, 128, 128)
    volume, labels = paint(shape, (TUMOUR, slice(0, 1), slice(50, 80), slice(20, 50)))
    found = cascade(smoothing_sigma_mm=sigma_mm).segment(volume)
    np.testing.assert_array_equal(found.label_map.labels, labels)


def test_smoothing_does_not_bring_back_what_was_dropped(cascade):
    """A speck beside the crop in one slice: stage 1's, dropped, within reach of no crop."""
    volume, labels = paint(
        (9, 128, 128),
        (KIDNEY, slice(2, 7), slice(50, 80), slice(20, 50)),
        (KIDNEY, slice(7, 8), slice(60, 64), slice(60, 64)),
    )
    found = cascade(component_min_ml=1.0, smoothing_sigma_mm=3.0).segment(volume)
    labels[7] = 0
    np.testing.assert_array_equal(found.label_map.labels, labels)


def test_weak_foreground_counts_where_it_is_joined_to_strong(cascade):
    """At 65 HU stage 1 says 0.27."""
    volume, labels = paint((5, 128, 128), (KIDNEY, slice(1, 4), slice(50, 70), slice(20, 50)))
    hu = volume.hu.copy()
    hu[2, 50:70, 50:54], hu[2, 20:30, 100:110] = 65, 65
    stage1 = SegmentOptions(stage1_only=True)
    plain = cascade().segment(volume_of(hu), stage1).label_map.labels
    np.testing.assert_array_equal(plain, labels)
    labels[2, 50:70, 50:54] = 1
    found = cascade(localizer_low_threshold=0.2).segment(volume_of(hu), stage1)
    np.testing.assert_array_equal(found.label_map.labels, labels)
    higher = cascade(localizer_low_threshold=0.3).segment(volume_of(hu), stage1)
    np.testing.assert_array_equal(higher.label_map.labels, plain)


def three_blobs():
    """Two kidneys and, on the left, a smaller third."""
    return paint(
        (9, 128, 128),
        (KIDNEY, slice(1, 8), slice(50, 80), slice(15, 45)),
        (KIDNEY, slice(1, 8), slice(50, 80), slice(85, 115)),
        (KIDNEY, slice(1, 8), slice(20, 40), slice(90, 105)),
    )


@pytest.mark.parametrize("stage1_only", [False, True])
def test_two_kidneys_may_be_all_that_stays(cascade, stage1_only):
    volume, labels = three_blobs()
    options = SegmentOptions(stage1_only=stage1_only)
    asked = SegmentOptions(stage1_only=stage1_only, keep="two_kidneys")
    two = cascade(keep="two_kidneys")
    assert cascade().segment(volume, options).dropped == ()
    for found in (two.segment(volume, options), cascade().segment(volume, asked)):
        np.testing.assert_array_equal(found.label_map.labels[:, 45:], labels[:, 45:])
        assert not found.label_map.labels[:, :45].any()
        assert [component.centre_zyx for component in found.dropped] == [(4, 29.5, 97)]
        assert found.stage1_dropped == ()
    everything = two.segment(volume, SegmentOptions(stage1_only=stage1_only, keep="all"))
    np.testing.assert_array_equal(everything.label_map.labels, labels)


def test_a_further_kidney_is_noted(cascade):
    volume, labels = three_blobs()
    found = cascade(keep="two_kidneys", further_kidney_min_ml=1.0, further_kidney_min_share=0.1)
    result = found.segment(volume)
    np.testing.assert_array_equal(result.label_map.labels, labels)
    assert result.notes[0].startswith("three kidney-sized components")


def test_the_midline_is_the_bodys_on_whatever_grid(cascade):
    """The body fills columns 0 to 119 of 200, and both kidneys lie in the image's right half of it."""
    hu = np.full((6, 150, 200), AIR)
    hu[:, 10:140, :120] = BODY
    hu[1:5, 60:90, 8:38] = KIDNEY
    hu[1:5, 60:70, 66:76] = KIDNEY  # left of the body's middle, right of the image's
    found = cascade(keep="two_kidneys", component_min_kidney_ml=0.0)
    assert found.segment(volume_of(hu, (3.0, 0.8, 0.8))).dropped == ()


def test_a_doubtful_tumour_becomes_kidney(cascade):
    volume, labels = two_kidneys()
    found = cascade(tumour_min_ml=5.0).segment(volume)
    np.testing.assert_array_equal(found.label_map.labels, labels > 0)
    assert [component.reason for component in found.dropped] == [
        "tumour: volume 0.8 ml < 5 ml; relabelled kidney"
    ]
    called = cascade(tumour_min_ml=0.5, tumour_min_mean_probability=0.9).segment(volume)
    np.testing.assert_array_equal(called.label_map.labels, labels)


def test_a_tiny_hole_is_filled(cascade):
    volume, labels = two_kidneys()
    hu = volume.hu.copy()
    hu[3, 65, 30] = BODY
    assert cascade().segment(volume_of(hu)).label_map.labels[3, 65, 30] == 0
    found = cascade(fill_holes_mm2=1.0).segment(volume_of(hu)).label_map.labels
    np.testing.assert_array_equal(found, labels)


EVERY_RULE = {
    "flip_averaging": "both",
    "smoothing_sigma_mm": 3.0,
    "keep": "two_kidneys",
    "localizer_low_threshold": 0.2,
    "peel_fat_mm": 1.6,
    "fill_holes_mm2": 2.0,
    "component_min_ml": 0.5,
    "tumour_min_ml": 0.2,
    "tumour_min_area_mm2": 5.0,
    "tumour_min_mean_probability": 0.5,
}


@pytest.mark.parametrize(("batch_size", "threads"), [(3, 1), (1, 4), (5, 3)])
def test_with_every_rule_batch_size_and_threads_change_nothing(cascade, batch_size, threads):
    volume, labels = two_kidneys()
    noisy = volume_of(volume.hu + np.random.default_rng(0).normal(0, 40, labels.shape))
    one = cascade(**EVERY_RULE).segment(noisy, SegmentOptions(1, 1))
    many = cascade(**EVERY_RULE).segment(noisy, SegmentOptions(threads, batch_size))
    assert len(np.unique(one.label_map.labels)) == 3
    np.testing.assert_array_equal(many.label_map.labels, one.label_map.labels)
    assert (many.dropped, many.notes) == (one.dropped, one.notes)
    for region, values in one.probabilities.items():
        np.testing.assert_array_equal(many.probabilities[region].values, values.values)


@pytest.mark.parametrize("depth", [1, 3])
def test_with_every_rule_an_empty_scan_is_empty(cascade, depth):
    volume, _ = paint((depth, 128, 128))
    found = cascade(**EVERY_RULE).segment(volume)
    assert not found.kidney_found
    assert (found.dropped, found.notes) == ((), ())


def test_options_that_are_not_given_leave_the_plan_alone():
    plan = Plan(flip_averaging="both", smoothing_sigma_mm=2.0, keep="two_kidneys")
    assert SegmentOptions().applied_to(plan) == plan
    changed = SegmentOptions(flip_averaging="none", smoothing_sigma_mm=0.0, keep="all").applied_to(plan)
    assert changed == Plan()
