"""A scan and its labels, packed into text that a page's script unpacks slice by slice.

A slice of grey bytes is predicted from its left and upper neighbours (PNG's filter "average"), and what
the prediction misses is deflated: as in PNG, but without reading pixels back from a canvas, which browsers
may refuse or alter. Labels are deflated as they are.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from renalmap.anatomy import Voxels
from renalmap.imaging.volume import LabelMap, Volume
from renalmap.labels import BACKGROUND
from renalmap.report.html.grey import FINE_STEPS_HU, HuScale
from renalmap.report.planes import body_in_plane

PACKED_BYTES: Final = 12_500_000
"""The size allowed for the packed scan: with pictures and text the page stays under 15 MB."""

NEAR_KIDNEYS_MM: Final = 60.0
"""What is kept above and below the kidneys if not all slices fit."""

HATCHED: Final = np.uint8(16)
"""A bit above every label: the viewer hatches what has it."""

_SAMPLES: Final = 8
_BODY_MARGIN_MM: Final = 8.0
_BODY_PITCH_MM: Final = 20.0


@dataclass(frozen=True)
class Packing:
    """Which part of a scan is packed, and how finely.

    Attributes:
        slices: indices along z, ascending.
        rows: half-open range along y that is kept: what lies outside the body is left out.
        columns: the same along x.
        scale: what a byte means.
    """

    slices: tuple[int, ...]
    rows: tuple[int, int]
    columns: tuple[int, int]
    scale: HuScale

    @property
    def cut(self) -> tuple[slice, slice]:
        """The kept rows and columns as an index into a slice."""
        return slice(*self.rows), slice(*self.columns)

    @property
    def every(self) -> int:
        """From one kept slice to the next."""
        return self.slices[1] - self.slices[0] if len(self.slices) > 1 else 1

    @property
    def size_xyz(self) -> tuple[int, int, int]:
        """Voxels that are kept along (x, y, z), in which order the page's script has its axes."""
        return self.columns[1] - self.columns[0], self.rows[1] - self.rows[0], len(self.slices)

    def seen(self, voxel_zyx: Sequence[float]) -> tuple[float, float, float]:
        """A place in the scan as (x, y, z) of the kept voxels; it may lie between or beyond them."""
        z, y, x = voxel_zyx
        return x - self.columns[0], y - self.rows[0], (z - self.slices[0]) / self.every

    def nearest(self, voxel_zyx: Sequence[float]) -> tuple[int, int, int]:
        """The kept voxel closest to a place in the scan, as (x, y, z)."""
        places = zip(self.seen(voxel_zyx), self.size_xyz, strict=True)
        x, y, z = (min(max(round(at), 0), size - 1) for at, size in places)
        return x, y, z


def choose_packing(scan: Volume, labels: LabelMap, *, limit_bytes: int = PACKED_BYTES) -> Packing:
    """Find how to pack a scan as finely and as completely as the limit allows.

    All slices are kept if they fit at one of the steps up to 8 HU; else those near the kidneys; else, in
    steps of 8 HU, every second, third, ... of those. Slices outside the body's rows and columns are cut.

    Args:
        scan: HU, axes (z, y, x).
        labels: on its grid; where nothing is labelled every slice counts as near.
        limit_bytes: size of the packed text, estimated from some slices.
    """
    rows, columns = _body_box(scan, labels)
    whole = range(scan.hu.shape[0])
    choices = [(z, step) for z in (whole, _near_kidneys(labels)) for step in FINE_STEPS_HU]
    for slices, step in choices:
        packing = Packing(tuple(slices), rows, columns, HuScale(step))
        needed_bytes = _estimate_bytes(scan, packing)
        if needed_bytes <= limit_bytes:
            return packing
    every = -(-needed_bytes // limit_bytes)
    return Packing(packing.slices[::every], rows, columns, packing.scale)


def pack_greys(scan: Volume, packing: Packing) -> Iterator[str]:
    """Every kept slice as base64 text."""
    for z in packing.slices:
        yield _as_text(_deflate_greys(scan.hu[z][packing.cut], packing.scale))


def pack_labels(labels: LabelMap, packing: Packing, hatched: Sequence[Voxels] = ()) -> Iterator[str]:
    """Every kept slice's labels as base64 text, with `HATCHED` added to some; empty where nothing is labelled."""
    for z in packing.slices:
        whole = labels.labels[z].copy()
        for part in hatched:
            if part.box.start[0] <= z < part.box.stop[0]:
                rows_columns = part.box.slices[1:]
                whole[rows_columns] |= HATCHED * part.inside[z - part.box.start[0]].astype(np.uint8)
        plane = whole[packing.cut]
        yield _as_text(zlib.compress(plane.tobytes(), 9)) if plane.any() else ""


def predict(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The prediction from a pixel's left and upper neighbours: their mean rounded down; 0 beyond the border."""
    padded = np.pad(plane, ((1, 0), (1, 0))).astype(np.uint16)
    return ((padded[1:, :-1] + padded[:-1, 1:]) // 2).astype(np.uint8)


def _deflate_greys(hu: NDArray[Any], scale: HuScale) -> bytes:
    plane = scale.to_bytes(hu)
    # Noise repeats only by chance. Z_RLE does not look for it: 7 % smaller than by default, ten times as fast.
    packer = zlib.compressobj(6, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_RLE)
    return packer.compress((plane - predict(plane)).tobytes()) + packer.flush()


def _as_text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _estimate_bytes(scan: Volume, packing: Packing) -> int:
    """Size of the packed greys, from slices spread over those that are kept."""
    some = packing.slices[:: max(1, len(packing.slices) // _SAMPLES)]
    packed = [len(_deflate_greys(scan.hu[z][packing.cut], packing.scale)) for z in some]
    return int(sum(packed) / len(packed) * len(packing.slices) * 4 / 3)


def _near_kidneys(labels: LabelMap) -> Sequence[int]:
    count = labels.labels.shape[0]
    labelled = np.flatnonzero((labels.labels != BACKGROUND).any(axis=(1, 2)))
    if labelled.size == 0:
        return range(count)
    margin = int(np.ceil(NEAR_KIDNEYS_MM / labels.geometry.spacing_mm[0]))
    return range(max(0, int(labelled[0]) - margin), min(count, int(labelled[-1]) + margin + 1))


def _body_box(scan: Volume, labels: LabelMap) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows and columns that hold all labels and, in slices some centimetres apart, the body; or all."""
    pitch = max(1, int(_BODY_PITCH_MM // scan.geometry.spacing_mm[0]))
    chosen = [body_in_plane(plane) for plane in scan.hu[pitch // 2 :: pitch]] or [
        body_in_plane(scan.hu[0])
    ]
    body = np.logical_or.reduce([*chosen, (labels.labels != BACKGROUND).any(axis=0)])
    ranges = []
    for axis in (0, 1):
        found = np.flatnonzero(body.any(axis=1 - axis))
        size, margin = body.shape[axis], int(_BODY_MARGIN_MM / scan.geometry.spacing_mm[1 + axis])
        low, high = (int(found[0]), int(found[-1]) + 1) if found.size else (0, size)
        ranges.append((max(0, low - margin), min(size, high + margin)))
    return ranges[0], ranges[1]
