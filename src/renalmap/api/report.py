"""From a scan and its labels to one page."""

from __future__ import annotations

from pathlib import Path

from renalmap.anatomy import Anatomy, Voxels
from renalmap.dataset.cohort import short_name
from renalmap.errors import ConfigError
from renalmap.imaging import DicomChoice, Volume, doubt_hounsfield, read_label_map, read_volume
from renalmap.imaging.files import check_writable, write_text_atomically
from renalmap.inference.quality import find_contrast
from renalmap.measure import measure_anatomy
from renalmap.measure.exophytic import exophytic_part
from renalmap.nephrometry import score_anatomy
from renalmap.report.html import Names, ReportContents, report_page

SUFFIXES = (".html", ".htm")


def report(
    segmentation: Path,
    scan: Path,
    out: Path,
    *,
    dicom: DicomChoice = DicomChoice(),
    anonymize: bool = False,
    overwrite: bool = False,
) -> None:
    """Write the report on an existing label map.

    Contrast phase and units are assessed on the scan; confidences need the networks, so there are none.

    Args:
        segmentation: 0 background, 1 kidney, 2 tumour, 3 cyst.
        scan: the scan it was made from.
        out: the HTML file to write.
        dicom: what to take of a path that holds several DICOM series or acquisitions; `orientation` also of
            the label map.
        anonymize: neither names nor paths in the report.
        overwrite: replace an existing file.

    Raises:
        ConfigError: `out` is not named as an HTML file.
        GeometryMismatchError: labels and scan are on different grids.
        LabelError: a label that RenalMap does not know.
        OutputExistsError: the file exists.
        PathMissingError: its folder does not, or an input does not.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise ConfigError(
            "a report is an HTML file",
            where=out,
            got=out.suffix or "no suffix",
            expected=" or ".join(SUFFIXES),
        )
    check_writable(out, overwrite=overwrite)
    volume, label_map = read_volume(scan, dicom), read_label_map(segmentation, dicom.orientation)
    anatomy = Anatomy.of(label_map, volume)
    measured = measure_anatomy(anatomy)
    contents = ReportContents(
        scan=volume,
        labels=label_map,
        measurements=measured,
        names=None if anonymize else Names(short_name(scan), scan, segmentation),
        contrast=find_contrast(anatomy),
        nephrometry=score_anatomy(anatomy, measured),
        exophytic=exophytic_parts(anatomy),
        cautions=doubts_of(volume, anonymize=anonymize),
    )
    write_text_atomically(out, report_page(contents))


def exophytic_parts(anatomy: Anatomy) -> tuple[Voxels, ...]:
    """Of every tumour the part outside its kidney's outline, where all of that is in the scan."""
    owned = [(tumour, anatomy.kidney_of(tumour)) for tumour in anatomy.tumours]
    spacing_mm = anatomy.label_map.geometry.spacing_mm
    return tuple(
        exophytic_part(tumour.voxels, kidney.body, spacing_mm)
        for tumour, kidney in owned
        if kidney is not None and not kidney.borders
    )


def doubts_of(volume: Volume, *, anonymize: bool) -> tuple[str, ...]:
    """Doubt about the scan's units, and what its reader had to assume or to leave out.

    Args:
        volume: the scan.
        anonymize: without names: of what the reader says, which names files, only that there is something.
    """
    doubt = doubt_hounsfield(volume)
    notes = volume.notes
    if anonymize and notes:
        notes = (
            f"Reading the scan raised {len(notes)} warnings, which name files: see the program's output.",
        )
    return (*(() if doubt is None else (doubt.warning("this scan"),)), *notes)
