"""Pixels that DICOM declares to be no image: outside the scanner's circle, mostly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from renalmap.imaging.hounsfield import HIGHEST_AIR_HU

AIR_HU: Final = -1024.0

_BONE_FROM_HU: Final = 300.0
"""A value declared as padding between air and this could be tissue's as well, and stays as it is."""


@dataclass(frozen=True)
class Padding:
    """The stored values of padding; DICOM PS3.3 C.7.5.1.1.2.

    Attributes:
        lowest: of them.
        highest: of them.
    """

    lowest: int
    highest: int

    @classmethod
    def of(cls, dataset: Any) -> Padding | None:
        """PixelPaddingValue up to PixelPaddingRangeLimit, in either order; None where they are not said.

        Some files give a signed value for unsigned pixels, or the other way round: it means the same bits.
        """
        try:
            bits = int(dataset.BitsStored)  # what lies above them is cleared
            ends = [int(dataset.PixelPaddingValue)]
            ends.append(int(dataset.get("PixelPaddingRangeLimit", ends[0])))
            first = -(2 ** (bits - 1)) if dataset.PixelRepresentation else 0
        except (AttributeError, TypeError, ValueError):
            return None
        ends = [(end - first) % 2**bits + first for end in ends]
        return cls(min(ends), max(ends))

    def filled(self, pixels: NDArray[Any], rescale: tuple[float, float]) -> NDArray[Any]:
        """Pixels with air for padding, where padding would pass for bone or metal.

        Padding that reads as air anyway keeps its value.

        Args:
            pixels: as stored.
            rescale: slope and intercept to HU.
        """
        slope, intercept = rescale
        if slope <= 0 or not np.isfinite(intercept):
            return pixels
        if self.highest * slope + intercept <= HIGHEST_AIR_HU:
            return pixels
        if self.lowest * slope + intercept < _BONE_FROM_HU:
            return pixels
        padded = (pixels >= self.lowest) & (pixels <= self.highest)
        if not padded.any():
            return pixels
        limits = np.iinfo(pixels.dtype)
        air = round((AIR_HU - intercept) / slope)
        return np.where(padded, np.asarray(np.clip(air, limits.min, limits.max), pixels.dtype), pixels)
