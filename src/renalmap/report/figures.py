"""Charts: slice statistics, intensities per case, training curves, Dice against tumour volume.

Each is written as a PNG in place of an existing one, or not at all. They raise MissingDependencyError without
matplotlib, and OSError where the file cannot be written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from renalmap.dataset.store import CaseEntry
from renalmap.dataset.survey import PLAUSIBLE_HU
from renalmap.evaluation.table import Score, dice_by_tumour_volume
from renalmap.report.canvas import FAINT_INK, INK, new_figure, save_png, style_chart
from renalmap.report.palette import ALARM_COLOUR, KIDNEY_COLOUR, TUMOUR_COLOUR

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DEEP_BLUE: Final = "#0072B2"
_MOST_NAMED_CASES: Final = 40


def draw_slice_statistics(
    mean_hu: NDArray[np.floating[Any]], std_hu: NDArray[np.floating[Any]], path: Path
) -> None:
    """Draw the mean slice and the standard-deviation slice, (y, x) in HU (the paper's Fig. 2).

    Raises:
        ValueError: the two are not two planes of one shape.
    """
    if mean_hu.ndim != 2 or mean_hu.shape != std_hu.shape:
        raise ValueError(f"expected two planes of one shape, got {mean_hu.shape} and {std_hu.shape}")
    figure = new_figure(11.0, 5.0)
    parts = ((mean_hu, "Mean slice", "gray"), (std_hu, "Standard-deviation slice", "magma"))
    for column, (plane, title, colours) in enumerate(parts):
        axes = figure.add_axes((0.05 + column * 0.48, 0.09, 0.40, 0.80))
        image = axes.imshow(plane, cmap=colours, interpolation="nearest")
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK)
        axes.tick_params(colors=FAINT_INK, labelsize=8)
        axes.spines[:].set_visible(False)
        bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03)
        bar.set_label("HU", color=INK)
        bar.outline.set_visible(False)
        bar.ax.tick_params(colors=INK, labelsize=8)
    save_png(figure, path)


def draw_intensity_table(cases: Sequence[CaseEntry], path: Path) -> None:
    """Draw every case's intensity range, outliers marked and named (the paper's Fig. 1).

    Thin lines run from minimum to maximum, thick ones from the 1st to the 99th percentile, dots are
    medians. The scale is linear up to 1000 HU either way and logarithmic beyond.
    """
    figure = new_figure(12.0, 5.2)
    axes = figure.add_axes((0.075, 0.17, 0.905, 0.70))
    outliers = sum(case.outlier for case in cases)
    style_chart(
        axes,
        title=f"Intensities of {len(cases)} cases, {outliers} outside {PLAUSIBLE_HU[0]:g} to {PLAUSIBLE_HU[1]:g} HU",
        xlabel="case",
        ylabel="HU",
    )
    axes.set_yscale("symlog", linthresh=1000.0, linscale=2.0)
    ticks = (-10000, -3000, -1000, -500, 0, 500, 1000, 3000, 10000, 30000)
    axes.set_yticks(ticks, [f"{tick:,}".replace("-", "\N{MINUS SIGN}") for tick in ticks])
    axes.minorticks_off()
    for limit_hu in PLAUSIBLE_HU:
        axes.axhline(limit_hu, color=FAINT_INK, linewidth=1.0, linestyle=(0, (4, 3)))
    _draw_ranges(axes, cases)
    lowest = min((case.min_hu for case in cases), default=PLAUSIBLE_HU[0])
    highest = max((case.max_hu for case in cases), default=PLAUSIBLE_HU[1])
    axes.set_ylim(min(lowest * 1.4, -2000.0), max(highest * 1.9, 6000.0))
    axes.set_xlim(-1, max(len(cases), 1))
    if len(cases) <= _MOST_NAMED_CASES:
        names = [case.case_id for case in cases]
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8)
    axes.grid(visible=False, axis="x")
    save_png(figure, path)


def draw_training_curve(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw losses and validation Dice against the column "step".

    Every column with "loss" in its name is drawn above, every column with "dice" in its name below.
    Values may be text, as `csv.DictReader` gives them; empty and non-finite ones are skipped, so rows
    of training and of validation may be mixed.

    Raises:
        KeyError: a row has no "step".
    """
    figure = new_figure(10.0, 6.4)
    upper = figure.add_axes((0.08, 0.56, 0.88, 0.36))
    lower = figure.add_axes((0.08, 0.09, 0.88, 0.36), sharex=upper)
    style_chart(upper, title="Loss", xlabel="", ylabel="loss")
    style_chart(lower, title="Validation Dice", xlabel="step", ylabel="Dice")
    columns = list(dict.fromkeys(name for row in rows for name in row))
    for axes, kind in ((upper, "loss"), (lower, "dice")):
        curves = {name: _curve(rows, name) for name in columns if kind in name.lower()}
        _draw_curves(axes, curves, name_best=kind == "dice")
    lower.set_ylim(0.0, 1.0)
    save_png(figure, path)


def draw_learning_rates(
    rates: Sequence[float],
    losses: Mapping[str, Sequence[float]],
    suggestion: float | None,
    path: Path,
) -> None:
    """Draw losses against the learning rate, on a logarithmic scale.

    Args:
        rates: learning rate of each step.
        losses: curves by name, one value per step; values that are not finite are left out.
        suggestion: a rate to mark; None marks none.
        path: the PNG.
    """
    figure = new_figure(10.0, 4.2)
    axes = figure.add_axes((0.08, 0.14, 0.88, 0.74))
    style_chart(axes, title="Loss at a growing learning rate", xlabel="learning rate", ylabel="loss")
    axes.set_xscale("log")
    curves = {
        name: np.array([point for point in zip(rates, values, strict=True) if isfinite(point[1])])
        for name, values in losses.items()
    }
    _draw_curves(axes, curves, name_best=False)
    if suggestion is not None:
        axes.axvline(suggestion, color=ALARM_COLOUR, linewidth=1.2)
        axes.set_title(f"suggested: {suggestion:.2g}", loc="right", fontsize=10, color=ALARM_COLOUR)
    save_png(figure, path)


def draw_dice_against_volume(scores: Sequence[Score], path: Path) -> None:
    """Draw tumour Dice against tumour volume: the paper's observation that small tumours fail.

    Each case with a tumour in the reference is a dot, a missed one (Dice 0) a cross; the bars are the
    means and standard deviations of `dice_by_tumour_volume` with its default edges. Cases without a tumour
    in the reference are left out and counted.
    """
    points = np.array(
        [(s.tumour_reference_ml, s.tumour_dice) for s in scores if s.tumour_reference_ml > 0.0]
    ).reshape(-1, 2)
    figure = new_figure(9.0, 5.4)
    axes = figure.add_axes((0.09, 0.13, 0.87, 0.75))
    left_out = (
        f", {len(scores) - len(points)} without tumour left out" if len(scores) > len(points) else ""
    )
    style_chart(
        axes,
        title=f"Tumour Dice against tumour volume: {len(points)} cases{left_out}",
        xlabel="tumour volume in the reference (ml)",
        ylabel="tumour Dice",
    )
    axes.set_xscale("log")
    volumes_ml, dices = points.T
    axes.set_xlim(volumes_ml.min(initial=0.5 / 0.8) * 0.8, volumes_ml.max(initial=1500.0 / 1.25) * 1.25)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_ylim(-0.03, 1.03)
    missed = dices == 0.0
    _draw_volume_bins(axes, scores)
    found: dict[str, Any] = {
        "s": 34,
        "color": _DEEP_BLUE,
        "alpha": 0.75,
        "linewidths": 0,
        "label": "case",
    }
    lost: dict[str, Any] = {"s": 46, "color": ALARM_COLOUR, "marker": "x", "label": "missed (Dice 0)"}
    for chosen, style in ((~missed, found), (missed, lost)):
        if chosen.any():
            axes.scatter(volumes_ml[chosen], dices[chosen], zorder=3, **style)
    if len(points):
        axes.legend(
            frameon=False, fontsize=9, labelcolor=INK, loc="lower right", bbox_to_anchor=(1.0, 0.05)
        )
    save_png(figure, path)


def _draw_ranges(axes: Axes, cases: Sequence[CaseEntry]) -> None:
    # Thick lines touch each other beyond some hundred cases.
    thickness = float(np.clip(600.0 / max(len(cases), 1), 1.5, 7.0))
    for position, case in enumerate(cases):
        colour = ALARM_COLOUR if case.outlier else _DEEP_BLUE
        axes.vlines(position, case.min_hu, case.max_hu, color=colour, linewidth=1.0, alpha=0.7)
        axes.vlines(position, case.p01_hu, case.p99_hu, color=colour, linewidth=thickness)
        axes.plot(position, case.p50_hu, marker="o", markersize=3, color="white", markeredgewidth=0)
        if case.outlier:
            axes.annotate(
                case.case_id,
                (position, case.max_hu),
                (0, 5),
                textcoords="offset points",
                ha="center",
                fontsize=8,
                color=ALARM_COLOUR,
            )


def _curve(rows: Sequence[Mapping[str, Any]], column: str) -> NDArray[np.float64]:
    """(n, 2) steps and values, without the rows in which the column is empty or not finite."""
    points = [
        (float(row["step"]), float(row[column])) for row in rows if row.get(column) not in (None, "")
    ]
    return np.array([point for point in points if isfinite(point[1])], dtype=np.float64).reshape(-1, 2)


def _draw_curves(axes: Axes, curves: Mapping[str, NDArray[np.float64]], *, name_best: bool) -> None:
    colours = (_DEEP_BLUE, TUMOUR_COLOUR, KIDNEY_COLOUR, ALARM_COLOUR, "#009E73", "#CC79A7")
    drawn = [(name, points) for name, points in curves.items() if points.size]
    for index, (name, points) in enumerate(drawn):
        best = f" (best {points[:, 1].max():.3f})" if name_best else ""
        # A single value makes no line, but it still has to be visible.
        marker = "o" if len(points) <= 30 else ""
        colour = colours[index % len(colours)]
        axes.plot(*points.T, color=colour, linewidth=1.6, marker=marker, markersize=4, label=name + best)
    if drawn:
        axes.legend(frameon=False, fontsize=9, labelcolor=INK, ncols=3)
    else:
        axes.text(0.5, 0.5, "nothing recorded", transform=axes.transAxes, ha="center", color=FAINT_INK)


def _draw_volume_bins(axes: Axes, scores: Sequence[Score]) -> None:
    low, high = axes.get_xlim()
    for row in dice_by_tumour_volume(scores):
        if row.n == 0:
            continue
        start, stop = max(row.from_ml, low), min(row.to_ml, high)
        spread = row.sd if isfinite(row.sd) else 0.0
        axes.fill_between(
            (start, stop),
            row.mean - spread,
            row.mean + spread,
            color=KIDNEY_COLOUR,
            alpha=0.22,
            linewidth=0,
        )
        axes.hlines(row.mean, start, stop, color=KIDNEY_COLOUR, linewidth=2.2)
        axes.annotate(
            f"{row.mean:.2f}, n = {row.n}",
            ((start * stop) ** 0.5, row.mean),
            (0, 4),
            textcoords="offset points",
            ha="center",
            fontsize=8.5,
            color=INK,
        )
