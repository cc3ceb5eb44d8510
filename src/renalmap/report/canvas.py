"""Figures for charts without pyplot: no global state, no display, files written completely or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from renalmap.extras import import_extra
from renalmap.imaging.files import replace_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK: Final = "#22272e"
FAINT_INK: Final = "#8a94a0"


def check_charts_available() -> None:
    """Check, before hours of work, whether charts can be drawn.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    import_extra("matplotlib", "a chart")


def new_figure(width_in: float, height_in: float) -> Figure:
    """A white figure with its own canvas, of 120 pixels per inch.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    check_charts_available()
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(width_in, height_in), dpi=120, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure as PNG. The same figure gives the same bytes: no date, no version inside.

    Raises:
        OSError: the folder does not exist or cannot be written to.
    """
    with replace_atomically(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})


def style_chart(axes: Axes, *, title: str, xlabel: str, ylabel: str) -> None:
    """Give a chart RenalMap's plain look: title on the left, no box, a faint grid."""
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK, pad=10)
    axes.set_xlabel(xlabel, color=INK)
    axes.set_ylabel(ylabel, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT_INK)
    axes.tick_params(colors=INK, labelsize=9)
    axes.grid(visible=True, color="#e3e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
