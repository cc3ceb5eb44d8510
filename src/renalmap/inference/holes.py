"""Tiny holes in slices of a kidney. Larger ones are real: KiTS19 calls the sinus background."""

from __future__ import annotations

import cc3d
import numpy as np
from numpy.typing import NDArray

from renalmap.labels import BACKGROUND, KIDNEY, TUMOUR

ByteArray = NDArray[np.uint8]


def fill_holes(labels: ByteArray, pixel_mm2: float, largest_mm2: float) -> None:
    """Fill background that kidney and tumour enclose within a slice, in place.

    A hole is a 4-connected blob of background from which no path of background leads out. It gets the label of
    most of the pixels around it, or kidney if there are equally many of both.

    Args:
        labels: axes (z, y, x). What touches the array's edge is not enclosed.
        pixel_mm2: area of a pixel.
        largest_mm2: larger holes stay.
    """
    for z in np.flatnonzero(labels.any(axis=(1, 2))):
        blobs = cc3d.connected_components(labels[z] == BACKGROUND, connectivity=4)
        statistics = cc3d.statistics(blobs)
        is_hole = statistics["voxel_counts"] * pixel_mm2 <= largest_mm2
        edges = np.concatenate([blobs[0], blobs[-1], blobs[:, 0], blobs[:, -1]])
        is_hole[edges] = False
        is_hole[0] = False
        for blob in np.flatnonzero(is_hole):
            box = statistics["bounding_boxes"][blob]
            rows, columns = np.nonzero(blobs[box] == blob)
            place = (rows + box[0].start, columns + box[1].start)
            labels[z][place] = _label_about(labels[z], *place)


def _label_about(labels: ByteArray, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> int:
    steps = ((-1, 0), (1, 0), (0, -1), (0, 1))
    about = np.concatenate([labels[rows + dy, columns + dx] for dy, dx in steps])
    return TUMOUR if (about == TUMOUR).sum() > (about == KIDNEY).sum() else KIDNEY
