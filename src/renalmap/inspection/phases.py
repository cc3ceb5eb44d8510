"""A second phase in one file: anatomy that starts again somewhere along z.

KiTS19 was first released with scans that had a second contrast phase appended, without labels
(github.com/neheller/kits19/issues/6): they taught networks that kidneys are background. In such a scan
one slice differs strongly from the next, and what follows correlates, slice by slice, with what came
before, shifted. The outline of the body and its gas is compared, which contrast agent does not change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

BODY_HU: Final = -300.0
"""Denser than this is body; lungs, gas and air are not."""

CELLS: Final = 32
"""A silhouette has so many cells along each side."""

BREAK_FACTOR: Final = 4.0
"""Between two phases, slices differ at least this many times as much as neighbours do elsewhere."""

LEAST_CORRELATION: Final = 0.75
"""How similar the repeated slices must be, after subtracting the mean slice."""

LEAST_MM: Final = 40.0
LEAST_SLICES: Final = 8
"""What repeats must be at least this long."""

_BREAKS_TRIED: Final = 3
_LEAST_OVERLAP: Final = 0.6

Silhouettes = NDArray[np.float32]
"""Share of body in each cell, (slices, cells)."""


@dataclass(frozen=True)
class SecondPhase:
    """Where a scan starts again.

    Attributes:
        first_slice: first slice of the part nearer the head.
        repeats: a range of slices (first, last) on one side of it ...
        repeated_by: ... and the range on the other side that looks the same.
        correlation: how similar they are, up to 1.
    """

    first_slice: int
    repeats: tuple[int, int]
    repeated_by: tuple[int, int]
    correlation: float


def silhouette(plane_hu: NDArray[Any]) -> NDArray[np.float32]:
    """The share of body in each cell of a slice, flattened.

    Args:
        plane_hu: (y, x), HU. What does not fill a cell at the high ends is left out.
    """
    body = plane_hu > BODY_HU
    cells = [min(CELLS, size) for size in body.shape]
    edges = [size // cell for size, cell in zip(body.shape, cells, strict=True)]
    cut = body[: cells[0] * edges[0], : cells[1] * edges[1]]
    blocks = cut.reshape(cells[0], edges[0], cells[1], edges[1])
    return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float32)).ravel()


def find_second_phase(silhouettes: Silhouettes, slice_mm: float) -> SecondPhase | None:
    """Look for a place where the anatomy starts again.

    Args:
        silhouettes: of every slice, in order.
        slice_mm: distance between slices.

    Returns:
        The best candidate that passes all limits; None if there is none.
    """
    least = max(LEAST_SLICES, round(LEAST_MM / slice_mm))
    if len(silhouettes) < 2 * least:
        return None
    centred = silhouettes - silhouettes.mean(axis=0)
    candidates = [
        phase
        for place in _breaks(silhouettes, least)
        if (phase := _compare(centred, place, least)) is not None
    ]
    return max(candidates, key=lambda phase: phase.correlation, default=None)


def _breaks(silhouettes: Silhouettes, least: int) -> list[int]:
    """Slices that differ much from the one before, with enough slices on both sides."""
    steps = np.abs(np.diff(silhouettes, axis=0)).mean(axis=1)
    inner = steps[least - 1 : len(steps) - least + 1]
    order = np.argsort(inner)[::-1][:_BREAKS_TRIED]
    limit = BREAK_FACTOR * float(np.median(steps))
    return [int(index) + least for index in order if inner[index] > limit]


def _compare(centred: Silhouettes, place: int, least: int) -> SecondPhase | None:
    """Slide the part above a break along the part below it."""
    below, above = centred[:place], centred[place:]
    overlap = max(least, int(_LEAST_OVERLAP * min(len(below), len(above))))
    best: SecondPhase | None = None
    for shift in range(overlap - len(above), len(below) - overlap + 1):
        first, last = max(0, shift), min(len(below), shift + len(above))
        ours, theirs = below[first:last], above[first - shift : last - shift]
        scale = float(np.linalg.norm(ours) * np.linalg.norm(theirs))
        correlation = float((ours * theirs).sum()) / scale if scale > 0.0 else 0.0
        if correlation >= LEAST_CORRELATION and (best is None or correlation > best.correlation):
            begin = place + first - shift
            best = SecondPhase(
                first_slice=place,
                repeats=(first, last - 1),
                repeated_by=(begin, begin + last - first - 1),
                correlation=round(correlation, 3),
            )
    return best
