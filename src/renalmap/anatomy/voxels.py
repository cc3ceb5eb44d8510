"""Voxels of a grid: a box, and which of its voxels are meant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from renalmap.anatomy.body import BodyTrack
from renalmap.imaging import LabelMap
from renalmap.imaging.connected import connected_parts
from renalmap.imaging.volume import Box, part_of_grid
from renalmap.labels import Side

Border = Literal["feet", "head", "front", "back", "right", "left"]
BORDERS: Final[tuple[Border, ...]] = get_args(Border)
"""Of the axes (z, y, x): the border at index 0 and the one at the end, axis by axis."""

MINOR_SHARE: Final = 0.05


@dataclass(frozen=True, eq=False)
class Voxels:
    """Some voxels of a scan's canonical grid.

    Attributes:
        box: a region that contains them all; it may be larger than needed.
        inside: bool, of the box's shape (z, y, x): which voxels of the box they are.
    """

    box: Box
    inside: NDArray[np.bool_] = field(repr=False)

    @cached_property
    def size(self) -> int:
        """How many there are."""
        return int(np.count_nonzero(self.inside))

    @cached_property
    def centre_zyx(self) -> tuple[float, float, float]:
        """Their centre of gravity in voxels of the grid; there must be at least one."""
        means = []
        for axis, low in enumerate(self.box.start):
            others = tuple(other for other in range(3) if other != axis)
            counts = np.count_nonzero(self.inside, axis=others)
            means.append(low + float(counts @ np.arange(counts.size)) / self.size)
        return means[0], means[1], means[2]

    def span(self, axis: int) -> tuple[int, int]:
        """The first and the last index along an axis; there must be at least one voxel."""
        others = tuple(other for other in range(3) if other != axis)
        filled = np.flatnonzero(self.inside.any(axis=others)) + self.box.start[axis]
        return int(filled[0]), int(filled[-1])

    def only(self, label_map: LabelMap, label: int) -> Voxels:
        """Those with a label; there may be none."""
        return replace(self, inside=self.inside & (label_map.labels[self.box.slices] == label))

    def connected(self) -> list[Voxels]:
        """Their 26-connected components, largest first."""
        found = [
            Voxels(Box(*(_shifted(ends, self.box.start) for ends in (box.start, box.stop))), inside)
            for box, inside in connected_parts(self.inside)
        ]
        return sorted(found, key=lambda one: -one.size)

    def holds(self, other: Voxels) -> bool:
        """Whether the first voxel of others is one of these."""
        first = np.unravel_index(int(other.inside.argmax()), other.inside.shape)
        place = [
            int(low + at - own)
            for low, at, own in zip(other.box.start, first, self.box.start, strict=True)
        ]
        within = all(0 <= at < size for at, size in zip(place, self.inside.shape, strict=True))
        return within and bool(self.inside[tuple(place)])

    def touches(self, shape: tuple[int, int, int]) -> Iterator[Border]:
        """Which borders of a grid of this shape they touch."""
        for axis in range(3):
            first, last = BORDERS[2 * axis : 2 * axis + 2]
            if self.box.start[axis] == 0 and self.inside.take(0, axis).any():
                yield first
            if self.box.stop[axis] == shape[axis] and self.inside.take(-1, axis).any():
                yield last

    def on(self, side: Side, track: BodyTrack) -> Voxels:
        """Those on one side of the body's midline."""
        middle_x = track.at(np.arange(self.box.start[0], self.box.stop[0]))
        left = np.arange(self.box.start[2], self.box.stop[2]) > middle_x[:, None]
        columns = left if side == "left" else ~left
        return replace(self, inside=self.inside & columns[:, None, :])

    def side(self, track: BodyTrack) -> Side:
        """The side of most of them."""
        return "left" if 2 * self.on("left", track).size > self.size else "right"


def find_components(label_map: LabelMap, labels: tuple[int, ...]) -> list[Voxels]:
    """The 26-connected components of a union of labels, largest first; empty if there are none.

    Args:
        label_map: on the scan's canonical grid.
        labels: such as kidney and tumour, or tumour alone.
    """
    parts = connected_parts(label_map.labels, labels)
    return sorted((Voxels(box, inside) for box, inside in parts), key=lambda one: -one.size)


def joined(parts: Sequence[Voxels]) -> Voxels:
    """All voxels of some parts, at least one."""
    start = tuple(int(low) for low in np.min([part.box.start for part in parts], axis=0))
    stop = tuple(int(high) for high in np.max([part.box.stop for part in parts], axis=0))
    whole = Voxels(Box(start, stop), np.zeros(Box(start, stop).shape, np.bool_))
    for part in parts:
        whole.inside[part.box.seen_from(start).slices] |= part.inside
    return whole


def mask_in(parts: Sequence[Voxels], box: Box) -> NDArray[np.bool_]:
    """Which voxels of a box, which may reach beyond the grid, belong to any of some parts."""
    inside = np.zeros(box.shape, np.bool_)
    for part in parts:
        inside |= part_of_grid(part.inside, part.box.start, box)
    return inside


def widened(box: Box, steps: Sequence[int]) -> Box:
    """A box with so many voxels more at either end of each axis; it may reach beyond the grid."""
    return Box(
        tuple(low - step for low, step in zip(box.start, steps, strict=True)),
        tuple(high + step for high, step in zip(box.stop, steps, strict=True)),
    )


def without_islands(parts: Sequence[Voxels]) -> list[Voxels]:
    """The parts that contain at least a twentieth of all their voxels."""
    least = MINOR_SHARE * sum(part.size for part in parts)
    return [part for part in parts if part.size >= least]


def borders_of(parts: Sequence[Voxels], shape: tuple[int, int, int]) -> list[Border]:
    """Borders of the scan touched by any part that carries weight, in the order feet to head, front to left.

    Islands have no weight: components truncated by the first or last slice are kept however small they are,
    and such a speck does not make a kidney truncated.
    """
    return in_order(border for part in without_islands(parts) for border in part.touches(shape))


def in_order(borders: Iterable[Border]) -> list[Border]:
    """Borders once each, in the order feet to head, front to left."""
    return sorted(set(borders), key=BORDERS.index)


def _shifted(place: tuple[int, ...], corner: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(at + low for at, low in zip(place, corner, strict=True))
