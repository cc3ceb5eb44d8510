"""Where a box of voxels lies in its scan: what rules for a part of the scan must know about the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Placement:
    """Where a box of voxels lies.

    Attributes:
        origin_zyx: the voxel of the scan (or of the network's grid) that the box starts with.
        scan_slices: how many slices the whole scan has.
        spacing_mm: voxel spacing (z, y, x).
    """

    origin_zyx: tuple[int, int, int]
    scan_slices: int
    spacing_mm: tuple[float, float, float]

    @classmethod
    def whole(cls, shape: Sequence[int], spacing_mm: tuple[float, float, float]) -> Placement:
        """That of a box which is the scan."""
        return cls((0, 0, 0), shape[0], spacing_mm)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel."""
        return float(np.prod(self.spacing_mm)) / 1000.0

    @property
    def pixel_mm2(self) -> float:
        """Area of one pixel of a slice."""
        return self.spacing_mm[1] * self.spacing_mm[2]

    def is_cut(self, z: slice) -> bool:
        """Whether what spans these slices of the box touches the scan's first or last slice."""
        low, high = z.start + self.origin_zyx[0], z.stop + self.origin_zyx[0]
        return bool(low == 0 or high == self.scan_slices)

    def of_scan(self, zyx: Sequence[float]) -> tuple[float, float, float]:
        """A place in the box, in voxels of the scan."""
        z, y, x = (float(value) + start for value, start in zip(zyx, self.origin_zyx, strict=True))
        return z, y, x
