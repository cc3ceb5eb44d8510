"""Voxel grids: what a scan and a label map are, and where they lie in the patient.

Every array in RenalMap has axes (z, y, x) in one canonical orientation: z runs from the feet to the
head, y from the front to the back, x from the patient's right to the left. So slice 0 is the lowest,
and a slice shown with its first row on top has the patient's back at the bottom and the patient's
right on the left, as radiologists read it. In NIfTI's letters the axes point to S, P and L.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from renalmap.errors import GeometryMismatchError, LabelError
from renalmap.imaging.dicom_files.source import DicomSource

GRID_TOLERANCE_MM: Final = 0.1
"""Voxels of two images on one grid may lie this far apart: rounding in headers."""

CANONICAL_AXCODES = ("S", "P", "L")

HuArray = NDArray[np.int16] | NDArray[np.float32]
LabelArray = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class SourceGrid:
    """The grid a scan was stored on, kept so that a label map returns to exactly that grid.

    Attributes:
        shape: the stored array's shape, its axes as in the file.
        affine: (4, 4) float64, stored voxel index to world (mm, RAS+).
        axes: for each canonical axis (z, y, x), the stored axis it comes from.
        flips: for each canonical axis, whether its direction is opposite to the stored axis.
        header: the NIfTI header the scan came with, so that its codes and units survive; None for
            scans that were no NIfTI file.
        doubts: what is doubtful about its place or size, a clause each without the scan's name.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    axes: tuple[int, int, int] = (0, 1, 2)
    flips: tuple[bool, bool, bool] = (False, False, False)
    header: Any = field(default=None, repr=False)
    doubts: tuple[str, ...] = ()

    def to_canonical(self, stored: NDArray[Any]) -> NDArray[Any]:
        """A view of a stored array with canonical axes (z, y, x)."""
        step = tuple(slice(None, None, -1) if flip else slice(None) for flip in self.flips)
        return stored.transpose(self.axes)[step]

    def from_canonical(self, canonical: NDArray[Any]) -> NDArray[Any]:
        """A view of a canonical (z, y, x) array with the stored axes: the inverse."""
        step = tuple(slice(None, None, -1) if flip else slice(None) for flip in self.flips)
        inverse = tuple(int(axis) for axis in np.argsort(self.axes))
        return canonical[step].transpose(inverse)


@dataclass(frozen=True, eq=False)
class Geometry:
    """Where a canonical grid lies in the patient.

    Attributes:
        shape: voxels along (z, y, x).
        spacing_mm: distance between voxel centres along (z, y, x).
        affine: (4, 4) float64, voxel index (z, y, x) to world coordinates (mm, RAS+ as in NIfTI).
        source: the grid the scan was stored on.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    affine: NDArray[np.float64]
    source: SourceGrid

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(np.prod(self.spacing_mm)) / 1000.0

    def __str__(self) -> str:
        spacing = " x ".join(f"{step:.4g}" for step in self.spacing_mm)
        origin = ", ".join(f"{position:.2f}" for position in self.affine[:3, 3])
        return f"shape {self.shape}, spacing {spacing} mm, origin ({origin}) mm"

    def matches(self, other: Geometry, *, tolerance_mm: float = GRID_TOLERANCE_MM) -> bool:
        """Whether both grids have the same shape and every voxel the same place, within a tolerance.

        The corners decide: an affine map that agrees on them agrees everywhere.
        """
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*[(0, size - 1) for size in self.shape], indexing="ij"))
        homogeneous = np.vstack([corners.reshape(3, -1), np.ones((1, 8))])
        gap = (self.affine @ homogeneous) - (other.affine @ homogeneous)
        return bool(np.abs(gap).max() <= tolerance_mm)


@dataclass(frozen=True)
class SliceNames:
    """One axial slice under every name that it goes by.

    Attributes:
        index: from 0 at the feet, as arrays, JSON and CSV count.
        number: from 1 at the feet, as the report's page counts.
        instance_number: DICOM's InstanceNumber, as a PACS counts; None without DICOM, or in a resampled scan.
        frame_number: in a multi-frame DICOM file, from 1; a PACS counts these there.
        sop_instance_uid: of the slice's DICOM object.
    """

    index: int
    number: int
    instance_number: int | None = None
    frame_number: int | None = None
    sop_instance_uid: str | None = None

    @classmethod
    def of(cls, z: int, scan: Volume | None = None) -> SliceNames:
        """The names of the slice at index z; without a scan none of DICOM's."""
        source = None if scan is None else scan.source
        if source is None or source.resampled:
            return cls(z, z + 1)
        instance = source.instances[z]
        uid = instance.sop_instance_uid or None
        return cls(z, z + 1, instance.instance_number, instance.frame, uid)


@dataclass(frozen=True, eq=False)
class Volume:
    """A CT scan in Hounsfield units.

    Attributes:
        hu: int16 or float32, axes (z, y, x).
        geometry: where the voxels lie; its shape is the array's.
        name: the scan's short name, for messages and default file names.
        source: the DICOM objects it was read from; None for other files.
        notes: what the reader had to assume or change, one sentence each.
    """

    hu: HuArray
    geometry: Geometry
    name: str = "scan"
    source: DicomSource | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.hu.dtype not in (np.dtype(np.int16), np.dtype(np.float32)):
            raise TypeError(f"Volume.hu must be int16 or float32, got {self.hu.dtype}")
        _check_shape(self.hu.shape, self.geometry, self.name)


@dataclass(frozen=True, eq=False)
class LabelMap:
    """Integer labels on a grid.

    Attributes:
        labels: uint8, axes (z, y, x).
        geometry: where the voxels lie; its shape is the array's.
        name: the case's short name, for messages.
    """

    labels: LabelArray
    geometry: Geometry
    name: str = "labels"

    def __post_init__(self) -> None:
        if self.labels.dtype != np.uint8:
            raise LabelError(
                "labels must be stored as uint8", where=self.name, got=str(self.labels.dtype)
            )
        _check_shape(self.labels.shape, self.geometry, self.name)

    def volume_ml(self, *labels: int) -> float:
        """Volume covered by the given labels, in millilitres; 0.0 if there are none."""
        # Slice by slice: a mask of the whole would take as much memory as the labels.
        voxels = sum(np.count_nonzero(plane == label) for plane in self.labels for label in set(labels))
        return float(voxels) * self.geometry.voxel_ml


def check_same_grid(
    expected: Volume | LabelMap,
    found: LabelMap,
    *,
    where: Path | str | None,
    names: tuple[str, str] = ("the scan", "the label map"),
) -> None:
    """Refuse two images whose voxels lie at different places.

    Args:
        expected: the image that gives the grid.
        found: the image that must lie on it.
        where: the file or case that the error names.
        names: what the two are called.

    Raises:
        GeometryMismatchError: they differ in shape, or by more than `GRID_TOLERANCE_MM`.
    """
    if not expected.geometry.matches(found.geometry):
        raise GeometryMismatchError(
            f"{names[0]} and {names[1]} are on different grids",
            where=where,
            got=str(found.geometry),
            expected=str(expected.geometry),
            hint="Give two images of the same scan, both on the scan's own grid",
        )


@dataclass(frozen=True)
class Box:
    """A half-open voxel region: `start` is inside, `stop` is not. Any number of dimensions."""

    start: tuple[int, ...]
    stop: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.start) != len(self.stop) or any(
            low >= high for low, high in zip(self.start, self.stop, strict=True)
        ):
            raise ValueError(f"a Box needs start < stop in every axis, got {self.start}, {self.stop}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Extent along each axis, in voxels."""
        return tuple(high - low for low, high in zip(self.start, self.stop, strict=True))

    @property
    def slices(self) -> tuple[slice, ...]:
        """The region as an index: `array[box.slices]`."""
        return tuple(slice(low, high) for low, high in zip(self.start, self.stop, strict=True))

    def seen_from(self, corner: Sequence[int]) -> Box:
        """The same region as an index of an array that begins at a corner."""
        return Box(
            tuple(low - first for low, first in zip(self.start, corner, strict=True)),
            tuple(high - first for high, first in zip(self.stop, corner, strict=True)),
        )


def part_of_grid(values: NDArray[Any], corner: Sequence[int], box: Box) -> NDArray[Any]:
    """A part of a grid that is known only in a region and 0 elsewhere.

    Args:
        values: of the region.
        corner: where in the grid it begins.
        box: the part; it may reach beyond the region, and beyond the grid.

    Returns:
        A new array of the box's shape and the values' type.
    """
    part = np.zeros(box.shape, values.dtype)
    stops = [first + size for first, size in zip(corner, values.shape, strict=True)]
    low = tuple(max(ends) for ends in zip(box.start, corner, strict=True))
    high = tuple(min(ends) for ends in zip(box.stop, stops, strict=True))
    if all(start < stop for start, stop in zip(low, high, strict=True)):
        shared = Box(low, high)
        part[shared.seen_from(box.start).slices] = values[shared.seen_from(corner).slices]
    return part


def _check_shape(shape: tuple[int, ...], geometry: Geometry, name: str) -> None:
    if shape != geometry.shape:
        raise GeometryMismatchError(
            "an array and its geometry differ in shape",
            where=name,
            got=str(shape),
            expected=str(geometry.shape),
        )
