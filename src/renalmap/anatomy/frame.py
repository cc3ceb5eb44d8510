"""A kidney's own axes, and its cross-sections perpendicular to the long one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from renalmap.anatomy.voxels import Voxels

AxisBasis = Literal["principal axis", "scanner's z"]
BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
Spacing = tuple[float, float, float]

PITCH_MM: Final = 1.5
"""Of the grid along a kidney's own axes: fine enough for a 4 mm limit, and a few thousand points a section."""

COARSE_PITCH_MM: Final = 3.0
"""Of the grid from which the axis is found."""

ROUND_BELOW: Final = 1.15
"""A kidney whose longest principal half axis is less than this many times the next has no long axis."""

_DIRECTIONS: Final = 48
_TURNS: Final = 2
_FEW: Final = 20_000
_UP: Final = np.array([1.0, 0.0, 0.0])
_FRONT: Final = np.array([0.0, -1.0, 0.0])


@dataclass(frozen=True, eq=False)
class Frame:
    """A kidney's own axes.

    Attributes:
        centre_mm: of its filled outline, along the canonical (z, y, x) from voxel (0, 0, 0).
        axes: (3, 3) rows of unit vectors along canonical (z, y, x): to the upper pole; to the hilum; and
            perpendicular to both, to the front.
        basis: what the long axis is.
    """

    centre_mm: FloatArray
    axes: FloatArray
    basis: AxisBasis

    def local(self, places_mm: FloatArray) -> FloatArray:
        """(n, 3) places along its axes, mm from its centre."""
        along: FloatArray = (places_mm - self.centre_mm) @ self.axes.T
        return along

    def place(self, local_mm: FloatArray) -> FloatArray:
        """Back from its axes to mm from voxel (0, 0, 0)."""
        place: FloatArray = local_mm @ self.axes + self.centre_mm
        return place

    def towards(self, direction: FloatArray) -> Frame:
        """The same, with its second axis as near to a direction as the first allows."""
        across = direction - direction @ self.axes[0] * self.axes[0]
        across /= np.linalg.norm(across)
        front = np.cross(self.axes[0], across)
        front *= np.sign(front @ _FRONT) or 1.0
        return replace(self, axes=np.stack([self.axes[0], across, front]))


@dataclass(frozen=True, eq=False)
class Sections:
    """A kidney cut across its long axis, on a grid along its own axes.

    A section is filled by its convex outline, so that neither a sinus nor a crater changes it: what counts is
    the kidney's own tissue in that section, without its lesions.

    Attributes:
        frame: the axes.
        body: the kidney's own tissue; its box bounds everything here.
        spacing_mm: of the voxels along (z, y, x).
        low_mm: the grid's first point along the axes.
        pitch_mm: between its points.
        depth_mm: float32 (along, across, front): how far inside the section's convex outline; negative outside.
    """

    frame: Frame
    body: Voxels
    spacing_mm: Spacing
    low_mm: FloatArray
    pitch_mm: float
    depth_mm: NDArray[np.float32] = field(repr=False)

    @classmethod
    def of(cls, body: Voxels, spacing_mm: Spacing, frame: Frame, pitch_mm: float = PITCH_MM) -> Sections:
        """Cut a kidney."""
        local = frame.local(_corners(body, spacing_mm))
        low, high = local.min(axis=0) - pitch_mm, local.max(axis=0) + pitch_mm
        shape = tuple(int(size) for size in np.ceil((high - low) / pitch_mm).astype(int) + 1)
        made = cls(frame, body, spacing_mm, low, pitch_mm, np.full(shape, -np.inf, np.float32))
        tissue = made.sampled(body.inside)
        if not tissue.any():  # thinner than the grid
            tissue[tuple(np.rint((local - low) / pitch_mm).astype(int).T)] = True
        grid = np.indices(shape[1:]).reshape(2, -1) * pitch_mm
        angles = np.arange(_DIRECTIONS) * (2.0 * np.pi / _DIRECTIONS)
        heights = (np.stack([np.cos(angles), np.sin(angles)]).T @ grid).astype(np.float32)
        for section, depth in zip(tissue.reshape(shape[0], -1), made.depth_mm, strict=True):
            if section.any():
                outline = heights[:, section].max(axis=1)
                depth[...] = (outline[:, None] - heights).min(axis=0).reshape(shape[1:])
        return made

    @cached_property
    def _nearest(self) -> tuple[NDArray[np.intp], BoolArray]:
        """For each point of the grid the voxel of the box in which it lies, as a flat index; and whether there is one."""
        voxel_of = self.frame.axes / np.array(self.spacing_mm)
        first = self.frame.place(self.low_mm) / np.array(self.spacing_mm) - np.array(self.body.box.start)
        steps = [np.arange(size) * self.pitch_mm for size in self.depth_mm.shape]
        flat = np.zeros(self.depth_mm.shape, np.intp)
        within = np.ones(self.depth_mm.shape, np.bool_)
        for axis, size in enumerate(self.body.inside.shape):
            parts = [step * voxel_of[own, axis] for own, step in enumerate(steps)]
            place = first[axis] + parts[0][:, None, None] + parts[1][:, None] + parts[2]
            index = np.floor(place + 0.5).astype(np.intp)
            within &= (index >= 0) & (index < size)
            flat = flat * size + index
        return np.where(within, flat, 0), within

    def sampled(self, mask: BoolArray) -> BoolArray:
        """A mask of the body's box, at the points of the grid."""
        flat, within = self._nearest
        found: BoolArray = mask.reshape(-1)[flat] & within
        return found

    def at_voxels(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of the grid at the box's voxels, each that of the nearest point."""
        start, spacing = np.array(self.body.box.start), np.array(self.spacing_mm)
        first = (self.frame.local(start * spacing) - self.low_mm) / self.pitch_mm
        flat = np.zeros(self.body.inside.shape, np.int32)
        for axis, size in enumerate(values.shape):
            steps = [
                np.arange(count) * (spacing[own] * self.frame.axes[axis, own] / self.pitch_mm)
                for own, count in enumerate(self.body.inside.shape)
            ]
            place = first[axis] + 0.5 + steps[0][:, None, None] + steps[1][:, None] + steps[2]
            flat *= size
            flat += np.clip(place, 0, size - 1).astype(np.int32)
        return values.reshape(-1)[flat]

    def points(self, mask: BoolArray) -> FloatArray:
        """(n, 3) places of some points of the grid along the axes."""
        return np.argwhere(mask) * self.pitch_mm + self.low_mm

    @property
    def along_mm(self) -> FloatArray:
        """Each section's height on the long axis."""
        along: FloatArray = self.low_mm[0] + np.arange(self.depth_mm.shape[0]) * self.pitch_mm
        return along

    @property
    def filled(self) -> BoolArray:
        """The points inside the outlines."""
        inside: BoolArray = self.depth_mm >= 0.0
        return inside

    @cached_property
    def extent_mm(self) -> FloatArray:
        """(3, 2) the outline's ends along each axis."""
        points = self.points(self.filled)
        half = self.pitch_mm / 2.0
        return np.stack([points.min(axis=0) - half, points.max(axis=0) + half], axis=1)


def find_frame(body: Voxels, spacing_mm: Spacing, medial: FloatArray) -> Frame:
    """The principal axis of a kidney's filled outline, and the direction to the body's middle across it.

    Its tissue alone would not do: a sinus or a crater moves the axis of what is left. So the axis is that of the
    sections' convex outlines, found again in the sections across it.

    Args:
        body: the kidney's own tissue.
        spacing_mm: along (z, y, x).
        medial: from the kidney to the body's middle, along canonical (z, y, x).
    """
    places = (np.argwhere(body.inside) + np.array(body.box.start)) * np.array(spacing_mm)
    frame = _principal(places[:: -(-len(places) // _FEW)], medial)
    for _ in range(_TURNS):
        sections = Sections.of(body, spacing_mm, frame, COARSE_PITCH_MM)
        frame = _principal(frame.place(sections.points(sections.filled)), medial)
    return frame


def _principal(places_mm: FloatArray, medial: FloatArray) -> Frame:
    centre = places_mm.mean(axis=0)
    off = places_mm - centre
    variances, vectors = np.linalg.eigh(off.T @ off / len(off))
    up = vectors[:, 2] * (np.sign(vectors[0, 2]) or 1.0)
    basis: AxisBasis = "principal axis"
    if variances[2] <= ROUND_BELOW**2 * variances[1]:
        up, basis = _UP, "scanner's z"
    frame = Frame(centre, np.stack([up, up, up]), basis)
    lies_across = np.linalg.norm(medial - medial @ up * up) < 0.2
    return frame.towards(_FRONT if lies_across else medial)


def _corners(body: Voxels, spacing_mm: Spacing) -> FloatArray:
    """The tissue's outermost voxels along x, a few thousand points that hold its extent along any axis."""
    hit = body.inside.any(axis=2)
    rows = np.argwhere(hit)
    lines = body.inside[hit]
    first, last = lines.argmax(axis=1), lines.shape[1] - 1 - lines[:, ::-1].argmax(axis=1)
    ends = np.concatenate([np.column_stack([rows, first]), np.column_stack([rows, last])])
    places: FloatArray = (ends + np.array(body.box.start)) * np.array(spacing_mm)
    return places
