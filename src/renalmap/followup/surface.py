"""Where a kidney's own tissue meets its surroundings, as points in the patient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from renalmap.anatomy import Anatomy, Kidney
from renalmap.anatomy.voxels import joined, mask_in
from renalmap.imaging import Geometry
from renalmap.imaging.volume import Box
from renalmap.labels import is_foreground

FloatArray = NDArray[np.float64]

_SMOOTHED_MM: Final = 4.0
"""Directions of a surface made of steps are those of the mask averaged over so much."""


@dataclass(frozen=True, eq=False)
class Surface:
    """Points of a kidney's surface; those where a lesion or the scan's border lies are not among them.

    Attributes:
        points_mm: (n, 3) places in world coordinates, RAS+.
        normals: (n, 3) unit vectors there, out of the kidney.
        voxel_mm: the longest edge of the scan's voxels.
    """

    points_mm: FloatArray
    normals: FloatArray
    voxel_mm: float

    def some(self, count: int) -> Surface:
        """So many of its points, spread evenly over the list; all of them if there are fewer."""
        if len(self.points_mm) <= count:
            return self
        kept = np.linspace(0, len(self.points_mm) - 1, count).astype(int)
        return Surface(self.points_mm[kept], self.normals[kept], self.voxel_mm)


def kidney_surface(kidney: Kidney, anatomy: Anatomy) -> Surface:
    """Where a kidney's own tissue meets what is neither kidney nor lesion.

    Lesions come, go and grow between two scans; the rest of the kidney stays what it was. A place lies half-way
    between the centres of a voxel of the kidney and of one outside it. Beyond the scan nothing is known, so
    where a kidney is truncated there is no surface.
    """
    geometry, labels = anatomy.label_map.geometry, anatomy.label_map.labels
    box = _widened(joined(kidney.body).box, geometry.shape)
    own = mask_in(kidney.body, box)
    filled = is_foreground(labels[box.slices])
    smooth: NDArray[np.float32] = filled.astype(np.float32)
    for axis, step_mm in enumerate(geometry.spacing_mm):
        smooth = _averaged(smooth, axis, round(_SMOOTHED_MM / step_mm / 2))
    places, directions = [], []
    for axis in range(3):
        lower, upper = _halves(axis)
        for inside, outside, step in ((lower, upper, 0.5), (upper, lower, -0.5)):
            found = np.argwhere(own[inside] & ~filled[outside])
            found[:, axis] += step < 0
            directions.append(_outwards(smooth, found, geometry))
            places.append(found + step * np.eye(3)[axis] + box.start)
    points = np.concatenate(places) @ geometry.affine[:3, :3].T + geometry.affine[:3, 3]
    return Surface(points, np.concatenate(directions), max(geometry.spacing_mm))


def _widened(box: Box, shape: tuple[int, int, int]) -> Box:
    start = tuple(max(low - 1, 0) for low in box.start)
    return Box(start, tuple(min(high + 1, size) for high, size in zip(box.stop, shape, strict=True)))


def _halves(axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Every voxel but the last along an axis, and every voxel but the first."""
    every = [slice(None)] * 3
    lower, upper = every.copy(), every.copy()
    lower[axis], upper[axis] = slice(None, -1), slice(1, None)
    return tuple(lower), tuple(upper)


def _outwards(smooth: NDArray[np.float32], voxels: NDArray[np.intp], geometry: Geometry) -> FloatArray:
    """(n, 3) unit vectors in world coordinates along which a smoothed mask ends at some of its voxels."""
    last = np.array(smooth.shape) - 1
    slopes = np.empty((len(voxels), 3))
    for axis, step in enumerate(np.eye(3, dtype=int)):
        ahead, behind = np.minimum(voxels + step, last), np.maximum(voxels - step, 0)
        slopes[:, axis] = smooth[tuple(behind.T)] - smooth[tuple(ahead.T)]
    spacing_mm = np.array(geometry.spacing_mm)
    world = (slopes / spacing_mm) @ (geometry.affine[:3, :3] / spacing_mm).T
    unit: FloatArray = world / np.maximum(np.linalg.norm(world, axis=1, keepdims=True), 1e-9)
    return unit


def _averaged(values: NDArray[np.float32], axis: int, reach: int) -> NDArray[np.float32]:
    """The mean of so many voxels before and behind along an axis, at least one; beyond the border as at it."""
    steps = max(reach, 1)
    wide = np.pad(values, [(steps, steps) if at == axis else (0, 0) for at in range(3)], "edge")
    windows = np.lib.stride_tricks.sliding_window_view(wide, 2 * steps + 1, axis)
    mean: NDArray[np.float32] = windows.mean(axis=-1)
    return mean
