"""Colon, small bowel and the fat with vessels between them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from renalmap.phantom.canvas import View
from renalmap.phantom.kidneys import Kidney
from renalmap.phantom.shapes import Ellipsoid, Point, random_rotation, segment_distance, smooth_max
from renalmap.phantom.tissues import Tissues
from renalmap.phantom.trunk import Trunk

Content = Literal["water", "contrast", "collapsed", "gas"]

_LOOPS = 150
_COLON = (
    ((-210.0, 8.0, -96.0), (-25.0, 6.0, -100.0), (2.0, -28.0, -92.0)),
    (
        (2.0, -28.0, -92.0),
        (-26.0, -70.0, -48.0),
        (-32.0, -74.0, 0.0),
        (-10.0, -70.0, 48.0),
        (24.0, -40.0, 94.0),
    ),
    ((24.0, -40.0, 94.0), (12.0, 10.0, 108.0), (-70.0, 16.0, 106.0), (-210.0, 6.0, 96.0)),
)
"""Axes of the ascending, transverse and descending colon, (z, y, x) in mm for an average build."""


@dataclass(frozen=True)
class Loop:
    """A piece of small bowel and what is in it."""

    body: Ellipsoid
    content: Content


@dataclass(frozen=True)
class Bowel:
    """The colon's axes and radii, and the small bowel's loops."""

    colon: tuple[tuple[tuple[Point, ...], float], ...]
    loops: tuple[Loop, ...]
    faeces_hu: float

    @classmethod
    def draw(cls, trunk: Trunk, kidneys: tuple[Kidney, Kidney], generator: np.random.Generator) -> Bowel:
        """Colon around the outside, loops wherever the middle of the belly is free."""
        axes = [tuple((z, y, x * trunk.scale) for z, y, x in axis) for axis in _COLON]
        colon = tuple((points, float(generator.uniform(15.0, 23.0))) for points in axes)
        contrast = generator.random() < 0.6
        return cls(
            colon=colon,
            loops=_draw_loops(trunk, kidneys, generator, oral_contrast=bool(contrast)),
            faeces_hu=float(generator.uniform(20.0, 60.0) + 150.0 * contrast),
        )


def _draw_loops(
    trunk: Trunk,
    kidneys: tuple[Kidney, Kidney],
    generator: np.random.Generator,
    *,
    oral_contrast: bool,
) -> tuple[Loop, ...]:
    loops: list[Loop] = []
    chances = (0.3, 0.45, 0.2, 0.05) if oral_contrast else (0.5, 0.0, 0.42, 0.08)
    contents: tuple[Content, ...] = ("water", "contrast", "collapsed", "gas")
    for _ in range(6 * _LOOPS):
        centre = (
            float(generator.uniform(-190.0, 18.0)),
            float(generator.uniform(-0.62 * trunk.half_depth_mm, trunk.vertebra_y_mm - 42.0)),
            float(generator.uniform(-88.0, 88.0)) * trunk.scale,
        )
        radius = float(generator.uniform(8.5, 14.0))
        half = (
            radius,
            radius * float(generator.uniform(0.85, 1.1)),
            radius * float(generator.uniform(1.4, 2.4)),
        )
        rotation = random_rotation(generator)
        content = contents[int(generator.choice(4, p=chances))]
        if _is_free(centre, half, loops, kidneys):
            loops.append(Loop(Ellipsoid(centre, half, rotation), content))
        if len(loops) == _LOOPS:
            break
    return tuple(loops)


def _is_free(centre: Point, half: Point, loops: list[Loop], kidneys: tuple[Kidney, Kidney]) -> bool:
    for kidney in kidneys:
        y, x = centre[1] - kidney.body.centre_mm[1], centre[2] - kidney.body.centre_mm[2]
        if np.hypot(y, x) < 36.0 + half[0]:
            return False
    return all(
        np.linalg.norm(np.subtract(centre, loop.body.centre_mm)) > 0.5 * (half[2] + loop.body.half_mm[2])
        for loop in loops
    )


def paint_bowel(view: View, bowel: Bowel, tissues: Tissues) -> None:
    """Mesenteric vessels, loops, colon; the wall clips what reaches it."""
    _paint_mesentery(view, tissues)
    for loop in bowel.loops:
        near = view.around_ellipsoid(loop.body)
        if near is not None:
            _paint_loop(near, loop, tissues)
    for points, radius in bowel.colon:
        for piece in pairwise(points):
            _paint_colon(view, piece, radius, bowel.faeces_hu, tissues)


def _paint_mesentery(view: View, tissues: Tissues) -> None:
    for first, second, radius in ((view.lobes, view.course, 1.9), (view.lobes, view.shape, 1.5)):
        vessel = np.hypot(first, second) * 12.0 - radius
        inside = np.maximum(vessel, view.cavity + 8.0)
        view.paint(inside, tissues.vein - 15.0)
    haze = np.maximum(np.abs(view.lobes + 0.4 * view.grain) * 12.0 - 0.6, view.cavity + 6.0)
    view.paint(haze, -60.0, 0.4)


def _paint_loop(view: View, loop: Loop, tissues: Tissues) -> None:
    free = loop.body.distance(*view.points) + 1.6 * view.lobes + 0.5 * view.grain
    distance = smooth_max(free, view.cavity + 2.0, 6.0)
    view.paint(distance - 1.5, tissues.fat)
    view.paint(distance, tissues.bowel_wall + 5.0 * view.grain)
    lumen = distance + 2.4 + 0.8 * np.abs(view.grain)
    if loop.content == "water":
        view.paint(lumen, tissues.bowel_water + 8.0 * view.lobes)
    elif loop.content == "contrast":
        view.paint(lumen, tissues.oral_contrast + 30.0 * view.lobes)
    elif loop.content == "gas":
        view.paint(lumen, tissues.bowel_water)
        level = view.y - loop.body.centre_mm[1] + 2.0
        view.paint(np.maximum(lumen, level), tissues.air)


def _paint_colon(
    view: View, piece: tuple[Point, Point], radius_mm: float, faeces_hu: float, tissues: Tissues
) -> None:
    near = view.around_points(piece, radius_mm + 10.0)
    if near is None:
        return
    free = segment_distance(near.points, *piece) - radius_mm + 2.8 * near.lobes + 3.0 * near.course
    distance = smooth_max(free, near.cavity + 2.0, 6.0)
    near.paint(distance - 1.5, tissues.fat)
    near.paint(distance, tissues.bowel_wall + 4.0 * near.grain)
    lumen = distance + 2.2
    mottled = faeces_hu + 45.0 * near.grain + 25.0 * near.lobes
    bubbles = np.where(near.grain + 0.4 * near.lobes > 1.35, -500.0, mottled)
    near.paint(lumen, bubbles.astype(np.float32))
    middle = 0.5 * (piece[0][1] + piece[1][1])
    level = near.y - middle + 3.0 + 6.0 * near.course
    near.paint(np.maximum(lumen, level), tissues.air)
