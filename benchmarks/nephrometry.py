"""R.E.N.A.L. and PADUA of the tumours of KiTS19's reference masks.

    python -m benchmarks.nephrometry ../shared/data/kits19/data

The largest tumour of each mask is scored, without any scan. Printed are how the totals and points are spread, R beside
the size that radiologists wrote down, every case, and the proportions of kidneys with small tumours or none.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.radiographic_size import agreement
from renalmap.anatomy import Anatomy, KidneyShape, shape_of
from renalmap.dataset.layouts import KITS_MASKS
from renalmap.imaging import read_label_map
from renalmap.nephrometry import KidneyLandmarks, LesionNephrometry, Score, score_anatomy
from renalmap.nephrometry.points import size_row

SMALL_ML: Final = 15.0
"""Kidneys with less tumour than this show normal proportions."""

PUBLISHED: Final = {"case_00000": "5p/7 and 5x/8", "case_00003": "6x/8", "case_00006": "9a/11"}
"""R.E.N.A.L. and PADUA of two research scripts, from KiTS23's masks and scans (issue 16)."""


@dataclass(frozen=True, eq=False)
class Row:
    """One case: its largest tumour, that tumour's kidney, what radiologists measured, all kidneys that show proportions."""

    case: str
    lesion: LesionNephrometry
    kidney: KidneyLandmarks | None
    radiographic_mm: float | None
    usual: list[KidneyShape]
    seconds: float


def read_rows(root: Path) -> Iterator[Row]:
    """Score every case of a KiTS folder that has a mask with a tumour."""
    sizes = {
        one["case_id"]: one.get("radiographic_size")
        for one in json.loads((root / "kits.json").read_text())
    }
    for folder in sorted(path for path in root.iterdir() if path.name in sizes):
        for mask in [folder / name for name in KITS_MASKS if (folder / name).is_file()][:1]:
            anatomy = Anatomy.of(read_label_map(mask))
            start = time.process_time()
            found = score_anatomy(anatomy)
            seconds = time.process_time() - start
            if not found.lesions:
                continue
            lesion = found.lesions[0]
            kidneys = [each for each in found.kidneys if each.kidney == lesion.kidney]
            whole = [
                shape_of(kidney, anatomy)
                for kidney in anatomy.kidneys
                if not kidney.borders and anatomy.lesions_ml(kidney, "tumour") < SMALL_ML
            ]
            size = sizes[folder.name]
            written_mm = 10.0 * size if isinstance(size, int | float) else None
            yield Row(folder.name, lesion, kidneys[0] if kidneys else None, written_mm, whole, seconds)


def _spread(rows: Sequence[Row]) -> Iterator[str]:
    """Classes, totals and points."""
    yield "| score | low | moderate | high | no total | totals |"
    yield "|---|--:|--:|--:|--:|---|"
    for name in ("renal", "padua"):
        scores: list[Score] = [getattr(row.lesion, name) for row in rows]
        risks = Counter(score.risk for score in scores)
        totals = Counter(score.total for score in scores if score.total is not None)
        cells = [
            f"{risks[risk]} ({risks[risk] / len(rows):.0%})"
            for risk in ("low", "moderate", "high", None)
        ]
        spread = ", ".join(f"{total}: {totals[total]}" for total in sorted(totals))
        yield f"| {scores[0].name} | {' | '.join(cells)} | {spread} |"
    yield from ("", "| component | 1 | 2 | 3 | high | moderate | low |", "|---|--:|--:|--:|--:|--:|--:|")
    for name in ("renal", "padua"):
        for index, first in enumerate(getattr(rows[0].lesion, name).components):
            found = [getattr(row.lesion, name).components[index] for row in rows]
            points = Counter(one.letter or one.points for one in found)
            firm = Counter(one.confidence for one in found)
            letters = first.letter is not None
            shown = (
                [f"{each}: {points[each]}" for each in "apx"]
                if letters
                else [str(points[each]) for each in (1, 2, 3)]
            )
            yield f"| {first.code} | {' | '.join(shown)} | {firm['high']} | {firm['moderate']} | {firm['low']} |"


def _sizes(rows: Sequence[Row]) -> Iterator[str]:
    """R beside the radiologists' size."""
    pairs = [
        (row.lesion.largest_diameter.length_mm, row.radiographic_mm)
        for row in rows
        if row.radiographic_mm is not None
    ]
    measured, written = np.array(pairs).T
    found = agreement(measured, written)
    same = sum(
        size_row(one, seven_is_large=True).points == size_row(other, seven_is_large=True).points
        for one, other in pairs
    )
    yield (
        f"R and radiographic size: Pearson {found.pearson:.3f}, mean absolute difference {found.mean_absolute_mm:.1f} mm; "
        f"the same points in {same} of {found.n}."
    )


def _bases(rows: Sequence[Row]) -> Iterator[str]:
    """What showed the sinus and the lines."""
    for name in ("sinus_basis", "polar_basis"):
        counts = Counter(getattr(row.kidney, name, None) for row in rows)
        yield f"{name}: {', '.join(f'{basis} {count}' for basis, count in counts.most_common())}."


def _proportions(rows: Sequence[Row]) -> Iterator[str]:
    """Of kidneys with small tumours or none, where their labels show them."""
    shapes = [shape for row in rows for shape in row.usual if shape.polar_basis == "medial lip"]
    lines = np.array(
        [
            (np.array(shape.polar_mm) - shape.ends_mm[0]) / (shape.ends_mm[1] - shape.ends_mm[0])
            for shape in shapes
        ]
    )
    seen = [shape.frame.axes[1] for shape in shapes if shape.sinus_basis == "mask"]
    forward = np.degrees([np.arctan2(-axis[1], abs(axis[2])) for axis in seen])
    low, middle, high = np.percentile(lines, (10, 50, 90), axis=0)
    for name, index in (("lower", 0), ("upper", 1)):
        yield (
            f"{name} polar line at {middle[index]:.2f} of the length (80 % of {len(lines)} kidneys: "
            f"{low[index]:.2f} to {high[index]:.2f})."
        )
    yield f"Hilum {np.median(forward):.0f} degrees forward of the middle (median of {len(forward)})."


def _cases(rows: Sequence[Row]) -> Iterator[str]:
    """Every case, with what two research scripts give for three of them."""
    yield "| case | R mm | E | N mm | L | R.E.N.A.L. | PADUA | sinus, lines | published |"
    yield "|---|--:|--:|--:|--:|---|---|---|---|"
    for row in rows:
        values = {one.code: one for one in row.lesion.renal.components}
        cells = [
            ""
            if values[code].value is None
            else f"{values[code].value:.{digits}f} ({values[code].points})"
            for code, digits in (("R", 0), ("E", 2), ("N", 1), ("L", 2))
        ]
        scores = [
            f"{score.text} ({score.total_range[0]}-{score.total_range[1]})"
            for score in (row.lesion.renal, row.lesion.padua)
        ]
        bases = f"{getattr(row.kidney, 'sinus_basis', '')}, {getattr(row.kidney, 'polar_basis', '')}"
        name = row.case.removeprefix("case_").lstrip("0") or "0"
        yield f"| {name} | {' | '.join([*cells, *scores, bases, PUBLISHED.get(row.case, '')])} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Score, count, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("root", type=Path, help="folder of case_XXXXX and kits.json")
    rows = list(read_rows(parser.parse_args(arguments).root))
    for part in (_spread, _sizes, _bases, _proportions, _cases):
        sys.stdout.write("\n".join([*part(rows), "", ""]))
    seconds = np.array([row.seconds for row in rows])
    sys.stdout.write(f"Processor time: median {np.median(seconds):.2f} s, most {seconds.max():.2f} s.\n")


if __name__ == "__main__":
    main()
