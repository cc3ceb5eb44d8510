"""From voxels of a box to places in the scan, in the file and in the patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalmap.imaging import Geometry
from renalmap.measure.diameters import Chord
from renalmap.measure.measurements import Diameter, Point

FloatArray = NDArray[np.float64]

_DIGITS = 2


@dataclass(frozen=True, eq=False)
class Placer:
    """Turns places in mm along the canonical axes, counted from voxel (0, 0, 0), into `Point`s."""

    geometry: Geometry

    def point(self, zyx_mm: FloatArray) -> Point:
        """One place."""
        voxel = np.append(zyx_mm / np.array(self.geometry.spacing_mm), 1.0)
        world = self.geometry.affine @ voxel
        stored = np.linalg.solve(self.geometry.source.affine, world)
        return Point(voxel_zyx=_triple(voxel), stored_ijk=_triple(stored), world_mm=_triple(world))

    def diameter(self, chord: Chord, z_mm: float | None = None) -> Diameter:
        """A line; one of a slice is given that slice's height."""
        ends = chord.ends if z_mm is None else np.insert(chord.ends, 0, z_mm, axis=1)
        return Diameter(
            length_mm=round(chord.length_mm, _DIGITS),
            start=self.point(ends[0]),
            end=self.point(ends[1]),
        )


def _triple(values: NDArray[Any] | Sequence[float]) -> tuple[float, float, float]:
    # Adding 0 turns the -0.0 of a rounded number into 0.0.
    first, second, third = (round(float(value), _DIGITS) + 0.0 for value in values[:3])
    return first, second, third
