"""The voxel grid a phantom is sampled on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from renalmap.imaging.orientation import build_geometry
from renalmap.imaging.volume import Geometry
from renalmap.phantom.config import PhantomConfig
from renalmap.phantom.shapes import Field, Point, point

_BACKWARD_MM = 12.0
"""How far the grid's middle lies behind the body's, so that the table is on the picture."""
_SHORT_SCAN_MM = 140.0
_WORLD_DIRECTION: Final = {
    "R": (0, 1),
    "L": (0, -1),
    "A": (1, 1),
    "P": (1, -1),
    "S": (2, 1),
    "I": (2, -1),
}


@dataclass(frozen=True, eq=False)
class Grid:
    """Voxel centres in the patient (mm) and the geometry that says so in world coordinates."""

    z_mm: Field
    y_mm: Field
    x_mm: Field
    geometry: Geometry

    def points(self, index: int) -> tuple[Field, Field, Field]:
        """(z, y, x) of one slice, ready to broadcast: (), (rows, 1), (1, columns)."""
        return np.asarray(self.z_mm[index]), self.y_mm[:, None], self.x_mm[None, :]

    def voxel(self, point_mm: Point) -> tuple[float, float, float]:
        """Patient coordinates to (fractional) voxel coordinates."""
        starts = (self.z_mm[0], self.y_mm[0], self.x_mm[0])
        spacing_mm = self.geometry.spacing_mm
        return point((p - low) / step for p, low, step in zip(point_mm, starts, spacing_mm, strict=True))


def make_grid(config: PhantomConfig) -> Grid:
    """The grid of a configuration, around the kidneys."""
    length_mm = config.shape_zyx[0] * config.spacing_mm_zyx[0]
    upward = float(np.clip(0.5 * (length_mm - _SHORT_SCAN_MM), 0.0, 70.0))
    middle_mm = (upward, _BACKWARD_MM, 0.0)
    z, y, x = (
        (middle + (np.arange(size) - (size - 1) / 2.0) * step).astype(np.float32)
        for middle, size, step in zip(middle_mm, config.shape_zyx, config.spacing_mm_zyx, strict=True)
    )
    return Grid(z, y, x, _stored_geometry(config, middle_mm))


def _stored_geometry(config: PhantomConfig, middle_mm: Point) -> Geometry:
    """Patient space points up, back and left, the world to the right, front and up (RAS+)."""
    shape = [0, 0, 0]
    affine = np.eye(4)
    for stored, letter in enumerate(config.orientation):
        world, sign = _WORLD_DIRECTION[letter]
        canonical = 2 - world
        shape[stored] = config.shape_zyx[canonical]
        affine[:3, stored] = 0.0
        affine[world, stored] = sign * config.spacing_mm_zyx[canonical]
    middle_ras = np.array([-middle_mm[2], -middle_mm[1], middle_mm[0]])
    affine[:3, 3] = middle_ras - affine[:3, :3] @ ((np.array(shape) - 1) / 2.0)
    return build_geometry(tuple(shape), affine)
