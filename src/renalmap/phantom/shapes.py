"""Shapes as signed distances in patient space, and smooth noise to make them irregular.

A point is (z, y, x) in millimetres: z up, y to the back, x to the patient's left, the origin in the
middle of the body between the kidneys. Distances are negative inside. They are first-order
approximations: exact on the surface, good beside it, and only ordered far from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.floating[Any]]
Point = tuple[float, float, float]
Rotation = tuple[Point, Point, Point]

UPRIGHT: Final[Rotation] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))

_KNOT_SUM_OF_SQUARES = 151.0 / 315.0
"""Mean over its phase of the summed squared weights of a cubic B-spline."""


def smooth_max(a: Field, b: Field, radius_mm: float) -> Field:
    """Intersection of two solids with its edge rounded (polynomial smooth maximum)."""
    blend = np.maximum(radius_mm - np.abs(a - b), 0.0) / radius_mm
    return np.maximum(a, b) + blend * blend * (radius_mm / 4.0)


def ellipse_distance(du: Field, dv: Field, half_u_mm: float, half_v_mm: float) -> Field:
    """Distance to an ellipse around the origin of (du, dv)."""
    u, v = du / half_u_mm, dv / half_v_mm
    radius = np.sqrt(u * u + v * v) + 1e-4
    slope = np.hypot(u / half_u_mm, v / half_v_mm) + 1e-6
    distance_mm: Field = radius * (radius - 1.0) / slope
    return distance_mm


def random_rotation(generator: np.random.Generator) -> Rotation:
    """A rotation drawn uniformly (QR of a Gaussian matrix)."""
    q, r = np.linalg.qr(generator.standard_normal((3, 3)))
    return frame(*(q * np.sign(np.diag(r))).T)


def point(values: Iterable[float]) -> Point:
    """Three numbers as plain floats, which leave float32 fields float32."""
    z, y, x = (float(value) for value in values)
    return z, y, x


def frame(*rows: NDArray[np.float64]) -> Rotation:
    """Three orthonormal vectors."""
    up, back, left = map(point, rows)
    return up, back, left


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid; `rotation`'s rows are its axes, to which `half_mm` belongs."""

    centre_mm: Point
    half_mm: Point
    rotation: Rotation = UPRIGHT

    @cached_property
    def reach_mm(self) -> Point:
        """Half extent of its bounding box along (z, y, x)."""
        return point(np.sqrt((np.square(self.rotation) * np.square(self.half_mm)[:, None]).sum(axis=0)))

    def local(self, z: Field, y: Field, x: Field) -> tuple[Field, Field, Field]:
        """Coordinates along its own axes."""
        dz, dy, dx = (p - c for p, c in zip((z, y, x), self.centre_mm, strict=True))
        u, v, w = (a * dz + b * dy + c * dx for a, b, c in self.rotation)
        return u, v, w

    def distance(self, z: Field, y: Field, x: Field) -> Field:
        """Signed distance of the points, in mm."""
        return local_ellipsoid_distance(self.local(z, y, x), self.half_mm)


def local_ellipsoid_distance(local: tuple[Field, Field, Field], half_mm: Point) -> Field:
    """Distance to an ellipsoid of these half axes around the origin of local coordinates."""
    scaled = [p / half for p, half in zip(local, half_mm, strict=True)]
    radius = np.sqrt(scaled[0] ** 2 + scaled[1] ** 2 + scaled[2] ** 2) + 1e-4
    slope = np.sqrt(sum((p / half) ** 2 for p, half in zip(scaled, half_mm, strict=True))) + 1e-6
    distance_mm: Field = radius * (radius - 1.0) / slope
    return distance_mm


def segment_distance(points: tuple[Field, Field, Field], start: Point, stop: Point) -> Field:
    """Distance to the axis between two points (unsigned); a tube is that minus its radius."""
    axis = [b - a for a, b in zip(start, stop, strict=True)]
    offsets = [p - a for p, a in zip(points, start, strict=True)]
    length = sum(a * a for a in axis) + 1e-6
    along = sum(o * a for o, a in zip(offsets, axis, strict=True)) / length
    along = np.clip(along, 0.0, 1.0)
    squares = [(o - along * a) ** 2 for o, a in zip(offsets, axis, strict=True)]
    distance_mm: Field = np.sqrt(squares[0] + squares[1] + squares[2])
    return distance_mm


class SmoothNoise:
    """A random field over patient space with about unit deviation: a cubic B-spline on random knots.

    It belongs to the patient, not to the grid: the same point has the same value at any spacing.
    """

    def __init__(
        self, generator: np.random.Generator, knot_mm: Point, half_extent_mm: Point = (300, 280, 280)
    ) -> None:
        self._knot_mm = knot_mm
        self._counts = tuple(
            int(2 * half / knot) + 4 for half, knot in zip(half_extent_mm, knot_mm, strict=True)
        )
        knots = generator.standard_normal(self._counts, dtype=np.float32)
        self._knots = knots / np.float32(_KNOT_SUM_OF_SQUARES**1.5)

    def plane(self, z_mm: float, y_mm: Field, x_mm: Field) -> Field:
        """The field on one axial plane: (len(y_mm), len(x_mm))."""
        along_z = self._weights(np.array([z_mm], np.float32), 0)[0]
        used = np.flatnonzero(along_z)
        knots = np.tensordot(along_z[used], self._knots[used], axes=1)
        return self._weights(y_mm, 1) @ knots @ self._weights(x_mm, 2).T

    def _weights(self, positions_mm: Field, axis: int) -> Field:
        """(len(positions), knots) cubic B-spline weights; positions outside take the border's."""
        count = self._counts[axis]
        place = np.clip(positions_mm / self._knot_mm[axis] + (count - 1) / 2, 1.0, count - 2.001)
        distance = np.abs(place[:, None] - np.arange(count, dtype=np.float32))
        near = 2.0 / 3.0 - distance**2 + distance**3 / 2.0
        far = np.maximum(2.0 - distance, 0.0) ** 3 / 6.0
        weights: Field = np.where(distance < 1.0, near, far).astype(np.float32)
        return weights
