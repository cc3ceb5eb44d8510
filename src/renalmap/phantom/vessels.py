"""Aorta, inferior vena cava and the renal vessels."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from renalmap.phantom.canvas import View
from renalmap.phantom.kidneys import Kidney
from renalmap.phantom.shapes import Point, ellipse_distance, segment_distance
from renalmap.phantom.tissues import Tissues
from renalmap.phantom.trunk import Trunk

_BIFURCATION_Z_MM = -72.0


@dataclass(frozen=True)
class Vessels:
    """The great vessels' radii, and the renal vessels as polylines with their radii."""

    aorta_mm: float
    cava_mm: float
    arteries: tuple[tuple[Point, ...], ...]
    veins: tuple[tuple[Point, ...], ...]
    mesenteric: tuple[Point, Point]

    @classmethod
    def draw(
        cls, trunk: Trunk, kidneys: tuple[Kidney, Kidney], generator: np.random.Generator
    ) -> Vessels:
        """Vessels that lead to these kidneys' hila."""
        front = trunk.vertebra_y_mm - 31.0
        arteries, veins = [], []
        for kidney in kidneys:
            hilum = kidney.hilum_mm
            outward = 1.0 if kidney.side == "left" else -1.0
            way = (0.5 * hilum[0] + 3.0, front + 8.0, 34.0 * outward)
            arteries.append(((10.0, front, 8.0), way, hilum))
            lower = (hilum[0] - 7.0, hilum[1] - 4.0, hilum[2] - 3.0 * outward)
            start = (4.0, front + 2.0, -22.0)
            over = (2.0, front - 15.0, 8.0) if kidney.side == "left" else start
            veins.append((start, over, (0.5 * lower[0], front - 4.0, 34.0 * outward), lower))
        return cls(
            aorta_mm=float(generator.uniform(8.5, 11.5)),
            cava_mm=float(generator.uniform(9.5, 12.5)),
            arteries=tuple(arteries),
            veins=tuple(veins),
            mesenteric=((22.0, front - 10.0, 6.0), (-120.0, front - 32.0, 2.0)),
        )


def paint_vessels(view: View, trunk: Trunk, vessels: Vessels, tissues: Tissues) -> None:
    """Veins first, arteries over them."""
    for points in vessels.veins:
        _paint_tube(view, points, 4.6, tissues.vein)
    for points in vessels.arteries:
        _paint_tube(view, points, 2.8, tissues.artery)
    _paint_tube(view, vessels.mesenteric, 3.6, tissues.artery)
    z, y, x = vessels.mesenteric[0], vessels.mesenteric[1], 14.0
    beside = tuple((p[0], p[1] + 1.0, p[2] - x) for p in (z, y))
    _paint_tube(view, beside, 5.0, tissues.vein)
    _paint_great_vessels(view, trunk, vessels, tissues)


def _paint_great_vessels(view: View, trunk: Trunk, vessels: Vessels, tissues: Tissues) -> None:
    z, front = float(view.z), trunk.vertebra_y_mm - 30.0
    near = view.around((z, front - 10.0, 0.0), (0.0, 60.0, 60.0))
    if near is None:
        return
    split = max(_BIFURCATION_Z_MM - z, 0.0) * 0.28
    for side in (-1.0, 1.0) if split > 0.0 else (0.0,):
        middle = (6.0 + 0.06 * max(z, 0.0)) + side * (6.0 + split)
        radius = vessels.aorta_mm * (1.0 if side == 0.0 else 0.68)
        behind = front + 0.12 * max(z - 40.0, 0.0)
        aorta = ellipse_distance(near.x - middle, near.y - behind, radius, radius)
        near.paint(aorta - 0.8, tissues.muscle - 10.0)
        near.paint(aorta, tissues.artery + 3.0 * near.grain)
    if z > max(trunk.domes_z_mm):
        return
    forward = front + 1.0 - 0.22 * max(z - 30.0, 0.0)
    cava = ellipse_distance(
        near.x + 23.0, near.y - forward, 1.15 * vessels.cava_mm, 0.85 * vessels.cava_mm
    )
    near.paint(cava + 0.6 * near.lobes, tissues.vein + 4.0 * near.lobes)


def _paint_tube(view: View, points: tuple[Point, ...], radius_mm: float, hu: float) -> None:
    for piece in pairwise(points):
        near = view.around_points(piece, radius_mm + 3.0)
        if near is not None:
            near.paint(segment_distance(near.points, *piece) - radius_mm, hu)
