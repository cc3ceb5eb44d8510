"""Tumours placed by hand in a kidney of known geometry, and inputs that do not tell everything."""

from __future__ import annotations

import re
from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
from tests.measure.scene import Scene, make_geometry
from tests.nephrometry.scene import KidneyScene, points, turned

from renalmap.anatomy import Anatomy
from renalmap.imaging import LabelMap, read_label_map
from renalmap.measure import measure_anatomy
from renalmap.measure.exophytic import exophytic_part
from renalmap.nephrometry import score_anatomy, score_label_map

SPACING_MM = (2.0, 1.2, 1.2)
TURN = turned(20.0, 10.0, 30.0)
"""As kidneys lie: its upper pole back and towards the spine, its hilum forwards."""


def placed(centre_mm, radius_mm):
    """The points of a ball in a kidney that lies as kidneys do; up, to the hilum, to the front."""
    return points(KidneyScene(SPACING_MM, TURN).tumour(centre_mm, radius_mm).one())


@pytest.mark.parametrize(
    ("up_mm", "radius_mm", "location"),
    [
        (33.0, 8.0, 1),
        (-33.0, 8.0, 1),
        (24.0, 9.0, 2),
        (-24.0, 9.0, 2),
        (14.0, 9.0, 3),
        (9.0, 6.0, 3),
        (0.0, 8.0, 3),
    ],
)
def test_location(up_mm, radius_mm, location):
    """The polar lines lie at 18 mm: above and below them, across a line, across it by more than half, between, in the middle."""
    found = placed((up_mm, -18.0, 0.0), radius_mm)
    assert found["L"] == location
    assert found["polar"] == (2 if abs(up_mm) < 18.0 else 1)


@pytest.mark.parametrize(
    ("to_sinus_mm", "nearness", "involved"), [(10.0, 1, 1), (5.5, 2, 1), (3.0, 3, 1), (0.0, 3, 2)]
)
def test_nearness(to_sinus_mm, nearness, involved):
    """The sinus ends 4 mm lateral of the long axis."""
    found = placed((0.0, -4.0 - to_sinus_mm - 7.0, 0.0), 7.0)
    assert (found["N"], found["sinus"]) == (nearness, involved)


def test_a_tumour_deep_in_the_sinus_displaces_the_collecting_system():
    assert placed((0.0, 8.0, 0.0), 12.0)["collecting_system"] == 2
    assert placed((0.0, -22.0, 0.0), 10.0)["collecting_system"] == 1


@pytest.mark.parametrize(("lateral_mm", "share"), [(-36.0, 1), (-24.0, 2), (-17.0, 3)])
def test_exophytic_share(lateral_mm, share):
    """A ball of 9 mm whose centre lies 6 mm outside, 6 mm inside, and so deep that it is covered."""
    found = placed((0.0, lateral_mm, 0.0), 9.0)
    assert (found["E"], found["exophytic"]) == (share, share)


def test_a_tumour_flush_with_the_surface_is_not_entirely_endophytic():
    """Cut off where the kidney ends: nothing of it lies outside, but nothing covers it there."""
    scene = KidneyScene(SPACING_MM, TURN)
    kidney = scene.labels > 0
    scene.tumour((0.0, -27.0, 0.0), 9.0).labels[~kidney] = 0
    exophytic = scene.one().renal.components[1]
    assert exophytic.value == pytest.approx(0.0, abs=0.02)
    assert exophytic.lengths["bare_share"] > 0.15
    assert exophytic.points == 2


@pytest.mark.parametrize(("front_mm", "letter"), [(14.0, "a"), (-14.0, "p"), (0.0, "x")])
def test_face(front_mm, letter):
    found = placed((30.0, 0.0, front_mm), 8.0)
    assert (found["A"], found["face"]) == (letter, letter)


@pytest.mark.parametrize(("hilum_mm", "rim"), [(-15.0, 1), (15.0, 2)])
def test_rim(hilum_mm, rim):
    assert placed((32.0, hilum_mm, 0.0), 7.0)["rim"] == rim


@pytest.mark.parametrize(("radius_mm", "size"), [(19.0, 1), (21.5, 2), (33.5, 2), (36.5, 3)])
def test_size(radius_mm, size):
    found = placed((0.0, -40.0, 0.0), radius_mm)
    assert (found["R"], found["size"]) == (size, size)


def test_landmarks_lie_where_they_are():
    scene = KidneyScene(SPACING_MM, TURN).tumour((0.0, -22.0, 0.0), 9.0)
    found = scene.scored()
    (kidney,), (lesion,) = found.kidneys, found.lesions
    line = lesion.to_sinus
    assert line is not None
    assert kidney.axis is not None
    assert line.length_mm == pytest.approx(9.0, abs=1.2)
    up, hilum, front = (np.array(line.end.voxel_zyx) * SPACING_MM - (70.0, 65.0, 170.0)) @ scene.axes.T
    assert hilum == pytest.approx(-4.0, abs=1.2)
    assert abs(up) < 18.0
    assert abs(front) < 9.0
    names = [plane.name for plane in kidney.planes]
    assert names == ["upper polar line", "axial midplane", "lower polar line", "coronal plane"]
    np.testing.assert_allclose(kidney.planes[0].normal_zyx, scene.axes[0], atol=0.05)
    np.testing.assert_allclose(kidney.planes[3].normal_zyx, scene.axes[2], atol=0.1)
    world = np.array(kidney.axis.end.world_mm) - np.array(kidney.axis.start.world_mm)
    np.testing.assert_allclose(world / np.linalg.norm(world), kidney.planes[0].normal_world, atol=0.01)
    (measured,) = measure_anatomy(scene.anatomy).tumours
    assert lesion.largest_diameter == measured.longest_axial_diameter


def test_the_exophytic_part_is_what_the_share_counts():
    anatomy = KidneyScene(SPACING_MM).tumour((0.0, -27.0, 0.0), 10.0).anatomy
    (lesion,), (kidney,) = anatomy.tumours, anatomy.kidneys
    part = exophytic_part(lesion.voxels, kidney.body, SPACING_MM)
    share = measure_anatomy(anatomy).tumours[0].exophytic_share
    assert part.size / lesion.voxels.size == pytest.approx(share, abs=0.02)


COARSE_MM = (3.0, 2.5, 2.5)


@pytest.fixture(scope="module")
def coarse() -> KidneyScene:
    return KidneyScene(COARSE_MM, TURN).tumour((12.0, -20.0, 8.0), 14.0)


def test_the_orientation_of_the_file_changes_nothing(coarse, tmp_path):
    """All 48 ways to store an array."""
    canonical = coarse.label_map
    expected = score_label_map(canonical).lesions
    image = nib.Nifti1Image(canonical.labels, canonical.geometry.affine)
    for axes, flips in product(permutations(range(3)), product((1, -1), repeat=3)):
        path = tmp_path / "stored.nii"
        nib.save(image.as_reoriented(np.column_stack([axes, flips])), path)
        again = read_label_map(path)
        np.testing.assert_array_equal(again.labels, canonical.labels)
        assert again.geometry.matches(canonical.geometry)
    found = score_label_map(again).lesions
    assert [one.renal for one in found] == [one.renal for one in expected]
    assert [one.padua for one in found] == [one.padua for one in expected]


def test_a_mirror_image_changes_only_the_side(coarse):
    label_map = coarse.label_map
    (found,) = score_label_map(label_map).lesions
    mirrored = LabelMap(np.ascontiguousarray(label_map.labels[:, :, ::-1]), label_map.geometry)
    (other,) = score_label_map(mirrored).lesions
    assert (found.side, other.side) == ("left", "right")
    for one, same in zip(found.renal.components, other.renal.components, strict=True):
        assert (one.points, one.letter) == (same.points, same.letter)
        assert one.value == pytest.approx(same.value, abs=0.02 if one.unit == "" else 0.5)
    assert found.padua.text == other.padua.text


def test_a_kidney_that_is_cut_off_is_scored_as_far_as_it_can_be():
    label_map = KidneyScene(SPACING_MM).tumour((-20.0, -20.0, 0.0), 9.0).label_map
    cut = LabelMap(
        np.ascontiguousarray(label_map.labels[: round(90.0 / SPACING_MM[0])]),
        label_map.geometry.__class__(
            (round(90.0 / SPACING_MM[0]), *label_map.labels.shape[1:]),
            label_map.geometry.spacing_mm,
            label_map.geometry.affine,
            label_map.geometry.source,
        ),
    )
    found = score_label_map(cut)
    (lesion,) = found.lesions
    told = {one.code: one.not_assessable for one in lesion.renal.components}
    assert told == {"R": None} | dict.fromkeys("ENAL", "the upper pole lies outside the scan")
    assert (lesion.renal.total, lesion.renal.risk, lesion.renal.total_range) == (None, None, (4, 10))
    assert lesion.renal.text == "at least 4, at most 10: E, N, L not assessable"
    assert found.kidneys[0].not_assessable == "the upper pole lies outside the scan"
    assert found.kidneys[0].planes == []


def test_a_tip_that_is_cut_off_is_only_told():
    label_map = KidneyScene(SPACING_MM).tumour((-20.0, -20.0, 0.0), 9.0).label_map
    first = int(np.flatnonzero(label_map.labels.any(axis=(1, 2)))[0])
    moved = np.roll(label_map.labels, -first, axis=0)
    found = score_label_map(LabelMap(moved, label_map.geometry))
    assert found.lesions[0].renal.total is not None
    assert "the tip of the lower pole lies outside the scan" in found.kidneys[0].caveats


def test_a_tumour_without_a_kidney_has_a_size_alone():
    label_map = Scene().kidney(80.0).draw(2, (100.0, 80.0, 240.0), 15.0).label_map
    (lesion,) = score_label_map(label_map).lesions
    assert (lesion.kidney, lesion.renal.total, lesion.padua.total) == (None, None, None)
    size, *others = lesion.renal.components
    assert size.points == 1
    assert {one.not_assessable for one in others} == {"no kidney is near the tumour"}


def test_a_tumour_that_is_cut_off_is_at_least_so_large():
    scene = Scene().kidney(80.0, 60.0)
    scene.draw(2, (0.0, 80.0, 80.0), 20.0)
    (lesion,) = score_label_map(scene.label_map).lesions
    size = lesion.renal.components[0]
    assert size.not_assessable == "the tumour reaches beyond the scan"
    assert size.lengths["at_least_mm"] == pytest.approx(40.0, abs=1.0)


def test_caveats_name_what_is_doubtful():
    scene = KidneyScene((10.0, 1.6, 1.6)).tumour((0.0, -25.0, 0.0), 12.0)
    found = scene.scored()
    assert any("slices are 10.0 mm apart" in text for text in found.caveats)
    assert any("without the scan" in text for text in found.caveats)
    location = found.lesions[0].renal.components[4]
    assert location.points_one_voxel is not None
    filled = KidneyScene(filled=True).tumour((0.0, -25.0, 0.0), 10.0).scored()
    assert len(filled.kidneys[0].caveats) == 2
    assert filled.lesions[0].renal.components[2].confidence == "low"


@pytest.mark.parametrize(("apart_mm", "merged"), [(26.0, True), (8.0, False)])
def test_two_balls_with_a_waist_may_be_two_tumours(apart_mm, merged):
    scene = KidneyScene(SPACING_MM).tumour((apart_mm / 2.0, -24.0, 0.0), 14.0)
    lesion = scene.tumour((-apart_mm / 2.0, -24.0, 0.0), 14.0).one()
    assert any("two tumours" in text for text in lesion.caveats) == merged


def test_a_horseshoe_kidney_is_told():
    made = Scene().kidney(110.0).kidney(210.0)
    made.draw(1, (60.0, 80.0, 160.0), (12.0, 12.0, 60.0)).draw(2, (100.0, 80.0, 90.0), 12.0)
    (lesion,) = score_label_map(made.label_map).lesions
    assert any("crosses the midline" in text for text in lesion.caveats)


def test_without_a_tumour_there_is_nothing_to_score():
    found = score_anatomy(
        Anatomy.of(Scene().kidney(80.0).kidney(240.0).draw(3, (100.0, 80.0, 90.0), 9.0).label_map)
    )
    assert (found.lesions, found.kidneys) == ([], [])
    assert found.caveats == ["there is no tumour to score"]


@pytest.mark.parametrize("spacing_mm", [(10.0, 4.0, 4.0), (5.0, 0.5, 0.5), (0.5, 0.9, 0.9)])
def test_remnants_of_kidneys_are_scored_or_told(spacing_mm):
    """A voxel, a line, a sheet, a kidney of which its tumours left a rind, noise: no error, no warning, no NaN."""
    generator = np.random.default_rng(2)
    for kind in ("voxel", "line", "sheet", "rind", "noise"):
        labels = np.zeros((24, 60, 160), np.uint8)
        own = labels[6:18, 20:40, 110:140]
        if kind == "rind":
            own[...] = 1
            own[1:-1, 1:-1, 1:-1] = 2
        elif kind == "noise":
            own[...] = generator.integers(0, 3, own.shape)
        else:
            ends = {"voxel": (1, 1, 1), "line": (1, 1, 30), "sheet": (12, 1, 30)}[kind]
            own[tuple(slice(end) for end in ends)] = 1
            own[:, 2:, :] = 2
        found = score_label_map(LabelMap(labels, make_geometry(labels.shape, spacing_mm)))
        assert found.lesions
        assert not re.search(r"\b(nan|inf)\b", str(found))
