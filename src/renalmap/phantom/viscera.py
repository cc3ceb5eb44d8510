"""Liver, spleen, stomach, pancreas and gallbladder."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from renalmap.phantom.canvas import View
from renalmap.phantom.shapes import Ellipsoid, Field, Point, frame, segment_distance, smooth_max
from renalmap.phantom.tissues import Tissues
from renalmap.phantom.trunk import Trunk


@dataclass(frozen=True)
class Viscera:
    """The solid organs and the stomach of one patient."""

    right_lobe: Ellipsoid
    left_lobe: Ellipsoid
    spleen: Ellipsoid
    spleen_hollow: Ellipsoid
    stomach: Ellipsoid
    gallbladder: Ellipsoid
    pancreas: tuple[Point, ...]
    stomach_holds_contrast: bool

    @classmethod
    def draw(cls, trunk: Trunk, generator: np.random.Generator) -> Viscera:
        """Organs that vary by some millimetres around their usual places."""
        wide = trunk.scale

        def near(z: float, y: float, x: float) -> Point:
            jitter = generator.normal(0.0, 4.0, 3)
            return z + float(jitter[0]), y + float(jitter[1]), wide * (x + float(jitter[2]))

        behind = trunk.vertebra_y_mm
        tilt = np.radians(generator.uniform(15.0, 30.0))
        leaning = frame(
            np.array([np.cos(tilt), 0.0, np.sin(tilt)]),
            np.array([0.0, 1.0, 0.0]),
            np.array([-np.sin(tilt), 0.0, np.cos(tilt)]),
        )
        return cls(
            right_lobe=Ellipsoid(near(62.0, -8.0, -78.0), (92.0, 92.0, 74.0 * wide), leaning),
            left_lobe=Ellipsoid(near(95.0, -62.0, -8.0), (44.0, 36.0, 66.0 * wide)),
            spleen=Ellipsoid(near(72.0, 18.0, 104.0), (54.0, 58.0, 40.0 * wide)),
            spleen_hollow=Ellipsoid(near(68.0, -2.0, 58.0), (85.0, 60.0, 42.0 * wide)),
            stomach=Ellipsoid(near(82.0, -36.0, 50.0), (62.0, 34.0, 40.0 * wide), leaning),
            gallbladder=Ellipsoid(near(16.0, -52.0, -52.0), (27.0, 15.0, 13.0)),
            pancreas=tuple(
                (z + float(generator.normal(0.0, 3.0)), behind + y, wide * x)
                for z, y, x in (
                    (4.0, -50.0, -30.0),
                    (18.0, -54.0, -14.0),
                    (28.0, -60.0, 12.0),
                    (38.0, -46.0, 50.0),
                    (48.0, -30.0, 78.0),
                )
            ),
            stomach_holds_contrast=bool(generator.random() < 0.4),
        )


def paint_viscera(view: View, trunk: Trunk, viscera: Viscera, tissues: Tissues) -> None:
    """All of them, clipped by the cavity and by the diaphragm."""
    _paint_liver(view, trunk, viscera, tissues)
    _paint_spleen(view, trunk, viscera, tissues)
    _paint_gallbladder(view, viscera, tissues)
    _paint_stomach(view, trunk, viscera, tissues)
    _paint_pancreas(view, viscera, tissues)


def _room(view: View, trunk: Trunk) -> Field:
    """Distance to the room below the diaphragm."""
    under = trunk.diaphragm(*view.points) + 3.0 + 1.5 * view.shape
    return smooth_max(view.cavity + 2.5, under, 10.0)


def _paint_liver(whole: View, trunk: Trunk, viscera: Viscera, tissues: Tissues) -> None:
    corners = [
        tuple(c + sign * r for c, r in zip(lobe.centre_mm, lobe.reach_mm, strict=True))
        for lobe in (viscera.right_lobe, viscera.left_lobe)
        for sign in (-1.0, 1.0)
    ]
    view = whole.around_points([(z, y, x) for z, y, x in corners], 8.0)
    if view is None:
        return
    lobes = [lobe.distance(*view.points) for lobe in (viscera.right_lobe, viscera.left_lobe)]
    both = -smooth_max(-lobes[0], -lobes[1], 24.0) + 3.0 * view.shape + 0.5 * view.lobes
    liver = smooth_max(both, _room(view, trunk), 8.0)
    speckle = 2.5 * view.course + 2.5 * view.grain
    view.paint(liver, tissues.liver + speckle)
    _paint_liver_vessels(view, liver, tissues)
    middle = viscera.left_lobe.centre_mm
    fissure = np.abs(view.x - middle[2] + 0.25 * (view.y + 60.0) - 2.0 * view.shape) - 1.2
    front = np.maximum(fissure, view.y - middle[1] - 8.0)
    view.paint(np.maximum(front, liver - 1.0), tissues.fat, 0.8)


def _paint_liver_vessels(view: View, liver: Field, tissues: Tissues) -> None:
    """Branching lines, where two smooth fields are zero at once."""
    blood = tissues.liver + 0.75 * (tissues.vein - tissues.liver)
    for first, second, radius in ((view.shape, view.course, 3.0), (view.lobes, view.shape, 1.3)):
        reach = 24.0 if radius > 2.0 else 12.0
        vessel = np.hypot(first - 0.3, second + 0.2) * reach - radius
        view.paint(np.maximum(vessel, liver + 7.0), blood)


def _paint_spleen(whole: View, trunk: Trunk, viscera: Viscera, tissues: Tissues) -> None:
    view = whole.around_ellipsoid(viscera.spleen)
    if view is None:
        return
    hollow = -viscera.spleen_hollow.distance(*view.points)
    crescent = smooth_max(viscera.spleen.distance(*view.points), hollow, 10.0) + 1.5 * view.shape
    spleen = smooth_max(crescent, _room(view, trunk), 8.0)
    arterial = max(tissues.artery - 200.0, 0.0) / 100.0
    mottle = 3.0 * view.course + 22.0 * arterial * view.lobes
    view.paint(spleen, tissues.spleen + mottle)


def _paint_gallbladder(view: View, viscera: Viscera, tissues: Tissues) -> None:
    near = view.around_ellipsoid(viscera.gallbladder)
    if near is None:
        return
    distance = viscera.gallbladder.distance(*near.points) + 1.0 * near.shape
    near.paint(distance - 1.5, tissues.muscle + 5.0)
    near.paint(distance, tissues.bile)


def _paint_stomach(whole: View, trunk: Trunk, viscera: Viscera, tissues: Tissues) -> None:
    view = whole.around_ellipsoid(viscera.stomach, 12.0)
    if view is None:
        return
    stomach = viscera.stomach.distance(*view.points) + 3.0 * view.shape + 0.8 * view.lobes
    wall = smooth_max(stomach, _room(view, trunk), 8.0)
    view.paint(wall - 2.5, tissues.fat)
    view.paint(wall, tissues.bowel_wall + 6.0 * view.grain)
    lumen = wall + 5.0 + 1.5 * np.abs(view.lobes)
    drink = tissues.oral_contrast if viscera.stomach_holds_contrast else tissues.bowel_water
    view.paint(lumen, drink + 14.0 * np.abs(view.lobes))
    level = view.y - viscera.stomach.centre_mm[1] + 14.0
    view.paint(np.maximum(lumen, level), tissues.air)


def _paint_pancreas(view: View, viscera: Viscera, tissues: Tissues) -> None:
    near = view.around_points(viscera.pancreas, 20.0)
    if near is None:
        return
    axis = np.minimum.reduce(
        [segment_distance(near.points, *piece) for piece in pairwise(viscera.pancreas)]
    )
    gland = axis - 9.0 + 2.5 * np.abs(near.lobes) + 0.8 * near.grain
    near.paint(gland, tissues.pancreas + 5.0 * near.grain)
