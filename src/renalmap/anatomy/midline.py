"""The mid-sagittal plane: from the body in the scan, from the kidneys, or from the field of view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Literal

import numpy as np

from renalmap.anatomy.body import BodyTrack
from renalmap.anatomy.voxels import Voxels
from renalmap.imaging import Geometry
from renalmap.labels import SIDES

SideBasis = Literal["scan", "both_kidneys", "field_of_view"]
"""How left was told from right: the body in the scan; the middle between two kidneys of the label map; or
only the middle of the field of view."""

APART_MM: Final = 60.0
"""Two pieces of kidney whose centroids are this far apart from right to left lie on opposite sides."""

CROSSING_SHARE: Final = 0.1
CROSSING_ML: Final = 5.0


@dataclass(frozen=True, eq=False)
class Midline:
    """The mid-sagittal plane.

    Attributes:
        track: its column in each slice, in voxels.
        basis: how it was found.
    """

    track: BodyTrack
    basis: SideBasis

    def crossed_by(self, voxels: Voxels, voxel_ml: float) -> bool:
        """Whether at least 5 ml and a tenth of some voxels lie on either side of it."""
        least = min(voxels.on(side, self.track).size for side in SIDES)
        return least >= CROSSING_SHARE * voxels.size and least * voxel_ml >= CROSSING_ML


def locate_midline(own: Sequence[Voxels], geometry: Geometry, body: BodyTrack | None) -> Midline:
    """The plane from the body in the scan; without one from the kidneys; else from the field of view.

    Args:
        own: kidney tissue, one entry for each connected piece.
        geometry: the grid.
        body: where the scan shows the body; None without a scan.
    """
    if body is not None and np.isfinite(body.middle_x).any():
        return Midline(body, "scan")
    between = _between_kidneys(own, geometry)
    middle_x = (geometry.shape[2] - 1) / 2.0 if between is None else between
    track = BodyTrack(np.array([0]), np.array([middle_x]), np.array([np.nan]), geometry.shape[2])
    return Midline(track, "field_of_view" if between is None else "both_kidneys")


def _between_kidneys(own: Sequence[Voxels], geometry: Geometry) -> float | None:
    """The column half-way between the two pieces of kidney farthest apart; None if they are too close."""
    most = max((piece.size for piece in own), default=0)
    least = max(CROSSING_ML / geometry.voxel_ml, CROSSING_SHARE * most)
    columns = [piece.centre_zyx[2] for piece in own if piece.size >= least]
    pairs = [(abs(one - other), (one + other) / 2.0) for one, other in combinations(columns, 2)]
    gap, middle = max(pairs, default=(0.0, 0.0))
    return middle if gap * geometry.spacing_mm[2] >= APART_MM else None
