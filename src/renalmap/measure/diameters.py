"""Longest lines through points: in a plane, across it, and in space."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

DIRECTIONS: Final = 500
"""Over half a sphere: no line is more than 5.5 degrees off the nearest."""

_AT_ONCE: Final = 10


@dataclass(frozen=True, eq=False)
class Chord:
    """A line between two points.

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
    ordered = points[np.lexsort((points[:, 1], points[:, 0]))]
    # Of the points of one first coordinate only the two outermost can be corners.
    stops = np.append(np.flatnonzero(np.diff(ordered[:, 0])), len(ordered) - 1)
    starts = np.append(0, stops[:-1] + 1)
    lower = _chain(ordered[starts].tolist())
    upper = _chain(ordered[stops][::-1].tolist())
    corners = lower + upper
    kept = [corner for index, corner in enumerate(corners) if index == 0 or corner != corners[index - 1]]
    if len(kept) > 1 and kept[0] == kept[-1]:
        kept.pop()
    return np.array(kept)


def _chain(points: list[list[float]]) -> list[list[float]]:
    """The points along which a thread runs when pulled tight on their right."""
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
        points: (n, dimensions) in mm, at least one; every pair is examined, so give the corners of a hull.
    """
    squared = ((points[:, None, :] - points[None, :, :]) ** 2).sum(axis=2)
    return Chord(points[list(np.unravel_index(int(squared.argmax()), squared.shape))])


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


def outermost(points: FloatArray) -> NDArray[np.intp]:
    """(2, `DIRECTIONS`) indices of the points farthest along each of `directions`, and farthest against it.

    Args:
        points: (n, 3), at least one.
    """
    across = np.ascontiguousarray(points.T)
    found = []
    for some in np.split(directions(), DIRECTIONS // _AT_ONCE):
        heights = some @ across
        found.append([heights.argmax(axis=1), heights.argmin(axis=1)])
    return np.concatenate(found, axis=1)


def longest_chord_in_space(points: FloatArray) -> Chord:
    """The two points farthest apart, in time that grows with their number and no faster.

    The points outermost in each of `directions` are compared pair by pair; from the best pair each end in
    turn moves to the point farthest from the other, until neither finds a farther one. The first step
    is short by 5 parts in 1000 at most, by the angle between a chord and the nearest direction; the second
    removes what is left of it in nearly all cases.

    Args:
        points: (n, 3) in mm, at least one.
    """
    chord = longest_chord(points[np.unique(outermost(points))])
    while True:
        start, end = chord.ends
        for _ in range(2):
            start, end = points[((points - start) ** 2).sum(axis=1).argmax()], start
        farther = Chord(np.stack([start, end]))
        if farther.length_mm <= chord.length_mm:
            return chord
        chord = farther
