"""Exophytic shares of spheres sunk into an ellipsoid, against the truth.

python -m benchmarks.exophytic
"""

from __future__ import annotations

import sys
from typing import Final

import numpy as np
from numpy.typing import NDArray

from renalmap.anatomy import Voxels
from renalmap.imaging.volume import Box
from renalmap.measure.exophytic import exophytic_share

SPACING_MM: Final = (2.0, 1.3, 1.3)
SHAPE: Final = (110, 100, 130)
CENTRE_MM: Final = (80.0, 65.0, 65.0)
HALF_AXES_MM: Final = (55.0, 25.0, 28.0)
RADII_MM: Final = (8.0, 12.0, 18.0, 25.0)
DEPTHS: Final = (-1.0, -0.5, 0.0, 0.5, 0.9)
"""Of a sphere's centre beyond the ellipsoid's surface, in radii."""


def _inside(centre_mm: NDArray[np.float64], half_axes_mm: tuple[float, ...]) -> NDArray[np.bool_]:
    z, y, x = (
        ((places * mm - centre) / half) ** 2
        for places, mm, centre, half in zip(
            np.ogrid[tuple(slice(0, length) for length in SHAPE)],
            SPACING_MM,
            centre_mm,
            half_axes_mm,
            strict=True,
        )
    )
    inside: NDArray[np.bool_] = (z + y + x) <= 1.0
    return inside


def main() -> None:
    """Print true and measured share of every sphere, at the side (x) and at a pole (z)."""
    whole = Box((0, 0, 0), SHAPE)
    kidney = _inside(np.array(CENTRE_MM), HALF_AXES_MM)
    sys.stdout.write("| where | radius | true, measured at five depths |\n|---|--:|---|\n")
    for place, axis in (("side", 2), ("pole", 0)):
        for radius_mm in RADII_MM:
            cells = []
            for depth in DEPTHS:
                centre_mm = np.array(CENTRE_MM)
                centre_mm[axis] += HALF_AXES_MM[axis] + depth * radius_mm
                lesion = _inside(centre_mm, (radius_mm,) * 3)
                true = 1.0 - np.count_nonzero(lesion & kidney) / np.count_nonzero(lesion)
                own = Voxels(whole, kidney & ~lesion)
                measured = exophytic_share(Voxels(whole, lesion), [own], SPACING_MM)
                cells.append(f"{true:.2f} {measured:.2f}")
            sys.stdout.write(f"| {place} | {radius_mm:g} | {' / '.join(cells)} |\n")


if __name__ == "__main__":
    main()
