"""Surface metrics on shapes whose distances are known in mm."""

from __future__ import annotations

import sys
from math import inf, isnan

import numpy as np
import pytest

from renalmap.errors import MissingDependencyError
from renalmap.evaluation.surface import surface_distances

SPACING_MM = (2.5, 0.8, 0.7)


def cube() -> np.ndarray:
    mask = np.zeros((24, 24, 24), dtype=bool)
    mask[6:16, 6:16, 6:16] = True
    return mask


def sphere(radius_mm: float) -> np.ndarray:
    grids = np.indices((25, 61, 61)) - np.array([12, 30, 30]).reshape(3, 1, 1, 1)
    distance_mm = np.sqrt(sum((g * s) ** 2 for g, s in zip(grids, SPACING_MM, strict=True)))
    return np.asarray(distance_mm <= radius_mm)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_cube_shifted_by_two_voxels_is_that_many_mm_away(axis):
    shifted = np.roll(cube(), 2, axis=axis)
    assert surface_distances(shifted, cube(), SPACING_MM).hd_mm() == pytest.approx(2 * SPACING_MM[axis])


def test_identical_masks_are_at_no_distance():
    assert surface_distances(cube(), cube(), SPACING_MM).hd_mm() == 0.0
    assert surface_distances(cube(), cube(), SPACING_MM).dice(0.0) == 1.0


def test_concentric_spheres_differ_by_their_radii():
    gap = surface_distances(sphere(20.0), sphere(15.0), SPACING_MM).hd_mm()
    assert gap == pytest.approx(5.0, abs=1.3)


def test_surface_dice_turns_at_the_tolerance():
    shifted = np.roll(cube(), 2, axis=2)
    assert surface_distances(shifted, cube(), SPACING_MM).dice(1.41) == 1.0
    assert surface_distances(shifted, cube(), SPACING_MM).dice(1.39) < 0.95


def test_surface_metrics_are_symmetric():
    small, large = sphere(12.0), np.roll(sphere(15.0), 3, axis=1)
    forwards = surface_distances(small, large, SPACING_MM)
    backwards = surface_distances(large, small, SPACING_MM)
    assert forwards.hd_mm() == pytest.approx(backwards.hd_mm())
    assert forwards.dice(1.5) == pytest.approx(backwards.dice(1.5))
    assert forwards.hd_mm(100) >= forwards.hd_mm(95) > 0.0


def test_a_single_voxel_and_a_mask_at_the_border_have_surfaces():
    voxel = np.zeros((3, 4, 5), dtype=bool)
    voxel[0, 0, 0] = True
    far = np.zeros_like(voxel)
    far[2, 0, 0] = True
    assert surface_distances(voxel, far, SPACING_MM).hd_mm() == pytest.approx(5.0)


def test_empty_masks():
    empty = np.zeros_like(cube())
    assert isnan(surface_distances(empty, empty, SPACING_MM).hd_mm())
    assert isnan(surface_distances(empty, empty, SPACING_MM).dice(1.0))
    for pair in ((empty, cube()), (cube(), empty)):
        assert surface_distances(*pair, SPACING_MM).hd_mm() == inf
        assert surface_distances(*pair, SPACING_MM).dice(1.0) == 0.0


def test_masks_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="differ in shape"):
        surface_distances(cube()[:1], cube(), SPACING_MM)


def test_a_missing_package_names_the_extra(monkeypatch):
    # None in sys.modules is how Python itself marks a module that cannot be imported.
    monkeypatch.setitem(sys.modules, "surface_distance", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'renalmap\[evaluation\]'"):
        surface_distances(cube(), cube(), SPACING_MM).hd_mm()
