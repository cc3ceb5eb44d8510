"""Laying one scan's kidney on another scan's: a rotation and a shift, found from surface points.

Each kidney is aligned for itself: breathing moves the two by centimetres, and not together. Trimmed iterative
closest points (Chetverikov 2005) from a point to a plane (Chen & Medioni 1992), in NumPy
(docs/decisions/0042-follow-up.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from renalmap.followup.surface import FloatArray, Surface

KEPT_SHARE: Final = 0.8
"""The points of a kidney that fit best: lesions grow, poles are operated on, outlines differ."""

MOST_RESIDUAL_MM: Final = 3.0
MOST_TURN_DEGREES: Final = 40.0

_COARSE: Final = (250, 800)
_FINE: Final = (1200, 4000)
"""How many points of one kidney look for the nearest of so many of the other."""

_FAR_MM: Final = 1000.0
_MOST_STEPS: Final = 40
_SETTLED_MM: Final = 0.005
_DAMPING: Final = 0.02
"""A kidney is nearly round about its long axis: a turn that changes nothing is not made."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """How a kidney of the earlier scan comes to lie on that of the later one.

    Attributes:
        rotation: (3, 3), in world coordinates.
        shift_mm: (3,), after the rotation.
        residual_mm: root mean square distance of the surfaces, over the `KEPT_SHARE` of points that fit best.
        limit_mm: the residual beyond which the kidneys do not fit.
    """

    rotation: FloatArray
    shift_mm: FloatArray
    residual_mm: float
    limit_mm: float

    def __call__(self, points_mm: FloatArray) -> FloatArray:
        """Places (n, 3) of the earlier scan in the later one, world coordinates."""
        return points_mm @ self.rotation.T + self.shift_mm

    @property
    def inverse(self) -> Alignment:
        """From the later scan to the earlier one."""
        back = self.rotation.T
        return Alignment(back, -back @ self.shift_mm, self.residual_mm, self.limit_mm)

    @property
    def turn_degrees(self) -> float:
        """By how much it turns the kidney."""
        return float(np.degrees(np.arccos(np.clip((np.trace(self.rotation) - 1.0) / 2.0, -1.0, 1.0))))

    @property
    def fits(self) -> bool:
        """Whether places in the two kidneys may be compared."""
        return self.residual_mm <= self.limit_mm and self.turn_degrees <= MOST_TURN_DEGREES


def align(before: Surface, after: Surface, *, after_is_part: bool = False) -> Alignment:
    """Lay the surface of a kidney on that of the same kidney in a later scan.

    Args:
        before: of the earlier scan.
        after: of the later one.
        after_is_part: the later scan shows less of the kidney: its points look for theirs in the earlier one.
    """
    if after_is_part:
        return align(after, before).inverse
    limit_mm = max(MOST_RESIDUAL_MM, 0.75 * max(before.voxel_mm, after.voxel_mm))
    best = min(
        (_fit(before, after, start, _COARSE) for start in _starts(before, after)),
        key=lambda found: found[2],
    )
    rotation, shift, residual_mm = _fit(before, after, best[:2], _FINE)
    return Alignment(rotation, shift, residual_mm, limit_mm)


_Pose = tuple[FloatArray, FloatArray]


def _starts(before: Surface, after: Surface) -> Iterator[_Pose]:
    """Centre on centre, and because one may be truncated also upper end on upper end and lower on lower."""
    centres = [surface.points_mm.mean(axis=0) for surface in (before, after)]
    shift = centres[1] - centres[0]
    yield np.eye(3), shift
    for end in (2, 98):
        heights = [np.percentile(surface.points_mm[:, 2], end) for surface in (before, after)]
        yield np.eye(3), np.array([shift[0], shift[1], heights[1] - heights[0]])


def _fit(
    before: Surface, after: Surface, pose: _Pose, counts: tuple[int, int]
) -> tuple[FloatArray, FloatArray, float]:
    """The pose in which the surfaces fit best, from a first one on; and the residual."""
    moving, fixed = before.some(counts[0]), after.some(counts[1])
    rotation, shift = pose
    kept = max(6, round(KEPT_SHARE * len(moving.points_mm)))
    residual_mm = np.inf
    squares = (fixed.points_mm**2).sum(axis=1)
    for _ in range(_MOST_STEPS):
        points = moving.points_mm @ rotation.T + shift
        nearest = (squares - 2.0 * points @ fixed.points_mm.T).argmin(axis=1)
        gaps, normals = fixed.points_mm[nearest] - points, fixed.normals[nearest]
        facing = ((moving.normals @ rotation.T) * normals).sum(axis=1) > 0.0
        order = np.argsort(np.linalg.norm(gaps, axis=1) + _FAR_MM * ~facing)[:kept]
        off_mm = (gaps[order] * normals[order]).sum(axis=1)
        reached = float(np.sqrt(np.mean(off_mm**2)))
        if abs(residual_mm - reached) < _SETTLED_MM:
            break
        residual_mm = reached
        turn, move = _step(points[order], off_mm, normals[order])
        rotation, shift = turn @ rotation, turn @ shift + move
    return rotation, shift, residual_mm


def _step(points: FloatArray, off_mm: FloatArray, normals: FloatArray) -> _Pose:
    """The small turn and shift that bring points closest to planes, from their distances along the normals."""
    centre = points.mean(axis=0)
    arms = points - centre
    scale = float(np.sqrt((arms**2).sum(axis=1).mean())) or 1.0
    rows = np.concatenate([np.cross(arms / scale, normals), normals], axis=1)
    matrix = rows.T @ rows + _DAMPING * len(rows) * np.diag([1, 1, 1, 0, 0, 0]) + 1e-9 * np.eye(6)
    found = np.linalg.solve(matrix, rows.T @ off_mm)
    turn = _rotation(found[:3] / scale)
    return turn, centre - turn @ centre + found[3:]


def _rotation(vector: FloatArray) -> FloatArray:
    """About a vector by its length in radians (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    turned: FloatArray = np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * (cross @ cross)
    return turned
