"""The overview picture: three planes through the kidneys with outlines and volumes (the paper's Fig. 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from renalmap.imaging import check_same_grid
from renalmap.imaging.volume import LabelMap, Volume
from renalmap.labels import KIDNEY, TUMOUR
from renalmap.report.page import Ink, Page, fit, text_width_px
from renalmap.report.palette import KIDNEY_COLOUR, TUMOUR_COLOUR
from renalmap.report.panel import SOFT_TISSUE, draw_panel
from renalmap.report.planes import choose_planes
from renalmap.report.views import View, cut_views

DISCLAIMER: Final = "Research use only - not a medical device"
OUTLINE_COLOURS: Final = {KIDNEY: KIDNEY_COLOUR, TUMOUR: TUMOUR_COLOUR}

_SCALE_BAR_MM = 50.0
_BACKGROUND, _TEXT, _FAINT, _WARNING = "#0b0e13", "#f2f4f7", "#9aa5b1", "#F0E442"

_WIDTH_PX = 2250
_SIDE_PX, _GAP_PX, _HEADER_PX, _FOOTER_PX = 75, 128, 218, 128
_FIRST_LINE_PX, _SECOND_LINE_PX = 70, 112
_LOWEST_PANEL_PX, _HIGHEST_PANEL_PX = 180, 900

_TITLE, _ALERT = Ink(38, _TEXT, bold=True), Ink(38, _WARNING, bold=True)
_LEGEND, _NOTE, _LETTER = Ink(29, _TEXT), Ink(22, _FAINT), Ink(24, _TEXT)
_NOT_FOUND, _DOT = "NO KIDNEY FOUND", "\N{MIDDLE DOT}"


@dataclass(frozen=True)
class _Layout:
    """Where things go.

    Attributes:
        px_per_mm: the scale of all panels.
        boxes: each panel's left, top, right and bottom; the last two lie outside.
        height_px: of the page.
    """

    px_per_mm: float
    boxes: tuple[tuple[int, int, int, int], ...]
    height_px: int


def draw_overview(scan: Volume, labels: LabelMap, path: Path, *, title: str | None = None) -> None:
    """Draw axial, coronal and sagittal views through the kidneys, all at one scale, as a PNG.

    The planes are those of `renalmap.report.planes.choose_planes`. Outlines run along the edges of
    the labels (marching squares at the half level) and are not smoothed; the volumes beside them are
    those of the labels drawn. If nothing is labelled the picture says so, over the middle planes.

    Args:
        scan: the scan, HU, axes (z, y, x).
        labels: 0 background, 1 kidney, 2 tumour, on the scan's grid.
        path: the PNG to write, 2250 pixels wide; an existing file is replaced.
        title: heading; the scan's name by default.

    Raises:
        GeometryMismatchError: labels and scan are on different grids.
        OSError: the file cannot be written.
    """
    check_same_grid(scan, labels, where=labels.name)
    views = cut_views(scan, labels, choose_planes(labels))
    layout = _lay_out(views)
    page = Page(_WIDTH_PX, layout.height_px, _BACKGROUND)
    for view, box in zip(views, layout.boxes, strict=True):
        _draw_view(page, view, box)
    _write_header(page, scan, labels, title=scan.name if title is None else title)
    _write_footer(page, layout.px_per_mm)
    page.save(path)


def _lay_out(views: Sequence[View]) -> _Layout:
    """Place one panel per view, side by side, upper edges aligned, all at the same scale."""
    widths_mm = [view.size_mm[1] for view in views]
    tallest_mm = max(view.size_mm[0] for view in views)
    room_px = _WIDTH_PX - 2 * _SIDE_PX - _GAP_PX * (len(views) - 1)
    px_per_mm = min(room_px / sum(widths_mm), _HIGHEST_PANEL_PX / tallest_mm)
    left_px = _SIDE_PX + (room_px - sum(widths_mm) * px_per_mm) / 2
    boxes = []
    for view in views:
        height_px, width_px = (max(1, round(extent_mm * px_per_mm)) for extent_mm in view.size_mm)
        left = round(left_px)
        boxes.append((left, _HEADER_PX, left + width_px, _HEADER_PX + height_px))
        left_px += view.size_mm[1] * px_per_mm + _GAP_PX
    panel_px = max(round(tallest_mm * px_per_mm), _LOWEST_PANEL_PX)
    return _Layout(px_per_mm, tuple(boxes), _HEADER_PX + panel_px + _FOOTER_PX)


def _draw_view(page: Page, view: View, box: tuple[int, int, int, int]) -> None:
    """The panel; above it name and caption, and at each edge a letter for the patient's direction."""
    left, top, right, bottom = box
    size_px = right - left, bottom - top
    page.paste(draw_panel(view.hu, view.labels, OUTLINE_COLOURS, SOFT_TISSUE, size_px), (left, top))
    page.write(view.name, (left, top - 46), Ink(26, _TEXT, bold=True))
    page.write(view.caption, (right, top - 46), _NOTE, anchor="rs")
    middle_x, middle_y = (left + right) // 2, (top + bottom) // 2
    places = (left - 26, middle_y), (right + 26, middle_y), (middle_x, top - 22), (middle_x, bottom + 22)
    for letter, place in zip(view.letters, places, strict=True):
        page.write(letter, place, _LETTER, anchor="mm")


def _write_header(page: Page, scan: Volume, labels: LabelMap, *, title: str) -> None:
    right = page.width_px - _SIDE_PX
    size = " x ".join(str(count) for count in reversed(scan.geometry.shape))
    spacing = " x ".join(f"{step:.2f}" for step in reversed(scan.geometry.spacing_mm))
    window = f"window {SOFT_TISSUE.width_hu:g}, level {SOFT_TISSUE.level_hu:g} HU"
    page.write(f"{size} voxels of {spacing} mm  {_DOT}  {window}", (_SIDE_PX, _SECOND_LINE_PX), _NOTE)
    volumes_ml = {label: labels.volume_ml(label) for label in OUTLINE_COLOURS}
    if any(volumes_ml.values()):
        legend_left = _write_legend(page, volumes_ml)
    else:
        legend_left = right - text_width_px(_NOT_FOUND, _ALERT)
        page.write(_NOT_FOUND, (right, _FIRST_LINE_PX), _ALERT, anchor="rs")
        why = "nothing is labelled in this scan"
        page.write(why, (right, _SECOND_LINE_PX), Ink(21, _WARNING), anchor="rs")
    # A long file name must not run into the legend.
    heading, ink = fit(title, _TITLE, legend_left - _GAP_PX // 2 - _SIDE_PX)
    page.write(heading, (_SIDE_PX, _FIRST_LINE_PX), ink)


def _write_legend(page: Page, volumes_ml: Mapping[int, float]) -> int:
    """Write colours and volumes, flush right.

    Returns:
        The x at which the legend begins.
    """
    present = {KIDNEY: "Kidney without tumour", TUMOUR: "Tumour"}
    absent = {KIDNEY: "no kidney marked", TUMOUR: "no tumour marked"}
    x = page.width_px - _SIDE_PX
    for label in reversed(OUTLINE_COLOURS):
        ml = volumes_ml[label]
        text = f"{present[label]}  {ml:.1f} ml" if ml else absent[label]
        ink = _LEGEND if ml else replace(_LEGEND, colour=_FAINT)
        page.write(text, (x, _FIRST_LINE_PX), ink, anchor="rs")
        x -= text_width_px(text, ink)
        if ml:
            middle = _FIRST_LINE_PX - 10
            page.fill((x - 66, middle - 3, x - 16, middle + 3), OUTLINE_COLOURS[label])
            x -= 66
        x -= 56
    return x + 56


def _write_footer(page: Page, px_per_mm: float) -> None:
    """A scale bar that holds for every panel, and the disclaimer."""
    level = page.height_px - 46
    bar_right = _SIDE_PX + round(_SCALE_BAR_MM * px_per_mm)
    page.fill((_SIDE_PX, level - 2, bar_right, level + 3), _TEXT)
    page.write("5 cm, all views", (bar_right + 16, level), replace(_NOTE, colour=_TEXT), anchor="lm")
    page.write(DISCLAIMER, (page.width_px - _SIDE_PX, level), _NOTE, anchor="rm")
