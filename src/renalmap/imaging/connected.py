"""Connected parts of label maps, found without numbering the whole of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray

from renalmap.imaging.volume import Box

BoolArray = NDArray[np.bool_]
ByteArray = NDArray[np.uint8]


def connected_parts(
    labels: ByteArray | BoolArray, only: Sequence[int] = ()
) -> Iterator[tuple[Box, BoolArray]]:
    """The 26-connected 3D parts of a foreground.

    There are nearly always empty planes between kidneys. So the array is cut up along them, and only
    the parts within each piece are numbered, which takes at least four bytes per voxel.

    Args:
        labels: axes (z, y, x); the foreground is what is not 0.
        only: the foreground is what has one of these labels, if any are given.

    Yields:
        The box around a part; and a bool array of its shape, marking the part.
    """
    for piece in pieces_apart(labels):
        values = labels[piece.slices]
        mask = np.isin(values, only) if only else values != 0
        numbers = cc3d.connected_components(mask, connectivity=26)
        for number, spans in enumerate(cc3d.statistics(numbers)["bounding_boxes"]):
            if number > 0:
                starts = [int(span.start) for span in spans]
                stops = [int(span.stop) for span in spans]
                yield _inside(piece, starts, stops), numbers[spans] == number


def connected_blobs(mask: BoolArray) -> tuple[NDArray[Any], int]:
    """The 8-connected blobs of a plane.

    Args:
        mask: (rows, columns).

    Returns:
        Their numbers, 0 outside; and how many there are.
    """
    # With bool arrays cc3d 4.1.1 occasionally gets them wrong: background is numbered as well.
    numbers, count = cc3d.connected_components(mask.view(np.uint8), connectivity=8, return_N=True)
    return numbers, int(count)


def pieces_apart(labels: ByteArray | BoolArray) -> Iterator[Box]:
    """Boxes that contain every voxel other than 0, with at least one empty plane between any two.

    Args:
        labels: axes (z, y, x).
    """
    pending = [Box((0, 0, 0), labels.shape)] if labels.size else []
    while pending:
        whole = pending.pop()
        found = find_box(labels[whole.slices])
        if found is None:
            continue
        box = _inside(whole, found.start, found.stop)
        values = labels[box.slices]
        shadow = values.max(axis=0)
        for axis, profile in enumerate(
            (values.max(axis=(1, 2)), shadow.max(axis=1), shadow.max(axis=0))
        ):
            empty = np.flatnonzero(profile == 0)
            if empty.size:
                plane = int(empty[empty.size // 2])
                below, above = list(box.shape), [0, 0, 0]
                below[axis], above[axis] = plane, plane + 1
                pending += [_inside(box, (0, 0, 0), below), _inside(box, above, box.shape)]
                break
        else:
            yield box


def find_box(labels: ByteArray | BoolArray) -> Box | None:
    """The smallest box (z, y, x) that contains every voxel other than 0; None if there is none."""
    slices = np.flatnonzero(labels.max(axis=(1, 2), initial=0))
    if slices.size == 0:
        return None
    low, high = int(slices[0]), int(slices[-1]) + 1
    shadow = labels[low:high].max(axis=0)
    rows, columns = (np.flatnonzero(shadow.any(axis=axis)) for axis in (1, 0))
    return Box((low, int(rows[0]), int(columns[0])), (high, int(rows[-1]) + 1, int(columns[-1]) + 1))


def _inside(whole: Box, start: Sequence[int], stop: Sequence[int]) -> Box:
    """A box given in another's own voxels."""
    return Box(
        tuple(low + each for low, each in zip(whole.start, start, strict=True)),
        tuple(low + each for low, each in zip(whole.start, stop, strict=True)),
    )
