"""Every measure and flag on scenes whose answer is known by construction."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from tests.measure.scene import Scene, make_geometry

from renalmap.errors import GeometryMismatchError, LabelError
from renalmap.imaging import LabelMap, Volume, read_label_map
from renalmap.measure import Measurements, measure_label_map

KIDNEY_ML = 4.0 / 3.0 * np.pi * 55.0 * 25.0 * 28.0 / 1000.0


def codes(measured: Measurements) -> list[str]:
    return [flag.code for flag in measured.flags]


def sides(measured: Measurements) -> list[str | None]:
    return [kidney.side for kidney in measured.kidneys]


# Kidneys and their sides.


def test_two_kidneys_are_measured_and_raise_no_flag(two_kidneys):
    measured = two_kidneys.measure()
    assert sides(measured) == ["left", "right"]
    assert (measured.side_basis, codes(measured), measured.lesions) == ("both_kidneys", [], [])
    for kidney, x_mm in zip(measured.kidneys, (240.0, 80.0), strict=True):
        assert kidney.parenchyma_ml == pytest.approx(KIDNEY_ML, rel=0.01)
        assert kidney.length_mm == pytest.approx(110.0, abs=1.5)
        assert (kidney.tumour_ml, kidney.cyst_ml, kidney.pieces, kidney.lesions) == (0.0, 0.0, 1, [])
        assert (kidney.incomplete, kidney.borders, kidney.mean_hu) == (False, [], None)
        # Voxel (0, 0, 0) lies at (40, 60, -300) mm; world x grows to the right side of the picture: RAS+.
        assert kidney.centroid.world_mm == pytest.approx((40.0 - x_mm, -20.0, -200.0), abs=0.3)


def test_both_kidneys_of_a_patient_far_off_the_middle():
    """Both lie in the picture's right half; only their own middle tells which is which."""
    assert sides(Scene(size_mm=(200, 160, 600)).kidney(60.0).kidney(200.0).measure()) == [
        "left",
        "right",
    ]


@pytest.mark.parametrize(("x_mm", "side"), [(80.0, "right"), (240.0, "left")])
def test_one_kidney_without_a_scan_is_told_by_the_field_of_view_and_says_so(x_mm, side):
    measured = Scene().kidney(x_mm).measure()
    assert sides(measured) == [side]
    assert measured.side_basis == "field_of_view"
    assert codes(measured) == ["only_one_kidney_found", "side_from_field_of_view"]


def test_one_kidney_near_the_middle_has_no_side_unless_a_scan_gives_it():
    scene = Scene().kidney(175.0).draw(2, (100.0, 80.0, 205.0), 12.0)
    measured = scene.measure()
    assert sides(measured) == [None]
    assert [lesion.side for lesion in measured.lesions] == [None]
    assert measured.lesions[0].kidney == 1
    assert codes(measured) == ["only_one_kidney_found", "side_uncertain"]
    with_scan = scene.measure(scene.scan(body_x_mm=(100.0, 319.0)))
    assert (sides(with_scan), with_scan.side_basis) == (["right"], "scan")
    assert with_scan.lesions[0].side == "right"
    assert codes(with_scan) == ["only_one_kidney_found"]


def test_a_scan_without_a_body_does_not_decide(two_kidneys):
    air = Volume(np.full(two_kidneys.labels.shape, -1000, np.int16), two_kidneys.geometry)
    assert two_kidneys.measure(air).side_basis == "both_kidneys"


def test_a_horseshoe_kidney_is_parted_by_the_midline_and_flagged():
    scene = Scene().kidney(110.0).kidney(210.0).draw(1, (60.0, 80.0, 160.0), (12.0, 12.0, 60.0))
    measured = scene.measure()
    assert sides(measured) == ["left", "right"]
    assert codes(measured) == ["crosses_midline", "side_from_field_of_view"]
    left, right = measured.kidneys
    assert left.parenchyma_ml == pytest.approx(right.parenchyma_ml, rel=0.03)
    total_ml = np.count_nonzero(scene.labels) * scene.geometry.voxel_ml
    assert left.parenchyma_ml + right.parenchyma_ml == pytest.approx(total_ml, abs=0.01)


def test_a_tumour_across_the_midline_stays_with_its_kidney(two_kidneys):
    two_kidneys.draw(2, (100.0, 80.0, 175.0), 45.0)
    measured = two_kidneys.measure()
    (lesion,) = measured.lesions
    assert sides(measured) == ["left", "right"]
    assert (lesion.side, lesion.kidney) == ("left", 1)
    assert not any(kidney.crosses_midline for kidney in measured.kidneys)


def test_a_transplant_in_the_pelvis_is_a_kidney_of_its_own():
    scene = Scene(size_mm=(320.0, 160.0, 320.0))
    scene.kidney(80.0, 240.0).kidney(240.0, 240.0).draw(1, (70.0, 40.0, 90.0), (50.0, 24.0, 24.0))
    measured = scene.measure()
    assert sides(measured) == ["left", "right", "right"]
    assert "more_than_two_kidneys" in codes(measured)
    assert measured.kidneys[2].centroid.voxel_zyx[0] * 2.5 == pytest.approx(70.0, abs=0.5)


def test_a_kidney_in_pieces_is_one_kidney(two_kidneys):
    two_kidneys.labels[38:40, :, :100] = 0  # five millimetres of the right one
    measured = two_kidneys.measure()
    assert sides(measured) == ["left", "right"]
    assert [kidney.pieces for kidney in measured.kidneys] == [1, 2]
    assert measured.kidneys[1].length_mm == pytest.approx(110.0, abs=1.5)


def test_a_far_island_is_counted_but_makes_no_kidney_longer(two_kidneys):
    clean = two_kidneys.measure().kidneys[1]
    two_kidneys.labels[2:6, 10:14, 20:24] = 1  # 0.4 ml
    right = two_kidneys.measure().kidneys[1]
    assert right.pieces == 2
    assert right.parenchyma_ml == pytest.approx(clean.parenchyma_ml + 64 * 0.0064, abs=0.002)
    assert right.length == clean.length


def test_labels_in_any_stored_orientation_measure_the_same(two_kidneys, tmp_path):
    """Also with stored axes that run the other way: sides and world places are the patient's."""
    two_kidneys.draw(2, (125.0, 60.0, 255.0), (12.0, 14.0, 18.0))
    canonical = nib.Nifti1Image(two_kidneys.labels.astype(np.uint16), two_kidneys.geometry.affine)
    found = {}
    for axcodes in ("SPL", "RAS", "LPS", "IPL", "PIR", "ASR"):
        turn = nib.orientations.ornt_transform(
            nib.orientations.axcodes2ornt("SPL"), nib.orientations.axcodes2ornt(axcodes)
        )
        path = tmp_path / f"{axcodes}.nii.gz"
        nib.save(canonical.as_reoriented(turn), path)
        measured = measure_label_map(read_label_map(path))
        end = measured.lesions[0].longest_axial_diameter.end
        stored = nib.Nifti1Image.from_filename(path).affine @ [*end.stored_ijk, 1.0]
        assert stored[:3] == pytest.approx(end.world_mm, abs=0.05)
        found[axcodes] = measured.model_dump(exclude={"name"})
    for told in found.values():
        drop_stored(told)
    assert all(told == found["SPL"] for told in found.values())
    assert found["SPL"]["lesions"][0]["side"] == "left"


def drop_stored(node):
    """Take out the places in the file's own voxels, the only thing that may differ."""
    if isinstance(node, dict):
        node.pop("stored_ijk", None)
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        drop_stored(value)


# Lesions.


def test_a_lesion_is_placed_in_its_kidney(two_kidneys):
    two_kidneys.draw(2, (140.0, 80.0, 80.0), 8.0).draw(2, (100.0, 80.0, 80.0), 7.0)
    two_kidneys.draw(2, (60.0, 80.0, 240.0), 6.0)
    measured = two_kidneys.measure()
    told = [(one.id, one.side, one.kidney, one.polar_position) for one in measured.lesions]
    assert told == [(1, "right", 2, "upper"), (2, "right", 2, "middle"), (3, "left", 1, "lower")]
    assert measured.lesions[0].polar_fraction == pytest.approx((140.0 - 45.0) / 110.0, abs=0.02)
    assert [kidney.lesions for kidney in measured.kidneys] == [[3], [1, 2]]
    assert measured.kidneys[1].tumour_ml == pytest.approx(
        measured.lesions[0].volume_ml + measured.lesions[1].volume_ml
    )
    assert all(lesion.exophytic_share == 0.0 for lesion in measured.lesions)


@pytest.mark.parametrize(
    ("out_mm", "least", "most"), [(0.0, 0.0, 0.0), (28.0, 0.45, 0.72), (40.0, 0.9, 1.0)]
)
def test_exophytic_share_of_a_sphere_sunk_by_a_known_depth(out_mm, least, most):
    """A sphere of 12 mm, its centre `out_mm` from the kidney's, whose surface lies at 28 mm there.

    At 28 mm 0.55 of it lie outside the ellipsoid; the flat closing reads more (docs/measurements.md).
    """
    scene = Scene(spacing_mm=(1.5, 1.0, 1.0)).kidney(80.0).kidney(240.0)
    scene.draw(2, (100.0, 80.0, 240.0 + out_mm), 12.0)
    share = scene.measure().lesions[0].exophytic_share
    assert share is not None
    assert least <= share <= most


def test_touching_tumours_are_one_and_cysts_are_another_kind(two_kidneys):
    two_kidneys.draw(2, (100.0, 80.0, 80.0), 10.0).draw(2, (100.0, 80.0, 97.0), 8.0)
    two_kidneys.draw(3, (130.0, 80.0, 80.0), 9.0).draw(3, (100.0, 80.0, 240.0), 12.0)
    measured = two_kidneys.measure()
    assert [(one.id, one.kind, one.side) for one in measured.lesions] == [
        (1, "tumour", "right"),
        (2, "cyst", "left"),
        (3, "cyst", "right"),
    ]
    assert measured.lesions[0].longest_axial_diameter_mm == pytest.approx(35.0, abs=1.0)
    assert measured.lesions[1].size_class is None
    assert measured.kidneys[0].cyst_ml == measured.lesions[1].volume_ml
    assert [one.id for one in measured.tumours] == [1]


@pytest.mark.parametrize(
    ("radius_mm", "size_class"),
    [(19.0, "up to 4 cm"), (22.0, "over 4 to 7 cm"), (38.0, "over 7 to 10 cm"), (53.0, "over 10 cm")],
)
def test_size_classes(radius_mm, size_class):
    scene = Scene().kidney(80.0).kidney(240.0).draw(2, (100.0, 80.0, 240.0), radius_mm)
    measured = scene.measure()
    assert measured.lesions[0].size_class == size_class
    assert "not a T stage" in measured.size_class_note


def test_a_diameter_does_not_bridge_a_gap(two_kidneys):
    """A horseshoe-shaped tumour: two legs in the upper slices, joined below."""
    labels = two_kidneys.labels
    labels[40, 40:60, 140:160] = labels[41:46, 40:60, 140:145] = labels[41:46, 40:60, 155:160] = 2
    lesion = two_kidneys.measure().lesions[0]
    assert lesion.slice == 40
    assert lesion.longest_axial_diameter_mm == pytest.approx(1.6 * np.hypot(19.5, 19.0), abs=0.01)
    labels[40, 40:60, 145:155] = 1
    labels[39, 50, 140:160] = 2  # now only a thin line joins the legs
    lesion = two_kidneys.measure().lesions[0]
    assert lesion.longest_axial_diameter_mm == pytest.approx(1.6 * np.hypot(19.5, 4.0), abs=0.01)


def test_specks_are_listed_and_in_no_measure(two_kidneys):
    clean = two_kidneys.measure()
    two_kidneys.labels[5, 5, 5] = 1
    two_kidneys.labels[5, 90, 190] = 2
    measured = two_kidneys.measure()
    assert measured.kidneys == clean.kidneys
    assert measured.lesions == []
    assert [(speck.kind, speck.centroid.voxel_zyx) for speck in measured.specks] == [
        ("tumour", (5.0, 90.0, 190.0)),
        ("kidney", (5.0, 5.0, 5.0)),
    ] or {speck.kind for speck in measured.specks} == {"kidney", "tumour"}
    assert codes(measured) == ["specks_left_out"]
    assert measured.specks[0].volume_ml == pytest.approx(0.0064)


def test_a_tumour_far_from_any_kidney_is_no_kidneys(two_kidneys):
    two_kidneys.draw(2, (185.0, 20.0, 160.0), 10.0)
    measured = two_kidneys.measure()
    (lesion,) = measured.lesions
    assert (lesion.kidney, lesion.polar_position, lesion.exophytic_share) == (None, None, None)
    assert codes(measured) == ["lesion_without_kidney"]
    assert [kidney.tumour_ml for kidney in measured.kidneys] == [0.0, 0.0]


def test_a_tumour_alone_is_measured(two_kidneys):
    two_kidneys.labels[two_kidneys.labels > 0] = 2
    measured = two_kidneys.measure()
    assert measured.kidneys == []
    assert [lesion.side for lesion in measured.lesions] == ["left", "right"]
    assert codes(measured) == ["no_kidney_found"]


# What the scan cuts off.


def test_a_kidney_cut_by_the_first_slice_is_measured_and_flagged(two_kidneys):
    cut = Scene().kidney(80.0, z_mm=0.0).kidney(240.0)
    cut.draw(2, (0.0, 80.0, 80.0), 10.0)
    measured = cut.measure()
    left, right = measured.kidneys
    assert (left.incomplete, right.incomplete, right.borders) == (False, True, ["feet"])
    assert right.parenchyma_ml + right.tumour_ml == pytest.approx(KIDNEY_ML / 2, rel=0.05)
    (lesion,) = measured.lesions
    assert (lesion.incomplete, lesion.borders) == (True, ["feet"])
    assert (lesion.polar_position, lesion.exophytic_share) == (None, None)
    assert codes(measured) == ["kidney_incomplete", "lesion_incomplete"]
    assert measured.flags[0].text == (
        "the right kidney is truncated (first slice): its measurements are lower bounds"
    )


def test_a_tip_in_one_slice_is_not_nothing():
    scene = Scene().kidney(240.0)
    scene.labels[-1, 45:55, 45:60] = 1
    right = scene.measure().kidneys[1]
    assert (right.side, right.borders) == ("right", ["head"])
    assert right.parenchyma_ml == pytest.approx(150 * 0.0064)
    assert right.length_mm > 0.0


# Intensities.


def test_hu_of_kidneys_and_lesions(two_kidneys):
    two_kidneys.draw(2, (100.0, 80.0, 80.0), 10.0).draw(3, (100.0, 80.0, 240.0), 8.0)
    volume = two_kidneys.scan()
    volume.hu[two_kidneys.labels == 2] += np.where(
        np.arange((two_kidneys.labels == 2).sum()) % 2, 10, -10
    )
    measured = two_kidneys.measure(volume)
    assert measured.with_scan
    assert [(kidney.mean_hu, kidney.sd_hu) for kidney in measured.kidneys] == [(170.0, 0.0)] * 2
    tumour, cyst = measured.lesions
    assert (tumour.mean_hu, tumour.sd_hu) == pytest.approx((90.0, 10.0), abs=0.1)
    assert (cyst.mean_hu, cyst.sd_hu) == (5.0, 0.0)


# Bad inputs.


def test_an_empty_map_has_no_measures_and_says_so():
    measured = Scene().measure()
    assert (measured.kidneys, measured.lesions, codes(measured)) == ([], [], ["no_kidney_found"])


def test_values_that_are_no_labels_are_refused(two_kidneys):
    two_kidneys.labels[0, 0, :2] = 7, 9
    with pytest.raises(LabelError, match=r"scene: .*not labels \(got 7, 9; expected 0 background"):
        two_kidneys.measure()


def test_a_scan_on_another_grid_is_refused(two_kidneys):
    other = make_geometry(two_kidneys.labels.shape, (2.5, 1.6, 1.7))
    volume = Volume(np.zeros(two_kidneys.labels.shape, np.int16), other)
    with pytest.raises(GeometryMismatchError, match=r"different grids .*2.5 x 1.6 x 1.7 mm"):
        two_kidneys.measure(volume)


def test_measurements_survive_json(two_kidneys):
    measured = two_kidneys.draw(2, (100.0, 80.0, 80.0), 10.0).measure()
    assert Measurements.model_validate_json(measured.model_dump_json()) == measured


def test_labels_that_fill_the_map():
    labels = np.ones((3, 4, 5), np.uint8)
    measured = measure_label_map(LabelMap(labels, make_geometry((3, 4, 5), (5.0, 10.0, 10.0))))
    assert measured.kidneys[0].parenchyma_ml == pytest.approx(30.0)
    assert measured.kidneys[0].borders == ["feet", "head", "front", "back", "right", "left"]


def test_the_old_name_of_flags_warns_of_its_end():
    import renalmap.measure

    with pytest.warns(DeprecationWarning, match=r"renalmap\.anatomy\.Flag now; .* 0\.3\.0"):
        old = renalmap.measure.MeasurementFlag
    assert isinstance(Scene().measure().flags[0], old)
