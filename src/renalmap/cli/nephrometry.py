"""The verb nephrometry."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from renalmap.cli.console import output, progress_bar, show_error, show_json, show_warning
from renalmap.cli.options import (
    Acquisition,
    AllowMissingSlices,
    Json,
    LabelMaps,
    Memory,
    Orientation,
    Quiet,
    Resample,
    ScanOfOne,
    Series,
    output_option,
)
from renalmap.cli.tables import number, table

if TYPE_CHECKING:
    from rich.table import Table

    from renalmap.api.nephrometry import NephrometryOutcome
    from renalmap.measure import KidneyRelation
    from renalmap.nephrometry import Component, LesionNephrometry, Nephrometry


def nephrometry(
    segmentations: LabelMaps,
    scan: ScanOfOne = None,
    series: Series = None,
    acquisition: Acquisition = None,
    resample: Resample = False,
    allow_missing_slices: AllowMissingSlices = False,
    orientation: Orientation = None,
    csv: Annotated[Path | None, output_option(help="Write a CSV with one row per tumour.")] = None,
    overwrite: Annotated[
        bool, output_option("--overwrite", help="Replace the CSV if it exists.")
    ] = False,
    memory_gb: Memory = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score kidney tumours as surgeons do: RENAL and PADUA.

    Every component with its length, threshold, points and how firm they are; with --scan, the fat of the renal sinus
    is seen too. Exit code 0: all done; 1: one of several label maps failed; 2: the input cannot be used.
    """
    from renalmap.api.nephrometry import nephrometry as score_all
    from renalmap.imaging import DicomChoice

    with progress_bar(quiet=quiet or json) as bar:
        outcome = score_all(
            segmentations,
            scan=scan,
            dicom=DicomChoice(series, acquisition, resample, allow_missing_slices, orientation),
            csv=csv,
            overwrite=overwrite,
            progress=bar.show,
        )
    if json:
        show_json(outcome)
    elif not quiet:
        for case in outcome.cases:
            if case.nephrometry is not None:
                output.print(*nephrometry_tables(case.nephrometry))
    _show_troubles(outcome)
    if any(case.status == "failed" for case in outcome.cases):
        raise typer.Exit(1)


def nephrometry_tables(found: Nephrometry) -> Iterator[Table]:
    """A table for each tumour, both scores in it."""
    for lesion in found.lesions:
        side = lesion.side or "side unknown"
        made = table(
            f"{found.name}: tumour {lesion.lesion}, {side}", "component", "value", "points", "why"
        )
        made.columns[-1].justify, made.columns[-1].no_wrap = "left", False
        for score in (lesion.renal, lesion.padua):
            least, most = score.total_range
            risk = None if score.risk is None else f"{score.risk}; {least} to {most} if borders move"
            total = "" if score.total is None else score.text
            made.add_row(score.name, "", total, risk or score.text, style="bold")
            for one in score.components:
                made.add_row(one.code.replace("_", " "), _value(one), _points(one), _why(one))
        for row in _relation_rows(lesion.relation):
            made.add_row(*row)
        yield made


def _relation_rows(relation: KidneyRelation) -> Iterator[tuple[str, str, str, str]]:
    """What surgeons weigh beside the scores; what is not known has no row."""
    rows = (
        ("C-index", relation.c_index, 2, "", "centre to the kidney's centre, in tumour radii"),
        ("contact", relation.contact_mm2, 0, "mm²", "surface against the kidney's own tissue"),
        ("depth", relation.depth_mm, 1, "mm", "deepest point below the kidney's outline"),
        ("5 mm margin", relation.kidney_within_5_mm_ml, 1, "ml", "kidney within 5 mm of the tumour"),
        ("10 mm margin", relation.kidney_within_10_mm_ml, 1, "ml", "kidney within 10 mm of it"),
    )
    for name, value, digits, unit, told in rows:
        if value is not None:
            yield name, f"{number(value, digits)} {unit}".rstrip(), "", told


def _value(one: Component) -> str:
    if one.value is None:
        return ""
    return f"{one.value:.0%}" if one.unit == "" else f"{number(one.value, 1)} {one.unit}"


def _points(one: Component) -> str:
    return one.letter or ("" if one.points is None else str(one.points))


def _why(one: Component) -> str:
    if one.not_assessable is not None:
        return f"not assessable: {one.not_assessable}"
    return "; ".join(text for text in (one.threshold, one.edge) if text)


def caveats_of(found: Nephrometry, lesion: LesionNephrometry) -> Iterator[str]:
    """What to know about a tumour's scores, its kidney's included."""
    yield from lesion.caveats
    for kidney in found.kidneys:
        if kidney.kidney == lesion.kidney:
            yield from kidney.caveats


def show_caveats(found: Nephrometry, name: str) -> None:
    """Caveats on standard error."""
    for text in found.caveats:
        show_warning(f"{name}: {text}")
    for lesion in found.lesions:
        for text in caveats_of(found, lesion):
            show_warning(f"{name}: tumour {lesion.lesion}: {text}")


def _show_troubles(outcome: NephrometryOutcome) -> None:
    for case in outcome.cases:
        if case.nephrometry is not None:
            show_caveats(case.nephrometry, case.label_map)
        if case.error is not None:
            show_error(case.error)
