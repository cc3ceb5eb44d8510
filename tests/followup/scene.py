"""A kidney of known shape with lesions, moved as a whole: sampled anew on any grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalmap.anatomy import Anatomy
from renalmap.followup import Comparison, Timepoint, compare_anatomies
from renalmap.imaging import LabelMap, Volume, build_geometry

HALF_AXES_MM = np.array([26.0, 22.0, 52.0])
MIDDLES_MM = {"left": np.array([-65.0, -20.0, 0.0]), "right": np.array([65.0, -20.0, -10.0])}
"""World coordinates, RAS+: the patient's left is at negative x."""


def turned(axis: Sequence[float], degrees: float) -> NDArray[np.float64]:
    """A rotation about an axis."""
    x, y, z = np.array(axis) / np.linalg.norm(axis)
    angle = np.radians(degrees)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    rotation: NDArray[np.float64] = (
        np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * cross @ cross
    )
    return rotation


@dataclass(frozen=True)
class Ball:
    """A lesion: where, from the middle of its kidney, its radius, its label."""

    side: str
    at_mm: tuple[float, float, float]
    radius_mm: float
    label: int = 2


@dataclass(frozen=True)
class Patient:
    """Kidneys with a hilum that makes every one of their directions different, and lesions."""

    lesions: tuple[Ball, ...] = ()
    sides: tuple[str, ...] = ("left", "right")
    rotation: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    shift_mm: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    parenchyma: float = 1.0
    spacing_mm: tuple[float, float, float] = (3.0, 2.0, 2.0)
    heights_mm: tuple[float, float] = (-90.0, 90.0)

    def moved(self, side: str, rotation: NDArray[np.float64], shift_mm: Sequence[float]) -> Patient:
        """The same with a kidney turned about its middle and shifted, its lesions with it."""
        return replace(
            self,
            rotation={**self.rotation, side: rotation},
            shift_mm={**self.shift_mm, side: np.array(shift_mm)},
        )

    def label_map(self) -> LabelMap:
        """Labels on a canonical grid."""
        low, high = (
            np.array([-140.0, -90.0, self.heights_mm[0]]),
            np.array([140.0, 60.0, self.heights_mm[1]]),
        )
        affine = np.zeros((4, 4))
        affine[2, 0], affine[1, 1], affine[0, 2] = (
            self.spacing_mm[0],
            -self.spacing_mm[1],
            -self.spacing_mm[2],
        )
        affine[:, 3] = (high[0], high[1], low[2], 1.0)
        shape = tuple(
            round(size / mm) for size, mm in zip((high - low)[::-1], self.spacing_mm, strict=True)
        )
        places = np.indices(shape).reshape(3, -1).T @ affine[:3, :3].T + affine[:3, 3]
        labels = np.zeros(len(places), np.uint8)
        for side in self.sides:
            middle, outwards = MIDDLES_MM[side], -1.0 if side == "left" else 1.0
            near = np.abs(places[:, 0] - middle[0]) < 64.0
            own = places[near] - middle - self.shift_mm.get(side, np.zeros(3))
            own = own @ self.rotation.get(side, np.eye(3))
            drawn = labels[near]
            drawn[((own / HALF_AXES_MM) ** 2).sum(axis=1) <= self.parenchyma ** (2 / 3)] = 1
            hilum = own - np.array([-24.0 * outwards, 8.0, 4.0])
            drawn[((hilum / np.array([16.0, 12.0, 22.0])) ** 2).sum(axis=1) <= 1.0] = 0
            for ball in self.lesions:
                if ball.side == side:
                    drawn[((own - np.array(ball.at_mm)) ** 2).sum(axis=1) <= ball.radius_mm**2] = (
                        ball.label
                    )
            labels[near] = drawn
        return LabelMap(labels.reshape(shape), build_geometry(shape, affine), "patient")

    def anatomy(self) -> Anatomy:
        """Its label map, read."""
        return Anatomy.of(self.label_map())

    def scan(self, kidney_hu: int = 170) -> Volume:
        """Muscle in air; kidney, tumour 90 HU, cyst 5 HU."""
        label_map = self.label_map()
        hu = np.full(label_map.labels.shape, -1000, np.int16)
        hu[:, 4:-4, 6:-6] = 50
        for label, value in ((1, kidney_hu), (2, 90), (3, 5)):
            hu[label_map.labels == label] = value
        return Volume(hu, label_map.geometry, "patient")


def compared(before: Patient, after: Patient, **known: Any) -> Comparison:
    """What the comparison says."""
    return compare_anatomies(Timepoint.of(before.anatomy()), Timepoint.of(after.anatomy()), **known)
