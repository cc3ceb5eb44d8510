"""Which voxels belong to which solid: the left and the right kidney, each tumour and each cyst."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from renalmap.imaging.volume import Box, LabelMap, Volume
from renalmap.labels import CYST, KIDNEY, TUMOUR
from renalmap.measure import Measurements, measure_label_map
from renalmap.measure.anatomy import Part, find_parts
from renalmap.measure.sides import assemble_kidneys, foreground_parts, locate_midline
from renalmap.report.palette import LABEL_COLOURS


@dataclass(frozen=True, eq=False)
class Structure:
    """One solid.

    Attributes:
        name: for file names: "left_kidney", "tumour_1".
        title: for people: "left kidney", "tumour 1".
        label: of its voxels.
        box: a region of the scan's canonical grid.
        inside: bool, of the box's shape (z, y, x): its voxels.
    """

    name: str
    label: int
    box: Box
    inside: NDArray[np.bool_] = field(repr=False)

    @property
    def title(self) -> str:
        """Its name for people."""
        return self.name.replace("_", " ")

    @property
    def colour(self) -> str:
        """Its colour in every picture, "#rrggbb"."""
        return LABEL_COLOURS[self.label]


@dataclass(frozen=True, eq=False)
class Structures:
    """The solids of a label map and what was left out of them.

    Attributes:
        found: kidneys, left before right, then lesions, largest first, numbered as `measure` numbers them.
        left_out: how many parts are too small.
        left_out_ml: their volume together.
        least_ml: below which parts are left out.
    """

    found: tuple[Structure, ...]
    left_out: int
    left_out_ml: float
    least_ml: float


def find_structures(labels: LabelMap, volume: Volume | None = None) -> Structures:
    """Take a label map apart.

    A kidney is its own tissue (label 1) without tumours and labelled cysts, which are solids of their own
    that fit into it. Sides, numbers and the least volume are those of `measure_label_map`.

    Args:
        labels: 0 background, 1 kidney, 2 tumour, 3 cyst, on the scan's canonical grid.
        volume: the scan, which tells left from right more surely.

    Raises:
        LabelError: the map holds a value that is no label.
        GeometryMismatchError: the scan lies on another grid.
    """
    measured = measure_label_map(labels, volume)
    parts = foreground_parts(labels)
    kidneys = assemble_kidneys(labels, parts, locate_midline(labels, parts, volume))
    own = [
        [piece for part in kidney.parts for piece in part.only(labels, KIDNEY).connected()]
        for kidney in kidneys
    ]
    least_ml, voxel_ml = measured.specks_below_ml, labels.geometry.voxel_ml
    kept = [[piece for piece in pieces if piece.size * voxel_ml >= least_ml] for pieces in own]
    names = _kidney_names([kidney.side for kidney in kidneys])
    found = [
        _structure(name, KIDNEY, pieces) for name, pieces in zip(names, kept, strict=True) if pieces
    ]
    found += _lesions(labels, measured)
    left_out_voxels = int(np.count_nonzero(labels.labels)) - sum(
        int(np.count_nonzero(one.inside)) for one in found
    )
    every = [part for label in (KIDNEY, TUMOUR, CYST) for part in find_parts(labels, (label,))]
    return Structures(
        found=tuple(found),
        left_out=sum(part.size * voxel_ml < least_ml for part in every),
        left_out_ml=left_out_voxels * voxel_ml,
        least_ml=least_ml,
    )


def _kidney_names(sides: Sequence[str | None]) -> list[str]:
    """As "left_kidney"; a second one of a side is "left_kidney_2"."""
    names: list[str] = []
    for side in sides:
        name = "kidney" if side is None else f"{side}_kidney"
        again = sum(one.startswith(name) for one in names)
        names.append(f"{name}_{again + 1}" if again else name)
    return names


def _lesions(labels: LabelMap, measured: Measurements) -> Iterable[Structure]:
    """Each measured lesion's voxels: the part of its label that has its volume and its place."""
    parts = {label: find_parts(labels, (label,)) for label in (TUMOUR, CYST)}
    for lesion in measured.lesions:
        label = TUMOUR if lesion.kind == "tumour" else CYST
        part = min(parts[label], key=lambda part: _distance(part, lesion.centroid.voxel_zyx))
        parts[label].remove(part)
        yield _structure(f"{lesion.kind}_{lesion.id}", label, [part])


def _distance(part: Part, voxel_zyx: tuple[float, float, float]) -> float:
    centre = [
        low + float(np.average(np.arange(size), weights=part.inside.sum(axis=others)))
        for low, size, others in zip(
            part.box.start, part.box.shape, ((1, 2), (0, 2), (0, 1)), strict=True
        )
    ]
    return float(np.linalg.norm(np.subtract(centre, voxel_zyx)))


def _structure(name: str, label: int, pieces: Sequence[Part]) -> Structure:
    start = tuple(int(low) for low in np.min([piece.box.start for piece in pieces], axis=0))
    stop = tuple(int(high) for high in np.max([piece.box.stop for piece in pieces], axis=0))
    box = Box(start, stop)
    inside = np.zeros(box.shape, bool)
    for piece in pieces:
        within = zip(piece.box.start, piece.box.stop, start, strict=True)
        inside[tuple(slice(low - zero, high - zero) for low, high, zero in within)] |= piece.inside
    return Structure(name, label, box, inside)
