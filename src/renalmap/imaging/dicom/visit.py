"""When a DICOM object was acquired, and whose it is."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from renalmap.imaging.dicom_files.bounds import named_dicom_errors
from renalmap.imaging.dicom_files.files import DicomFile, quiet_pydicom

_SCAN_DATES: Final = ("AcquisitionDate", "AcquisitionDateTime", "StudyDate")
_SEG_DATES: Final = ("StudyDate",)
"""All others are of the day on which it was segmented."""


@dataclass(frozen=True)
class DicomVisit:
    """What tells two scans of one patient apart, and two patients.

    Attributes:
        patient_id: PatientID, to be compared and never to be shown; empty if it was stripped.
        taken_on: the day of the scan; None if no date is given, or none that exists.
    """

    patient_id: str = field(repr=False)
    taken_on: date | None


def read_visit(file: DicomFile, *, is_seg: bool = False) -> DicomVisit:
    """Read it from a header.

    Args:
        file: one file of a scan, or a DICOM SEG.
        is_seg: the latter.

    Raises:
        TruncatedFileError, OSError: the file has gone or changed since it was read as an image.
    """
    names = _SEG_DATES if is_seg else _SCAN_DATES
    dataset = file.read_header(["PatientID", *names])
    with quiet_pydicom(), named_dicom_errors(file):
        texts = [str(dataset.get(name) or "") for name in names]
        patient_id = str(dataset.get("PatientID") or "").strip()
    days = [day for text in texts if (day := _day(text)) is not None]
    return DicomVisit(patient_id, days[0] if days else None)


def _day(text: str) -> date | None:
    """A date as YYYYMMDD, or in files of ACR-NEMA YYYY.MM.DD; what follows it is a time."""
    found = re.match(r"(\d{4})\.?(\d\d)\.?(\d\d)", text)
    with suppress(ValueError):
        return None if found is None else date(*map(int, found.groups()))
    return None
