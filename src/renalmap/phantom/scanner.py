"""What the scanner adds: the slice profile and noise."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from renalmap.phantom.shapes import Field

_NOISE_CUTOFF_PER_MM = 0.42
_NEIGHBOUR_SHARE = 1.0 / 8.0
"""Of a slice as thick as its spacing: the integral of the linear interpolant over it."""

LOWEST_HU, HIGHEST_HU = -1024, 3071
"""The 12-bit range that scanners store."""


def blend_neighbours(slices: Iterator[Field], count: int) -> Iterator[Field]:
    """Give every slice its thickness: an eighth of each neighbour's plane belongs to it."""
    previous = current = next(slices)
    for index in range(count):
        following = next(slices) if index + 1 < count else current
        yield (1.0 - 2.0 * _NEIGHBOUR_SHARE) * current + _NEIGHBOUR_SHARE * (previous + following)
        previous, current = current, following


class NoiseMaker:
    """Correlated noise of unit deviation, one slice at a time.

    White noise is filtered by the square root of the noise power spectrum of filtered back-projection
    in its usual model: a ramp in frequency times an apodisation (here Gaussian).
    """

    def __init__(self, shape_yx: tuple[int, int], spacing_mm_yx: tuple[float, float]) -> None:
        rows, columns = shape_yx
        fy = np.fft.fftfreq(rows, spacing_mm_yx[0])[:, None]
        fx = np.fft.rfftfreq(columns, spacing_mm_yx[1])[None, :]
        frequency = np.hypot(fy, fx)
        amplitude = np.sqrt(frequency) * np.exp(-((frequency / _NOISE_CUTOFF_PER_MM) ** 2))
        weights = np.full(fx.shape, 2.0)
        weights[0, 0] = 1.0
        if columns % 2 == 0:
            weights[0, -1] = 1.0
        power = float((amplitude**2 * weights).sum()) / (rows * columns)
        self._amplitude = (amplitude / np.sqrt(power)).astype(np.float32)
        self._shape = shape_yx

    def draw(self, generator: np.random.Generator) -> Field:
        """One slice of noise, (rows, columns)."""
        white = generator.standard_normal(self._shape, dtype=np.float32)
        return np.fft.irfft2(np.fft.rfft2(white) * self._amplitude, self._shape).astype(np.float32)


def noise_strength(depth_mm: Field) -> Field:
    """How the noise grows with the tissue around a point: 1 in the middle, a third in the air."""
    strength: Field = 0.35 + 0.65 * np.clip(depth_mm / 90.0, 0.0, 1.0) ** 0.7
    return strength
