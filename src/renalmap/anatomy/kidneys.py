"""Which pieces of kidney tissue make up one kidney, and on which side it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from renalmap.anatomy.midline import Midline
from renalmap.anatomy.voxels import Voxels
from renalmap.imaging import Geometry
from renalmap.imaging.volume import Box
from renalmap.labels import SIDES, Side

SPECK_BELOW_ML: Final = 0.1
"""Smaller components are specks: a ball of this volume is 5.8 mm across."""

NO_SIDE_WITHIN_MM: Final = 30.0
"""A lone kidney this near the middle of the field of view may be of either side."""

HORSESHOE_WIDTH_MM: Final = 100.0
"""Without the body, kidney tissue across the middle of the field of view is a horseshoe only if it is this
wide: otherwise it is one kidney of a patient who lies off the middle."""

FURTHER_KIDNEY_ML: Final = 20.0
FURTHER_KIDNEY_GAP_MM: Final = 10.0


@dataclass(frozen=True, eq=False)
class Share:
    """What one kidney has of a connected piece of the foreground.

    Attributes:
        piece: the piece's index.
        own: the kidney's own tissue in it; its box is the piece's.
        is_half: whether the midline parts the piece between two kidneys.
    """

    piece: int
    own: Voxels
    is_half: bool


@dataclass(frozen=True, eq=False)
class Assembled:
    """The shares that make up one kidney, that with most tissue first.

    Attributes:
        side: the patient's; None where it cannot be told.
        shares: at least one.
    """

    side: Side | None
    shares: tuple[Share, ...]


def assemble_kidneys(own: Sequence[Voxels], geometry: Geometry, midline: Midline) -> list[Assembled]:
    """Which pieces make up which kidney, left before right; pieces without kidney tissue are left out.

    A piece belongs to the side of most of its kidney tissue, whole, even if a tumour of it reaches over
    the midline. Only where at least 5 ml and a tenth of its kidney tissue lie on either side (a
    horseshoe kidney) is it parted. On one side, pieces join the nearest kidney; one of at least 20 ml
    of kidney tissue and 10 mm away from any is a kidney of its own (a transplant beside the native one).

    Args:
        own: the kidney tissue of each connected piece of the foreground; boxes are the pieces'.
        geometry: the grid.
        midline: what tells left from right.
    """
    shares: dict[Side | None, list[Share]] = {side: [] for side in (*SIDES, None)}
    for index, tissue in enumerate(own):
        if tissue.size * geometry.voxel_ml < SPECK_BELOW_ML:
            continue
        if _is_horseshoe(tissue, geometry, midline):
            for side in SIDES:
                shares[side].append(Share(index, tissue.on(side, midline.track), is_half=True))
        else:
            shares[tissue.side(midline.track)].append(Share(index, tissue, is_half=False))
    if _side_is_doubtful(shares, geometry, midline):
        shares = {None: [share for found in shares.values() for share in found]}
    return [
        Assembled(side, group) for side, found in shares.items() for group in _groups(found, geometry)
    ]


def _is_horseshoe(tissue: Voxels, geometry: Geometry, midline: Midline) -> bool:
    if not midline.crossed_by(tissue, geometry.voxel_ml):
        return False
    first, last = tissue.span(2)
    width_mm = (last - first + 1) * geometry.spacing_mm[2]
    return midline.basis != "field_of_view" or width_mm >= HORSESHOE_WIDTH_MM


def _side_is_doubtful(
    shares: dict[Side | None, list[Share]], geometry: Geometry, midline: Midline
) -> bool:
    """Whether there is neither a body nor a second kidney, and the one that there is lies near the middle."""
    found = [share for each in shares.values() for share in each]
    if midline.basis != "field_of_view" or not found or any(share.is_half for share in found):
        return False
    largest = max(found, key=lambda share: share.own.size).own
    offset = largest.centre_zyx[2] - float(midline.track.middle_x[0])
    return abs(offset) * geometry.spacing_mm[2] < NO_SIDE_WITHIN_MM


def _groups(shares: Sequence[Share], geometry: Geometry) -> list[tuple[Share, ...]]:
    groups: list[list[Share]] = []
    for share in sorted(shares, key=lambda each: -each.own.size):
        gaps = [
            min(gap_mm(share.own.box, other.own.box, geometry) for other in group) for group in groups
        ]
        nearest = min(gaps, default=np.inf)
        own_ml = share.own.size * geometry.voxel_ml
        if not groups or (own_ml >= FURTHER_KIDNEY_ML and nearest >= FURTHER_KIDNEY_GAP_MM):
            groups.append([share])
        else:
            groups[gaps.index(nearest)].append(share)
    return [tuple(group) for group in groups]


def gap_mm(one: Box, other: Box, geometry: Geometry) -> float:
    """Distance between two boxes, which is at most that of what lies in them; 0 where they overlap."""
    gaps = [
        max(0, low - stop, other_low - other_stop) * mm
        for low, stop, other_low, other_stop, mm in zip(
            one.start, other.stop, other.start, one.stop, geometry.spacing_mm, strict=True
        )
    ]
    return float(np.linalg.norm(gaps))
