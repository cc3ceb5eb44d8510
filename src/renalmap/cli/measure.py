"""The verb measure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from renalmap.cli.console import output, progress_bar, show_error, show_json, show_warning
from renalmap.cli.measurements import measurement_tables
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

if TYPE_CHECKING:
    from renalmap.api.measure import MeasureOutcome


def measure(
    segmentations: LabelMaps,
    scan: ScanOfOne = None,
    series: Series = None,
    acquisition: Acquisition = None,
    resample: Resample = False,
    allow_missing_slices: AllowMissingSlices = False,
    orientation: Orientation = None,
    csv: Annotated[
        Path | None, output_option(help="Write a CSV with one row per kidney and lesion.")
    ] = None,
    sr: Annotated[
        Path | None,
        output_option(help="Write a DICOM structured report of a DICOM SEG, with its DICOM --scan."),
    ] = None,
    overwrite: Annotated[
        bool, output_option("--overwrite", help="Replace the CSV and the report if they exist.")
    ] = False,
    memory_gb: Memory = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure kidneys and lesions on label maps.

    Volumes, diameters, side and position; with --scan also HU, and left and right as the body shows them. Exit code
    0: all done; 1: one of several label maps failed; 2: the input cannot be used.
    """
    from renalmap.api.measure import measure as measure_all
    from renalmap.imaging import DicomChoice

    with progress_bar(quiet=quiet or json) as bar:
        outcome = measure_all(
            segmentations,
            scan=scan,
            dicom=DicomChoice(series, acquisition, resample, allow_missing_slices, orientation),
            csv=csv,
            sr=sr,
            overwrite=overwrite,
            progress=bar.show,
        )
    if json:
        show_json(outcome)
    elif not quiet:
        for case in outcome.cases:
            if case.measurements is not None:
                output.print(*measurement_tables(case.measurements))
    _show_troubles(outcome)
    if any(case.status == "failed" for case in outcome.cases):
        raise typer.Exit(1)


def _show_troubles(outcome: MeasureOutcome) -> None:
    """Flags and failures, on standard error."""
    for case in outcome.cases:
        if case.measurements is not None:
            for flag in case.measurements.flags:
                show_warning(f"{case.label_map}: {flag.text}")
        if case.error is not None:
            show_error(case.error)
