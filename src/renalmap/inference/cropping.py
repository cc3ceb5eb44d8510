"""Stage 2: the segmenter on crops of a slice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renalmap.imaging.volume import Box
from renalmap.inference.flipping import flip_averaged
from renalmap.inference.grid import ScanOnGrid
from renalmap.inference.probability import to_bytes
from renalmap.inference.session import Session
from renalmap.inference.smoothing import likeliest
from renalmap.preprocess import crop_boxes, cut_crop

ByteArray = NDArray[np.uint8]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class CroppedSlice:
    """What stage 2 sees in the crops of a slice.

    Attributes:
        box: about the crops, a region (y, x) of the grid.
        covered: which of its pixels lie in a crop.
        labels: of these; background elsewhere.
        kidney: probability of kidney or tumour, 255 for certainty; 0 elsewhere.
        tumour: nowhere above `kidney`.
    """

    box: Box
    covered: BoolArray
    labels: ByteArray
    kidney: ByteArray
    tumour: ByteArray


def place_crops(labels: ByteArray, scan: ScanOnGrid) -> dict[int, tuple[Box, ...]]:
    """Where stage 2 looks, by slice: about the blobs of stage 1's foreground, (z, grid, grid)."""
    shown = np.flatnonzero(labels.any(axis=(1, 2))).tolist()
    return {z: crop_boxes(labels[z] > 0, scan.plan) for z in shown}


def segment_crops(session: Session, scan: ScanOnGrid, z: int, crops: tuple[Box, ...]) -> CroppedSlice:
    """Run stage 2 on crops of a slice; where they overlap, their probabilities are added."""
    image = scan.image(z)
    box = around(crops)
    summed = np.zeros((3, *box.shape), np.float32)
    for crop in crops:
        pixels = np.ascontiguousarray(cut_crop(image, crop))[None, None]
        once = scan.plan.flip_averaging == "none"
        classes = session.run(pixels) if once else flip_averaged(session.run, pixels)
        cut_crop(summed, crop.seen_from(box.start))[:] += classes[0]
    total = summed.sum(axis=0)
    covered = total > 0
    background, kidney, tumour = summed
    divisor = np.where(covered, total, 1.0)
    return CroppedSlice(
        box=box,
        covered=covered,
        labels=likeliest(background, kidney, tumour),
        kidney=to_bytes((kidney + tumour) / divisor),
        tumour=to_bytes(tumour / divisor),
    )


def around(boxes: tuple[Box, ...]) -> Box:
    """The smallest box that contains all of these, of which there is at least one."""
    starts = np.min([box.start for box in boxes], axis=0)
    stops = np.max([box.stop for box in boxes], axis=0)
    return Box(tuple(starts.tolist()), tuple(stops.tolist()))


def lay_over(labels: ByteArray, slices: Mapping[int, CroppedSlice]) -> None:
    """Lay stage 2's labels over stage 1's, in place."""
    for z, seen in slices.items():
        np.copyto(labels[z][seen.box.slices], seen.labels, where=seen.covered)
