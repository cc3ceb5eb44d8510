"""Closed smooth surfaces of voxel masks, in patient millimetres, that enclose the voxels' volume.

The mask is smoothed by a Gaussian on a finer grid, and its surface is the level of the smoothed field that
encloses as much as the voxels do: smoothing the field and choosing the level removes the steps of the
voxels without shrinking anything, as smoothing the surface itself would.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cc3d
import numpy as np
from numpy.typing import NDArray

from renalmap.errors import RenalMapError
from renalmap.extras import import_extra
from renalmap.imaging.field import FloatArray, level_of, smooth_field
from renalmap.imaging.volume import Geometry
from renalmap.report.structures import Structure

VOLUME_TOLERANCE: Final = 0.003
"""Where the search for the level stops; tests hold the surface to 2 %."""

_MOST_TRIES: Final = 20
_STEP: Final = 0.02

_HAIR: Final = 0.004
"""Of the field, which is 0 outside and 1 inside: some micrometres."""

_LEAST_SHELL_ML: Final = 0.05


@dataclass(frozen=True, eq=False)
class Surface:
    """A closed surface of triangles.

    Attributes:
        vertices_mm: (n, 3) float64, RAS+ as in NIfTI.
        faces: (m, 3) int64, counter-clockwise as seen from outside.
        volume_ml: enclosed.
        voxels_ml: of the mask it was made from.
    """

    vertices_mm: NDArray[np.float64]
    faces: NDArray[np.int64]
    volume_ml: float
    voxels_ml: float


def check_meshes_available() -> None:
    """Check, before anything is read, whether surfaces can be made.

    Raises:
        MissingDependencyError: scikit-image or trimesh is not installed.
    """
    for module in ("skimage.measure", "trimesh"):
        import_extra(module, "a surface")


def make_surface(structure: Structure, geometry: Geometry) -> Surface:
    """The smooth closed surface of a structure.

    Where the mask touches the scan's border the surface is closed there, as if nothing lay beyond.

    Args:
        structure: at least one voxel.
        geometry: the grid its box lies on.

    Returns:
        The surface; its volume is within `VOLUME_TOLERANCE` of the voxels'.

    Raises:
        MissingDependencyError: as `check_meshes_available`.
        RenalMapError: no level encloses the volume; not seen on any mask so far.
    """
    check_meshes_available()
    field, to_voxel = smooth_field(structure.voxels.inside, geometry.spacing_mm)
    to_voxel[:3, 3] += structure.voxels.box.start
    to_world = geometry.affine @ to_voxel
    voxels_ml = structure.voxels.size * geometry.voxel_ml
    points = round(structure.voxels.size / float(np.prod(np.diag(to_voxel))))
    fewest = min(points // 10, round(_LEAST_SHELL_ML / voxels_ml * points))
    low, high, level = 0.0, float(field.max()), level_of(field, points)
    for _ in range(_MOST_TRIES):
        vertices_mm, faces = _march(_tidy(field, level, fewest), level, to_world)
        enclosed_ml = enclosed_volume_ml(vertices_mm, faces)
        if abs(enclosed_ml - voxels_ml) <= VOLUME_TOLERANCE * voxels_ml:
            return Surface(vertices_mm, faces, enclosed_ml, voxels_ml)
        low, high = (level, high) if enclosed_ml > voxels_ml else (low, level)
        # The first level is nearly right, so the search continues beside it before it halves.
        near = level * (1 + _STEP if enclosed_ml > voxels_ml else 1 - _STEP)
        level = near if low < near < high else (low + high) / 2.0
    raise RenalMapError(
        "no surface of the right volume was found",
        where=structure.title,
        got=f"{enclosed_ml:.3f} ml",
        expected=f"{voxels_ml:.3f} ml",
    )


def _tidy(field: FloatArray, level: float, fewest: int) -> FloatArray:
    """The field without what makes a surface useless: fragments, bubbles, and triangles of no size.

    Smoothing cuts thin bridges and may leave fragments, and masks have single holes: bodies and cavities
    of fewer points than `fewest` are removed. Points very close to the level are moved away from
    it, or triangles would be smaller than a file's 32-bit numbers can resolve, and the surface torn.
    """
    inside = field > level
    crumbs = inside & ~cc3d.dust(inside, threshold=fewest, connectivity=6)
    bubbles = ~inside & ~cc3d.dust(~inside, threshold=fewest, connectivity=6)
    tidy = np.where(crumbs, level - _HAIR, np.where(bubbles, level + _HAIR, field))
    too_near = np.abs(tidy - level) < _HAIR
    moved = np.where(tidy > level, level + _HAIR, level - _HAIR)
    return np.where(too_near, moved, tidy).astype(np.float32)


def enclosed_volume_ml(vertices_mm: NDArray[np.float64], faces: NDArray[np.int64]) -> float:
    """Volume that a closed surface encloses (divergence theorem); negative if its normals point inwards."""
    # About its middle: far from the origin large volumes would cancel.
    corners = (vertices_mm - vertices_mm.mean(axis=0))[faces]
    cross = np.cross(corners[:, 1], corners[:, 2])
    return float(np.einsum("ij,ij->", corners[:, 0], cross)) / 6.0 / 1000.0


def _march(
    field: FloatArray, level: float, to_world: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Marching cubes (Lewiner et al. 2003), to the world, normals outwards."""
    from skimage.measure import marching_cubes  # noqa: PLC0415

    points, triangles, _, _ = marching_cubes(field, level=level, allow_degenerate=True)
    homogeneous = np.column_stack([points.astype(np.float64), np.ones(len(points))])
    vertices_mm: NDArray[np.float64] = (homogeneous @ to_world.T)[:, :3]
    faces: NDArray[np.int64] = triangles.astype(np.int64)
    if enclosed_volume_ml(vertices_mm, faces) < 0.0:
        faces = faces[:, ::-1]
    return vertices_mm, faces
