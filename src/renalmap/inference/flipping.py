"""Averaging a network over an image and its mirror image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


def flip_averaged(network: Callable[[FloatArray], FloatArray], images: FloatArray) -> FloatArray:
    """Probabilities averaged over images and their mirror images, left to right.

    Args:
        network: normalised images (N, 1, H, W) to probabilities (N, C, H, W).
        images: normalised before they are mirrored, because a pixel's statistics belong to its place.
    """
    mirrored = network(np.ascontiguousarray(images[..., ::-1]))[..., ::-1]
    averaged: FloatArray = (network(images) + mirrored) * np.float32(0.5)
    return averaged
