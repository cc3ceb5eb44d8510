"""Can these values be Hounsfield units? Air is -1000 and water 0; a CT of a body has both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from renalmap.imaging.volume import Volume

HIGHEST_AIR_HU: Final = -200
"""Air in lungs, bowel or around the body reads below this even after blurring; fat does not."""

HIGHEST_HU: Final = 32767
"""Metal reads up to 30710 on scanners with an extended scale; nothing in 16 bits with a sign reads above this."""


@dataclass(frozen=True)
class HounsfieldDoubt:
    """Why a scan's values cannot be Hounsfield units; as text, a clause without the scan's name.

    Attributes:
        lowest: the lowest value.
        highest: the highest.
        looks_like: what such values may be, a clause.
    """

    lowest: float
    highest: float
    looks_like: str

    def __str__(self) -> str:
        return (
            f"the values run from {self.lowest:g} to {self.highest:g} and cannot be Hounsfield units: "
            f"{self.looks_like}"
        )

    def warning(self, scan: Path | str) -> str:
        """What the user is told, and what to do; the scan is named as the caller wishes."""
        return f"{scan}: {self}. Do not trust the result; give the original CT"


def doubt_hounsfield(volume: Volume) -> HounsfieldDoubt | None:
    """Whether a scan's values cannot be HU; None if they can.

    Only the lowest and the highest value decide. Padding outside the scanner's circle (-2000, -3024)
    counts as air; bright metal is not a reason for doubt, what is brighter than any metal is.
    """
    low, high = float(volume.hu.min()), float(volume.hu.max())
    looks_like = _what_it_looks_like(low, high)
    return None if looks_like is None else HounsfieldDoubt(low, high, looks_like)


def _what_it_looks_like(low: float, high: float) -> str | None:
    if low == high:
        return "every voxel is the same"
    if low >= 0.0 and high <= 1.0:
        return "they look normalised to 0..1"
    if low >= 0.0 and high <= 255.0:
        return "they look like an 8-bit picture (0..255), windowed or converted"
    if low >= 0.0 and high > 1000.0:
        return "there is no air (-1000), as in raw values with 1024 added that were never rescaled"
    if low > HIGHEST_AIR_HU:
        return "there is no air (-1000), as in a clipped scan or an image of another kind"
    without_sign = "no metal is so bright, as in padding below air that was stored without its sign"
    return without_sign if high > HIGHEST_HU else None
