from __future__ import annotations

import numpy as np
import pytest

from renalmap.errors import AffineError, DimensionError
from renalmap.imaging import build_geometry


def rotation_about_x(degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    matrix = np.eye(4)
    matrix[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return matrix


def test_a_ras_grid_becomes_z_y_x_towards_head_back_and_left():
    geometry = build_geometry((5, 6, 7), np.diag([2.0, 3.0, 4.0, 1.0]))

    assert geometry.shape == (7, 6, 5)
    assert geometry.spacing_mm == (4.0, 3.0, 2.0)
    assert geometry.source.axes == (2, 1, 0)
    assert geometry.source.flips == (False, True, True)
    # The canonical origin is the lowest, foremost, rightmost voxel: RAS (right is negative x).
    np.testing.assert_array_equal(geometry.affine @ [0, 0, 0, 1], [8.0, 15.0, 0.0, 1.0])
    np.testing.assert_array_equal(geometry.affine @ [1, 1, 1, 1], [6.0, 12.0, 4.0, 1.0])


def test_a_patient_lying_askew_keeps_the_tilt_in_the_affine():
    affine = rotation_about_x(20.0) @ np.diag([-0.7, -0.7, 5.0, 1.0])

    geometry = build_geometry((8, 8, 3), affine)

    assert geometry.shape == (3, 8, 8)
    np.testing.assert_allclose(geometry.spacing_mm, (5.0, 0.7, 0.7))
    np.testing.assert_allclose(geometry.affine[:, [2, 1, 0, 3]], affine)


def test_an_affine_without_volume_is_refused():
    affine = np.eye(4)
    affine[:3, 2] = affine[:3, 1]
    with pytest.raises(AffineError, match="singular"):
        build_geometry((4, 4, 4), affine, where="scan.nii")
    with pytest.raises(AffineError, match="singular"):
        build_geometry((4, 4, 4), np.diag([1.0, 0.0, 1.0, 1.0]))


def test_a_sheared_affine_is_refused_with_its_angle():
    affine = np.eye(4)
    affine[1, 2] = np.tan(np.radians(10.0))
    with pytest.raises(AffineError, match=r"sheared.*10\.0 degrees"):
        build_geometry((4, 4, 4), affine)


def test_rounding_in_a_header_is_no_shear():
    affine = np.eye(4)
    affine[1, 2] = np.tan(np.radians(0.2))
    assert build_geometry((4, 4, 4), affine).shape == (4, 4, 4)


def test_a_grid_halfway_between_two_body_axes_is_refused():
    with pytest.raises(AffineError, match=r"too oblique.*40 degrees"):
        build_geometry((4, 4, 4), rotation_about_x(40.0))


def test_an_affine_with_nan_is_refused():
    affine = np.eye(4)
    affine[0, 3] = np.nan
    with pytest.raises(AffineError, match="finite"):
        build_geometry((4, 4, 4), affine)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4, 2), (4, 0, 4)])
def test_what_is_no_grid_of_three_axes_is_refused_with_its_shape(shape):
    with pytest.raises(DimensionError) as caught:
        build_geometry(shape, np.eye(4))
    assert str(shape) in str(caught.value)
