"""Key images: the tumours with their diameters, overviews with outlines, the kidneys as solids."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from renalmap.imaging.volume import LabelMap, Volume
from renalmap.inference.quality import DroppedEntry
from renalmap.labels import LABEL_NAMES
from renalmap.measure.measurements import Diameter, LesionMeasurement
from renalmap.report.embedding import as_data_uri
from renalmap.report.html.contents import ReportContents
from renalmap.report.html.solid import draw_solids
from renalmap.report.html.tables import lesion_name, side_of
from renalmap.report.page import Ink, Page, text_width_px
from renalmap.report.palette import ALARM_COLOUR, LABEL_COLOURS
from renalmap.report.panel import SOFT_TISSUE, draw_panel
from renalmap.report.planes import choose_planes
from renalmap.report.views import View, cut_views

if TYPE_CHECKING:
    from PIL.Image import Image

FloatArray = NDArray[np.float64]

MOST_TUMOURS: Final = 4
MOST_DOUBTFUL: Final = 2
MOST_CANDIDATES: Final = 2
"""Pictures are made of so many tumours, the largest; of so many smaller ones that are doubtful; and of what was left out."""

_GROUND: Final = "#0b0e13"
_LETTER: Final = Ink(26, "#f2f4f7", bold=True)
_LENGTH: Final = Ink(30, "#ffffff", bold=True)
_OVERVIEW_PX: Final = 860
_LESION_PX: Final = 720
_SOLID_PX: Final = 460
_LEAST_VIEW_MM: Final = 110.0
_VIEW_PER_DIAMETER: Final = 2.2
_SCALE_BAR_MM: Final = 50.0
_OVERSAMPLING: Final = 4


_SIZES: Final = {0: "half", 1: "third", 2: "half", 3: "third", 4: "quarter"}
"""Of so many pictures in a row; one by itself shares its row with the two overviews."""


def pictures_section(contents: ReportContents) -> str:
    """All pictures as figures: tumours and what was left out, overviews, solids, in rows that a printed page holds."""
    tumours = _pictured(contents)
    candidates = list(enumerate(contents.candidates[:MOST_CANDIDATES], start=1))
    first = len(tumours) + len(candidates)
    if first <= MOST_TUMOURS:
        size = other = _SIZES[first]
        overview = "third" if first == 1 else "half"
    else:
        size, other = _SIZES[len(tumours)], _SIZES[len(candidates) + 2]
        overview = other
    figures = [_tumour_figure(contents, tumour, size) for tumour in tumours]
    figures += [_candidate_figure(contents, number, one, other) for number, one in candidates]
    figures += _overview_figures(contents, overview)
    figures += _solid_figures(contents)
    return f'<div class="gallery">{"".join(figures)}</div>'


def _pictured(contents: ReportContents) -> list[LesionMeasurement]:
    """The largest tumours, of which the last make room for smaller ones that are doubtful."""
    tumours = contents.measurements.tumours
    doubtful = [one for one in tumours[MOST_TUMOURS:] if one.id in contents.doubtful][:MOST_DOUBTFUL]
    return [*tumours[: MOST_TUMOURS - len(doubtful)], *doubtful]


def legend(contents: ReportContents) -> str:
    """The colours of the labels that occur."""
    present = [label for label in LABEL_COLOURS if (contents.labels.labels == label).any()]
    items = [
        f'<span><span class="dot {LABEL_NAMES[label]}"></span>{LABEL_NAMES[label]}</span>'
        for label in present
    ]
    window = f"window {SOFT_TISSUE.width_hu:g}, level {SOFT_TISSUE.level_hu:g} HU; white bars are 5 cm"
    return f'<p class="legend">{"".join(items)}<span>{window}</span></p>'


def _figure(picture: Image, size: str, title: str, text: str) -> str:
    source = as_data_uri(picture, "JPEG", quality=86)
    return (
        f'<figure class="{size}"><img src="{source}" width="{picture.width}" height="{picture.height}" '
        f'alt="{escape(title)}: {escape(text)}"><figcaption><b>{escape(title)}</b> {escape(text)}</figcaption></figure>'
    )


def _overview_figures(contents: ReportContents, size: str) -> Iterator[str]:
    axial, coronal, _ = cut_views(contents.scan, contents.labels, choose_planes(contents.labels))
    for view in (axial, coronal):
        caption = " ".join(view.caption.split())
        yield _figure(draw_view(view), size, f"{view.name} overview.", caption[:1].upper() + caption[1:])


def draw_view(view: View) -> Image:
    """A view with its outlines, the patient's directions at its edges, and a scale."""
    height_mm, width_mm = view.size_mm
    px_per_mm = _OVERVIEW_PX / max(width_mm, height_mm)
    width, height = max(1, round(width_mm * px_per_mm)), max(1, round(height_mm * px_per_mm))
    page = Page(width, height, _GROUND)
    page.paste(draw_panel(view.hu, view.labels, LABEL_COLOURS, SOFT_TISSUE, (width, height)), (0, 0))
    places = (22, height // 2), (width - 22, height // 2), (width // 2, 24), (width // 2, height - 24)
    for letter, place in zip(view.letters, places, strict=True):
        page.write(letter, place, _LETTER, anchor="mm")
    _draw_scale(page, px_per_mm)
    return page.picture


def _draw_scale(page: Page, px_per_mm: float) -> None:
    length, low = round(_SCALE_BAR_MM * px_per_mm), page.height_px - 20
    if length < page.width_px - 40:
        page.fill((20, low - 4, 20 + length, low), _LETTER.colour)


def _tumour_figure(contents: ReportContents, tumour: LesionMeasurement, size: str) -> str:
    at_least = "at least " if tumour.incomplete else ""
    text = (
        f"Longest axial diameter {at_least}{tumour.longest_axial_diameter_mm:.1f} mm, "
        f"slice {tumour.slice + 1} of {contents.scan.geometry.shape[0]}"
    )
    return _figure(_draw_tumour(contents, tumour), size, f"{lesion_name(tumour)}.", text)


def _draw_tumour(contents: ReportContents, tumour: LesionMeasurement) -> Image:
    """The slice around a tumour with its longest axial diameter drawn."""
    diameter = tumour.longest_axial_diameter
    wide_mm = max(_LEAST_VIEW_MM, _VIEW_PER_DIAMETER * diameter.length_mm)
    ends = np.array([diameter.start.voxel_zyx, diameter.end.voxel_zyx])
    return draw_section(contents.scan, contents.labels, ends.mean(axis=0), wide_mm, diameter)


def _candidate_figure(contents: ReportContents, number: int, candidate: DroppedEntry, size: str) -> str:
    box = np.array(candidate.box_zyx)
    middle_zyx = np.array([candidate.slice, *box.mean(axis=0)[1:]])
    across_mm = float(np.hypot(*((box[1] - box[0] + 1) * contents.scan.geometry.spacing_mm)[1:]))
    wide_mm = max(_LEAST_VIEW_MM, _VIEW_PER_DIAMETER * across_mm)
    picture = draw_section(contents.scan, contents.labels, middle_zyx, wide_mm, box)
    text = (
        f"{candidate.volume_ml:.1f} ml, slice {candidate.slice + 1}: taken for a mistake, in no number"
    )
    return _figure(picture, size, f"Left out {number}, {side_of(candidate.side)}.", text)


def draw_section(
    scan: Volume,
    labels: LabelMap,
    middle_zyx: FloatArray,
    wide_mm: float,
    shown: Diameter | FloatArray | None = None,
) -> Image:
    """A part of a slice about a place in voxels, as wide as asked if the scan is.

    Args:
        scan: axes (z, y, x).
        labels: on its grid.
        middle_zyx: the picture's middle.
        wide_mm: its longer side.
        shown: what to draw: a line of that slice, or a box given by its lowest and highest voxel.
    """
    spacing_mm = np.array(scan.geometry.spacing_mm[1:])
    size = np.array(scan.hu.shape[1:])
    window = np.minimum(np.ceil(wide_mm / spacing_mm), size).astype(int)
    start = np.clip(np.round(middle_zyx[1:] - window / 2), 0, size - window).astype(int)
    rows, columns = (slice(low, low + extent) for low, extent in zip(start, window, strict=True))
    px_per_mm = _LESION_PX / float((window * spacing_mm).max())
    height, width = np.round(window * spacing_mm * px_per_mm).astype(int)
    place = (round(middle_zyx[0]), rows, columns)
    hu, marked = scan.hu[place], labels.labels[place]
    page = Page(int(width), int(height), _GROUND)
    page.paste(draw_panel(hu, marked, LABEL_COLOURS, SOFT_TISSUE, (int(width), int(height))), (0, 0))
    # Voxel 0's centre lies half a voxel inside the picture.
    if isinstance(shown, Diameter):
        ends = np.array([shown.start.voxel_zyx[1:], shown.end.voxel_zyx[1:]])
        _draw_line(page, (ends - start + 0.5) * spacing_mm * px_per_mm, f"{shown.length_mm:.1f} mm")
    elif shown is not None:
        corners = np.array([shown[0, 1:] - 0.5, shown[1, 1:] + 0.5])
        _draw_box(page, (corners - start + 0.5) * spacing_mm * px_per_mm)
    _draw_scale(page, px_per_mm)
    return page.picture


def _draw_box(page: Page, corners_px: FloatArray) -> None:
    (top, left), (bottom, right) = np.round(corners_px).astype(int)
    for edge in (
        (left, top, right, top + 3), (left, bottom - 3, right, bottom),
        (left, top, left + 3, bottom), (right - 3, top, right, bottom),
    ):  # fmt: skip
        page.fill(edge, ALARM_COLOUR)


def _draw_line(page: Page, ends_px: FloatArray, text: str) -> None:
    """A measuring line with ticks at its ends, white on a dark edge, and its length beside it."""
    from PIL import Image, ImageDraw  # noqa: PLC0415 - only drawing needs Pillow

    along = ends_px[1] - ends_px[0]
    along /= max(float(np.hypot(*along)), 1e-6)
    across = np.array([along[1], -along[0]]) * 11
    lines = [(ends_px[0], ends_px[1]), *((end - across, end + across) for end in ends_px)]
    fine = page.width_px * _OVERSAMPLING, page.height_px * _OVERSAMPLING
    for colour, thick_px in ((_GROUND, 7.0), ("#ffffff", 3.2)):
        mask = Image.new("L", fine)
        for first, second in lines:
            points = [(float(x) * _OVERSAMPLING, float(y) * _OVERSAMPLING) for y, x in (first, second)]
            ImageDraw.Draw(mask).line(points, fill=255, width=round(thick_px * _OVERSAMPLING))
        page.picture.paste(colour, (0, 0), mask.reduce(_OVERSAMPLING))
    _write_beside(page, ends_px, text)


def _write_beside(page: Page, ends_px: FloatArray, text: str) -> None:
    """The length next to the right end, or left of it where there is no room."""
    y, x = ends_px[int(np.argmax(ends_px[:, 1]))]
    width = text_width_px(text, _LENGTH)
    left = round(x) + 20 if x + 30 + width < page.width_px else page.width_px - width - 14
    middle = int(np.clip(round(y) - (0 if left > x else 34), 28, page.height_px - 28))
    page.fill((left - 8, middle - 22, left + width + 8, middle + 22), _GROUND)
    page.write(text, (left, middle), _LENGTH, anchor="lm")


def _solid_figures(contents: ReportContents) -> Iterator[str]:
    for seen_from, picture in draw_solids(contents.labels, height_px=_SOLID_PX).items():
        page = Page(round(_SOLID_PX * 16 / 9), _SOLID_PX, _GROUND)
        shown, widest = picture, page.width_px - 90
        if shown.width > widest:
            shown = shown.resize((widest, max(1, round(shown.height * widest / shown.width))))
        page.paste(shown, ((page.width_px - shown.width) // 2, (page.height_px - shown.height) // 2))
        letters = ("R", "L") if seen_from == "front" else ("L", "R")
        for letter, x in zip(letters, (22, page.width_px - 22), strict=True):
            page.write(letter, (x, page.height_px // 2), _LETTER, anchor="mm")
        side = "left" if seen_from == "front" else "right"
        text = f"The patient's right is on the {side}. Surfaces are smoothed."
        yield _figure(page.picture, "half", f"Seen from the {seen_from}.", text)
