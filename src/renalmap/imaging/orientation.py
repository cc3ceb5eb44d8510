"""From a stored grid and its affine to the one canonical orientation, axes (z, y, x) to S, P, L."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from renalmap.errors import AffineError, DimensionError
from renalmap.imaging.volume import Geometry, SourceGrid

MAX_SHEAR_DEGREES: Final = 0.5
"""Axes may miss a right angle by this much: rounding in headers, not a gantry tilt."""

MAX_OBLIQUE_DEGREES: Final = 30.0
"""A stored axis may lean this far from its body axis: a patient lying obliquely; the slices are still axial."""

LPS_TO_RAS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From DICOM's and ITK's world to NIfTI's, and back: it is its own inverse."""

VOXEL_MM: Final = (0.05, 50.0)
"""A voxel's edges: no scanner's are shorter, and slices further apart show no kidney."""

LONGEST_MM: Final = 2500.0
"""No body, and no scanner's table, is longer."""

FARTHEST_MM: Final = 1e6
"""Positions beyond this are no longer exact in NIfTI's float32."""

_WORLD_AXIS_ZYX: Final = (2, 1, 0)
_WORLD_SIGN_ZYX: Final = (1.0, -1.0, -1.0)


def build_geometry(
    shape: tuple[int, ...],
    affine: NDArray[np.float64],
    *,
    header: Any = None,
    where: Path | str | None = None,
    doubts: tuple[str, ...] = (),
) -> Geometry:
    """Find the canonical orientation of a stored grid.

    Only axes are permuted and reversed; nothing is resampled. A moderately oblique grid keeps its
    obliqueness in the affine.

    Args:
        shape: the stored array's three sizes.
        affine: (4, 4), stored voxel index to world (mm, RAS+).
        header: the NIfTI header to keep for writing, or None.
        where: the file or folder, for messages.
        doubts: what is doubtful about all this, for the stored grid.

    Returns:
        The canonical grid, with the stored grid as its `source`.

    Raises:
        DimensionError: `shape` is not three positive sizes.
        AffineError: the affine is not finite, singular, sheared by more than `MAX_SHEAR_DEGREES`,
            oblique by more than `MAX_OBLIQUE_DEGREES`, or no grid of a scan of a body has such a size.
    """
    check_shape(shape, where)
    stored_affine = np.array(affine, dtype=np.float64)
    directions, spacing_mm = _directions_and_spacing(stored_affine, where)
    _check_right_angles(directions, where)
    _check_size(shape, stored_affine, where)
    axes, flips = _canonical_axes(directions, where)
    stored_shape = (int(shape[0]), int(shape[1]), int(shape[2]))
    source = SourceGrid(stored_shape, stored_affine, axes, flips, header, doubts)
    return Geometry(
        shape=(stored_shape[axes[0]], stored_shape[axes[1]], stored_shape[axes[2]]),
        spacing_mm=(
            float(spacing_mm[axes[0]]),
            float(spacing_mm[axes[1]]),
            float(spacing_mm[axes[2]]),
        ),
        affine=stored_affine @ _canonical_to_stored(stored_shape, axes, flips),
        source=source,
    )


def check_shape(shape: Sequence[int], where: Path | str | None) -> None:
    """Refuse what is not three positive sizes.

    Raises:
        DimensionError: it is not.
    """
    if len(shape) != 3 or min(shape) < 1:
        raise DimensionError(
            "the image is not a three-dimensional grid",
            where=where,
            got=f"shape {tuple(shape)}",
            expected="three axes, each at least one voxel long",
            hint="Give one CT volume; split a series of volumes first",
        )


def spacing_of(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3,) mm between voxels along each stored axis."""
    spacing_mm: NDArray[np.float64] = np.linalg.norm(affine[:3, :3], axis=0)
    return spacing_mm


def describe_implausible(shape: Sequence[int], affine: NDArray[np.float64]) -> str | None:
    """Which property of a stored grid no scan of a body can have, a few words; None if it can be one."""
    spacing_mm = spacing_of(affine)
    if not (spacing_mm.min() >= VOXEL_MM[0] and spacing_mm.max() <= VOXEL_MM[1]):
        return f"voxels of {' x '.join(f'{each:.4g}' for each in spacing_mm)} mm"
    extent_mm = spacing_mm * shape
    if extent_mm.max() > LONGEST_MM:
        return f"an extent of {' x '.join(f'{each:.4g}' for each in extent_mm)} mm"
    if np.abs(affine[:3, 3]).max() > FARTHEST_MM:
        return f"a position {np.abs(affine[:3, 3]).max():.4g} mm from the origin"
    return None


def _check_size(shape: Sequence[int], affine: NDArray[np.float64], where: Path | str | None) -> None:
    absurd = describe_implausible(shape, affine)
    if absurd is not None:
        raise AffineError(
            "no scan of a body has this size",
            where=where,
            got=absurd,
            expected=f"voxels of {VOXEL_MM[0]:g} to {VOXEL_MM[1]:g} mm, at most {LONGEST_MM:g} mm in all",
            hint="Is the unit millimetres?",
        )


def _directions_and_spacing(
    affine: NDArray[np.float64], where: Path | str | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unit direction of each stored axis (as columns) and its voxel spacing in mm."""
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        raise AffineError(
            "the affine is not a finite 4 by 4 matrix",
            where=where,
            got=str(affine.tolist()),
            hint="Convert the scan from DICOM again",
        )
    spacing_mm = spacing_of(affine)
    if spacing_mm.min() > 0.0:
        directions = affine[:3, :3] / spacing_mm
        if abs(np.linalg.det(directions)) > 1e-6:
            return directions, spacing_mm
    raise AffineError(
        "the affine is singular: all voxels of a line share one position",
        where=where,
        got=str(affine[:3, :3].tolist()),
        expected="three independent axes",
        hint="Convert the scan from DICOM again",
    )


def _check_right_angles(directions: NDArray[np.float64], where: Path | str | None) -> None:
    cosines = np.abs(directions.T @ directions - np.eye(3))
    shear_degrees = float(np.degrees(np.arcsin(min(1.0, cosines.max()))))
    if shear_degrees > MAX_SHEAR_DEGREES:
        raise AffineError(
            "the affine is sheared: the voxel axes do not meet at right angles",
            where=where,
            got=f"{shear_degrees:.1f} degrees off a right angle",
            expected=f"at most {MAX_SHEAR_DEGREES} degrees",
            hint="A tilted gantry does this; resample the scan onto a right-angled grid first",
        )


def _canonical_axes(
    directions: NDArray[np.float64], where: Path | str | None
) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """The stored axis behind each of (z, y, x), and whether it runs the other way."""
    along_body = np.abs(directions).max(axis=0)
    oblique_degrees = float(np.degrees(np.arccos(min(1.0, along_body.min()))))
    if oblique_degrees > MAX_OBLIQUE_DEGREES:
        raise AffineError(
            "the grid is too oblique to be cut into axial slices",
            where=where,
            got=f"an axis {oblique_degrees:.0f} degrees off the body's",
            expected=f"at most {MAX_OBLIQUE_DEGREES:.0f} degrees",
            hint="Reconstruct or resample the scan axially first",
        )
    # Below 45 degrees each stored axis has a body axis of its own, so this is a permutation.
    world_of_stored = np.abs(directions).argmax(axis=0).tolist()
    z, y, x = (world_of_stored.index(world) for world in _WORLD_AXIS_ZYX)
    flip_z, flip_y, flip_x = (
        bool(directions[world, stored] * sign < 0.0)
        for world, stored, sign in zip(_WORLD_AXIS_ZYX, (z, y, x), _WORLD_SIGN_ZYX, strict=True)
    )
    return (z, y, x), (flip_z, flip_y, flip_x)


def _canonical_to_stored(
    stored_shape: tuple[int, int, int],
    axes: tuple[int, int, int],
    flips: tuple[bool, bool, bool],
) -> NDArray[np.float64]:
    """(4, 4) matrix from canonical voxel index to stored voxel index."""
    matrix = np.zeros((4, 4))
    matrix[3, 3] = 1.0
    for canonical, (stored, flip) in enumerate(zip(axes, flips, strict=True)):
        matrix[stored, canonical] = -1.0 if flip else 1.0
        matrix[stored, 3] = stored_shape[stored] - 1 if flip else 0
    return matrix
