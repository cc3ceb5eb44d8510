"""A scan and its labels to one page."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from renalmap.dataset.cohort import short_name
from renalmap.imaging import DicomChoice, Volume, describe_hounsfield_doubt, read_label_map, read_volume
from renalmap.imaging.files import check_writable, write_text_atomically
from renalmap.inference.phase import guess_phase
from renalmap.inference.quality import describe_contrast
from renalmap.measure import measure_label_map
from renalmap.measure.midline import track_body
from renalmap.measure.sides import foreground_parts
from renalmap.report.html import Names, ReportContents, report_page

if TYPE_CHECKING:
    from renalmap.api.result import Result  # whose save() writes reports


def report(
    segmentation: Path,
    scan: Path,
    out: Path,
    *,
    dicom: DicomChoice = DicomChoice(),
    anonymize: bool = False,
    overwrite: bool = False,
) -> None:
    """Write the report of a label map that is there already.

    Contrast phase and units are judged on the scan; confidences need the networks, so there are none.

    Args:
        segmentation: 0 background, 1 kidney, 2 tumour, 3 cyst.
        scan: the scan it was made from.
        out: the HTML file to write.
        dicom: what to take of a path that holds several DICOM series or acquisitions.
        anonymize: neither names nor paths in the report.
        overwrite: replace an existing file.

    Raises:
        GeometryMismatchError: labels and scan lie on different grids.
        LabelError: a label that RenalMap does not know.
        OutputExistsError: the file exists.
        PathMissingError: its folder does not, or an input does not.
    """
    check_writable(out, overwrite=overwrite)
    volume, label_map = read_volume(scan, dicom), read_label_map(segmentation)
    measured = measure_label_map(label_map, volume)
    parts = foreground_parts(label_map)
    contrast = guess_phase(volume, label_map, [part.box for part in parts], track_body(volume))
    cautions = (_doubt(volume), describe_contrast(contrast))
    contents = ReportContents(
        scan=volume,
        labels=label_map,
        measurements=measured,
        made_on=_today(),
        names=None if anonymize else Names(short_name(scan), scan, segmentation),
        cautions=tuple(text for text in cautions if text is not None),
    )
    write_text_atomically(out, report_page(contents))


def report_result(result: Result, out: Path, names: Names | None) -> None:
    """Write the report of a segmentation that has just been made.

    Args:
        result: the scan, its labels and what is known of them.
        out: the HTML file to write; an existing one is replaced.
        names: what the report calls its scan; None for a report without names.
    """
    doubt = _doubt(result.volume)
    contents = ReportContents(
        scan=result.volume,
        labels=result.label_map,
        measurements=result.measurements,
        made_on=_today(),
        names=names,
        quality=result.quality,
        cautions=() if doubt is None else (doubt,),
        bundle_sha256=result.bundle_sha256,
    )
    write_text_atomically(out, report_page(contents))


def _today() -> date:
    """By the clock on the wall, not in Greenwich."""
    return datetime.now(UTC).astimezone().date()


def _doubt(volume: Volume) -> str | None:
    """Doubt about the scan's units, without the scan's name."""
    return describe_hounsfield_doubt(replace(volume, name="this scan"))
