"""Bodies of known size on grids as CT has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from renalmap.imaging import Geometry, LabelMap, Volume, build_geometry
from renalmap.measure import Measurements, measure_label_map


def make_geometry(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> Geometry:
    """A canonical grid; its voxel (0, 0, 0) lies at (40, 60, -300) mm."""
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2] = spacing_mm[0], -spacing_mm[1], -spacing_mm[2]
    affine[:, 3] = (40.0, 60.0, -300.0, 1.0)
    return build_geometry(shape, affine)


@dataclass
class Scene:
    """A label map to draw on, in mm from voxel (0, 0, 0): z up, y to the back, x to the patient's left."""

    size_mm: tuple[float, float, float] = (200.0, 160.0, 320.0)
    spacing_mm: tuple[float, float, float] = (2.5, 1.6, 1.6)
    labels: NDArray[np.uint8] = field(init=False)

    def __post_init__(self) -> None:
        shape = [round(size / mm) for size, mm in zip(self.size_mm, self.spacing_mm, strict=True)]
        self.labels = np.zeros(shape, np.uint8)

    def draw(self, label: int, centre_mm: Sequence[float], axes_mm: Sequence[float] | float) -> Scene:
        """An ellipsoid along the axes, over what is there."""
        axes = np.broadcast_to(axes_mm, 3)
        places = np.ogrid[tuple(slice(0, length) for length in self.labels.shape)]
        squares = [
            ((place * mm - centre) / axis) ** 2
            for place, mm, centre, axis in zip(places, self.spacing_mm, centre_mm, axes, strict=True)
        ]
        self.labels[sum(squares) <= 1.0] = label
        return self

    def kidney(self, x_mm: float, z_mm: float = 100.0) -> Scene:
        """An upright ellipsoid 110 mm long."""
        return self.draw(1, (z_mm, 80.0, x_mm), (55.0, 25.0, 28.0))

    @property
    def geometry(self) -> Geometry:
        return make_geometry(self.labels.shape, self.spacing_mm)

    @property
    def label_map(self) -> LabelMap:
        return LabelMap(self.labels, self.geometry, "scene")

    def scan(self, body_x_mm: tuple[float, float] = (10.0, 310.0)) -> Volume:
        """Muscle in air; kidney 170 HU, tumour 90, cyst 5."""
        hu = np.full(self.labels.shape, -1000, np.int16)
        low, high = (round(x / self.spacing_mm[2]) for x in body_x_mm)
        hu[:, 5:-5, low:high] = 50
        for label, value in ((1, 170), (2, 90), (3, 5)):
            hu[self.labels == label] = value
        return Volume(hu, self.geometry)

    def measure(self, volume: Volume | None = None) -> Measurements:
        return measure_label_map(self.label_map, volume)
