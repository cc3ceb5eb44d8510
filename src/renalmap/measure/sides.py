"""Left and right without a scan, and which pieces make up one kidney."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np

from renalmap.imaging import Geometry, LabelMap, Volume
from renalmap.imaging.volume import Box
from renalmap.labels import CYST, KIDNEY, TUMOUR
from renalmap.measure.anatomy import CROSSING_ML, CROSSING_SHARE, SIDES, Part, Side, find_parts
from renalmap.measure.midline import BodyTrack, track_body
from renalmap.measure.results import SideBasis

SPECK_BELOW_ML: Final = 0.1
"""Smaller components are specks: a ball of this volume is 5.8 mm across."""

APART_MM: Final = 60.0
"""Two pieces of kidney whose centroids are this far apart from right to left are one on either side."""

NO_SIDE_WITHIN_MM: Final = 30.0
"""A lone kidney this near the middle of the field of view may be of either side."""

HORSESHOE_WIDTH_MM: Final = 100.0
"""Without the body, kidney tissue across the middle of the field of view is a horseshoe only if it is this
wide: otherwise it is one kidney of a patient who lies off the middle."""

FURTHER_KIDNEY_ML: Final = 20.0
FURTHER_KIDNEY_GAP_MM: Final = 10.0


@dataclass(frozen=True, eq=False)
class Midline:
    """What tells left from right.

    Attributes:
        track: the midline in voxels.
        basis: where it comes from.
    """

    track: BodyTrack
    basis: SideBasis


@dataclass(frozen=True, eq=False)
class KidneyPieces:
    """The pieces of one kidney with its lesions.

    Attributes:
        side: the patient's; None where it cannot be told.
        parts: of kidney and lesions, that with most of the kidney's own tissue first.
        crosses_midline: whether a piece was shared out between the sides by the midline.
    """

    side: Side | None
    parts: tuple[Part, ...]
    crosses_midline: bool


def locate_midline(label_map: LabelMap, parts: Sequence[Part], volume: Volume | None) -> Midline:
    """The midline from the body in the scan; without one from the kidneys; else from the field of view.

    Args:
        label_map: on the scan's canonical grid.
        parts: of kidney and lesions.
        volume: the scan, or None.
    """
    if volume is not None:
        track = track_body(volume)
        if np.isfinite(track.middle_x).any():
            return Midline(track, "scan")
    geometry = label_map.geometry
    between = _between_kidneys(label_map, parts)
    middle_x = (geometry.shape[2] - 1) / 2.0 if between is None else between
    track = BodyTrack(np.array([0]), np.array([middle_x]), np.array([np.nan]), geometry.shape[2])
    return Midline(track, "field_of_view" if between is None else "both_kidneys")


def _between_kidneys(label_map: LabelMap, parts: Sequence[Part]) -> float | None:
    """The column half-way between the two pieces of kidney farthest apart; None if they are not far."""
    voxel_ml, x_mm = label_map.geometry.voxel_ml, label_map.geometry.spacing_mm[2]
    own_ml = [part.voxels(label_map, KIDNEY) * voxel_ml for part in parts]
    least_ml = max(CROSSING_ML, CROSSING_SHARE * max(own_ml, default=0.0))
    columns = [
        _centre_x(part, label_map) for part, ml in zip(parts, own_ml, strict=True) if ml >= least_ml
    ]
    pairs = [(abs(one - other), (one + other) / 2.0) for one, other in combinations(columns, 2)]
    gap, middle = max(pairs, default=(0.0, 0.0))
    return middle if gap * x_mm >= APART_MM else None


def _centre_x(part: Part, label_map: LabelMap) -> float:
    """The column of the centroid of a piece's kidney tissue."""
    counts = np.count_nonzero(part.only(label_map, KIDNEY).inside, axis=(0, 1))
    return part.box.start[2] + float(np.average(np.arange(counts.size), weights=counts))


def _width_mm(part: Part, label_map: LabelMap) -> float:
    """How far a piece's kidney tissue reaches from right to left."""
    columns = np.flatnonzero(part.only(label_map, KIDNEY).inside.any(axis=(0, 1)))
    return float(columns[-1] - columns[0] + 1) * label_map.geometry.spacing_mm[2]


def assemble_kidneys(
    label_map: LabelMap, parts: Sequence[Part], midline: Midline
) -> tuple[KidneyPieces, ...]:
    """Which pieces make up which kidney, left before right; pieces without kidney tissue are left out.

    A piece belongs to the side of most of its kidney tissue, whole, even if a tumour of it reaches over
    the midline. Only where at least 5 ml and a tenth of its kidney tissue lie on either side (a
    horseshoe kidney) is it shared out. On one side, pieces join the nearest kidney; one of at least 20 ml
    of kidney tissue and 10 mm away from any is a kidney of its own (a transplant beside the native one).

    Args:
        label_map: on the scan's canonical grid.
        parts: of kidney and lesions.
        midline: what tells left from right.
    """
    voxel_ml = label_map.geometry.voxel_ml
    pieces: dict[Side | None, list[tuple[Part, float]]] = {side: [] for side in (*SIDES, None)}
    crosses = False
    for part in parts:
        own_ml = part.voxels(label_map, KIDNEY) * voxel_ml
        if own_ml < SPECK_BELOW_ML:
            continue
        halves = {side: part.on(side, midline.track) for side in SIDES}
        halves_ml = {side: half.voxels(label_map, KIDNEY) * voxel_ml for side, half in halves.items()}
        least_ml = min(halves_ml.values())
        wide = midline.basis != "field_of_view" or _width_mm(part, label_map) >= HORSESHOE_WIDTH_MM
        if wide and least_ml >= max(CROSSING_ML, CROSSING_SHARE * own_ml):
            crosses = True
            for half_side, half in halves.items():
                pieces[half_side].append((half, halves_ml[half_side]))
        else:
            more: Side = "left" if halves_ml["left"] > halves_ml["right"] else "right"
            pieces[more].append((part, own_ml))
    if midline.basis == "field_of_view" and not crosses:
        pieces = _doubt_sides(pieces, label_map, midline)
    return tuple(
        KidneyPieces(side, group, crosses)
        for side, found in pieces.items()
        for group in _groups(found, label_map.geometry)
    )


def _doubt_sides(
    pieces: dict[Side | None, list[tuple[Part, float]]], label_map: LabelMap, midline: Midline
) -> dict[Side | None, list[tuple[Part, float]]]:
    """Without a body and without a second kidney, one near the middle is of no known side."""
    found = [piece for side in SIDES for piece in pieces[side]]
    if not found:
        return pieces
    largest = max(found, key=lambda piece: piece[1])[0]
    offset = _centre_x(largest, label_map) - float(midline.track.middle_x[0])
    if abs(offset) * label_map.geometry.spacing_mm[2] >= NO_SIDE_WITHIN_MM:
        return pieces
    return {"left": [], "right": [], None: found}


def _groups(pieces: list[tuple[Part, float]], geometry: Geometry) -> list[tuple[Part, ...]]:
    groups: list[list[Part]] = []
    for part, own_ml in sorted(pieces, key=lambda piece: -piece[1]):
        gaps = [min(gap_mm(part.box, other.box, geometry) for other in group) for group in groups]
        nearest = min(gaps, default=np.inf)
        if not groups or (own_ml >= FURTHER_KIDNEY_ML and nearest >= FURTHER_KIDNEY_GAP_MM):
            groups.append([part])
        else:
            groups[gaps.index(nearest)].append(part)
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


def foreground_parts(label_map: LabelMap) -> list[Part]:
    """The connected parts of kidney, tumour and cyst together, largest first."""
    return find_parts(label_map, (KIDNEY, TUMOUR, CYST))
