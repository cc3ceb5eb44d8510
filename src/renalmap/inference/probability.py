"""The networks' probabilities of each voxel, kept only where they saw something."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from renalmap.imaging.masks import bounding_slices
from renalmap.imaging.volume import Box, part_of_grid
from renalmap.preprocess import InPlaneFit

ByteArray = NDArray[np.uint8]

_FASTEST = 0


@dataclass(frozen=True, eq=False)
class RegionProbability:
    """The probability of a region inside a box of the scan's canonical grid, 0 elsewhere.

    Attributes:
        origin_zyx: the grid's voxel that the first value belongs to.
        values: uint8, axes (z, y, x), 255 times the probability; of size 0 where no kidney was found.
    """

    origin_zyx: tuple[int, int, int]
    values: ByteArray

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """The box as an index of the grid: `labels[probability.slices]` lies over `values`."""
        z, y, x = (
            slice(start, start + size)
            for start, size in zip(self.origin_zyx, self.values.shape, strict=True)
        )
        return z, y, x

    def full(self, shape: tuple[int, int, int]) -> ByteArray:
        """The whole grid, axes (z, y, x): a new array."""
        whole = np.zeros(shape, np.uint8)
        whole[self.slices] = self.values
        return whole

    def at(self, where: Box | tuple[slice, slice, slice]) -> ByteArray:
        """A part of the grid, 0 outside the box.

        Args:
            where: (z, y, x), inside the grid; slices have a start and a stop, and no step.

        Returns:
            uint8 of the part's shape, a new array.
        """
        if not isinstance(where, Box):
            where = Box(tuple(span.start for span in where), tuple(span.stop for span in where))
        return part_of_grid(self.values, self.origin_zyx, where)


@dataclass(eq=False)
class GridProbabilities:
    """Both regions' probabilities in a box of the network's grid, while the cascade works on them.

    Attributes:
        origin_zyx: the grid's voxel that the first value belongs to.
        kidney: of kidney or tumour; uint8, axes (z, y, x), 255 for certainty.
        tumour: nowhere above `kidney`.
    """

    origin_zyx: tuple[int, int, int]
    kidney: ByteArray
    tumour: ByteArray

    @classmethod
    def zeros(cls, box: Box | None) -> GridProbabilities:
        """Nothing yet; None stands for a box without a voxel."""
        if box is None:
            return cls((0, 0, 0), np.zeros((0, 0, 0), np.uint8), np.zeros((0, 0, 0), np.uint8))
        z, y, x = box.start
        return cls((z, y, x), np.zeros(box.shape, np.uint8), np.zeros(box.shape, np.uint8))

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """The box as an index of the grid."""
        return RegionProbability(self.origin_zyx, self.kidney).slices

    def on_scan(self, fit: InPlaneFit) -> dict[str, RegionProbability]:
        """Both regions on the scan's grid, by nearest neighbour as its labels are."""
        return {
            region: RegionProbability(*_box_to_scan(values, self.origin_zyx, fit))
            for region, values in (("kidney", self.kidney), ("tumour", self.tumour))
        }


def to_bytes(probability: NDArray[np.float32]) -> ByteArray:
    """255 times a probability, rounded."""
    scaled = probability * np.float32(255.0)
    np.rint(scaled, out=scaled)  # into a new array it takes ten times as long
    return scaled.astype(np.uint8)


def pack(values: ByteArray) -> bytes:
    """A slice of probabilities, nearly all of them 0, made small; `unpack` restores it.

    The box to be kept is known only after the last slice; uncompressed, the slices of a long scan would take as
    much memory as its labels.
    """
    return isal_zlib.compress(values.tobytes(), _FASTEST)


def unpack(packed: bytes, shape: tuple[int, int]) -> ByteArray:
    """The slice (y, x) that was packed; read-only."""
    return np.frombuffer(isal_zlib.decompress(packed), np.uint8).reshape(shape)


def _box_to_scan(
    values: ByteArray, origin_zyx: tuple[int, int, int], fit: InPlaneFit
) -> tuple[tuple[int, int, int], ByteArray]:
    if fit.is_identity:
        return origin_zyx, values
    z, *start = origin_zyx
    on_grid = tuple(slice(low, low + size) for low, size in zip(start, values.shape[1:], strict=True))
    plane = np.zeros((fit.grid_size, fit.grid_size), np.uint8)
    plane[on_grid] = 1
    reached = fit.from_grid(plane)
    rows, columns = bounding_slices(reached > 0) if reached.any() else (slice(0, 0), slice(0, 0))
    scan = np.zeros((len(values), rows.stop - rows.start, columns.stop - columns.start), np.uint8)
    for index, on_slice in enumerate(values):
        plane[on_grid] = on_slice
        scan[index] = fit.from_grid(plane)[rows, columns]
    return (z, rows.start, columns.start), scan
