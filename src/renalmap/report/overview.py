"""The overview picture: three planes through the kidneys with outlines and volumes (the paper's Fig. 6)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from renalmap.errors import GeometryMismatchError
from renalmap.imaging.volume import LabelMap, Volume
from renalmap.labels import KIDNEY, TUMOUR
from renalmap.report.canvas import KIDNEY_COLOUR, TUMOUR_COLOUR, new_figure, save_png
from renalmap.report.planes import Planes, choose_planes, visible_window

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DISCLAIMER: Final = "Research use only \N{EN DASH} not a medical device"
OUTLINE_COLOURS: Final = {KIDNEY: KIDNEY_COLOUR, TUMOUR: TUMOUR_COLOUR}

_WINDOW_WIDTH_HU, _WINDOW_LEVEL_HU = 400, 40
_SCALE_BAR_MM = 50.0
_BACKGROUND, _TEXT, _FAINT, _WARNING = "#0b0e13", "#f2f4f7", "#9aa5b1", "#F0E442"

_WIDTH_IN, _DPI = 15.0, 150
_SIDE_IN, _GAP_IN, _HEADER_IN, _FOOTER_IN = 0.5, 0.85, 1.45, 0.85
_TITLE_LETTERS = 45
_LOWEST_PANEL_IN, _HIGHEST_PANEL_IN = 1.2, 6.0

_MINUS, _TIMES, _DOT = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}", "\N{MIDDLE DOT}"


@dataclass(frozen=True)
class _View:
    """One plane, cut out and ready to draw.

    Attributes:
        name: "Axial", "Coronal" or "Sagittal".
        caption: which slice, and where in the patient.
        hu: (row, column) pixels.
        labels: labels of the same shape.
        spacing_mm: pixel size along (row, column).
        letters: patient directions at the left, right, top and bottom edge.
        upwards: whether row 0 belongs at the bottom.
    """

    name: str
    caption: str
    hu: NDArray[Any]
    labels: NDArray[np.uint8]
    spacing_mm: tuple[float, float]
    letters: tuple[str, str, str, str]
    upwards: bool

    @property
    def size_mm(self) -> tuple[float, float]:
        """Extent along (row, column)."""
        rows, columns = self.hu.shape
        return rows * self.spacing_mm[0], columns * self.spacing_mm[1]


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
        GeometryMismatchError: labels and scan lie on different grids.
        OSError: the file cannot be written.
    """
    if not scan.geometry.matches(labels.geometry):
        raise GeometryMismatchError(
            f"the labels {labels.name!r} lie on another grid than the scan {scan.name!r}",
            where=labels.name,
            got=f"shape {labels.geometry.shape}, spacing {labels.geometry.spacing_mm} mm",
            expected=f"shape {scan.geometry.shape}, spacing {scan.geometry.spacing_mm} mm",
            hint="Give the label map that was made from this scan",
        )
    planes = choose_planes(labels)
    views = _cut_views(scan, labels, planes)
    figure = _lay_out(views)
    _write_header(figure, scan, labels, title=scan.name if title is None else title)
    _write_footer(figure, views[0])
    save_png(figure, path)


def _cut_views(scan: Volume, labels: LabelMap, planes: Planes) -> tuple[_View, _View, _View]:
    along_z, along_y, along_x = (slice(*ends) for ends in visible_window(scan, labels, planes))
    z_mm, y_mm, x_mm = scan.geometry.spacing_mm
    axial = planes.axial, along_y, along_x
    coronal = along_z, planes.coronal, along_x
    sagittal = along_z, along_y, planes.sagittal
    captions = _captions(scan, planes)
    cut, marked = scan.hu, labels.labels
    return (
        _View(
            "Axial", captions[0], cut[axial], marked[axial], (y_mm, x_mm), ("R", "L", "A", "P"), False
        ),
        _View(
            "Coronal",
            captions[1],
            cut[coronal],
            marked[coronal],
            (z_mm, x_mm),
            ("R", "L", "S", "I"),
            True,
        ),
        _View(
            "Sagittal",
            captions[2],
            cut[sagittal],
            marked[sagittal],
            (z_mm, y_mm),
            ("A", "P", "S", "I"),
            True,
        ),
    )


def _captions(scan: Volume, planes: Planes) -> list[str]:
    """For each plane its number and its world coordinate, as "S 34 mm" and not as a signed number."""
    world_mm = scan.geometry.affine @ (*planes.indices_zyx, 1)
    captions = []
    for axis, (world_axis, ends) in enumerate(((2, "SI"), (1, "AP"), (0, "RL"))):
        position_mm = world_mm[world_axis]
        end = ends[0] if position_mm >= 0 else ends[1]
        number, count = planes.indices_zyx[axis] + 1, scan.geometry.shape[axis]
        captions.append(f"slice {number} of {count}  {_DOT}  {end} {abs(position_mm):.0f} mm")
    return captions


def _lay_out(views: tuple[_View, ...]) -> Figure:
    """A figure with one panel per view, side by side, all at the same scale."""
    widths_mm = [view.size_mm[1] for view in views]
    tallest_mm = max(view.size_mm[0] for view in views)
    room_in = _WIDTH_IN - 2 * _SIDE_IN - _GAP_IN * (len(views) - 1)
    in_per_mm = min(room_in / sum(widths_mm), _HIGHEST_PANEL_IN / tallest_mm)
    panel_in = max(tallest_mm * in_per_mm, _LOWEST_PANEL_IN)
    height_in = _HEADER_IN + panel_in + _FOOTER_IN
    figure = new_figure(_WIDTH_IN, height_in, dpi=_DPI, background=_BACKGROUND)
    left_in = _SIDE_IN + (room_in - sum(widths_mm) * in_per_mm) / 2
    for view in views:
        tall_in, wide_in = (extent_mm * in_per_mm for extent_mm in view.size_mm)
        bottom_in = _FOOTER_IN + panel_in - tall_in
        place = left_in / _WIDTH_IN, bottom_in / height_in, wide_in / _WIDTH_IN, tall_in / height_in
        _draw_view(figure.add_axes(place), view)
        left_in += wide_in + _GAP_IN
    return figure


def _draw_view(axes: Axes, view: _View) -> None:
    height_mm, width_mm = view.size_mm
    rows = (0.0, height_mm) if view.upwards else (height_mm, 0.0)
    axes.imshow(
        view.hu,
        cmap="gray",
        vmin=_WINDOW_LEVEL_HU - _WINDOW_WIDTH_HU / 2,
        vmax=_WINDOW_LEVEL_HU + _WINDOW_WIDTH_HU / 2,
        extent=(0.0, width_mm, *rows),
        origin="lower" if view.upwards else "upper",
        interpolation="bilinear",
        aspect="auto",
    )
    for label, colour in OUTLINE_COLOURS.items():
        _outline(axes, view.labels == label, view.spacing_mm, colour)
    axes.set_axis_off()
    _write_around(axes, view)


def _outline(axes: Axes, mask: NDArray[np.bool_], spacing_mm: tuple[float, float], colour: str) -> None:
    if not mask.any():
        return
    # A ring of background closes the outline of a kidney that touches the picture's border.
    padded = np.pad(mask, 1).astype(np.float32)
    rows_mm, columns_mm = (
        (np.arange(size) - 0.5) * step for size, step in zip(padded.shape, spacing_mm, strict=True)
    )
    axes.contour(columns_mm, rows_mm, padded, levels=[0.5], colors=[colour], linewidths=1.4)


def _write_around(axes: Axes, view: _View) -> None:
    """Name and caption above the panel, and a letter for the patient's direction at each edge."""
    points: dict[str, Any] = {
        "textcoords": "offset points",
        "xycoords": "axes fraction",
        "annotation_clip": False,
    }
    axes.annotate(view.name, (0, 1), (0, 22), color=_TEXT, fontsize=12, fontweight="bold", **points)
    axes.annotate(view.caption, (1, 1), (0, 22), color=_FAINT, fontsize=10, ha="right", **points)
    places = (((0, 0.5), (-12, 0)), ((1, 0.5), (12, 0)), ((0.5, 1), (0, 11)), ((0.5, 0), (0, -11)))
    for letter, (anchor, offset) in zip(view.letters, places, strict=True):
        axes.annotate(
            letter, anchor, offset, color=_TEXT, fontsize=11, ha="center", va="center", **points
        )


def _write_header(figure: Figure, scan: Volume, labels: LabelMap, *, title: str) -> None:
    height_in = float(figure.get_figheight())
    left, right = _SIDE_IN / _WIDTH_IN, 1 - _SIDE_IN / _WIDTH_IN
    first, second = 1 - 0.42 / height_in, 1 - 0.72 / height_in
    heading: dict[str, Any] = {"fontweight": "bold", "va": "center"}
    small: dict[str, Any] = {"fontsize": 10, "va": "center"}
    # A long file name must not run into the legend.
    fontsize = 17 * min(1.0, _TITLE_LETTERS / max(len(title), 1))
    figure.text(left, first, title, color=_TEXT, fontsize=fontsize, **heading)
    size = f" {_TIMES} ".join(str(count) for count in reversed(scan.geometry.shape))
    spacing = f" {_TIMES} ".join(f"{step:.2f}" for step in reversed(scan.geometry.spacing_mm))
    window = f"window {_WINDOW_WIDTH_HU}, level {_WINDOW_LEVEL_HU} HU"
    figure.text(left, second, f"{size} voxels of {spacing} mm  {_DOT}  {window}", color=_FAINT, **small)
    volumes_ml = {label: labels.volume_ml(label) for label in OUTLINE_COLOURS}
    if any(volumes_ml.values()):
        _write_legend(figure, volumes_ml)
        return
    figure.text(right, first, "NO KIDNEY FOUND", color=_WARNING, fontsize=17, ha="right", **heading)
    figure.text(right, second, "nothing is labelled in this scan", color=_WARNING, ha="right", **small)


def _write_legend(figure: Figure, volumes_ml: dict[int, float]) -> None:
    from matplotlib.lines import Line2D  # noqa: PLC0415 - slow to import

    present = {KIDNEY: "Kidney without tumour", TUMOUR: "Tumour"}
    absent = {KIDNEY: "no kidney marked", TUMOUR: "no tumour marked"}
    lines = [
        Line2D([], [], color=colour, linewidth=3, label=f"{present[label]}  {volumes_ml[label]:.1f} ml")
        if volumes_ml[label]
        else Line2D([], [], color="none", label=absent[label])
        for label, colour in OUTLINE_COLOURS.items()
    ]
    figure.legend(
        handles=lines,
        loc="upper right",
        bbox_to_anchor=(1 - _SIDE_IN / _WIDTH_IN, 1 - 0.2 / float(figure.get_figheight())),
        ncols=len(lines),
        frameon=False,
        labelcolor=_TEXT,
        fontsize=13,
        borderaxespad=0,
        handlelength=1.6,
        columnspacing=2.2,
    )


def _write_footer(figure: Figure, view: _View) -> None:
    """A scale bar that holds for every panel, and the disclaimer."""
    from matplotlib.lines import Line2D  # noqa: PLC0415 - slow to import

    axes = figure.axes[0]
    box = axes.get_position()
    bar = _SCALE_BAR_MM / view.size_mm[1] * box.width
    height_in = float(figure.get_figheight())
    left, level = _SIDE_IN / _WIDTH_IN, 0.3 / height_in
    figure.add_artist(
        Line2D([left, left + bar], [level, level], color=_TEXT, linewidth=2.5, solid_capstyle="butt")
    )
    figure.text(
        left + bar + 0.1 / _WIDTH_IN, level, "5 cm, all views", color=_TEXT, fontsize=10, va="center"
    )
    figure.text(
        1 - _SIDE_IN / _WIDTH_IN, level, DISCLAIMER, color=_FAINT, fontsize=10, ha="right", va="center"
    )
