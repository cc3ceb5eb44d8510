"""What a lesion finds in a slice: the kidney it grows from, what it must spare, and the scan's noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renalmap.imaging.connected import connected_blobs
from renalmap.imaging.masks import BoolPlane, contour
from renalmap.labels import KIDNEY, TUMOUR
from renalmap.training.synthesis.fields import FloatPlane, gaussian_blur, upsample_blocks

JOINED_PX = 4
"""Lips of one kidney that are nearer than about two of these blocks count as one kidney."""
BODY_BLOCK_PX = 8
WALL_BLOCKS = 2
"""Skin and muscle that lesions stay away from, about 12 mm."""
TISSUE_HU = -250.0
"""Above air and below fat."""
AIR_HU = -500.0
BONE_HU = 210.0
BONE_MIN_PX = 60
FAT_CEILING_HU = 5.0
SOFT_HU = (25.0, 200.0)
EVEN_HU = 5.0
"""Steepest slope, per pixel, of even tissue."""


@dataclass(frozen=True)
class Noise:
    """A scan's noise, as white noise smoothed by a Gaussian.

    Attributes:
        deviation_hu: its standard deviation.
        grain_px: the Gaussian's.
    """

    deviation_hu: float = 10.0
    grain_px: float = 0.6


def is_clipped(hu: FloatPlane) -> bool:
    """Whether a slice was clipped to 0..255 HU, so that fat and air are 0."""
    return bool(hu.min() >= 0 and hu.max() <= 255)


def find_kidneys(labels: NDArray[np.uint8]) -> tuple[BoolPlane, ...]:
    """The kidneys of a slice (rows, columns), each with its tumours, in the order of their first pixels.

    Pieces near each other, like the lips of the hilum, are one kidney.
    """
    foreground = labels > 0
    blocks = _blocks(foreground, JOINED_PX).any(axis=(1, 3))
    wide = np.pad(blocks, 1)
    wide = wide[:-2] | wide[1:-1] | wide[2:]
    wide = wide[:, :-2] | wide[:, 1:-1] | wide[:, 2:]
    numbers, count = connected_blobs(wide)
    full = np.repeat(np.repeat(numbers, JOINED_PX, 0), JOINED_PX, 1)
    full = full[: labels.shape[0], : labels.shape[1]]
    return tuple(foreground & (full == number) for number in range(1, count + 1))


def spared_tissue(
    hu: FloatPlane, labels: NDArray[np.uint8], kidney: BoolPlane, body: BoolPlane
) -> BoolPlane:
    """What no lesion of a kidney may cover: what is outside the body, gas, bone, and other labels.

    All planes are the same piece of the slice about the kidney; `kidney` includes its tumours.
    """
    foreground = labels > 0
    spared = ~body | (labels == TUMOUR) | (foreground & ~kidney) | _bone(hu, foreground)
    if hu.min() < AIR_HU:
        spared |= gaussian_blur(hu < AIR_HU, 1.5) > 0.2
    return np.asarray(spared & ~(kidney & (labels == KIDNEY)), bool)


def body_inside(hu: FloatPlane) -> BoolPlane:
    """The body without its wall, roughly: between the first and last tissue of each row and column of a slice.

    In a clipped slice fat is as dark as air, and the outline is that of the muscles.
    """
    threshold = FAT_CEILING_HU if is_clipped(hu) else TISSUE_HU
    # Every fourth pixel is enough to outvote the noise.
    tissue = _blocks(hu[1::4, 1::4] > threshold, BODY_BLOCK_PX // 4).mean(axis=(1, 3)) >= 0.5
    inside = np.ones_like(tissue)
    for axis in (0, 1):
        forward = np.maximum.accumulate(tissue, axis)
        backward = np.flip(np.maximum.accumulate(np.flip(tissue, axis), axis), axis)
        inside &= forward & backward
    for _ in range(WALL_BLOCKS):
        inside &= ~contour(inside)
    smooth: BoolPlane = upsample_blocks(inside, BODY_BLOCK_PX, (hu.shape[0], hu.shape[1])) > 0.5
    return smooth


def estimate_noise(hu: FloatPlane) -> Noise:
    """Noise in soft tissue, estimated from how much pixels one and two columns apart differ.

    White noise smoothed by a Gaussian of s pixels has the correlations r = exp(-1 / (4 s^2)) at lag 1 and
    r^4 at lag 2, so that the ratio of the squared differences is 1 + r + r^2 + r^3. Medians exclude vessels, and
    slower changes hardly show at such small lags. The step from cortex to medulla does, so places where the
    smoothed slice (rows, columns) is steep are left out. With too little even soft tissue: the default noise.
    """
    smooth = gaussian_blur(hu, 2.0)
    inside = (smooth > SOFT_HU[0]) & (smooth < SOFT_HU[1])
    for slope in np.gradient(smooth):
        inside &= np.abs(slope) < EVEN_HU
    squares = []
    for lag in (1, 2):
        pairs = inside[:, lag:] & inside[:, :-lag]
        if np.count_nonzero(pairs) < 60:
            return Noise()
        steps = np.abs(hu[:, lag:] - hu[:, :-lag])[pairs]
        squares.append(max((1.4826 * float(np.median(steps))) ** 2, 0.5))
    correlations = np.linspace(0.02, 0.9, 45)
    ratios = 1 + correlations + correlations**2 + correlations**3
    correlation = float(np.interp(squares[1] / squares[0], ratios, correlations))
    deviation_hu = float(np.sqrt(squares[0] / 2 / (1 - correlation)))
    return Noise(min(max(deviation_hu, 1.0), 40.0), float(1 / np.sqrt(-4 * np.log(correlation))))


def _bone(hu: FloatPlane, foreground: BoolPlane) -> BoolPlane:
    bright = (hu > BONE_HU) & ~foreground
    parts, count = connected_blobs(bright)
    if not count:
        return bright
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    # The blur closes the marrow between the cortices. The kidney's bright border is not bone.
    closed: BoolPlane = (gaussian_blur((sizes >= BONE_MIN_PX)[parts], 2.0) > 0.25) & ~foreground
    return closed


def _blocks(mask: BoolPlane, edge_px: int) -> BoolPlane:
    """(block rows, edge, block columns, edge), padded with False."""
    rows, columns = (-length % edge_px for length in mask.shape)
    padded = np.pad(mask, ((0, rows), (0, columns)))
    return padded.reshape(padded.shape[0] // edge_px, edge_px, padded.shape[1] // edge_px, edge_px)
