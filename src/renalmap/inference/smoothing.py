"""Gaussian smoothing across slices: the networks see one slice at a time, but a kidney is a solid."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalmap.labels import BACKGROUND, KIDNEY, TUMOUR

ByteArray = NDArray[np.uint8]

TRUNCATED_AT_SIGMAS = 2.5


def reach_slices(sigma_mm: float, slice_distance_mm: float) -> int:
    """Over how many slices up and down a voxel is averaged; 0 means that smoothing changes nothing."""
    return int(TRUNCATED_AT_SIGMAS * sigma_mm / slice_distance_mm + 1e-6)


def gaussian_weights(sigma_mm: float, slice_distance_mm: float) -> NDArray[np.float32]:
    """Weights of the slices -reach ... +reach; their sum is 1."""
    reach = reach_slices(sigma_mm, slice_distance_mm)
    if reach == 0:
        return np.ones(1, np.float32)
    distance_mm = np.arange(-reach, reach + 1) * slice_distance_mm
    weights = np.exp(-0.5 * (distance_mm / sigma_mm) ** 2)
    normalised: NDArray[np.float32] = (weights / weights.sum()).astype(np.float32)
    return normalised


def smooth_across_slices(values: ByteArray, weights: NDArray[np.float32]) -> None:
    """Average each voxel with those above and below it, in place.

    One slice at a time is in float32, summed in a fixed order: no number of threads changes a bit.

    Args:
        values: axes (z, y, x). At the first and last slices, the weights that are left are scaled up to 1.
        weights: of the slices -reach ... +reach.
    """
    depth, reach = len(values), len(weights) // 2
    below: deque[ByteArray] = deque(maxlen=reach)  # as they were
    total: NDArray[Any] = np.empty(values.shape[1:], np.float32)
    for z in range(depth):
        above = values[z : z + reach + 1]
        first = reach - len(below)
        total[:] = 0.0
        taken = 0.0
        for each, weight in zip((*below, *above), weights[first:], strict=False):
            total += each * weight
            taken += float(weight)
        below.append(values[z].copy())
        values[z] = np.rint(total / np.float32(taken))


def likeliest(background: NDArray[Any], kidney: NDArray[Any], tumour: NDArray[Any]) -> NDArray[np.uint8]:
    """The label with the highest probability, on any scale and of any shape; in a tie, the lower label."""
    labels = np.where(kidney > background, KIDNEY, BACKGROUND).astype(np.uint8)
    labels[(tumour > kidney) & (tumour > background)] = TUMOUR
    return labels
