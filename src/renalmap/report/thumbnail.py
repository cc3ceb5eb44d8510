"""A small picture of a case, to be put into a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from renalmap.imaging.volume import LabelMap, Volume
from renalmap.labels import CYST, KIDNEY, TUMOUR
from renalmap.report.embedding import as_data_uri
from renalmap.report.palette import LABEL_COLOURS
from renalmap.report.panel import SOFT_TISSUE, GreyWindow, draw_panel

if TYPE_CHECKING:
    from PIL.Image import Image

THUMBNAIL_PX: Final = 240
_REDUCED: Final = 2
"""Outlines have their width in pixels; drawn larger and reduced, they are finer."""


def draw_thumbnail(volume: Volume | None, mask: LabelMap | None) -> str | None:
    """Draw a case: the slice with most tumour (or kidney) and outlines, or without a scan its mask from the front.

    Args:
        volume: the scan, if there is one.
        mask: its labels; those on a grid of another shape are left out.

    Returns:
        A `data:` URI, at most `THUMBNAIL_PX` pixels per side; None if there is neither scan nor mask.
    """
    if volume is None:
        return None if mask is None else as_data_uri(_front_view(mask).quantize(64), "PNG")
    if mask is not None and mask.labels.shape != volume.hu.shape:
        mask = None
    return as_data_uri(_axial_slice(volume, mask), "JPEG")


def _axial_slice(volume: Volume, mask: LabelMap | None) -> Image:
    labels = np.zeros(volume.hu.shape, np.uint8) if mask is None else mask.labels
    z = _most_labelled(labels)
    return _draw(volume.hu[z], labels[z], SOFT_TISSUE, volume.geometry.spacing_mm[1:])


def _most_labelled(labels: NDArray[np.uint8]) -> int:
    """The slice with most tumour; without tumour, with most of anything; without that, the middle."""
    areas = [(np.count_nonzero(plane == TUMOUR), np.count_nonzero(plane)) for plane in labels]
    best = max(range(len(areas)), key=areas.__getitem__)
    return best if areas[best][1] else len(areas) // 2


def _front_view(mask: LabelMap) -> Image:
    """Seen from the front, head up: the brighter, the more is labelled behind a point."""
    depth = np.stack([np.count_nonzero(plane, axis=0) for plane in mask.labels])[::-1]
    labels = np.stack([_nearest(plane) for plane in mask.labels])[::-1]
    thickest = max(1, int(depth.max()))
    window = GreyWindow(width_hu=1.5 * thickest, level_hu=0.75 * thickest)
    spacing_mm = mask.geometry.spacing_mm
    return _draw(depth, labels, window, (spacing_mm[0], spacing_mm[2]))


def _nearest(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The label of each column of a slice: tumour before cyst before kidney."""
    seen = np.zeros(plane.shape[1], np.uint8)
    for label in (KIDNEY, CYST, TUMOUR):
        seen[(plane == label).any(axis=0)] = label
    return seen


def _draw(
    plane: NDArray[Any],
    labels: NDArray[np.uint8],
    window: GreyWindow,
    pixel_mm: tuple[float, float],
) -> Image:
    height_mm, width_mm = (size * step for size, step in zip(plane.shape, pixel_mm, strict=True))
    scale = THUMBNAIL_PX / max(height_mm, width_mm)
    size_px = [max(1, round(length * scale)) * _REDUCED for length in (width_mm, height_mm)]
    return draw_panel(plane, labels, LABEL_COLOURS, window, (size_px[0], size_px[1])).reduce(_REDUCED)
