"""Which kidney is which: parts of the foreground by the patient's side, and what the scan cuts off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from renalmap.imaging import LabelMap
from renalmap.imaging.connected import connected_parts
from renalmap.imaging.volume import Box
from renalmap.labels import KIDNEY, TUMOUR
from renalmap.measure.midline import BodyTrack

Side = Literal["left", "right"]
SIDES: Final[tuple[Side, ...]] = get_args(Side)

Border = Literal["feet", "head", "front", "back", "right", "left"]
BORDERS: Final[tuple[Border, ...]] = get_args(Border)
"""Of the axes (z, y, x): the border at index 0 and the one at the end, axis by axis."""

CROSSING_SHARE: Final = 0.1
CROSSING_ML: Final = 5.0
MINOR_SHARE: Final = 0.05


@dataclass(frozen=True, eq=False)
class Part:
    """A connected part of a region, or what lies of it on one side.

    Attributes:
        box: a region of the scan's canonical grid.
        inside: bool, of the box's shape (z, y, x): its voxels.
    """

    box: Box
    inside: NDArray[np.bool_]

    @property
    def size(self) -> int:
        """How many voxels it has."""
        return int(np.count_nonzero(self.inside))

    @property
    def centre_z(self) -> float:
        """The slice its centroid lies in."""
        counts = np.count_nonzero(self.inside, axis=(1, 2))
        return self.box.start[0] + float(np.average(np.arange(counts.size), weights=counts))

    def voxels(self, label_map: LabelMap, label: int) -> int:
        """How many of its voxels have a label."""
        return self.only(label_map, label).size

    def only(self, label_map: LabelMap, label: int) -> Part:
        """What of it has a label; may be nothing."""
        return replace(self, inside=self.inside & (label_map.labels[self.box.slices] == label))

    def connected(self) -> list[Part]:
        """Its 26-connected parts, largest first."""
        found = []
        for box, inside in connected_parts(self.inside):
            start, stop = (
                tuple(low + each for low, each in zip(self.box.start, ends, strict=True))
                for ends in (box.start, box.stop)
            )
            found.append(Part(Box(start, stop), inside))
        return sorted(found, key=lambda part: -part.size)

    def touches(self, shape: tuple[int, int, int]) -> set[Border]:
        """Which borders of a grid of this shape it touches."""
        touched: set[Border] = set()
        for axis in range(3):
            first, last = BORDERS[2 * axis : 2 * axis + 2]
            if self.box.start[axis] == 0 and self.inside.take(0, axis).any():
                touched.add(first)
            if self.box.stop[axis] == shape[axis] and self.inside.take(-1, axis).any():
                touched.add(last)
        return touched

    def on(self, side: Side, track: BodyTrack) -> Part:
        """What lies of it on one side of the body's midline."""
        middle_x = track.at(np.arange(self.box.start[0], self.box.stop[0]))
        left = np.arange(self.box.start[2], self.box.stop[2]) > middle_x[:, None]
        columns = left if side == "left" else ~left
        return replace(self, inside=self.inside & columns[:, None, :])

    def side(self, track: BodyTrack) -> Side:
        """The side of most of its voxels."""
        return "left" if 2 * self.on("left", track).size > self.size else "right"


@dataclass(frozen=True, eq=False)
class Kidney:
    """What was found on one side of the patient.

    Attributes:
        side: the patient's.
        parts: kidney with tumour, largest first; at least one.
        crosses_midline: whether a part reaches across the midline: a horseshoe kidney, or a tumour or a
            mistake that joins both sides. Its voxels are shared out by the midline.
    """

    side: Side
    parts: tuple[Part, ...]
    crosses_midline: bool


def find_parts(label_map: LabelMap, labels: tuple[int, ...]) -> list[Part]:
    """The 26-connected parts of a region, largest first; none where nothing has one of the labels.

    Args:
        label_map: on the scan's canonical grid.
        labels: the region's: kidney and tumour, or tumour.
    """
    parts = connected_parts(label_map.labels, labels)
    return sorted((Part(box, inside) for box, inside in parts), key=lambda part: -part.size)


def find_kidneys(label_map: LabelMap, track: BodyTrack) -> tuple[Kidney, ...]:
    """The kidneys with their tumours, left before right; none for a side where nothing was found.

    A part belongs to the side of most of its voxels, whole, even if it leans over the midline; unless
    at least 5 ml and a tenth of it lie on either side: then it is shared out.

    Args:
        label_map: on the scan's canonical grid.
        track: where the body's midline is.
    """
    voxel_ml = label_map.geometry.voxel_ml
    parts: dict[Side, list[Part]] = {side: [] for side in SIDES}
    crossing: set[Side] = set()
    for part in find_parts(label_map, (KIDNEY, TUMOUR)):
        halves = {side: part.on(side, track) for side in SIDES}
        least = min(half.size for half in halves.values())
        if least >= CROSSING_SHARE * part.size and least * voxel_ml >= CROSSING_ML:
            crossing.update(SIDES)
            for side, half in halves.items():
                parts[side].append(half)
        else:
            parts[part.side(track)].append(part)
    return tuple(Kidney(side, tuple(found), side in crossing) for side, found in parts.items() if found)


def borders_of(parts: Sequence[Part], shape: tuple[int, int, int]) -> list[Border]:
    """Borders of the scan that any part of weight touches, in the order feet to head, front to left.

    A part with less than a twentieth of all voxels has no weight: components that the first or last
    slice cuts are kept however small they are, and such a speck does not cut a kidney.
    """
    least = MINOR_SHARE * sum(part.size for part in parts)
    touched: set[Border] = set().union(*(part.touches(shape) for part in parts if part.size >= least))
    return [border for border in BORDERS if border in touched]
