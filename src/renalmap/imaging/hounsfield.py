"""Can these values be Hounsfield units? Air is -1000 and water 0; a CT of a body has both."""

from __future__ import annotations

from typing import Final

from renalmap.imaging.volume import Volume

HIGHEST_AIR_HU: Final = -200
"""Air in lungs, bowel or around the body reads below this even after blurring; fat does not."""


def describe_hounsfield_doubt(volume: Volume) -> str | None:
    """Say why a scan's values cannot be HU, if they cannot.

    Only the lowest and the highest value decide. Padding outside the scanner's circle (-2000, -3024)
    counts as air; bright metal is no ground for doubt.

    Args:
        volume: the scan.

    Returns:
        A sentence for the user that says what the values look like and how to go on, or None.
    """
    low, high = float(volume.hu.min()), float(volume.hu.max())
    looks_like = _what_it_looks_like(low, high)
    if looks_like is None:
        return None
    return (
        f"{volume.name}: the values run from {low:g} to {high:g} and cannot be Hounsfield units: "
        f"{looks_like}. The result is not to be trusted; give the original CT"
    )


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
    return None
