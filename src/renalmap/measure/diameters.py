"""Longest lines through points: in a plane, across it, and in space."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

DIRECTIONS: Final = 2000
"""Neighbouring directions are some 3 degrees apart: a diameter is found to 1 part in 1000 or better."""

_CHUNK: Final = 4096


@dataclass(frozen=True, eq=False)
class Chord:
    """A line between two places.

    Attributes:
        ends: (2, dimensions), in mm.
    """

    ends: FloatArray

    @property
    def length_mm(self) -> float:
        """From end to end."""
        return float(np.linalg.norm(self.ends[1] - self.ends[0]))


def convex_hull(points: FloatArray) -> FloatArray:
    """Corners of the convex hull of points in a plane, counter-clockwise (Andrew's monotone chain).

    Args:
        points: (n, 2), at least one.
    """
    ordered = np.unique(points, axis=0)
    if len(ordered) <= 2:
        return ordered
    # Of the points of one first coordinate only the two outermost can be corners.
    starts = np.flatnonzero(np.diff(ordered[:, 0], prepend=-np.inf))
    stops = np.append(starts[1:], len(ordered)) - 1
    lower = _chain(ordered[starts].tolist())
    upper = _chain(ordered[stops][::-1].tolist())
    corners = lower + upper
    kept = [corner for index, corner in enumerate(corners) if index == 0 or corner != corners[index - 1]]
    if len(kept) > 1 and kept[0] == kept[-1]:
        kept.pop()
    return np.array(kept)


def _chain(points: list[list[float]]) -> list[list[float]]:
    """The points that a thread pulled tight on their right runs along."""
    kept: list[list[float]] = []
    for x, y in points:
        while len(kept) >= 2:
            (x1, y1), (x2, y2) = kept[-2:]
            if (x2 - x1) * (y - y1) - (y2 - y1) * (x - x1) > 0.0:
                break
            kept.pop()
        kept.append([x, y])
    return kept


def longest_chord(points: FloatArray) -> Chord:
    """The two points farthest apart.

    Args:
        points: (n, dimensions) in mm, at least one; every pair is looked at, so give corners of a hull.
    """
    best = (-1.0, 0, 0)
    for start in range(0, len(points), _CHUNK):
        some = points[start : start + _CHUNK]
        squared = ((some[:, None, :] - points[None, :, :]) ** 2).sum(axis=2)
        one, other = np.unravel_index(int(squared.argmax()), squared.shape)
        best = max(best, (float(squared[one, other]), start + int(one), int(other)))
    return Chord(points[[best[1], best[2]]])


def widest_across(hull: FloatArray, along: Chord) -> Chord:
    """The longest line inside a convex outline at right angles to a given one, as in RECIST.

    Args:
        hull: (n, 2) corners of the outline in order, mm.
        along: a line in the same plane, longer than 0.
    """
    unit = (along.ends[1] - along.ends[0]) / along.length_mm
    turned = np.array([-unit[1], unit[0]])
    # The width is linear between corners, so it is greatest at one of them.
    stations = np.unique(hull @ unit)
    heights = _crossings(np.stack([hull @ unit, hull @ turned], axis=1), stations)
    upper, lower = np.nanmax(heights, axis=1), np.nanmin(heights, axis=1)
    widest = int((upper - lower).argmax())
    foot = stations[widest] * unit
    return Chord(np.stack([foot + lower[widest] * turned, foot + upper[widest] * turned]))


def _crossings(corners: FloatArray, stations: FloatArray) -> FloatArray:
    """Heights at which an outline's sides (columns) pass stations (rows); NaN where they do not."""
    (x0, y0), (x1, y1) = corners.T, np.roll(corners, -1, axis=0).T
    run = np.where(x1 == x0, np.inf, x1 - x0)
    share = (stations[:, None] - x0) / run
    # A corner is passed by both of its sides, so rounding must not let it slip between them.
    passed = (share >= -1e-9) & (share <= 1.0 + 1e-9) & (x1 != x0)
    return np.where(passed, y0 + share * (y1 - y0), np.nan)


@cache
def directions() -> FloatArray:
    """(`DIRECTIONS`, 3) unit vectors spread evenly over half a sphere (Fibonacci's spiral)."""
    index = np.arange(DIRECTIONS) + 0.5
    height = index / DIRECTIONS
    angle = np.pi * (1.0 + 5.0**0.5) * index
    across = np.sqrt(1.0 - height**2)
    return np.stack([height, across * np.sin(angle), across * np.cos(angle)], axis=1)


def extreme_points(points: FloatArray) -> FloatArray:
    """The points that are outermost in any of `directions` or their opposites: corners of the hull.

    Args:
        points: (n, 3) in mm, at least one.
    """
    units = directions().T
    highest = np.full(DIRECTIONS, -np.inf)
    lowest = np.full(DIRECTIONS, np.inf)
    found = np.zeros((2, DIRECTIONS), np.intp)
    for start in range(0, len(points), _CHUNK):
        heights = points[start : start + _CHUNK] @ units
        for row, (limit, index) in enumerate(
            ((highest, heights.argmax(axis=0)), (lowest, heights.argmin(axis=0)))
        ):
            values = heights[index, np.arange(DIRECTIONS)]
            better = values > limit if row == 0 else values < limit
            limit[better] = values[better]
            found[row, better] = start + index[better]
    return points[np.unique(found)]


def hull_by_plane(points: FloatArray) -> FloatArray:
    """Points less those that lie inside the convex outline of their own plane; the hull stays the same.

    Args:
        points: (n, 3); a plane is what shares the first coordinate.
    """
    ordered = points[np.argsort(points[:, 0], kind="stable")]
    starts = np.flatnonzero(np.diff(ordered[:, 0]) > 0.0) + 1
    kept = []
    for plane in np.split(ordered, starts):
        corners = convex_hull(plane[:, 1:])
        kept.append(np.insert(corners, 0, plane[0, 0], axis=1))
    return np.concatenate(kept)


def longest_chord_in_space(points: FloatArray) -> Chord:
    """The two points farthest apart, to 1 part in 1000, in time that grows with their number and no faster.

    Args:
        points: (n, 3) in mm, at least one.
    """
    return longest_chord(extreme_points(hull_by_plane(points)))
