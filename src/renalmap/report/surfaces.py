"""Closed smooth surfaces of voxel masks, in patient millimetres, that enclose the voxels' volume.

The mask is smoothed by a Gaussian on a finer grid, and its surface is the level of the smoothed field that
encloses as much as the voxels do: smoothing the field and choosing the level removes the steps of the
voxels without shrinking anything, as smoothing the surface itself would.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import cc3d
import numpy as np
from numpy.typing import NDArray

from renalmap.errors import RenalMapError
from renalmap.extras import import_extra
from renalmap.imaging.volume import Geometry
from renalmap.report.structures import Structure

FloatArray = NDArray[np.float32]

VOLUME_TOLERANCE: Final = 0.003
"""Where the search for the level stops; tests hold the surface to 2 %."""

_SIGMA_VOXELS: Final = 0.7
"""Of a voxel's own edge, along each axis: less leaves steps, more rounds edges off."""

_SIGMA_OF_LARGEST: Final = 0.3
"""Of the voxel's longest edge, along the others: slopes across thick slices would show their steps."""

_MOST_SIGMA_STEPS: Final = 10.0
"""Of a voxel's own edge; reached where slices are 33 times as thick as pixels, which no scanner's are."""

_REACH_SIGMAS: Final = 3.0
_FINEST_PARTS: Final = 6
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
    field, to_voxel = _smooth_field(structure.voxels.inside, geometry.spacing_mm)
    to_voxel[:3, 3] += structure.voxels.box.start
    to_world = geometry.affine @ to_voxel
    voxels_ml = structure.voxels.size * geometry.voxel_ml
    points = round(structure.voxels.size / float(np.prod(np.diag(to_voxel))))
    fewest = min(points // 10, round(_LEAST_SHELL_ML / voxels_ml * points))
    low, high, level = 0.0, float(field.max()), _level_of(field, points)
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


def _level_of(field: FloatArray, points: int) -> float:
    """The level above which so many of the field's points lie: each stands for an equal volume."""
    inside = field[field > 0]
    return float(np.partition(inside, max(0, inside.size - points))[max(0, inside.size - points)])


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


def _smooth_field(
    inside: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> tuple[FloatArray, NDArray[np.float64]]:
    """The mask on a finer, nearly cubic grid, smoothed; and the matrix from that grid to the mask's voxels.

    The field is 0 on the fine grid's border, so that every level's surface is closed.
    """
    field: FloatArray = inside.astype(np.float32)
    matrix = np.eye(4)
    for axis, step_mm in enumerate(spacing_mm):
        parts = min(_FINEST_PARTS, max(1, round(step_mm / min(spacing_mm))))
        along_mm = min(_SIGMA_OF_LARGEST * max(spacing_mm), _MOST_SIGMA_STEPS * step_mm)
        sigma_mm = max(_SIGMA_VOXELS * step_mm, along_mm)
        weights = gaussian(sigma_mm * parts / step_mm)
        margin = len(weights) // 2 // parts + 2
        field = np.pad(field, [(margin, margin) if other == axis else (0, 0) for other in range(3)])
        field = convolve(_refine(field, axis, parts), axis, weights)
        matrix[axis, axis], matrix[axis, 3] = 1.0 / parts, -float(margin)
    return field, matrix


def _refine(field: FloatArray, axis: int, parts: int) -> FloatArray:
    """Linear interpolation at `parts` times as many places along an axis."""
    if parts == 1:
        return field
    size = field.shape[axis]
    low = np.take(field, range(size - 1), axis)
    high = np.take(field, range(1, size), axis)
    steps = [
        low * np.float32(1 - part / parts) + high * np.float32(part / parts) for part in range(parts)
    ]
    stacked = np.stack(steps, axis=axis + 1)
    shape = list(field.shape)
    shape[axis] = (size - 1) * parts
    return stacked.reshape(shape)


def gaussian(sigma: float) -> FloatArray:
    """Weights of sum 1, an odd number of them."""
    reach = max(1, int(np.ceil(_REACH_SIGMAS * sigma)))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    normal: FloatArray = (weights / weights.sum()).astype(np.float32)
    return normal


def convolve(field: FloatArray, axis: int, weights: FloatArray) -> FloatArray:
    """Convolution with symmetric weights along an axis; the field is 0 beyond its border."""
    moved: NDArray[Any] = np.moveaxis(field, axis, 0)
    result = np.zeros_like(moved)
    reach = len(weights) // 2
    for shift, weight in zip(range(-reach, reach + 1), weights, strict=True):
        to = slice(max(0, -shift), len(moved) - max(0, shift))
        of = slice(max(0, shift), len(moved) + min(0, shift))
        result[to] += weight * moved[of]
    return np.moveaxis(result, 0, axis)
