"""The two kidneys: their shape, their inside, and the labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from renalmap.labels import KIDNEY, Side
from renalmap.phantom.canvas import View
from renalmap.phantom.shapes import Ellipsoid, Field, Point, frame, local_ellipsoid_distance
from renalmap.phantom.tissues import Tissues
from renalmap.phantom.trunk import Trunk

_CORTEX_MM = 7.0


@dataclass(frozen=True)
class Kidney:
    """One kidney: an ellipsoid bent towards its hilum, with the sinus carved out of it.

    Attributes:
        side: the patient's side.
        body: the ellipsoid; its axes run up, to the hilum, and across the kidney's thickness.
        bend_mm: how far the poles lean towards the hilum.
        sinus_half_mm: half axes of the sinus.
        pyramids: number of pyramids around the sinus.
    """

    side: Side
    body: Ellipsoid
    bend_mm: float
    sinus_half_mm: Point
    pyramids: int

    def local(self, z: Field, y: Field, x: Field) -> tuple[Field, Field, Field]:
        """Coordinates along the straightened kidney's axes."""
        up, hilum, across = self.body.local(z, y, x)
        bent = hilum - self.bend_mm * (np.minimum((up / self.body.half_mm[0]) ** 2, 1.5) - 0.35)
        return up, bent, across

    def capsule(self, z: Field, y: Field, x: Field) -> Field:
        """Distance to the smooth outer surface, sinus included."""
        return local_ellipsoid_distance(self.local(z, y, x), self.body.half_mm)

    def sinus(self, local: tuple[Field, Field, Field]) -> Field:
        """Distance to the sinus, from local coordinates."""
        up, hilum, across = local
        centre = 0.66 * self.body.half_mm[1]
        return local_ellipsoid_distance((up, hilum - centre, across), self.sinus_half_mm)

    @property
    def hilum_mm(self) -> Point:
        """Where the vessels enter."""
        toward = self.body.rotation[1]
        reach = 0.7 * self.body.half_mm[1]
        z, y, x = (c + reach * t for c, t in zip(self.body.centre_mm, toward, strict=True))
        return z, y, x


def draw_kidneys(trunk: Trunk, generator: np.random.Generator) -> tuple[Kidney, Kidney]:
    """The right kidney, which lies lower, and the left one."""
    right_drop = float(generator.uniform(4.0, 22.0))
    length = float(generator.uniform(51.0, 58.0))
    return (
        _draw_kidney("right", trunk, -0.7 * right_drop, length, generator),
        _draw_kidney("left", trunk, 0.3 * right_drop, length + 1.5, generator),
    )


def _draw_kidney(
    side: Side, trunk: Trunk, z_mm: float, half_length_mm: float, generator: np.random.Generator
) -> Kidney:
    outward = 1.0 if side == "left" else -1.0
    half_length = half_length_mm + float(generator.uniform(-2.0, 2.0))
    turn = np.radians(generator.uniform(28.0, 50.0))
    up = np.array([1.0, generator.uniform(0.08, 0.24), -outward * generator.uniform(0.14, 0.28)])
    up /= np.linalg.norm(up)
    hilum = np.array([0.0, -np.sin(turn), -outward * np.cos(turn)])
    hilum -= (hilum @ up) * up
    hilum /= np.linalg.norm(hilum)
    half = (half_length, float(generator.uniform(27.5, 31.5)), float(generator.uniform(24.0, 27.5)))
    centre = (
        z_mm,
        trunk.vertebra_y_mm - float(generator.uniform(10.0, 18.0)),
        outward * trunk.scale * float(generator.uniform(72.0, 78.0)),
    )
    sinus = (
        half[0] * float(generator.uniform(0.50, 0.62)),
        half[1] * float(generator.uniform(0.76, 0.90)),
        half[2] * float(generator.uniform(0.38, 0.52)),
    )
    return Kidney(
        side=side,
        body=Ellipsoid(centre, half, frame(up, hilum, np.cross(up, hilum))),
        bend_mm=float(generator.uniform(6.0, 10.0)),
        sinus_half_mm=sinus,
        pyramids=int(generator.integers(6, 9)),
    )


def paint_perirenal_fat(whole: View, kidney: Kidney, tissues: Tissues) -> None:
    """Fat around the kidney inside a thin fascia; it pushes the neighbours away."""
    view = whole.around_ellipsoid(kidney.body, 32.0)
    if view is None:
        return
    capsule = kidney.capsule(*view.points) + 3.0 * view.shape
    pouch = np.maximum(capsule - 11.0, view.cavity + 1.0)
    view.paint(pouch, tissues.muscle - 20.0, 0.35)
    view.paint(pouch + 1.2, tissues.fat + 4.0 * view.shape)
    strands = np.maximum(pouch + 1.2, np.hypot(view.lobes, view.course) * 12.0 - 0.5)
    view.paint(strands, 0.0, 0.5)


def paint_kidney(whole: View, kidney: Kidney, tissues: Tissues) -> None:
    """Sinus fat, pelvis and parenchyma; only the parenchyma is labelled."""
    view = whole.around_ellipsoid(kidney.body, 18.0)
    if view is None:
        return
    local = kidney.local(*view.points)
    hull = local_ellipsoid_distance(local, kidney.body.half_mm) + 0.9 * view.lobes
    sinus = kidney.sinus(local) + 2.4 * view.lobes + 0.6 * view.grain
    parenchyma = np.maximum(hull, -sinus)
    view.paint(np.maximum(hull, sinus - 1.0), tissues.fat + 22.0 + 8.0 * view.grain)
    _paint_pelvis(view, kidney, local, tissues)
    hu = tissues.cortex + 4.0 * view.lobes + 3.0 * view.grain
    view.paint(parenchyma, hu)
    _paint_pyramids(view, kidney, local, hull, sinus, tissues)
    view.mark(parenchyma, KIDNEY)


def _paint_pelvis(
    view: View, kidney: Kidney, local: tuple[Field, Field, Field], tissues: Tissues
) -> None:
    up, hilum, across = local
    half_up, half_hilum, half_across = kidney.body.half_mm
    cup = (0.24 * half_up, 0.62 * half_hilum, 0.17 * half_across)
    pelvis = local_ellipsoid_distance((up + 5.0, hilum - 0.85 * half_hilum, across - 2.0), cup)
    view.paint(pelvis + 0.8 * view.lobes, tissues.bowel_wall - 20.0)
    view.paint(pelvis + 1.2 + 0.8 * view.lobes, tissues.urine)
    branches = np.hypot(view.lobes - 0.4, view.shape + view.grain * 0.4) * 9.0 - 1.6
    within = kidney.sinus(local) + 2.0
    view.paint(np.maximum(branches, within), tissues.vein - 10.0)


def _paint_pyramids(
    view: View,
    kidney: Kidney,
    local: tuple[Field, Field, Field],
    hull: Field,
    sinus: Field,
    tissues: Tissues,
) -> None:
    """Medulla: wedges between the sinus and the cortex, in two rows, with columns of cortex between."""
    up, hilum, across = local
    around = np.arctan2(
        up / kidney.body.half_mm[0], -(hilum - 0.5 * kidney.body.half_mm[1]) / kidney.body.half_mm[1]
    )
    phase = np.where(across > 0.0, 1.2, 0.0)
    columns = (-0.45 - np.cos(kidney.pyramids * around + phase)) * 5.0
    rows = 1.8 - np.abs(across + 1.5 * view.shape)
    pyramid = np.maximum(np.maximum(hull + _CORTEX_MM, 1.0 - sinus), np.maximum(columns, rows))
    view.paint(pyramid, tissues.medulla + 4.0 * view.lobes)
