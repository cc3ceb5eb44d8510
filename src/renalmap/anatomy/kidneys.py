"""Which pieces of kidney tissue make up one kidney, and on which side it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from renalmap.anatomy.midline import Midline
from renalmap.anatomy.voxels import Border, Voxels, borders_of, without_islands
from renalmap.imaging import Geometry
from renalmap.labels import SIDES, Side

SPECK_BELOW_ML: Final = 0.1
"""Smaller components are specks: a ball of this volume is 5.8 mm across."""

NO_SIDE_WITHIN_MM: Final = 30.0
"""A single kidney this near the middle of the field of view may be on either side."""

HORSESHOE_WIDTH_MM: Final = 100.0
"""Without the body, kidney tissue across the middle of the field of view is a horseshoe only if it is this
wide: otherwise it is one kidney of a patient who lies off-centre."""

FURTHER_KIDNEY_ML: Final = 20.0
FURTHER_KIDNEY_GAP_MM: Final = 10.0


@dataclass(frozen=True, eq=False)
class Piece:
    """The share of one kidney in a connected component of the foreground.

    Attributes:
        component: the component's index.
        own: the kidney's own tissue (label 1) in it; its box is the component's.
        is_half: whether the midline divides the component between two kidneys.
    """

    component: int
    own: Voxels
    is_half: bool


@dataclass(frozen=True, eq=False)
class Kidney:
    """One kidney, without its lesions.

    Attributes:
        number: from 1; left before right, largest first.
        id: "left", "right" or, where the side cannot be determined, "unknown"; a second one is "left_2".
        side: the patient's; None if it cannot be determined.
        pieces: what it is made of, at least one, the one with most tissue first.
        borders: of the scan that its own tissue touches.
    """

    number: int
    id: str
    side: Side | None
    pieces: tuple[Piece, ...]
    borders: list[Border]

    @property
    def own(self) -> list[Voxels]:
        """Its own tissue, piece by piece."""
        return [piece.own for piece in self.pieces]

    @property
    def body(self) -> list[Voxels]:
        """Its own tissue without pieces below a twentieth of it, because stray islands would make it longer."""
        return without_islands(self.own)

    @property
    def crosses_midline(self) -> bool:
        """Whether its tissue continues across the midline, which separates it from the other kidney."""
        return any(piece.is_half for piece in self.pieces)


def assemble_kidneys(own: Sequence[Voxels], geometry: Geometry, midline: Midline) -> tuple[Kidney, ...]:
    """The kidneys and their pieces, left before right; components without kidney tissue are left out.

    A component belongs whole to the side of most of its kidney tissue, even if a tumour in it reaches across
    the midline. Only where at least 5 ml and a tenth of its kidney tissue lie on either side (a
    horseshoe kidney) is it divided. On one side, pieces join the nearest kidney; one of at least 20 ml
    of kidney tissue and 10 mm away from any is a separate kidney (a transplant beside the native one).

    Args:
        own: the kidney tissue of each connected component of the foreground; boxes are the components'.
        geometry: the grid.
        midline: what tells left from right.
    """
    pieces: dict[Side | None, list[Piece]] = {side: [] for side in SIDES}
    for index, tissue in enumerate(own):
        if tissue.size * geometry.voxel_ml < SPECK_BELOW_ML:
            continue
        if _is_horseshoe(tissue, geometry, midline):
            for side in SIDES:
                pieces[side].append(Piece(index, tissue.on(side, midline.track), is_half=True))
        else:
            pieces[tissue.side(midline.track)].append(Piece(index, tissue, is_half=False))
    every = [piece for found in pieces.values() for piece in found]
    if _side_is_doubtful(every, geometry, midline):
        pieces = {None: every}
    kidneys: list[Kidney] = []
    for each, found in pieces.items():
        for rank, group in enumerate(_groups(found, geometry), start=1):
            name = f"{each or 'unknown'}{f'_{rank}' if rank > 1 else ''}"
            borders = borders_of([piece.own for piece in group], geometry.shape)
            kidneys.append(Kidney(len(kidneys) + 1, name, each, tuple(group), borders))
    return tuple(kidneys)


def _is_horseshoe(tissue: Voxels, geometry: Geometry, midline: Midline) -> bool:
    if not midline.crossed_by(tissue, geometry.voxel_ml):
        return False
    first, last = tissue.span(2)
    width_mm = (last - first + 1) * geometry.spacing_mm[2]
    return midline.basis != "field_of_view" or width_mm >= HORSESHOE_WIDTH_MM


def _side_is_doubtful(pieces: Sequence[Piece], geometry: Geometry, midline: Midline) -> bool:
    """Whether there is neither a body nor a second kidney, and the only kidney lies near the middle."""
    parted = any(piece.is_half for piece in pieces)
    if midline.basis != "field_of_view" or not pieces or parted:
        return False
    largest = max(pieces, key=lambda piece: piece.own.size).own
    offset = largest.centre_zyx[2] - float(midline.track.middle_x[0])
    return abs(offset) * geometry.spacing_mm[2] < NO_SIDE_WITHIN_MM


def _groups(pieces: Sequence[Piece], geometry: Geometry) -> list[list[Piece]]:
    groups: list[list[Piece]] = []
    for piece in sorted(pieces, key=lambda each: -each.own.size):
        gaps = [gap_mm(piece.own, [other.own for other in group], geometry) for group in groups]
        nearest = min(gaps, default=np.inf)
        own_ml = piece.own.size * geometry.voxel_ml
        if not groups or (own_ml >= FURTHER_KIDNEY_ML and nearest >= FURTHER_KIDNEY_GAP_MM):
            groups.append([piece])
        else:
            groups[gaps.index(nearest)].append(piece)
    return groups


def gap_mm(one: Voxels, others: Sequence[Voxels], geometry: Geometry) -> float:
    """Distance between the box of some voxels and the nearest box of others; 0 where they overlap."""
    gaps = [
        [
            max(0, low - other_stop, other_low - stop)
            for low, stop, other_low, other_stop in zip(
                one.box.start, one.box.stop, other.box.start, other.box.stop, strict=True
            )
        ]
        for other in others
    ]
    return float(np.linalg.norm(np.array(gaps) * geometry.spacing_mm, axis=1).min())
