"""A tilted or uneven stack onto a right-angled, even grid, by linear interpolation in patient space."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from renalmap.errors import MissingSliceError
from renalmap.imaging.budget import check_budget
from renalmap.imaging.dicom.pixels import decode_slices
from renalmap.imaging.dicom.stack import Stack
from renalmap.imaging.filling import HuGrid
from renalmap.imaging.orientation import LPS_TO_RAS, build_geometry
from renalmap.imaging.volume import Geometry, HuArray

AIR_HU: Final = -1000.0
"""What lies outside the scan's own slices."""

MAX_FILLED_GAP_MM: Final = 10.0
"""In a wider gap a renal pole or a small tumour can be missed; it is not filled."""

_FINEST: Final = 0.5
"""The even spacing is the smallest gap, but at least this share of the median gap."""
_EDGE: Final = 0.5
"""So far beyond the first and the last pixel or slice, in their distances, does the scan reach."""
_ROUNDING: Final = 1e-6
_PLANE_BYTES: Final = 120


def resampled_geometry(stack: Stack) -> Geometry:
    """The grid that a tilted or uneven stack is brought to.

    Slices at one distance from the first to the last: the smallest gap, but no less than half the
    median, stretched a little so that both ends are slices. An uneven stack keeps its slices' direction
    and pixels. A tilted one gets slices across its table, wide enough to hold every pixel it has.

    Raises:
        MissingSliceError: a gap is too wide to be filled.
    """
    widest = int(stack.gaps_mm.argmax())
    if stack.gaps_mm[widest] > max(MAX_FILLED_GAP_MM, 1.5 * stack.spacing_mm):
        raise MissingSliceError(
            "a gap is too wide to be filled by resampling",
            where=stack.where,
            got=f"{stack.gaps_mm[widest]:.2f} mm between {stack.slices[widest].name} "
            f"and {stack.slices[widest + 1].name}",
            expected=f"at most {MAX_FILLED_GAP_MM:g} mm",
            hint="Export the whole series again",
        )
    axes = _axes(stack)
    rows, columns = stack.slices[0].of.rows_columns
    row_mm, column_mm = stack.slices[0].spacing_mm
    corners = stack.positions_mm[[0, -1]][:, np.newaxis] + _corner_offsets_mm(stack)
    along = corners.reshape(-1, 3) @ axes
    low, extent = along.min(axis=0), np.ptp(along, axis=0)
    # Along the way of the table gaps are wider than along the tilted normal.
    step_mm = max(stack.gaps_mm.min(), _FINEST * stack.spacing_mm) / float(stack.up @ axes[:, 2])
    if stack.is_tilted:
        counts = [int(np.ceil(size - _ROUNDING)) + 1 for size in extent / (column_mm, row_mm, step_mm)]
    else:
        counts = [columns, rows, int(np.ceil(extent[2] / step_mm - _ROUNDING)) + 1]
        step_mm = float(extent[2]) / (counts[2] - 1)
    lps = np.eye(4)
    lps[:3, :3] = axes * (column_mm, row_mm, step_mm)
    lps[:3, 3] = axes @ low
    return build_geometry(tuple(counts), LPS_TO_RAS @ lps, where=stack.where)


def read_resampled(stack: Stack, geometry: Geometry) -> HuArray:
    """Decode a stack and interpolate it, linearly in all three directions.

    Args:
        stack: the slices.
        geometry: the grid, from `resampled_geometry`.

    Returns:
        HU, axes (z, y, x) of `geometry`; int16 (rounded) if the stack's values are whole numbers that
        int16 holds, else float32. Outside the stack's slices it is air.
    """
    rows, columns = stack.slices[0].of.rows_columns
    read_voxels, grid_voxels = len(stack.slices) * rows * columns, prod(geometry.shape)
    # Of every plane, places and values in double precision are needed beside.
    plane_bytes = _PLANE_BYTES * grid_voxels // geometry.source.shape[2]
    check_budget(4 * read_voxels + 4 * grid_voxels + plane_bytes, stack.where)
    values, whole = _decode(stack)
    grid = HuGrid(geometry, stack.where)
    for index, plane in _planes(stack, values, geometry):
        grid.put(index, (np.rint(plane) if whole else plane).T[..., np.newaxis])
    return grid.hu


def _axes(stack: Stack) -> NDArray[np.float64]:
    """(3, 3) unit vectors in columns, LPS: along a row, along a column, across slices to the head."""
    along_row, along_column = stack.slices[0].orientation
    if not stack.is_tilted:
        return np.column_stack([along_row, along_column, stack.up])
    way = stack.positions_mm[-1] - stack.positions_mm[0]
    across = way / np.linalg.norm(way)
    row = along_row - (along_row @ across) * across
    row /= np.linalg.norm(row)
    column = np.cross(across, row)
    return np.column_stack([row, column * np.sign(column @ along_column), across])


def _corner_offsets_mm(stack: Stack) -> NDArray[np.float64]:
    """(4, 3) from a slice's first pixel to its corner pixels, LPS."""
    first = stack.slices[0]
    (rows, columns), (row_mm, column_mm) = first.of.rows_columns, first.spacing_mm
    along_row = first.orientation[0] * column_mm * (columns - 1)
    along_column = first.orientation[1] * row_mm * (rows - 1)
    return np.array([np.zeros(3), along_row, along_column, along_row + along_column])


def _decode(stack: Stack) -> tuple[NDArray[np.float32], bool]:
    """(slices, rows, columns) in HU, and whether all are whole numbers that int16 holds."""
    values = np.empty((len(stack.slices), *stack.slices[0].of.rows_columns), np.float32)
    whole = True
    for index, pixels in decode_slices(stack.slices):
        slope, intercept = stack.slices[index].rescale or (1.0, 0.0)
        hu = pixels * np.float64(slope) + intercept
        values[index] = hu
        whole = whole and bool((np.abs(hu) < 2**15).all() and (hu == np.rint(hu)).all())
    return values, whole


def _planes(
    stack: Stack, values: NDArray[np.float32], geometry: Geometry
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Each plane of the stored grid: its index, and HU (rows, columns)."""
    columns, rows, planes = geometry.source.shape
    lps = LPS_TO_RAS @ geometry.source.affine
    across = lps[:3, 0][:, np.newaxis] * np.arange(columns)
    down = lps[:3, 1][:, np.newaxis] * np.arange(rows)
    for index in range(planes):
        start = lps[:3, 3] + lps[:3, 2] * index
        yield index, _sample(stack, values, (start, down, across))


def _sample(
    stack: Stack,
    values: NDArray[np.float32],
    plane: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
) -> NDArray[np.float32]:
    """HU at every point start + down + across of one plane: (rows, columns)."""
    start, down, across = plane

    def along(direction: NDArray[np.float64]) -> NDArray[np.float64]:
        return (start @ direction) + (direction @ down)[:, np.newaxis] + (direction @ across)

    heights = along(stack.up)
    places = np.arange(len(stack.slices))
    between = np.interp(heights, stack.heights_mm, places)
    lower = np.minimum(between.astype(np.intp), len(stack.slices) - 2)
    share = (between - lower).astype(np.float32)
    along_row, along_column = stack.slices[0].orientation
    row_mm, column_mm = stack.slices[0].spacing_mm
    ends_mm = _EDGE * stack.gaps_mm[[0, -1]] + _ROUNDING
    inside = (heights >= stack.heights_mm[0] - ends_mm[0]) & (
        heights <= stack.heights_mm[-1] + ends_mm[1]
    )
    row_starts, column_starts = stack.positions_mm @ along_column, stack.positions_mm @ along_row
    mixed = np.zeros(heights.shape, np.float32)
    for k, weight in ((lower, 1 - share), (lower + 1, share)):
        v = (along(along_column) - row_starts[k]) / row_mm
        u = (along(along_row) - column_starts[k]) / column_mm
        found, within = _bilinear(values, k, v, u)
        mixed += weight * found
        inside &= within | (weight == 0)
    return np.where(inside, mixed, np.float32(AIR_HU))


def _bilinear(
    values: NDArray[np.float32],
    k: NDArray[np.intp],
    v: NDArray[np.float64],
    u: NDArray[np.float64],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Values of slices k at (row, column) = (v, u), and whether the slice reaches there."""
    _, rows, columns = values.shape
    within = (v >= -_EDGE) & (v <= rows - 1 + _EDGE) & (u >= -_EDGE) & (u <= columns - 1 + _EDGE)
    v, u = np.clip(v, 0, rows - 1), np.clip(u, 0, columns - 1)
    # Rounding in headers must not blur pixels that lie on pixels.
    v, u = _snapped(v), _snapped(u)
    top, left = v.astype(np.intp), u.astype(np.intp)
    bottom, right = np.minimum(top + 1, rows - 1), np.minimum(left + 1, columns - 1)
    dv, du = (v - top).astype(np.float32), (u - left).astype(np.float32)
    upper = values[k, top, left] * (1 - du) + values[k, top, right] * du
    if not dv.any():
        return upper, within
    under = values[k, bottom, left] * (1 - du) + values[k, bottom, right] * du
    return upper * (1 - dv) + under * dv, within


def _snapped(places: NDArray[Any]) -> NDArray[Any]:
    whole = np.rint(places)
    return np.where(np.abs(places - whole) < 1e-4, whole, places)
