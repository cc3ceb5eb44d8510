"""Gaussian smoothing across slices: the networks see one slice at a time, a kidney is a solid."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalmap.labels import BACKGROUND, KIDNEY, TUMOUR

ByteArray = NDArray[np.uint8]

TRUNCATED_AT_SIGMAS = 2.5


def reach_slices(sigma_mm: float, slice_distance_mm: float) -> int:
    """How many slices up and down a voxel is averaged over; 0 means that smoothing changes nothing."""
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


def smooth_across_slices(values: ByteArray, weights: NDArray[np.float32]) -> ByteArray:
    """Average each voxel with those above and below it.

    Args:
        values: axes (z, y, x); the first and last slice are where knowledge ends: there the weights that
            are left are scaled up to 1.
        weights: of the slices -reach ... +reach.

    Returns:
        A new array. One slice at a time is in float32, summed in a fixed order: no number of threads
        changes a bit.
    """
    depth, reach = len(values), len(weights) // 2
    smooth = np.empty_like(values)
    total: NDArray[Any] = np.empty(values.shape[1:], np.float32)
    for z in range(depth):
        total[:] = 0.0
        taken = 0.0
        for near in range(max(0, z - reach), min(depth, z + reach + 1)):
            weight = weights[near - z + reach]
            total += values[near] * weight
            taken += float(weight)
        smooth[z] = np.rint(total / np.float32(taken))
    return smooth


def most_probable(kidney: ByteArray, tumour: ByteArray) -> ByteArray:
    """The label with the highest probability; of equals the lower label.

    Args:
        kidney: probability of kidney or tumour, 255 for certainty; any shape.
        tumour: probability of tumour, nowhere above `kidney`.
    """
    only_kidney, background = kidney - tumour, 255 - kidney
    labels = np.where(only_kidney > background, KIDNEY, BACKGROUND).astype(np.uint8)
    labels[(tumour > only_kidney) & (tumour > background)] = TUMOUR
    return labels
