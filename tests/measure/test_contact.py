"""Contact, margins, depth and centrality against what is known by construction."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.contact import FINE, MIDDLING, PAIRS, THICK, Pair, ball, errors, everywhere, on_plane
from tests.measure.scene import Scene

from renalmap.measure.contact import SmoothLesion, contact_area_mm2
from renalmap.measure.margins import tissue_near_ml


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize(("spacing_mm", "tolerance"), [(FINE, 0.05), (THICK, 0.10)], ids=["1mm", "5mm"])
def test_contact_area_of_analytic_pairs(name, spacing_mm, tolerance):
    assert np.abs(errors(PAIRS[name], spacing_mm, places=2)).max() <= tolerance


def test_no_contact_is_none():
    apart = Pair(ball(10.0), ball(10.0, (0.0, 30.0, 0.0)), 0.0)
    lesion, kidney = apart.voxels(FINE, np.zeros(3), 90.0)
    assert contact_area_mm2(SmoothLesion.of(lesion, FINE), [kidney]) == 0.0
    assert tissue_near_ml(SmoothLesion.of(lesion, FINE), [kidney], (5.0,)) == [0.0]


def test_a_cyst_and_fat_beside_a_tumour_are_no_contact():
    """Half of a tumour in its kidney looks into a cyst, a quarter into fat."""
    scene = Scene(spacing_mm=(1.0, 1.0, 1.0), size_mm=(120.0, 100.0, 320.0))
    scene.draw(1, (60.0, 50.0, 80.0), (50.0, 30.0, 30.0)).draw(
        1, (60.0, 50.0, 240.0), (50.0, 30.0, 30.0)
    )
    whole = scene.labels == 1
    scene.draw(2, (60.0, 50.0, 240.0), 12.0)
    (inside,) = scene.measure().lesions
    assert inside.contact_mm2 == pytest.approx(4.0 * np.pi * 144.0, rel=0.02)
    tumour = scene.labels == 2
    scene.labels[60:][whole[60:] & ~tumour[60:]] = 3
    scene.labels[:60, :, 240:][~tumour[:60, :, 240:]] = 0
    lesion = scene.measure().lesions[0]
    # Both cuts run half a voxel on the kidney's side of the middle.
    assert lesion.contact_mm2 == pytest.approx(np.pi * 144.0 * (1.0 - 0.5 / 12.0) ** 2, rel=0.03)


@pytest.mark.parametrize(
    ("spacing_mm", "radius_mm"),
    [(FINE, 12.0), (MIDDLING, 12.0), (THICK, 12.0), ((0.15, 0.15, 0.15), 3.0)],
)
def test_kidney_within_a_margin_of_a_ball(spacing_mm, radius_mm):
    """Also on a grid so fine that its points are thinned out."""
    pair, margins_mm = Pair(ball(radius_mm), everywhere, 0.0), (radius_mm / 2.4, radius_mm / 1.2)
    lesion, kidney = pair.voxels(spacing_mm, np.array([0.02, 0.03, 0.01]), 5.0 * radius_mm)
    shells = [
        4.0 / 3.0 * np.pi * ((radius_mm + margin) ** 3 - radius_mm**3) / 1000.0 for margin in margins_mm
    ]
    found = tissue_near_ml(SmoothLesion.of(lesion, spacing_mm), [kidney], margins_mm)
    assert found == pytest.approx(shells, rel=0.05)


def test_kidney_within_a_margin_of_a_tumour_on_its_surface():
    """Half the shell of a ball half-sunk in a half-space, and nothing across the gap of the other half."""
    lesion, kidney = on_plane(12.0, 12.0, (0.0, 1.0, 0.0)).voxels(FINE, np.zeros(3), 60.0)
    half = 2.0 / 3.0 * np.pi * (17.0**3 - 12.0**3) / 1000.0
    assert tissue_near_ml(SmoothLesion.of(lesion, FINE), [kidney], (5.0,)) == pytest.approx(
        [half], rel=0.04
    )


@pytest.mark.parametrize("out_mm", [16.0, 28.0, 34.0])
def test_depth_and_hsieh_of_a_sphere_sunk_into_an_ellipsoid(out_mm):
    """Its deepest point lies 12 mm further in than its centre; the surface there is at 28 mm."""
    scene = Scene(spacing_mm=(1.5, 1.0, 1.0)).kidney(80.0).kidney(240.0)
    lesion = scene.draw(2, (100.0, 80.0, 240.0 + out_mm), 12.0).measure().lesions[0]
    depth_mm = 28.0 - (out_mm - 12.0)
    assert lesion.depth_mm is not None
    # A crater is closed by a plane, below which a tumour that bulged out of it is less deep.
    lost_mm = 0.5 if out_mm == 16.0 else 2.5
    assert depth_mm - lost_mm - 1.0 <= lesion.depth_mm <= depth_mm + 0.5
    radius_mm = lesion.longest_axial_diameter_mm / 2.0
    sunk_mm = min(lesion.depth_mm, 2.0 * radius_mm)
    assert lesion.hsieh_contact_mm2 == pytest.approx(2.0 * np.pi * radius_mm * sunk_mm, rel=0.002)


def test_c_index_is_the_distance_between_middles_in_radii():
    """Simmons' own triangle: 30 mm up and 24 mm aside, for a tumour of 12 mm radius; a crater moves no centre."""
    scene = Scene(spacing_mm=(1.5, 1.0, 1.0)).kidney(80.0).kidney(240.0)
    scene.draw(2, (130.0, 80.0, 264.0), 12.0).draw(2, (100.0, 80.0, 80.0 - 22.0), 15.0)
    left, right = sorted(scene.measure().lesions, key=lambda one: str(one.side))
    assert (left.craniocaudal_offset_mm, left.axial_offset_mm) == pytest.approx((30.0, 24.0), abs=1.0)
    assert left.c_index == pytest.approx(np.hypot(30.0, 24.0) / 12.0, rel=0.03)
    assert right.axial_offset_mm == pytest.approx(22.0, abs=3.0)
    assert right.craniocaudal_offset_mm == pytest.approx(0.0, abs=0.8)


def test_shares_of_both_kidneys(two_kidneys):
    two_kidneys.draw(0, (155.0, 80.0, 80.0), (30.0, 40.0, 40.0))
    left, right = two_kidneys.measure().kidneys
    assert left.share_of_both is not None
    assert right.share_of_both == pytest.approx(1.0 - left.share_of_both, abs=0.001)
    assert left.share_of_both == pytest.approx(
        left.parenchyma_ml / (left.parenchyma_ml + right.parenchyma_ml), abs=0.001
    )
    assert Scene().kidney(80.0).measure().kidneys[0].share_of_both is None
    assert {
        one.share_of_both for one in Scene().kidney(80.0, z_mm=10.0).kidney(240.0).measure().kidneys
    } == {None}


def test_what_needs_a_whole_kidney_is_left_out_of_a_truncated_one():
    cut = Scene().kidney(80.0, z_mm=20.0).kidney(240.0).draw(2, (60.0, 80.0, 80.0), 10.0)
    lesion = cut.measure().lesions[0]
    assert (lesion.depth_mm, lesion.hsieh_contact_mm2, lesion.c_index) == (None, None, None)
    assert lesion.contact_mm2
    assert lesion.kidney_within_5_mm_ml
    assert lesion.kidney_within_10_mm_ml
    assert lesion.kidney_within_5_mm_ml < lesion.kidney_within_10_mm_ml
    alone = Scene().draw(2, (60.0, 80.0, 80.0), 10.0).measure().lesions[0]
    assert (alone.contact_mm2, alone.kidney_within_5_mm_ml, alone.depth_mm) == (None, None, None)


@pytest.mark.parametrize("voxels", [np.s_[40:41, 40:60, 100:120], np.s_[40:60, 50:51, 100:101]])
def test_a_tumour_one_voxel_thick_has_a_finite_contact(voxels, two_kidneys):
    two_kidneys.labels[20:70, 20:80, 90:130] = 1
    two_kidneys.labels[voxels] = 2
    tumour = two_kidneys.measure().lesions[0]
    assert tumour.contact_mm2 is not None
    assert 0.0 < tumour.contact_mm2 < np.inf
