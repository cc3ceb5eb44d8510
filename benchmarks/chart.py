"""The chart: whole commands by part on the left, networks alone against the floor on the right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.networks import NETWORKS
from benchmarks.results import CommandResult, NetworkResult, Results, Spread
from benchmarks.runtimes import RUNTIMES
from benchmarks.tables import YARDSTICK, gemm_seconds
from renalmap.report.canvas import FAINT_INK, INK, new_figure, save_png, style_chart
from renalmap.report.palette import ALARM_COLOUR, KIDNEY_COLOUR, TUMOUR_COLOUR

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS: Final = {
    "start": FAINT_INK,
    "read": "#009E73",
    "stage1": "#0072B2",
    "stage2": KIDNEY_COLOUR,
    "postprocess": TUMOUR_COLOUR,
    "quality": "#CC79A7",
    "write": ALARM_COLOUR,
}
_OURS: Final = "#0072B2"


def draw_results(results: Results, path: Path) -> None:
    """Draw what was measured as a PNG; nothing where neither commands nor networks were."""
    commands = [command for command in results.segment if command.runs]
    networks = [row for row in results.networks if row.turns]
    if not commands and not networks:
        return
    rows = max(len(networks), 2 * len(commands), 8)
    height_in = 1.3 + 0.26 * rows
    figure = new_figure(13.0, height_in)
    bottom, height = 0.65 / height_in, 1.0 - 1.2 / height_in
    _draw_commands(figure.add_axes((0.17, bottom, 0.25, height)), commands)
    _draw_networks(figure.add_axes((0.70, bottom, 0.28, height)), networks, results)
    save_png(figure, path)


def _draw_commands(axes: Axes, commands: Sequence[CommandResult]) -> None:
    style_chart(axes, title="From command to file, by part", xlabel="seconds per 100 slices", ylabel="")
    for place, command in enumerate(commands):
        slices = command.slices or 100
        left = 0.0
        for part, seconds in command.stage_seconds().items():
            width = 100 * seconds / slices
            axes.barh(place, width, left=left, height=0.6, color=_COLOURS.get(part, INK), label=part)
            left += width
        axes.annotate(
            f" {left:.1f} s, {command.peak_mb:.0f} MB", (left, place), va="center", fontsize=8, color=INK
        )
    titles = [
        f"{command.title.replace(' on ', chr(10) + 'on ')}\n{command.slices} slices"
        for command in commands
    ]
    axes.set_yticks(range(len(commands)), titles, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.35)
    axes.grid(visible=False, axis="y")
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    if unique:
        axes.legend(unique.values(), unique.keys(), frameon=False, fontsize=8, labelcolor=INK)


def _draw_networks(axes: Axes, rows: Sequence[NetworkResult], results: Results) -> None:
    style_chart(
        axes,
        title="Networks alone, 100 slices",
        xlabel="seconds on cores of its own (logarithmic)",
        ylabel="",
    )
    axes.set_xscale("log")
    ordered = sorted(rows, key=lambda row: Spread.of(row.seconds_alone).middle)
    for place, row in enumerate(ordered):
        spread = Spread.of(row.seconds_alone)
        colour = _OURS if row.network.startswith(YARDSTICK) else FAINT_INK
        axes.hlines(place, spread.least, spread.largest, color=colour, linewidth=3)
        axes.plot(spread.middle, place, "o", color=colour, markersize=6)
        axes.annotate(
            f"{spread.middle:.3g}",
            (spread.largest, place),
            (7, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=INK,
        )
    axes.set_yticks(range(len(ordered)), [_row_title(row) for row in ordered], fontsize=8)
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.margins(x=0.15)
    _draw_floor(axes, results)


def _draw_floor(axes: Axes, results: Results) -> None:
    for threads in sorted({run.threads for run in results.floor}):
        seconds = gemm_seconds(results, YARDSTICK, threads)
        if seconds is None:
            continue
        axes.axvline(seconds, color=ALARM_COLOUR, linewidth=1.0, linestyle=(0, (4, 3)))
        axes.annotate(
            f" ENet's floor, {threads} thread{'' if threads == 1 else 's'}",
            (seconds, 0.02 + 0.04 * threads),
            xycoords=("data", "axes fraction"),
            fontsize=8,
            color=ALARM_COLOUR,
        )


def _row_title(row: NetworkResult) -> str:
    return f"{NETWORKS[row.network].title}, {RUNTIMES[row.runtime][0]}, {row.lane.title}"
