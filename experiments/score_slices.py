"""Score a bundle on the slices of a store's patients, one slice at a time.

    python experiments/score_slices.py STORE --part validation [--model BUNDLE] [--csv slices.csv]

Single slices have no neighbours and, in `slices/`, no known spacing: each is segmented as a scan of one
slice of 0.78 x 0.78 x 5 mm, so that of the rules for components only the least area applies.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from renalmap.bundle import Bundle, default_bundle_path
from renalmap.dataset.store import CaseEntry, Store
from renalmap.evaluation import dice, region_mask
from renalmap.imaging import Volume, build_geometry
from renalmap.imaging.files import write_text_atomically
from renalmap.inference.cascade import Cascade

ASSUMED_SPACING_MM = (5.0, 0.78, 0.78)
REGIONS = ("kidney", "tumour")

Row = dict[str, str | int | float]


def score_slice(cascade: Cascade, store: Store, entry: CaseEntry, index: int) -> Row:
    """Slice Dice of both regions; NaN where the reference has none and none was predicted."""
    hu, reference = store.slices.read(entry.case_id, index)
    affine = np.array([[0, 0, -1, 0], [0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]], float)
    affine[:3, :3] *= ASSUMED_SPACING_MM
    geometry = build_geometry((1, *hu.shape), affine)
    volume = Volume(np.rint(hu).astype(np.int16)[None], geometry, entry.case_id)
    predicted = cascade.segment(volume).label_map.labels
    row: Row = {"case": entry.case_id, "z": entry.z_indices[index]}
    for region in REGIONS:
        ours, theirs = region_mask(predicted, region), region_mask(reference[None], region)
        row[f"{region}_dice"] = dice(ours, theirs)
        row[f"{region}_predicted_pixels"] = int(ours.sum())
        row[f"{region}_reference_pixels"] = int(theirs.sum())
    return row


def summarise(rows: list[Row], part: str) -> Table:
    """Means over the slices that show a region, over patients, and what was called where there is none."""
    table = Table(title=f"{part}: {len(rows)} slices of {len({row['case'] for row in rows})} patients")
    for column in ("region", "slices", "patients", "slice Dice", "sd", "median", "patients' mean", "sd"):
        table.add_column(column, justify="left" if column == "region" else "right")
    for region in REGIONS:
        shown = [row for row in rows if int(row[f"{region}_reference_pixels"]) > 0]
        values = np.array([float(row[f"{region}_dice"]) for row in shown])
        cases = sorted({str(row["case"]) for row in shown})
        means = np.array([values[[row["case"] == case for row in shown]].mean() for case in cases])
        table.add_row(
            region,
            str(len(shown)),
            str(len(cases)),
            f"{values.mean():.3f}",
            f"{values.std(ddof=1):.3f}",
            f"{np.median(values):.3f}",
            f"{means.mean():.3f}",
            f"{means.std(ddof=1):.3f}",
        )
        empty = [row for row in rows if int(row[f"{region}_reference_pixels"]) == 0]
        called = sum(int(row[f"{region}_predicted_pixels"]) > 0 for row in empty)
        table.add_row(f"no {region}", str(len(empty)), "", f"{called} called", "", "", "", "")
    return table


def main(
    store: Annotated[Path, typer.Argument()],
    part: Annotated[Literal["train", "validation", "test"], typer.Option()] = "validation",
    model: Annotated[Path | None, typer.Option()] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv")] = None,
) -> None:
    """Score every slice of one part of a store."""
    opened = Store.open(store)
    cascade = Cascade(Bundle.open(model or default_bundle_path()))
    rows = [
        score_slice(cascade, opened, entry, index)
        for entry in opened.part(part)
        for index in range(len(entry.z_indices))
    ]
    if csv_file is not None:
        text = io.StringIO()
        writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text_atomically(csv_file, text.getvalue())
    Console().print(summarise(rows, part))


if __name__ == "__main__":
    typer.run(main)
