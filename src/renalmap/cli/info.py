"""The verb `info`: what a path contains, for people and for machines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from renalmap.cli.console import output, show_json, show_warning
from renalmap.cli.options import (
    Acquisition,
    AllowMissingSlices,
    Json,
    Memory,
    Orientation,
    Resample,
    Scan,
    Series,
)
from renalmap.cli.tables import table

if TYPE_CHECKING:
    from renalmap.api.info import DicomInfo, NiftiInfo, SeriesInfo, StudyInfo


def info(
    scan: Scan,
    series: Series = None,
    acquisition: Acquisition = None,
    resample: Resample = False,
    allow_missing_slices: AllowMissingSlices = False,
    orientation: Orientation = None,
    memory_gb: Memory = None,
    json: Json = False,
) -> None:
    """Show what a scan holds and which series segment would take.

    Studies, series and acquisitions of DICOM, from the headers alone; grid and values of a NIfTI file.
    Patients' names are not shown. Exit code 0, even if segment would refuse; 2: nothing can be read.
    """
    from renalmap.api.info import info as describe_scan
    from renalmap.imaging import DicomChoice

    dicom = DicomChoice(series, acquisition, resample, allow_missing_slices, orientation)
    found = describe_scan(scan, dicom)
    if json:
        show_json(found)
    elif found.kind == "nifti":
        output.print(_nifti_table(found))
        for doubt in (*found.grid_doubts, *([] if found.doubt is None else [found.doubt])):
            show_warning(doubt)
    else:
        _show_dicom(found)


def _show_dicom(found: DicomInfo) -> None:
    for number, study in enumerate(found.studies, start=1):
        output.print(_study_table(study, number))
        for each in study.series:
            output.print(*_details(each), sep="\n")
    for count, what in (
        (found.other_files, "files that are not DICOM"),
        (found.unlisted_files, "files that the DICOMDIR does not list"),
    ):
        if count:
            output.print(Text(f"left out: {count} {what}"))
    if found.refusal is None:
        taken = next(each for study in found.studies for each in study.series if each.taken)
        output.print(Text(f"segment would take series {_title(taken)}: {found.why}", style="bold"))
    else:
        output.print(Text("segment would refuse: ", style="bold") + Text(found.refusal), soft_wrap=True)
    for told in (found.doubt, *found.left_out):
        if told is not None:
            show_warning(told)


def _study_table(study: StudyInfo, number: int) -> Table:
    described = f", {study.description}" if study.description else ""
    made = table(
        f"Study {number}{described}", "series", "slices", "spacing mm", "view", "kernel", "phase"
    )
    for column in made.columns[3:]:
        column.justify = "left"
    for each in study.series:
        phases = {one.phase for one in each.acquisitions} - {None}
        made.add_row(
            Text(("> " if each.taken else "  ") + _title(each)),
            str(each.slices or ""),
            "" if each.spacing_mm is None else " x ".join(_mm(value) for value in each.spacing_mm),
            each.orientation or "",
            Text(each.kernel),
            ", ".join(str(phase) for phase in phases),
        )
    return made


def _details(series: SeriesInfo) -> Iterator[Text]:
    """Lines about one series: how it is stored, why it is left out, its acquisitions."""
    facts = []
    if series.why_not is not None:
        facts.append(f"not taken by default: {series.why_not}")
    facts += [f"{count} x {reason} skipped" for reason, count in series.skipped.items() if series.slices]
    if series.rows_columns is not None:
        rows, columns = series.rows_columns
        facts.append(f"{rows} x {columns}, {', '.join(series.transfer_syntaxes)}")
        facts += ["enhanced multi-frame"] * series.multi_frame
        facts += ["derived"] * (not series.original)
        facts += [f"{series.kernel_kind} kernel"] * (series.kernel_kind != "unknown")
        facts += ["contrast agent named"] * series.contrast_agent
    yield Text(f"  {_title(series)}: {'; '.join(facts)}")
    several = len(series.acquisitions) > 1
    for each in series.acquisitions:
        trouble = "" if each.trouble is None else f"; {each.trouble}"
        if several:
            number = "without a number" if each.number is None else str(each.number)
            across = "" if each.spacing_mm[0] is None else f", {_mm(each.spacing_mm[0])} mm apart"
            yield Text(f"    acquisition {number}: {each.slices} slices{across}{trouble}")
        elif trouble:
            yield Text(f"    {each.trouble}", style="yellow")


def _title(series: SeriesInfo) -> str:
    name = series.series_uid or "without a UID" if series.number is None else str(series.number)
    return f"{name} {series.description}".strip()


def _mm(value: float | None) -> str:
    return "?" if value is None else f"{value:.3g}"


def _nifti_table(found: NiftiInfo) -> Table:
    made = table(None, "NIfTI", "")
    made.columns[1].justify = "left"
    made.add_row("slices x rows x columns", " x ".join(str(size) for size in found.shape_zyx))
    made.add_row("spacing mm", " x ".join(f"{size:.4g}" for size in found.spacing_mm))
    made.add_row("stored axes point to", found.stored_orientation)
    made.add_row("values", f"{found.lowest_hu:g} to {found.highest_hu:g}, {found.values}")
    return made
