"""One axial slice being painted, solid over solid, with soft edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renalmap.imaging.volume import LabelArray
from renalmap.labels import BACKGROUND
from renalmap.phantom.shapes import Ellipsoid, Field, Point, SmoothNoise, point

_PSF_WIDTH_MM = 1.1
"""Width of the scanner's in-plane edge response."""


@dataclass(frozen=True)
class NoiseFields:
    """The patient's smooth noise, from coarse to fine."""

    shape: SmoothNoise
    course: SmoothNoise
    lobes: SmoothNoise
    grain: SmoothNoise

    @classmethod
    def draw(cls, generator: np.random.Generator) -> NoiseFields:
        """Four independent fields with knots 34, 28, 11 and 4 mm apart."""
        return cls(*(SmoothNoise(generator, (knot, knot, knot)) for knot in (34.0, 28.0, 11.0, 4.0)))


@dataclass(frozen=True)
class View:
    """A rectangle of a canvas; painting it changes the canvas.

    Attributes:
        hu: (rows, columns) float32, a view of the canvas.
        labels: (rows, columns) uint8, likewise.
        cavity: distance to the abdominal and chest cavity, negative inside; zero until the wall is
            painted, which sets it.
        z, y, x: positions in mm, shapes (), (rows, 1) and (1, columns).
        shape, course, lobes, grain: the noise fields here, about unit deviation.
        softness_mm: width of an edge.
    """

    hu: Field
    labels: LabelArray
    cavity: Field
    z: Field
    y: Field
    x: Field
    shape: Field
    course: Field
    lobes: Field
    grain: Field
    softness_mm: float

    @property
    def points(self) -> tuple[Field, Field, Field]:
        """(z, y, x), to be handed to a shape."""
        return self.z, self.y, self.x

    def paint(self, distance_mm: Field, hu: Field | float, opacity: Field | float = 1.0) -> None:
        """Cover what lies inside a solid; a voxel on its surface gets half of it."""
        cover = np.clip(0.5 - distance_mm / self.softness_mm, 0.0, 1.0) * opacity
        self.hu[...] += cover * (hu - self.hu)

    def mark(self, distance_mm: Field, label: int) -> None:
        """Label the voxels whose centre lies inside a solid."""
        self.labels[distance_mm < 0.0] = label

    def crop(self, rows: slice, columns: slice) -> View:
        """A part of this view."""
        both = (rows, columns)
        return View(
            self.hu[both], self.labels[both], self.cavity[both], self.z, self.y[rows], self.x[:, columns],
            self.shape[both], self.course[both], self.lobes[both], self.grain[both],
            self.softness_mm,
        )  # fmt: skip

    def around(self, centre_mm: Point, reach_mm: Point, margin_mm: float = 3.0) -> View | None:
        """The part within a bounding box; None if the box misses this slice."""
        if abs(float(self.z) - centre_mm[0]) > reach_mm[0] + margin_mm:
            return None
        rows = _span(self.y[:, 0], centre_mm[1], reach_mm[1] + margin_mm)
        columns = _span(self.x[0], centre_mm[2], reach_mm[2] + margin_mm)
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return None
        return self.crop(rows, columns)

    def around_ellipsoid(self, solid: Ellipsoid, margin_mm: float = 6.0) -> View | None:
        """The part an ellipsoid may touch."""
        return self.around(solid.centre_mm, solid.reach_mm, margin_mm)

    def around_points(self, points: Sequence[Point], margin_mm: float) -> View | None:
        """The part within a margin of the bounding box of some points."""
        low, high = np.min(points, axis=0), np.max(points, axis=0)
        centre, reach = (low + high) / 2.0, (high - low) / 2.0
        return self.around(point(centre), point(reach), margin_mm)


def blank_slice(z_mm: float, y_mm: Field, x_mm: Field, noise: NoiseFields, air_hu: float) -> View:
    """A slice of air at height `z_mm`, with voxel centres at `y_mm` and `x_mm`."""
    pixel_mm = max(float(y_mm[1] - y_mm[0]), float(x_mm[1] - x_mm[0]))
    return View(
        hu=np.full((y_mm.size, x_mm.size), air_hu, np.float32),
        labels=np.full((y_mm.size, x_mm.size), BACKGROUND, np.uint8),
        cavity=np.zeros((y_mm.size, x_mm.size), np.float32),
        z=np.asarray(z_mm, np.float32),
        y=y_mm[:, None],
        x=x_mm[None, :],
        **{name: field.plane(z_mm, y_mm, x_mm) for name, field in vars(noise).items()},
        softness_mm=float(np.hypot(pixel_mm, _PSF_WIDTH_MM)),
    )


def _span(axis_mm: NDArray[np.float32], centre_mm: float, reach_mm: float) -> slice:
    first, last = np.searchsorted(axis_mm, (centre_mm - reach_mm, centre_mm + reach_mm))
    return slice(int(first), int(last))
