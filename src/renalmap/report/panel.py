"""One plane of a scan as a picture: windowed grey values and antialiased outlines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from renalmap.imaging.masks import contour

if TYPE_CHECKING:
    from PIL.Image import Image

_OVERSAMPLING: Final = 4
_OUTLINE_PX: Final = 3.0


@dataclass(frozen=True)
class GreyWindow:
    """Which HU are shown: black at `level_hu - width_hu / 2` and below, white at the other end."""

    width_hu: float
    level_hu: float

    def to_grey(self, hu: NDArray[Any]) -> NDArray[np.uint8]:
        """Grey values 0..255 of the same shape."""
        darkest = self.level_hu - self.width_hu / 2
        share = (hu.astype(np.float32) - np.float32(darkest)) / np.float32(self.width_hu)
        return np.round(share.clip(0.0, 1.0) * 255.0).astype(np.uint8)


SOFT_TISSUE: Final = GreyWindow(width_hu=400, level_hu=40)


def draw_panel(
    hu: NDArray[Any],
    labels: NDArray[np.uint8],
    colours: Mapping[int, str],
    window: GreyWindow,
    size_px: tuple[int, int],
) -> Image:
    """Draw a plane, stretched to a size, with an outline around every label.

    Args:
        hu: (row, column), row 0 on top.
        labels: labels of the same shape.
        colours: the outline's "#rrggbb" for each label to draw; later ones lie on top.
        window: which HU are shown.
        size_px: (width, height) of the picture.
    """
    from PIL import Image  # noqa: PLC0415 - only drawing needs Pillow

    grey = Image.fromarray(window.to_grey(hu)).resize(size_px, Image.Resampling.BICUBIC)
    picture = grey.convert("RGB")
    for label, colour in colours.items():
        if (labels == label).any():
            picture.paste(colour, (0, 0), _outline(labels == label, size_px))
    return picture


def _outline(mask: NDArray[np.bool_], size_px: tuple[int, int]) -> Image:
    """How much of each pixel the outline covers, 0..255.

    The outline is the half level of the bilinearly interpolated mask, so that it cuts the corners of
    pixels as marching squares do, and is not smoothed beyond. It is found on a finer grid; averaging
    that grid makes it antialiased.
    """
    from PIL import Image  # noqa: PLC0415

    fine_px = size_px[0] * _OVERSAMPLING, size_px[1] * _OVERSAMPLING
    # A ring of background closes the outline of a kidney that touches the picture's border.
    padded = Image.fromarray(np.pad(mask, 1).astype(np.uint8) * 255)
    height, width = mask.shape
    inside_box = 1, 1, width + 1, height + 1
    level = padded.resize(fine_px, Image.Resampling.BILINEAR, box=inside_box)
    line = _thicken(contour(np.asarray(level) >= 128), round(_OUTLINE_PX * _OVERSAMPLING / 2))
    return Image.fromarray(line.astype(np.uint8) * 255).reduce(_OVERSAMPLING)


def _thicken(line: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """Dilate by a disc: rows are widened first, by each half-width that the disc has."""
    thick = np.zeros_like(line)
    rows, columns = (np.flatnonzero(line.any(axis=axis)) for axis in (1, 0))
    if rows.size == 0:
        return thick
    low_y, low_x = max(rows[0] - radius, 0), max(columns[0] - radius, 0)
    part = np.s_[low_y : rows[-1] + radius + 1, low_x : columns[-1] + radius + 1]
    widened = line[part].copy()
    half_width = 0
    for dy in range(radius, -1, -1):
        for shift in range(half_width + 1, isqrt(radius**2 - dy**2) + 1):
            _spread(widened, line[part], (0, shift))
            half_width = shift
        _spread(thick[part], widened, (dy, 0))
    return thick


def _spread(target: NDArray[np.bool_], source: NDArray[np.bool_], shift_yx: tuple[int, int]) -> None:
    """Add the source to the target, moved by a shift both forth and back."""
    height, width = source.shape
    dy, dx = min(shift_yx[0], height), min(shift_yx[1], width)
    target[dy:, dx:] |= source[: height - dy, : width - dx]
    target[: height - dy, : width - dx] |= source[dy:, dx:]
