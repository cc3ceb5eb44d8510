"""A kidney whose axes, sinus and polar lines are known, on any grid and turned any way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from tests.measure.scene import make_geometry

from renalmap.anatomy import Anatomy, KidneyShape, shape_of
from renalmap.imaging import LabelMap
from renalmap.nephrometry import LesionNephrometry, Nephrometry, score_anatomy

HALF_MM = (55.0, 30.0, 25.0)
LINE_MM = 18.0
"""The polar lines lie this far above and below the middle."""
SINUS_FROM_MM = -4.0
"""How far the sinus reaches towards the lateral rim, from the long axis."""
SINUS_HALF_FRONT_MM = 8.0
SIZE_MM = (140.0, 130.0, 240.0)
FROM_X_MM = 100.0
CENTRE_MM = np.array([70.0, 65.0, 170.0])


def turned(tilt_deg: float = 0.0, lean_deg: float = 0.0, hilum_deg: float = 0.0) -> NDArray[np.float64]:
    """Rows: a left kidney's axes up, to the hilum, to the front, along canonical (z, y, x)."""
    tilt, lean, hilum = np.radians([tilt_deg, lean_deg, hilum_deg])
    axes = np.array(
        [[1.0, 0.0, 0.0], [0.0, -np.sin(hilum), -np.cos(hilum)], [0.0, -np.cos(hilum), np.sin(hilum)]]
    )
    about_x = np.array(
        [[np.cos(tilt), -np.sin(tilt), 0.0], [np.sin(tilt), np.cos(tilt), 0.0], [0.0, 0.0, 1.0]]
    )
    about_y = np.array(
        [[np.cos(lean), 0.0, -np.sin(lean)], [0.0, 1.0, 0.0], [np.sin(lean), 0.0, np.cos(lean)]]
    )
    turn: NDArray[np.float64] = axes @ about_x.T @ about_y.T
    return turn


@dataclass
class KidneyScene:
    """A left kidney of 110 by 60 by 50 mm with a sinus that opens towards the middle; places are in its own axes.

    It lies 5 cm from the middle of the field of view, so that its side is known without another.
    """

    spacing_mm: tuple[float, float, float] = (2.5, 1.6, 1.6)
    axes: NDArray[np.float64] = field(default_factory=turned)
    filled: bool = False
    labels: NDArray[np.uint8] = field(init=False)

    def __post_init__(self) -> None:
        shape = [round(mm / step) for mm, step in zip(SIZE_MM, self.spacing_mm, strict=True)]
        self.labels = np.zeros(shape, np.uint8)
        up, hilum, front = self.local
        about = self.labels[self.region]
        about[
            ((up / HALF_MM[0]) ** 2 + (hilum / HALF_MM[1]) ** 2 + (front / HALF_MM[2]) ** 2) <= 1.0
        ] = 1
        if not self.filled:
            sinus = (np.abs(up) < LINE_MM) & (hilum > SINUS_FROM_MM)
            about[sinus & (np.abs(front) < SINUS_HALF_FRONT_MM)] = 0

    @property
    def region(self) -> tuple[slice, slice, slice]:
        """Where the kidney is."""
        return slice(None), slice(None), slice(round(FROM_X_MM / self.spacing_mm[2]), None)

    @property
    def local(self) -> NDArray[np.float64]:
        """(3, z, y, x) places of the region's voxels along the kidney's axes."""
        shape = self.labels[self.region].shape
        return _local(shape, self.spacing_mm, self.region[2].start, self.axes.tobytes())

    def tumour(self, centre_mm: Sequence[float], radius_mm: float) -> KidneyScene:
        """A ball, over what is there."""
        away = self.local - np.reshape(np.array(centre_mm), (3, 1, 1, 1))
        self.labels[self.region][(away**2).sum(axis=0) <= radius_mm**2] = 2
        return self

    @property
    def label_map(self) -> LabelMap:
        return LabelMap(self.labels, make_geometry(self.labels.shape, self.spacing_mm), "scene")

    @property
    def anatomy(self) -> Anatomy:
        return Anatomy.of(self.label_map)

    def shape(self) -> KidneyShape:
        anatomy = self.anatomy
        (kidney,) = anatomy.kidneys
        assert kidney.side == "left"
        return shape_of(kidney, anatomy)

    def scored(self) -> Nephrometry:
        return score_anatomy(self.anatomy)

    def one(self) -> LesionNephrometry:
        (lesion,) = self.scored().lesions
        return lesion


@lru_cache(maxsize=2)
def _local(
    shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], from_x: int, axes: bytes
) -> NDArray[np.float64]:
    places = np.indices(shape).reshape(3, -1).T * np.array(spacing_mm)
    places[:, 2] += from_x * spacing_mm[2]
    turn = np.frombuffer(axes).reshape(3, 3)
    local: NDArray[np.float64] = ((places - CENTRE_MM) @ turn.T).T.reshape(3, *shape)
    return local


def points(lesion: LesionNephrometry) -> dict[str, int | str | None]:
    """Of every component of both scores."""
    found = [*lesion.renal.components, *lesion.padua.components]
    return {one.code: one.letter or one.points for one in found}
