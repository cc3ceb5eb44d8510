"""The container: skin, fat, muscle wall, ribs, lung bases and the table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from renalmap.phantom.canvas import View
from renalmap.phantom.shapes import Field, smooth_max
from renalmap.phantom.tissues import Tissues

_RIB_PITCH_MM = 28.0
_RIB_DROP_MM = 200.0
"""How far a rib comes down on its way from the spine to the sternum."""
_RIB_ENDS = (0.2, 0.38, 0.56, 0.68, 0.78, 0.85, 0.88, 0.9, 0.9, 0.9)
"""From the twelfth rib up: where it ends, as a share of the way from the spine to the sternum."""
_LOWEST_RIB_MM = 50.0
"""How far below the twelfth rib's head the rib cage reaches."""
_RECESS_Z_MM = 100.0
"""Below this height the lung's border falls slowly: the pleural recess behind liver and spleen."""


@dataclass(frozen=True)
class Trunk:
    """The size of one patient's trunk, mm.

    Attributes:
        half_width_mm: half of the width at the waist.
        half_depth_mm: half of the depth, front to back.
        fat_mm: subcutaneous fat at its thinnest.
        twist: phase of the trunk's slow change of width with height.
        vertebra_y_mm: centre of the vertebral bodies.
        domes_z_mm: top of the right and the left diaphragm.
        rib_z_mm: height of the twelfth rib at the spine.
    """

    half_width_mm: float
    half_depth_mm: float
    fat_mm: float
    twist: float
    vertebra_y_mm: float
    domes_z_mm: tuple[float, float]
    rib_z_mm: float

    @classmethod
    def draw(cls, generator: np.random.Generator) -> Trunk:
        """An adult from slim to stout."""
        half_width = float(generator.uniform(148.0, 172.0))
        half_depth = half_width * float(generator.uniform(0.72, 0.85))
        fat = float(generator.uniform(5.0, 17.0))
        return cls(
            half_width_mm=half_width,
            half_depth_mm=half_depth,
            fat_mm=fat,
            twist=float(generator.uniform(0.0, 2.0 * np.pi)),
            vertebra_y_mm=0.95 * half_depth - fat - 67.0,
            domes_z_mm=(float(generator.uniform(132.0, 148.0)), float(generator.uniform(120.0, 135.0))),
            rib_z_mm=float(generator.uniform(38.0, 54.0)),
        )

    @property
    def scale(self) -> float:
        """Width of the inside against a man of average build."""
        return (self.half_width_mm - self.fat_mm - 16.0) / 132.0

    def depth(self, z: Field, y: Field, x: Field) -> Field:
        """Depth below the skin, mm; negative outside. The outline lies between ellipse and box."""
        sway = 1.0 + 0.025 * np.sin(z / 90.0 + self.twist)
        u = x / (self.half_width_mm * sway)
        v = y / (self.half_depth_mm * (2.0 - sway))
        uu, vv = u * u, v * v
        squared = uu + vv + 1e-6
        corner = 1.0 + 0.30 * uu * vv / (squared * squared)
        radial = np.sqrt(x * x + y * y) * (1.0 - corner / np.sqrt(squared))
        back = y - 0.95 * self.half_depth_mm + 3.5 * np.exp(-((x / 14.0) ** 2))
        return -smooth_max(radial, back, 26.0)

    def turn(self, y: Field, x: Field) -> Field:
        """The way around the body, from 0 at the spine to 1 at the sternum."""
        return np.arctan2(np.abs(x), y) / np.pi

    def fat_depth(self, z: Field, turn: Field) -> Field:
        """Thickness of the subcutaneous fat: most of it lies in the flanks' back, low down."""
        flank = 0.9 * np.exp(-(((turn - 0.24) / 0.13) ** 2)) + 0.35 * np.exp(
            -(((turn - 0.9) / 0.2) ** 2)
        )
        low = np.clip(1.0 - z / 250.0, 0.4, 1.5)
        thickness_mm: Field = 2.0 + self.fat_mm * (0.8 + flank) * low
        return thickness_mm

    def cavity(self, z: Field, y: Field, x: Field) -> Field:
        """Distance to the abdominal and chest cavity, negative inside."""
        turn = self.turn(y, x)
        front = np.exp(-(((turn - 1.0) / 0.18) ** 2))
        wall = 13.5 - 4.0 * front
        inside = self.fat_depth(z, turn) + wall - self.depth(z, y, x)
        rise = np.clip((z - 40.0) / 60.0, 0.0, 1.0)
        lateral = np.clip((np.abs(x) - 48.0) / 30.0, 0.0, 1.0)
        back = y - (self.vertebra_y_mm + 20.0 + 16.0 * rise + 22.0 * lateral)
        return smooth_max(inside, back, 20.0)

    def diaphragm(self, z: Field, y: Field, x: Field) -> Field:
        """Height above the diaphragm in mm, measured across it; negative below."""
        middle, width, length = 62.0 * self.scale, 68.0 * self.scale, 78.0
        medial = np.abs(x) < middle
        fall = (
            np.where(medial, 22.0, 70.0) * ((np.abs(x) - middle) / np.where(medial, middle, width)) ** 2
        )
        share = 1.0 / (1.0 + np.exp(-x / 20.0))
        right, left = self.domes_z_mm
        height = right + (left - right) * share - fall - 70.0 * ((y + 12.0) / length) ** 2
        height = np.where(height < _RECESS_Z_MM, _RECESS_Z_MM + 0.22 * (height - _RECESS_Z_MM), height)
        steep = 0.6 * np.clip((height - _RECESS_Z_MM) / 20.0, 0.0, 1.0)
        height_mm: Field = (z - height) * (0.9 - steep * 0.5)
        return height_mm


def paint_table(view: View, trunk: Trunk, tissues: Tissues) -> None:
    """A curved table top under the back, and the edge of the carriage below it."""
    top = 0.95 * trunk.half_depth_mm + 9.0 - 34.0 * (view.x / 200.0) ** 2
    across = np.maximum(np.abs(view.y - top) - 1.5, np.abs(view.x) - 195.0)
    view.paint(across, tissues.table)
    low = 0.95 * trunk.half_depth_mm + 46.0
    carriage = np.maximum(np.abs(view.y - low) - 0.8, np.abs(view.x) - 60.0)
    view.paint(carriage, -250.0)


@dataclass(frozen=True)
class Wall:
    """The wall on one slice, (rows, columns): depth below the skin, way around, fat's thickness."""

    depth: Field
    turn: Field
    fat: Field


def paint_wall(view: View, trunk: Trunk, tissues: Tissues) -> Wall:
    """Skin, subcutaneous fat, the muscle wall, and fat in the cavity; sets `view.cavity`."""
    turn = trunk.turn(view.y, view.x)
    uneven = 2.2 * view.shape
    depth = trunk.depth(*view.points) + uneven
    fat = trunk.fat_depth(view.z, turn)
    view.cavity[...] = trunk.cavity(*view.points) - uneven - 0.5 * view.lobes
    septa = np.abs(view.lobes) < 0.07
    fat_hu = tissues.fat + 4.0 * view.shape + np.where(septa, 14.0, 0.0)
    muscle_hu = tissues.muscle + 4.0 * view.course + 5.0 * view.grain
    view.paint(-depth, tissues.skin)
    view.paint(2.0 - depth, fat_hu)
    linea_alba = 1.8 - np.abs(view.x) - 40.0 * (view.y > 0.0)
    wall = smooth_max(fat - depth, linea_alba, 4.0)
    view.paint(wall, muscle_hu)
    _paint_layers(view, trunk, depth - fat, turn)
    view.paint(view.cavity, tissues.fat - 2.0 + 4.0 * view.shape)
    return Wall(depth, turn, fat)


def _paint_layers(view: View, trunk: Trunk, below_fat: Field, turn: Field) -> None:
    """Thin fat between the three flat muscles of the flank."""
    if trunk.rib_z_mm < float(view.z):
        return
    flank = np.exp(-(((turn - 0.5) / 0.16) ** 2)) * np.clip(0.6 + 0.25 * view.shape, 0.0, 1.0)
    for level in (5.0, 10.0):
        view.paint(np.abs(below_fat - level) - 0.3, -60.0, 0.6 * flank)


def paint_ribs(view: View, trunk: Trunk, tissues: Tissues, wall: Wall) -> None:
    """Ribs: oblique bars in the wall, which a slice cuts into ellipses."""
    if float(view.z) < trunk.rib_z_mm - _LOWEST_RIB_MM:
        return
    turn = wall.turn
    inside = wall.fat + 10.0 - wall.depth
    arch = view.z - trunk.rib_z_mm + _RIB_DROP_MM * (turn - 0.1)
    which = np.rint(arch / _RIB_PITCH_MM)
    index = np.clip(which, 0, len(_RIB_ENDS) - 1).astype(np.intp)
    ends = np.asarray(_RIB_ENDS, np.float32)[index]
    height = (arch - _RIB_PITCH_MM * which) / 1.35
    radius = np.hypot(height, inside * 1.25) - 5.4
    along = np.maximum(turn - ends, 0.085 - turn) * 400.0
    outside = np.maximum(along, np.where(which < 0, 50.0, -50.0))
    distance = np.maximum(radius, outside)
    gristle = turn > 0.68
    view.paint(distance, np.where(gristle, tissues.cartilage, tissues.cortical_bone).astype(np.float32))
    marrow = np.where(gristle, tissues.cartilage - 15.0, tissues.marrow + 20.0 * view.grain)
    view.paint(distance + 2.0, marrow.astype(np.float32))


def paint_lungs(view: View, trunk: Trunk, tissues: Tissues) -> None:
    """The lung bases above the diaphragm, with their vessels and a heart between them."""
    if float(view.z) < _RECESS_Z_MM - 40.0:
        return
    above = -trunk.diaphragm(*view.points) - 1.5 * view.shape
    spine = 30.0 - np.hypot(view.x, view.y - trunk.vertebra_y_mm + 6.0)
    mediastinum = 1.0 - np.hypot((view.x - 6.0) / 26.0, (view.y + 14.0) / 76.0)
    lung = np.maximum(smooth_max(above, view.cavity + 3.0, 8.0), spine)
    lung = np.maximum(lung, mediastinum * 30.0)
    view.paint(lung - 2.5, tissues.muscle)
    view.paint(lung, tissues.lung + 22.0 * view.shape + 10.0 * view.grain)
    vessel = np.hypot(view.lobes, view.course) * 14.0 - 2.2
    view.paint(np.maximum(vessel, lung + 6.0), tissues.vein)
    _paint_heart(view, trunk, tissues)


def _paint_heart(view: View, trunk: Trunk, tissues: Tissues) -> None:
    middle = min(trunk.domes_z_mm) + 36.0
    up = (float(view.z) - middle) / 56.0
    if abs(up) >= 1.0:
        return
    size = float(np.sqrt(1.0 - up * up))
    along = (view.x - 16.0) * 0.86 - (view.y + 34.0) * 0.5
    across = (view.x - 16.0) * 0.5 + (view.y + 34.0) * 0.86
    heart = (np.hypot(along / 62.0, across / 46.0) - size) * 46.0 + 1.5 * view.shape
    view.paint(heart, tissues.muscle + 45.0)
    chambers = np.maximum(heart + 11.0, 3.0 - np.abs(along - 4.0 - 0.2 * across))
    view.paint(chambers, tissues.artery)
