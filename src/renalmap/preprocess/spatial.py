"""In-plane geometry: the network's grid, crops about blobs, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray

from renalmap.imaging.connected import connected_blobs
from renalmap.imaging.masks import bounding_slices
from renalmap.imaging.volume import Box
from renalmap.preprocess.plan import Plan

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class InPlaneFit:
    """How slices of one size lie on the network's square grid, and back.

    A slice of grid x grid pixels is used as it is, whatever its spacing (the paper). Any other slice is
    scaled so that its longer side in millimetres fills the grid, pixels become square, and the shorter
    side is centred between equal margins: the body then has about the size it has in a 512x512 scan.

    Attributes:
        rows, columns: the scan's slice.
        spacing_mm: its pixel spacing along (y, x).
        grid_size: edge of the grid.
    """

    rows: int
    columns: int
    spacing_mm: tuple[float, float]
    grid_size: int

    @property
    def is_identity(self) -> bool:
        """Whether slices already lie on the grid."""
        return self.rows == self.columns == self.grid_size

    @cached_property
    def box(self) -> Box:
        """Where the scan's slice lies on the grid, in (y, x)."""
        if self.is_identity:
            return Box((0, 0), (self.grid_size, self.grid_size))
        extents_mm = (self.rows * self.spacing_mm[0], self.columns * self.spacing_mm[1])
        pixel_mm = max(extents_mm) / self.grid_size
        sizes = [min(self.grid_size, max(1, round(extent / pixel_mm))) for extent in extents_mm]
        starts = [(self.grid_size - size) // 2 for size in sizes]
        stops = [start + size for start, size in zip(starts, sizes, strict=True)]
        return Box(tuple(starts), tuple(stops))

    @property
    def grid_spacing_mm(self) -> tuple[float, float]:
        """Pixel spacing (y, x) on the grid."""
        height, width = self.box.shape
        y_mm, x_mm = self.spacing_mm
        return (y_mm * self.rows / height, x_mm * self.columns / width)

    def place_on_scan(self, y: float, x: float) -> tuple[float, float]:
        """The place in the scan's slice of a place on the grid, both in pixels."""
        sizes = self.rows, self.columns
        y, x = (
            (at - start + 0.5) * size / extent - 0.5
            for at, start, size, extent in zip(
                (y, x), self.box.start, sizes, self.box.shape, strict=True
            )
        )
        return y, x

    def to_grid(self, values: NDArray[Any], outside: float) -> NDArray[np.float32]:
        """Put a slice (rows, columns) on the grid by linear interpolation; float32 (grid, grid).

        Shrinking averages over the pixels that fall together, so that noise does not alias.
        """
        if self.is_identity:
            return values.astype(np.float32)
        height, width = self.box.shape
        grid = np.full((self.grid_size, self.grid_size), outside, np.float32)
        fitted = (
            _weights(self.rows, height) @ values.astype(np.float32) @ _weights(self.columns, width).T
        )
        grid[self.box.slices] = fitted
        return grid

    def labels_to_grid(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Put a label slice (rows, columns) on the grid by nearest neighbour; 0 outside."""
        if self.is_identity:
            return labels
        height, width = self.box.shape
        grid = np.zeros((self.grid_size, self.grid_size), np.uint8)
        picked = np.ix_(_nearest(self.rows, height), _nearest(self.columns, width))
        grid[self.box.slices] = labels[picked]
        return grid

    def from_grid(self, grid: NDArray[Any]) -> NDArray[Any]:
        """Bring a grid slice (labels or probabilities) back to (rows, columns) by nearest neighbour."""
        if self.is_identity:
            return grid
        height, width = self.box.shape
        picked = np.ix_(_nearest(height, self.rows), _nearest(width, self.columns))
        back: NDArray[Any] = grid[self.box.slices][picked]
        return back


def _nearest(size_in: int, size_out: int) -> NDArray[np.intp]:
    centres = (np.arange(size_out) + 0.5) * size_in / size_out
    return np.minimum(centres.astype(np.intp), size_in - 1)


def _weights(size_in: int, size_out: int) -> NDArray[np.float32]:
    """(size_out, size_in) weights of linear interpolation, widened to the output pixel if it is larger."""
    scale = size_in / size_out
    width = max(1.0, scale)
    centres = np.clip((np.arange(size_out) + 0.5) * scale - 0.5, 0, size_in - 1)
    distance = np.abs(centres[:, None] - np.arange(size_in)[None, :])
    weights = np.maximum(0.0, 1.0 - distance / width)
    normalised: NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return normalised


def crop_box(centre: tuple[float, float], plan: Plan, edge: int | None = None) -> Box:
    """The crop about a centre (y, x), moved inwards where it would leave the grid.

    Args:
        centre: of the crop, in pixels of the grid.
        plan: its grid.
        edge: of the crop; None takes the Plan's `crop_size`.
    """
    edge = plan.crop_size if edge is None else edge
    start = tuple(int(np.clip(round(c - edge / 2), 0, plan.grid_size - edge)) for c in centre)
    return Box(start, tuple(low + edge for low in start))


def crop_boxes(foreground: BoolArray, plan: Plan) -> tuple[Box, ...]:
    """The crops stage 2 takes from one slice.

    Args:
        foreground: (grid, grid), kidney or tumour by the reference or by stage 1.
        plan: `crop` decides: one crop about each 8-connected blob's centroid, largest blob first and
            skipping blobs that an earlier crop holds with the Plan's margin; or one crop about the
            centroid of all foreground. Crops are narrow where that holds the blob.

    Returns:
        No box for a slice without foreground.
    """
    if not foreground.any():
        return ()
    if plan.crop == "slice":
        rows, columns = np.nonzero(foreground)
        centre = float(rows.mean()), float(columns.mean())
        return (crop_about(centre, bounding_slices(foreground), plan),)
    around = bounding_slices(foreground)
    top, left = (span.start for span in around)
    blobs, count = connected_blobs(foreground[around])
    statistics = cc3d.statistics(blobs)
    order = np.argsort(-statistics["voxel_counts"][1 : count + 1], kind="stable") + 1
    boxes: list[Box] = []
    for blob in order:
        rows, columns = statistics["bounding_boxes"][blob]
        extent = (
            slice(rows.start + top, rows.stop + top),
            slice(columns.start + left, columns.stop + left),
        )
        if not any(_holds(box, extent, plan) for box in boxes):
            y, x = statistics["centroids"][blob] + (top, left)
            boxes.append(crop_about((float(y), float(x)), extent, plan))
    return tuple(boxes)


def crop_about(centre: tuple[float, float], extent: tuple[slice, ...], plan: Plan) -> Box:
    """The crop about a blob: narrow where that holds it with the Plan's margin.

    Args:
        centre: its centroid (y, x), in pixels of the grid.
        extent: the smallest slices (y, x) that hold it.
        plan: the crops' sizes.
    """
    if plan.narrow_crop_size is not None:
        narrow = crop_box(centre, plan, plan.narrow_crop_size)
        if _holds(narrow, extent, plan):
            return narrow
    return crop_box(centre, plan)


def _holds(box: Box, extent: tuple[slice, ...], plan: Plan) -> bool:
    """Whether a box contains an extent with the Plan's margin (none is needed at the grid's edge)."""
    return all(
        (low == 0 or span.start - low >= plan.crop_margin)
        and (high == plan.grid_size or high - span.stop >= plan.crop_margin)
        for low, high, span in zip(box.start, box.stop, extent, strict=True)
    )


def cut_crop(values: NDArray[Any], box: Box) -> NDArray[Any]:
    """The crop of an array whose last two axes are (y, x); a view, through which it is laid back."""
    index: tuple[Any, ...] = (..., *box.slices)
    cropped: NDArray[Any] = values[index]
    return cropped
