"""A scan as the networks see it: slices on the Plan's grid, and the way back to the scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renalmap.imaging import Volume
from renalmap.inference.placement import Placement
from renalmap.preprocess import InPlaneFit, Normalisation, Plan, SliceStatistics
from renalmap.preprocess.intensity import volume_mean_deviation_hu


@dataclass(frozen=True, eq=False)
class ScanOnGrid:
    """A scan's slices on the network's grid, made one at a time.

    Attributes:
        volume: the scan, axes (z, y, x), HU.
        plan: what is done to it.
        fit: how its slices lie on the grid.
        normalisation: of its HU.
    """

    volume: Volume
    plan: Plan
    fit: InPlaneFit
    normalisation: Normalisation

    @classmethod
    def of(cls, volume: Volume, plan: Plan, statistics: SliceStatistics) -> ScanOnGrid:
        """A scan, to be seen by networks that were trained with these statistics."""
        _, rows, columns = volume.geometry.shape
        fit = InPlaneFit(rows, columns, volume.geometry.spacing_mm[1:], plan.grid_size)
        own = None
        if plan.normalisation == "volume_zscore":
            own = volume_mean_deviation_hu(volume.hu, plan)
        return cls(volume, plan, fit, Normalisation.from_plan(plan, statistics, own))

    @property
    def depth(self) -> int:
        """How many slices there are."""
        return self.volume.geometry.shape[0]

    @property
    def slice_distance_mm(self) -> float:
        """From one slice's centre to the next one's."""
        return self.volume.geometry.spacing_mm[0]

    @property
    def pixel_mm2(self) -> float:
        """Area of a pixel of the grid."""
        y_mm, x_mm = self.fit.grid_spacing_mm
        return y_mm * x_mm

    def hu(self, z: int) -> NDArray[np.float32]:
        """A slice's HU on the grid."""
        return self.fit.to_grid(self.volume.hu[z], self.plan.outside_hu)

    def image(self, z: int) -> NDArray[np.float32]:
        """A slice as a network takes it."""
        return self.normalisation(self.hu(z))

    def placement(self, origin_zyx: Sequence[int] = (0, 0, 0)) -> Placement:
        """Where a box that begins at this voxel of the grid lies in the scan."""
        z, y, x = origin_zyx
        return Placement((z, y, x), self.depth, (self.slice_distance_mm, *self.fit.grid_spacing_mm))

    def column(self, scan_column: float) -> float:
        """The grid's column at a column of the scan."""
        scale = self.fit.box.shape[1] / self.fit.columns
        return self.fit.box.start[1] + (scan_column + 0.5) * scale - 0.5

    def on_scan(self, zyx: tuple[float, float, float]) -> tuple[float, float, float]:
        """The place in the scan of a place on the grid, in voxels."""
        return zyx[0], *self.fit.place_on_scan(zyx[1], zyx[2])

    def labels_on_scan(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Labels (z, grid, grid) on the scan's own pixels."""
        if self.fit.is_identity:
            return labels
        scan = np.empty(self.volume.geometry.shape, np.uint8)
        for z in range(self.depth):
            scan[z] = self.fit.from_grid(labels[z])
        return scan
