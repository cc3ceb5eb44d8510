"""Tumours and cysts: where they go and what they look like."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from renalmap.labels import KIDNEY, TUMOUR
from renalmap.phantom.canvas import View
from renalmap.phantom.config import Lesion
from renalmap.phantom.kidneys import Kidney
from renalmap.phantom.shapes import Ellipsoid, Field, Point, point, random_rotation
from renalmap.phantom.tissues import Tissues
from renalmap.phantom.trunk import Trunk

_TRIES = 300
_GAP_MM = 6.0
"""At least this far apart, so that two tumours stay two components on coarse grids."""


@dataclass(frozen=True)
class PlacedLesion:
    """A lesion in its place.

    Attributes:
        asked: the lesion as requested.
        kidney: the kidney it grows on.
        body: its outline before the noise.
        exophytic: share of its diameter outside the kidney.
        necrotic: whether it has a necrotic core.
        hu: its mean HU.
        mottle_hu: how much its HU vary inside.
    """

    asked: Lesion
    kidney: Kidney
    body: Ellipsoid
    exophytic: float
    necrotic: bool
    hu: float
    mottle_hu: float

    @property
    def radius_mm(self) -> float:
        """Of the sphere of equal volume."""
        return self.asked.diameter_mm / 2.0

    def distance(self, view: View) -> Field:
        """Distance to its outline on a view; cysts are smooth, tumours lobed."""
        rough_mm = 0.0 if self.asked.kind == "cyst" else 0.07 * self.radius_mm
        return self.body.distance(*view.points) + rough_mm * view.lobes


def place_lesions(
    wanted: tuple[Lesion, ...],
    kidneys: tuple[Kidney, Kidney],
    trunk: Trunk,
    tissues: Tissues,
    generator: np.random.Generator,
) -> tuple[PlacedLesion, ...]:
    """Put each lesion on a kidney, the largest first, apart from the others and inside the cavity.

    Where no such place turns up in some hundred tries, the one with the largest clearance is taken.
    The result has the order of `wanted`.
    """
    order = sorted(range(len(wanted)), key=lambda index: -wanted[index].diameter_mm)
    placed: dict[int, PlacedLesion] = {}
    for index in order:
        placed[index] = _place(wanted[index], kidneys, trunk, list(placed.values()), generator)
    return tuple(_colour(placed[index], tissues, generator) for index in range(len(wanted)))


def _place(
    lesion: Lesion,
    kidneys: tuple[Kidney, Kidney],
    trunk: Trunk,
    others: list[PlacedLesion],
    generator: np.random.Generator,
) -> PlacedLesion:
    best: tuple[float, PlacedLesion] | None = None
    for _ in range(_TRIES):
        candidate = _propose(lesion, kidneys, generator)
        clearance = _clearance_mm(candidate, trunk, others)
        if best is None or clearance > best[0]:
            best = (clearance, candidate)
        if clearance >= 0.0:
            break
    assert best is not None  # _TRIES > 0
    return best[1]


def _propose(
    lesion: Lesion, kidneys: tuple[Kidney, Kidney], generator: np.random.Generator
) -> PlacedLesion:
    side = lesion.side or ("left" if generator.random() < 0.5 else "right")
    kidney = next(kidney for kidney in kidneys if kidney.side == side)
    exophytic = float(generator.uniform(0.15, 0.65)) if lesion.exophytic is None else lesion.exophytic
    drawn = bool(generator.random() < (0.7 if lesion.diameter_mm > 40.0 else 0.2))
    necrotic = drawn if lesion.necrotic is None else lesion.necrotic
    half = _half_axes(lesion, generator)
    centre = _centre(kidney, half[0], exophytic, generator)
    return PlacedLesion(
        asked=lesion,
        kidney=kidney,
        body=Ellipsoid(centre, half, random_rotation(generator)),
        exophytic=exophytic,
        necrotic=necrotic and lesion.kind == "tumour",
        hu=0.0,
        mottle_hu=0.0,
    )


def _half_axes(lesion: Lesion, generator: np.random.Generator) -> Point:
    """Nearly a sphere, its volume exactly the sphere's."""
    stretch = np.exp(generator.normal(0.0, 0.05, 3))
    stretch /= np.prod(stretch) ** (1.0 / 3.0)
    return point(stretch * lesion.diameter_mm / 2.0)


def _centre(kidney: Kidney, radius_mm: float, exophytic: float, generator: np.random.Generator) -> Point:
    """A point on the surface away from the hilum, moved along the normal by the exophytic share."""
    direction = generator.standard_normal(3)
    direction[1] = -abs(direction[1]) - 0.1
    direction /= np.linalg.norm(direction)
    half = np.array(kidney.body.half_mm)
    surface = direction * half
    normal = surface / half**2
    normal /= np.linalg.norm(normal)
    local = surface + normal * radius_mm * (2.0 * exophytic - 1.0)
    up_share = min((local[0] / half[0]) ** 2, 1.5)
    local[1] += kidney.bend_mm * (up_share - 0.35)
    return point(np.array(kidney.body.centre_mm) + local @ np.array(kidney.body.rotation))


def _clearance_mm(candidate: PlacedLesion, trunk: Trunk, others: list[PlacedLesion]) -> float:
    centre = candidate.body.centre_mm
    gaps = [
        float(np.linalg.norm(np.subtract(centre, other.body.centre_mm)))
        - 1.15 * (candidate.radius_mm + other.radius_mm)
        - _GAP_MM
        for other in others
    ]
    z, y, x = (np.full((1, 1), value, np.float32) for value in centre)
    gaps.append(-float(trunk.cavity(z, y, x)[0, 0]) - 1.1 * candidate.radius_mm)
    spine = float(np.hypot(centre[1] - trunk.vertebra_y_mm, centre[2]))
    gaps.append(spine - 30.0 - candidate.radius_mm)
    return min(gaps)


def _colour(lesion: PlacedLesion, tissues: Tissues, generator: np.random.Generator) -> PlacedLesion:
    if lesion.asked.kind == "cyst":
        return replace(lesion, hu=float(tissues.cyst + generator.uniform(-8.0, 8.0)), mottle_hu=1.0)
    hu = float(tissues.tumour * generator.uniform(0.85, 1.2))
    return replace(lesion, hu=hu, mottle_hu=float(generator.uniform(6.0, 16.0)))


def paint_fat_halo(whole: View, lesion: PlacedLesion, tissues: Tissues) -> None:
    """Fat around what bulges out of the kidney, so that it displaces its neighbours."""
    view = whole.around_ellipsoid(lesion.body, 0.3 * lesion.radius_mm + 10.0)
    if view is not None:
        view.paint(lesion.distance(view) - 5.0, tissues.fat)


def paint_lesion(whole: View, lesion: PlacedLesion, tissues: Tissues) -> None:
    """The lesion with its core, labelled as KiTS19 does: a cyst is kidney."""
    view = whole.around_ellipsoid(lesion.body, 0.3 * lesion.radius_mm + 5.0)
    if view is None:
        return
    distance = lesion.distance(view)
    view.paint(distance - 1.0, tissues.fat + 60.0, 0.3)
    texture = lesion.mottle_hu * (0.8 * view.lobes + 0.5 * view.grain)
    view.paint(distance, lesion.hu + texture)
    if lesion.necrotic:
        core = distance + lesion.radius_mm * (0.38 + 0.09 * view.lobes)
        view.paint(core, tissues.necrosis + 4.0 * view.lobes)
    view.mark(distance, TUMOUR if lesion.asked.kind == "tumour" else KIDNEY)
