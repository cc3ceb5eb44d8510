"""Our tumour diameters against the sizes that KiTS's radiologists and pathologists wrote down.

    python -m benchmarks.radiographic_size ../shared/data/kits19/data --plot docs/images/radiographic-size.png

`kits.json` gives each patient's `radiographic_size` and `pathologic_size` in cm. They are compared with the
diameters of the largest tumour (by volume) of the reference mask, so what is judged is the measuring alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from renalmap.dataset.layouts import KITS_MASKS
from renalmap.imaging import read_label_map
from renalmap.measure import LesionMeasurement, measure_label_map
from renalmap.measure.label_map import size_class
from renalmap.report.canvas import FAINT_INK, INK, new_figure, save_png, style_chart

FloatArray = NDArray[np.float64]

OUTLIER_MM: Final = 10.0
"""Cases farther off than this are named."""

MEASURES: Final = {
    "longest axial diameter": "longest_axial_diameter_mm",
    "largest 3D diameter": "largest_3d_diameter_mm",
    "short axis": "short_axis_mm",
}
SIZES: Final = ("radiographic_size", "pathologic_size")


@dataclass(frozen=True)
class Row:
    """One patient: the largest tumour's measures and the sizes written down, all in mm.

    Attributes:
        kidneys_x_mm: each kidney's centroid, to the patient's left of the middle of the field of view.
    """

    case: str
    tumour: LesionMeasurement
    tumours: int
    kidneys_x_mm: list[float]
    sizes_mm: dict[str, float]
    seconds: float


@dataclass(frozen=True)
class Agreement:
    """How a measure agrees with a size: differences are measure less size."""

    n: int
    pearson: float
    spearman: float
    mean_absolute_mm: float
    bias_mm: float
    sd_mm: float
    median_absolute_mm: float
    within_5_mm: float


def read_rows(root: Path) -> list[Row]:
    """Measure every case of a KiTS folder that has a mask, a tumour and an entry in `kits.json`."""
    table = {entry["case_id"]: entry for entry in json.loads((root / "kits.json").read_text())}
    rows = []
    for folder in sorted(path for path in root.iterdir() if path.name in table):
        masks = [folder / name for name in KITS_MASKS if (folder / name).is_file()]
        if not masks:
            continue
        start = time.process_time()
        measured = measure_label_map(read_label_map(masks[0]))
        seconds = time.process_time() - start
        entry: dict[str, Any] = table[folder.name]
        sizes_mm = {
            name: 10.0 * entry[name] for name in SIZES if isinstance(entry.get(name), int | float)
        }
        if not measured.tumours:
            sys.stderr.write(f"{folder.name}: no tumour in the mask, left out\n")
            continue
        middle_x, x_mm = (measured.shape_zyx[2] - 1) / 2.0, measured.spacing_mm[2]
        kidneys_x_mm = [(kidney.centroid.voxel_zyx[2] - middle_x) * x_mm for kidney in measured.kidneys]
        tumours = measured.tumours
        rows.append(Row(folder.name, tumours[0], len(tumours), kidneys_x_mm, sizes_mm, seconds))
    return rows


def agreement(measured: FloatArray, written: FloatArray) -> Agreement:
    """Compare measures with sizes, both (n,) in mm; n at least 3."""
    off = measured - written
    return Agreement(
        n=len(off),
        pearson=float(np.corrcoef(measured, written)[0, 1]),
        spearman=float(np.corrcoef(ranks(measured), ranks(written))[0, 1]),
        mean_absolute_mm=float(np.abs(off).mean()),
        bias_mm=float(off.mean()),
        sd_mm=float(off.std(ddof=1)),
        median_absolute_mm=float(np.median(np.abs(off))),
        within_5_mm=float((np.abs(off) <= 5.0).mean()),
    )


def ranks(values: FloatArray) -> FloatArray:
    """Ranks from 1; ties share the mean of theirs."""
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    mean_rank: FloatArray = np.cumsum(counts) - (counts - 1) / 2.0
    return mean_rank[index]


def compare(rows: Sequence[Row], measure: str, size: str) -> Agreement:
    """The agreement of one measure with one size, over the cases that have it."""
    having = [row for row in rows if size in row.sizes_mm]
    return agreement(
        np.array([getattr(row.tumour, measure) for row in having]),
        np.array([row.sizes_mm[size] for row in having]),
    )


def format_tables(rows: Sequence[Row]) -> str:
    """All agreements, and the cases farthest off, as Markdown."""
    lines = [
        "| measure | against | n | Pearson | Spearman | mean abs. | median abs. | bias | sd | within 5 mm |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for size in SIZES:
        for title, measure in MEASURES.items():
            found = compare(rows, measure, size)
            lines.append(
                f"| {title} | {size} | {found.n} | {found.pearson:.3f} | {found.spearman:.3f} "
                f"| {found.mean_absolute_mm:.1f} mm | {found.median_absolute_mm:.1f} mm "
                f"| {found.bias_mm:+.1f} mm | {found.sd_mm:.1f} mm | {found.within_5_mm:.0%} |"
            )
    lines += [
        "",
        f"Farther than {OUTLIER_MM:g} mm from `{SIZES[0]}`:",
        "",
        "| case | axial | 3D | short | radiographic | pathologic | tumours |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in outliers(rows):
        tumour, sizes = row.tumour, row.sizes_mm
        lines.append(
            f"| {row.case} | {tumour.longest_axial_diameter_mm:.1f} | {tumour.largest_3d_diameter_mm:.1f} "
            f"| {tumour.short_axis_mm:.1f} | {sizes[SIZES[0]]:.0f} | {sizes.get(SIZES[1], np.nan):.0f} "
            f"| {row.tumours} |"
        )
    lines += ["", *_size_classes(rows), *_midlines(rows)]
    seconds = np.array([row.seconds for row in rows])
    spent = (
        f"{seconds.sum():.0f} s in all, median {np.median(seconds):.2f} s, most {seconds.max():.2f} s"
    )
    return "\n".join([*lines, "", f"Processor time, reading included: {spent}."])


def _size_classes(rows: Sequence[Row]) -> Iterator[str]:
    """How often two measures put a tumour into one size class."""
    having = [row for row in rows if SIZES[0] in row.sizes_mm]
    written = [size_class(row.sizes_mm[SIZES[0]]) for row in having]
    for title, measure in MEASURES.items():
        found = [size_class(getattr(row.tumour, measure)) for row in having]
        same = sum(one == other for one, other in zip(found, written, strict=True))
        yield f"Size class by {title}: that of `{SIZES[0]}` in {same} of {len(having)}."
    higher = sum(
        size_class(row.tumour.largest_3d_diameter_mm) != row.tumour.size_class for row in having
    )
    yield f"The 3D diameter's class differs from the axial one's in {higher} of {len(having)}."


def _midlines(rows: Sequence[Row]) -> Iterator[str]:
    """How far the field of view's middle is from that between two kidneys, and from either."""
    pairs = np.array([row.kidneys_x_mm for row in rows if len(row.kidneys_x_mm) == 2]).reshape(-1, 2)
    if len(pairs):
        yield (
            f"Two kidneys in {len(pairs)}: their middle at most {np.abs(pairs.mean(axis=1)).max():.0f} mm "
            f"off the field of view's, each {np.abs(pairs).min():.0f} to {np.abs(pairs).max():.0f} mm from it."
        )


def outliers(rows: Sequence[Row]) -> list[Row]:
    """Cases whose axial diameter is far off the radiologists' size, the farthest first."""
    off = {
        row.case: abs(row.tumour.longest_axial_diameter_mm - row.sizes_mm[SIZES[0]])
        for row in rows
        if SIZES[0] in row.sizes_mm
    }
    far = [row for row in rows if off.get(row.case, 0.0) > OUTLIER_MM]
    return sorted(far, key=lambda row: -off[row.case])


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw the axial diameter against the radiologists' size; numbers alone, no image."""
    having = [row for row in rows if SIZES[0] in row.sizes_mm]
    written = np.array([row.sizes_mm[SIZES[0]] for row in having])
    measured = np.array([row.tumour.longest_axial_diameter_mm for row in having])
    found = agreement(measured, written)
    figure = new_figure(7.0, 6.6)
    axes = figure.add_axes((0.11, 0.10, 0.86, 0.82))
    style_chart(
        axes,
        title=f"{found.n} tumours of KiTS19: Pearson {found.pearson:.3f}, "
        f"mean absolute error {found.mean_absolute_mm:.1f} mm",
        xlabel="radiographic size in kits.json (mm)",
        ylabel="longest axial diameter of the reference mask (mm)",
    )
    end = 10.0 * np.ceil(max(written.max(), measured.max()) / 10.0) + 5.0
    axes.plot((0, end), (0, end), color=FAINT_INK, linewidth=1.0)
    axes.scatter(written, measured, s=26, color="#0072B2", alpha=0.75, linewidths=0, zorder=3)
    for index, row in enumerate(outliers(rows)):
        left = bool(index % 2)  # neighbours' names would lie upon each other
        place = (row.sizes_mm[SIZES[0]], row.tumour.longest_axial_diameter_mm)
        name = row.case.removeprefix("case_").lstrip("0") or "0"
        axes.annotate(
            name,
            place,
            (-5 if left else 5, 3),
            textcoords="offset points",
            ha="right" if left else "left",
            fontsize=8,
            color=INK,
        )
    axes.set_xlim(0, end)
    axes.set_ylim(0, end)
    save_png(figure, path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, compare, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("root", type=Path, help="folder of case_XXXXX and kits.json")
    parser.add_argument("--plot", type=Path, help="the PNG to write")
    chosen = parser.parse_args(arguments)
    rows = read_rows(chosen.root)
    sys.stdout.write(format_tables(rows) + "\n")
    if chosen.plot is not None:
        draw(rows, chosen.plot)


if __name__ == "__main__":
    main()
