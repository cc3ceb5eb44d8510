"""The verb compare."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from renalmap.cli.console import output, say, show_json, show_warning
from renalmap.cli.options import (
    AllowMissingSlices,
    AnonymizeReport,
    Json,
    Memory,
    Orientation,
    Overwrite,
    Quiet,
    Resample,
    dicom_option,
    input_option,
    output_option,
)
from renalmap.cli.tables import table

if TYPE_CHECKING:
    from rich.table import Table

    from renalmap.api.compare import CompareOutcome
    from renalmap.followup import Change, LesionComparison

_SCAN_HELP: Final = "scan: NIfTI file or DICOM; gives HU, pictures and, from DICOM, date and patient."
_DAY: Final = ("%Y-%m-%d", "%Y%m%d")


def compare(
    before: Annotated[Path, typer.Argument(help="Label map of the earlier scan.")],
    after: Annotated[Path, typer.Argument(help="Label map of the later scan.")],
    before_scan: Annotated[Path | None, input_option(help=f"The earlier {_SCAN_HELP}")] = None,
    after_scan: Annotated[Path | None, input_option(help=f"The later {_SCAN_HELP}")] = None,
    before_date: Annotated[
        datetime | None, input_option(formats=_DAY, help="Day of the earlier scan; default: DICOM's.")
    ] = None,
    after_date: Annotated[
        datetime | None, input_option(formats=_DAY, help="Day of the later scan; default: DICOM's.")
    ] = None,
    before_series: Annotated[
        str | None, dicom_option(help="Which DICOM series of the earlier scan: its UID or number.")
    ] = None,
    after_series: Annotated[
        str | None, dicom_option(help="Which DICOM series of the later scan: its UID or number.")
    ] = None,
    before_acquisition: Annotated[
        int | None, dicom_option(help="Which acquisition of the earlier DICOM series.")
    ] = None,
    after_acquisition: Annotated[
        int | None, dicom_option(help="Which acquisition of the later DICOM series.")
    ] = None,
    resample: Resample = False,
    allow_missing_slices: AllowMissingSlices = False,
    orientation: Orientation = None,
    allow_different_patients: Annotated[
        bool, input_option("--allow-different-patients", help="Go on although PatientID differs.")
    ] = False,
    border_mm: Annotated[
        float, input_option(help="By how much an outline may be off: decides what counts as a change.")
    ] = 0.5,
    report: Annotated[
        Path | None, output_option(help="Write an HTML page with both scans side by side.")
    ] = None,
    anonymize_report: AnonymizeReport = False,
    csv: Annotated[
        Path | None, output_option(help="Write a CSV with one row per kidney and lesion.")
    ] = None,
    overwrite: Overwrite = False,
    memory_gb: Memory = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compare two scans of one patient: growth and new lesions.

    Kidneys are laid on each other, lesions matched by place. Exit code 0: done; 2: the input cannot be used.
    """
    from renalmap.api.compare import CompareOutputs, Visit
    from renalmap.api.compare import compare as compare_scans
    from renalmap.imaging import DicomChoice

    visits = [
        Visit(
            segmentation,
            scan,
            None if day is None else day.date(),
            DicomChoice(series, acquisition, resample, allow_missing_slices, orientation),
        )
        for segmentation, scan, day, series, acquisition in (
            (before, before_scan, before_date, before_series, before_acquisition),
            (after, after_scan, after_date, after_series, after_acquisition),
        )
    ]
    found = compare_scans(
        *visits,
        allow_different_patients=allow_different_patients,
        border_mm=border_mm,
        outputs=CompareOutputs(report, anonymize_report, csv, overwrite),
    )
    if json:
        show_json(found)
    elif not quiet:
        output.print(*comparison_tables(found))
        for path in (report, csv):
            if path is not None:
                say(f"wrote {path}")
    _show_cautions(found)


def _show_cautions(found: CompareOutcome) -> None:
    for caution in found.comparison.cautions:
        show_warning(caution.text)
    for scan in (found.before, found.after):
        for flag in scan.measurements.flags:
            show_warning(f"{scan.segmentation}: {flag.text}")


def comparison_tables(found: CompareOutcome) -> Iterator[Table]:
    """The kidneys; and the lesions, if there are any."""
    days = found.comparison.interval_days
    title = "Two scans, not known how long apart" if days is None else f"Two scans, {days} days apart"
    kidneys = table(title, "kidney", "parenchyma ml", "least", "length mm", "least", "fit mm")
    for kidney in found.comparison.kidneys:
        measured = [
            None if number is None else scan.measurements.kidneys[number - 1]
            for number, scan in ((kidney.before, found.before), (kidney.after, found.after))
        ]
        kidneys.add_row(
            kidney.side or "side unknown",
            *_change(
                kidney.parenchyma_ml, [None if one is None else one.parenchyma_ml for one in measured]
            ),
            *_change(kidney.length_mm, [None if one is None else one.length_mm for one in measured]),
            "" if kidney.alignment is None else f"{kidney.alignment.residual_mm:.1f}",
        )
    yield kidneys
    if not found.comparison.lesions:
        return
    lesions = table(None, "lesion", "", "axial mm", "least", "ml", "least", "mm/year")
    lesions.columns[1].justify = "left"
    for lesion in found.comparison.lesions:
        numbers = " > ".join("+".join(map(str, each)) or "-" for each in (lesion.before, lesion.after))
        axial, volume = lesion.longest_axial_diameter_mm, lesion.volume_ml
        largest = [
            None if not ids else scan.measurements.lesions[ids[0] - 1]
            for ids, scan in ((lesion.before, found.before), (lesion.after, found.after))
        ]
        lesions.add_row(
            f"{lesion.kind} {numbers}",
            f"{lesion.side or '?'}, {_outcome(lesion)}",
            *_change(axial, [None if one is None else one.longest_axial_diameter_mm for one in largest]),
            *_change(volume, [None if one is None else one.volume_ml for one in largest]),
            "" if axial is None or axial.per_year is None else f"{axial.per_year:+.1f}",
        )
    lesions.caption = "A change below `least` cannot be told from none (95 %)."
    lesions.caption_justify = "left"
    yield lesions


def _outcome(lesion: LesionComparison) -> str:
    if lesion.status == "matched" and lesion.volume_ml is not None:
        return lesion.volume_ml.verdict
    return lesion.status.replace("_", " ")


def _change(change: Change | None, alone: Sequence[float | None]) -> tuple[str, str]:
    """Both numbers and the least change that counts; of what cannot be compared the numbers that there are."""
    if change is not None:
        return f"{change.before:.1f} > {change.after:.1f}", f"{change.least:.1f}"
    return " > ".join("-" if value is None else f"{value:.1f}" for value in alone), ""
