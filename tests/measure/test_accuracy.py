"""Diameters and volumes of spheres and ellipsoids at random places between the voxels, against the truth."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.diameters import ellipsoid_mask, true_diameters_mm, turned_form
from tests.measure.scene import make_geometry

from renalmap.imaging import LabelMap
from renalmap.measure import LesionMeasurement, measure_label_map
from renalmap.measure.lines import Spacing

GRIDS: tuple[Spacing, ...] = (
    (0.5, 0.8, 0.8),
    (1.0, 0.7, 0.7),
    (2.5, 0.8, 0.8),
    (5.0, 0.75, 0.75),
    (2.0, 2.0, 2.0),
)

BODIES = [
    (tuple(radius_mm * share for share in shares), spacing_mm)
    for shares in ((1.0, 1.0, 1.0), (1.0, 0.8, 0.65))
    for radius_mm in (5.0, 12.0, 20.0)
    for spacing_mm in GRIDS
    if 2.0 * radius_mm * min(shares) >= 4.0 * max(spacing_mm)
]
"""At least four voxels thick everywhere: nothing is stated of thinner ones."""


def measure_mask(mask, spacing_mm) -> LesionMeasurement:
    labels = np.pad(mask, 2).astype(np.uint8) * 2
    (lesion,) = measure_label_map(LabelMap(labels, make_geometry(labels.shape, spacing_mm))).lesions
    return lesion


def errors_mm(axes_mm, spacing_mm, places=4):
    """Measured less true, (places, 3): axial, short, 3D; and the volume's ratio to the truth."""
    rng = np.random.default_rng(7)
    found, ratios = [], []
    for _ in range(places):
        form = turned_form(axes_mm, rng)
        lesion = measure_mask(ellipsoid_mask(form, spacing_mm, rng.uniform(-0.5, 0.5, 3)), spacing_mm)
        measured = (
            lesion.longest_axial_diameter_mm,
            lesion.short_axis_mm,
            lesion.largest_3d_diameter_mm,
        )
        found.append(measured - true_diameters_mm(form))
        ratios.append(lesion.volume_ml * 1000.0 / (4.0 / 3.0 * np.pi * np.prod(axes_mm)))
    return np.array(found), np.array(ratios)


@pytest.mark.parametrize(("axes_mm", "spacing_mm"), BODIES, ids=str)
def test_diameters_keep_the_tolerance_that_is_stated(axes_mm, spacing_mm):
    """docs/measurements.md: axial within a pixel's side, its bias within half of one."""
    errors, ratios = errors_mm(axes_mm, spacing_mm)
    pixel_mm, largest_mm = spacing_mm[1], max(spacing_mm)
    axial, short, in_space = errors.T
    assert np.abs(axial).max() <= pixel_mm
    assert abs(axial.mean()) <= 0.5 * pixel_mm
    assert np.abs(short).max() <= 1.2 * pixel_mm
    assert np.abs(in_space).max() <= 0.6 * largest_mm
    assert ratios.mean() == pytest.approx(1.0, abs=0.05)


def test_tiny_and_huge_spheres():
    for radius_mm, spacing_mm in ((3.0, (1.0, 0.7, 0.7)), (50.0, (2.5, 0.9, 0.9))):
        errors, _ = errors_mm([radius_mm] * 3, spacing_mm, places=3)
        assert np.abs(errors[:, 0]).max() <= spacing_mm[1]


def test_the_short_axis_stands_at_right_angles_in_the_same_slice():
    form = turned_form((20.0, 14.0, 10.0), np.random.default_rng(1))
    lesion = measure_mask(ellipsoid_mask(form, (2.5, 0.8, 0.8), np.zeros(3)), (2.5, 0.8, 0.8))
    lines = []
    for diameter in (lesion.longest_axial_diameter, lesion.short_axis):
        assert diameter.start.voxel_zyx[0] == diameter.end.voxel_zyx[0] == lesion.slice
        lines.append(np.array(diameter.end.world_mm) - np.array(diameter.start.world_mm))
        assert np.linalg.norm(lines[-1]) == pytest.approx(diameter.length_mm, abs=0.03)
    cosine = lines[0] @ lines[1] / np.prod([np.linalg.norm(line) for line in lines])
    assert abs(cosine) < 0.01
    in_space = lesion.largest_3d_diameter
    gap = np.array(in_space.end.world_mm) - np.array(in_space.start.world_mm)
    assert np.linalg.norm(gap) == pytest.approx(lesion.largest_3d_diameter_mm, abs=0.03)


@pytest.mark.parametrize("mask", [np.ones((1, 1, 1), bool), np.ones((1, 9, 1), bool)])
def test_one_voxel_wide_bodies_have_a_size(mask):
    lesion = measure_mask(mask, (5.0, 6.0, 5.0))
    assert lesion.short_axis_mm == pytest.approx(2.5)
    assert lesion.longest_axial_diameter_mm == pytest.approx(6.0 * (mask.shape[1] - 0.5))
    assert lesion.largest_3d_diameter_mm >= lesion.longest_axial_diameter_mm
