"""Kidneys moved by a known turn and shift come to lie where they should."""

from __future__ import annotations

import numpy as np
import pytest
from tests.followup.scene import Ball, Patient, turned

from renalmap.followup.alignment import Alignment, align
from renalmap.followup.surface import Surface, kidney_surface

TUMOURS = (Ball("left", (-22.0, 0.0, 18.0), 12.0), Ball("left", (-10.0, -14.0, -34.0), 9.0))


def surface_of(patient: Patient, side: str = "left") -> Surface:
    anatomy = patient.anatomy()
    (kidney,) = (kidney for kidney in anatomy.kidneys if kidney.side == side)
    return kidney_surface(kidney, anatomy)


@pytest.fixture(scope="module")
def left() -> Surface:
    return surface_of(Patient(sides=("left",)))


def error_mm(found: Alignment, surface: Surface, truth: Patient, side: str = "left") -> float:
    """How far the surface comes to lie from where it should, on average."""
    from tests.followup.scene import MIDDLES_MM

    middle, rotation = MIDDLES_MM[side], truth.rotation[side]
    where = (surface.points_mm - middle) @ rotation.T + middle + truth.shift_mm[side]
    return float(np.linalg.norm(found(surface.points_mm) - where, axis=1).mean())


@pytest.mark.parametrize(
    ("axis", "degrees", "shift_mm", "spacing_mm"),
    [
        ((0, 0, 1), 0.0, (0.0, 0.0, 0.0), (3.0, 2.0, 2.0)),
        ((1, 2, 1), 18.0, (5.0, -8.0, 25.0), (2.0, 1.5, 1.5)),
        ((1, 0, 0), 25.0, (-15.0, 4.0, -30.0), (5.0, 2.0, 2.0)),
    ],
)
def test_a_moved_kidney_is_found(left, axis, degrees, shift_mm, spacing_mm):
    truth = Patient(sides=("left",), spacing_mm=spacing_mm).moved(
        "left", turned(axis, degrees), shift_mm
    )
    found = align(left, surface_of(truth))
    assert error_mm(found, left, truth) < 0.2 * max(spacing_mm) + 0.2
    assert found.turn_degrees == pytest.approx(degrees, abs=2.0)
    assert found.residual_mm < 0.9
    assert found.fits
    again = found.inverse(found(left.points_mm))
    assert np.abs(again - left.points_mm).max() < 1e-6


def test_what_grew_or_was_cut_out_does_not_pull(left):
    truth = Patient(TUMOURS, sides=("left",)).moved("left", turned((1, 1, 0), 12.0), (3.0, 2.0, -15.0))
    assert error_mm(align(left, surface_of(truth)), left, truth) < 0.6
    with_tumours = surface_of(Patient(TUMOURS, sides=("left",)))
    holes = tuple(Ball(one.side, one.at_mm, one.radius_mm + 4.0, 0) for one in TUMOURS)
    operated = Patient(holes, sides=("left",)).moved("left", turned((0, 1, 0), 8.0), (0.0, 5.0, 10.0))
    assert error_mm(align(with_tumours, surface_of(operated)), with_tumours, operated) < 1.0


def test_half_a_kidney_is_laid_on_the_whole_one_either_way(left):
    truth = Patient(sides=("left",), heights_mm=(-15.0, 90.0)).moved(
        "left", turned((1, 0, 1), 10.0), (2.0, 3.0, 4.0)
    )
    part = surface_of(truth)
    assert part.points_mm[:, 2].min() == -15.0  # the cut itself is no surface
    found = align(left, part, after_is_part=True)
    assert error_mm(found, left, truth) < 1.0
    back = align(part, left)
    assert np.abs(back(found(left.points_mm)) - left.points_mm).max() < 1.0


def test_another_body_does_not_fit(left):
    block = np.argwhere(np.ones((12, 6, 20))) * 8.0
    faces = block[(block.min(axis=1) == 0) | (block[:, 2] == block[:, 2].max())]
    normals = np.where(faces == 0, -1.0, 0.0) + np.array([0.0, 0.0, 1e-6])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    found = align(left, Surface(faces, normals, 3.0))
    assert not found.fits
