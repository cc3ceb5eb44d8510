"""Contact areas of tumours and kidneys of simple shapes, against the truth.

python -m benchmarks.contact
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from renalmap.anatomy import Voxels
from renalmap.imaging.volume import Box
from renalmap.measure.contact import SmoothLesion, contact_area_mm2
from renalmap.measure.lines import Spacing

Shape = Callable[[Any, Any, Any], NDArray[np.bool_]]


@dataclass(frozen=True)
class Pair:
    """Both shapes are functions of mm along (z, y, x) from the tumour's middle; what is in both is tumour.

    Attributes:
        tumour, kidney: which places are inside.
        touching_mm2: the area in which they touch.
    """

    tumour: Shape
    kidney: Shape
    touching_mm2: float

    def voxels(
        self, spacing_mm: Spacing, shift_mm: NDArray[np.float64], size_mm: float
    ) -> tuple[Voxels, ...]:
        """Both on a grid of this size about the tumour, whose voxels are shifted by less than one."""
        shape = tuple(int(size_mm / step) for step in spacing_mm)
        z, y, x = (
            (np.arange(size) - (size - 1) / 2) * step + shift
            for size, step, shift in zip(shape, spacing_mm, shift_mm, strict=True)
        )
        places = z[:, None, None], y[None, :, None], x[None, None, :]
        tumour, kidney = (np.broadcast_to(of(*places), shape) for of in (self.tumour, self.kidney))
        whole = Box((0, 0, 0), shape)
        return Voxels(whole, tumour.copy()), Voxels(whole, kidney & ~tumour)


def ball(radius_mm: float, centre_mm: Sequence[float] = (0.0, 0.0, 0.0)) -> Shape:
    """A sphere."""
    a, b, c = centre_mm
    return lambda z, y, x: (z - a) ** 2 + (y - b) ** 2 + (x - c) ** 2 <= radius_mm**2


def block(low_mm: Sequence[float], high_mm: Sequence[float]) -> Shape:
    """What lies between two corners."""

    def inside(*places: Any) -> NDArray[np.bool_]:
        a, b, c = (
            (place > low) & (place < high)
            for place, low, high in zip(places, low_mm, high_mm, strict=True)
        )
        found: NDArray[np.bool_] = a & b & c
        return found

    return inside


def everywhere(z: Any, y: Any, x: Any) -> NDArray[np.bool_]:
    """All of it."""
    inside: NDArray[np.bool_] = (z + y + x) < np.inf
    return inside


def on_plane(radius_mm: float, sunk_mm: float, normal: Sequence[float]) -> Pair:
    """A ball that has sunk into a half-space by some mm."""
    unit = np.array(normal) / np.linalg.norm(normal)
    height_mm = sunk_mm - radius_mm
    return Pair(
        ball(radius_mm),
        lambda z, y, x: z * unit[0] + y * unit[1] + x * unit[2] < height_mm,
        2.0 * np.pi * radius_mm * sunk_mm,
    )


def in_sphere(radius_mm: float, large_mm: float, apart_mm: float, towards: Sequence[float]) -> Pair:
    """A ball that overlaps a larger one, whose middle lies some mm away."""
    unit = np.array(towards) / np.linalg.norm(towards)
    # The circle in which two spheres meet.
    plane_mm = (apart_mm**2 + radius_mm**2 - large_mm**2) / (2.0 * apart_mm)
    area_mm2 = 2.0 * np.pi * radius_mm * (radius_mm - plane_mm)
    return Pair(ball(radius_mm), ball(large_mm, apart_mm * unit), area_mm2)


def surrounded(radius_mm: float) -> Pair:
    """A ball inside the kidney."""
    return Pair(ball(radius_mm), everywhere, 4.0 * np.pi * radius_mm**2)


def cube_in_block(edge_mm: float, sunk_mm: float) -> Pair:
    """A cube that looks out of a block's face."""
    half = edge_mm / 2
    return Pair(
        block((-half,) * 3, (half,) * 3),
        block((-1e3, -1e3, -1e3), (1e3, sunk_mm - half, 1e3)),
        edge_mm**2 + 4.0 * edge_mm * sunk_mm,
    )


def on_edge(radius_mm: float) -> Pair:
    """A ball whose middle lies on an edge of a block: a quarter of it is inside."""
    return Pair(ball(radius_mm), block((-1e3, -1e3, -1e3), (1e3, 0.0, 0.0)), np.pi * radius_mm**2)


OBLIQUE: Final = (0.5, 0.6, 0.62)
FINE: Final = (1.0, 1.0, 1.0)
MIDDLING: Final = (2.5, 0.8, 0.8)
THICK: Final = (5.0, 0.75, 0.75)

PAIRS: Final = {
    "sphere in sphere, half": in_sphere(12.0, 30.0, 30.0, OBLIQUE),
    "sphere in sphere, a third": in_sphere(15.0, 30.0, 34.0, (0.2, 0.5, 0.8)),
    "sphere in sphere, inside": surrounded(10.0),
    "sphere on plane, half": on_plane(12.0, 12.0, OBLIQUE),
    "sphere on plane, three quarters": on_plane(15.0, 22.0, OBLIQUE),
    "sphere on plane, a third": on_plane(15.0, 10.0, (0.1, 0.98, 0.15)),
    "sphere in a box's edge": on_edge(14.0),
    "cube in a box": cube_in_block(40.0, 30.0),
}
"""What the tolerances are stated for."""

HARD: Final = {
    "sphere inside, radius 5": surrounded(5.0),
    "sphere on oblique plane, a quarter": on_plane(10.0, 5.0, OBLIQUE),
    "sphere on level plane, a quarter": on_plane(10.0, 5.0, (0.98, 0.15, 0.13)),
    "cube of 20 in a box": cube_in_block(20.0, 15.0),
}
"""Small or shallow: what the borders' voxels decide."""


def errors(pair: Pair, spacing_mm: Spacing, places: int, seed: int = 3) -> NDArray[np.float64]:
    """Measured over true area, less one, at random places between the voxels."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(places):
        lesion, kidney = pair.voxels(spacing_mm, rng.uniform(-0.5, 0.5, 3) * spacing_mm, 52.0)
        area_mm2 = contact_area_mm2(SmoothLesion.of(lesion, spacing_mm), [kidney])
        found.append(area_mm2 / pair.touching_mm2 - 1.0)
    return np.array(found)


def main() -> None:
    """Print mean and standard deviation of every pair's error on three grids."""
    sys.stdout.write("| pair | mm² | 1 mm | 2.5 mm | 5 mm |\n|---|--:|--:|--:|--:|\n")
    for name, pair in (PAIRS | HARD).items():
        cells = []
        for spacing_mm in (FINE, MIDDLING, THICK):
            percent = 100.0 * errors(pair, spacing_mm, 10)
            cells.append(f"{percent.mean():+.1f} ± {percent.std():.1f} %")
        sys.stdout.write(f"| {name} | {pair.touching_mm2:.0f} | {' | '.join(cells)} |\n")


if __name__ == "__main__":
    main()
