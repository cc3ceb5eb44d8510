"""From two label maps of one patient to what has changed between them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from renalmap import __version__
from renalmap.anatomy import Anatomy
from renalmap.api.report import doubts_of
from renalmap.dataset.cohort import short_name
from renalmap.errors import ConfigError, InputError, LabelError
from renalmap.followup import BORDER_MM, Caution, Comparison, Timepoint, compare_anatomies
from renalmap.followup.table import comparison_to_csv
from renalmap.imaging import DicomChoice, DicomFile, LabelMap, Volume, read_label_map, read_volume
from renalmap.imaging.dicom.visit import DicomVisit, read_visit
from renalmap.imaging.files import check_writable, write_text_atomically
from renalmap.imaging.reading import is_dicom_path
from renalmap.inference.phase import Phase
from renalmap.inference.quality import describe_contrast, find_contrast
from renalmap.measure import Measurements
from renalmap.report.followup import FollowUpContents, FollowUpScan, follow_up_page

MOST_BORDER_MM: Final = 5.0

Which = Literal["before", "after"]


@dataclass(frozen=True)
class Visit:
    """One of the two scans.

    Attributes:
        segmentation: its label map: a NIfTI file or a DICOM SEG.
        scan: the scan itself: gives HU, pictures, and, if it is DICOM, its date and patient.
        taken_on: the day of the scan; None takes it from DICOM.
        dicom: what to take of a scan that holds several DICOM series or acquisitions; `orientation` also of the
            label map.
    """

    segmentation: Path
    scan: Path | None = None
    taken_on: date | None = None
    dicom: DicomChoice = DicomChoice()


@dataclass(frozen=True)
class CompareOutputs:
    """What to write.

    Attributes:
        report: a page with both scans side by side.
        anonymize: neither names, nor paths, nor dates in that page.
        csv: one row per kidney and lesion.
        overwrite: replace files that exist.
    """

    report: Path | None = None
    anonymize: bool = False
    csv: Path | None = None
    overwrite: bool = False

    def check(self) -> None:
        """Check before the work whether it can be written.

        Raises:
            ConfigError: there is nothing to leave names out of.
            OutputExistsError, PathMissingError: as `check_writable`.
        """
        if self.anonymize and self.report is None:
            raise ConfigError(
                "--anonymize-report applies to a report, and none was requested",
                hint="Give --report FILE.html too",
            )
        for path in (self.report, self.csv):
            if path is not None:
                check_writable(path, overwrite=self.overwrite)


class ComparedScan(BaseModel):
    """One of the two scans of a comparison."""

    model_config = ConfigDict(extra="forbid")

    segmentation: str
    scan: str | None
    taken_on: date | None
    phase: Phase | None
    """Contrast phase; None without a scan."""
    measurements: Measurements


class CompareOutcome(BaseModel):
    """What `renalmap compare` found."""

    model_config = ConfigDict(extra="forbid")

    renalmap_version: str
    before: ComparedScan
    after: ComparedScan
    comparison: Comparison


def compare(
    before: Visit | str | os.PathLike[str],
    after: Visit | str | os.PathLike[str],
    *,
    allow_different_patients: bool = False,
    border_mm: float = BORDER_MM,
    outputs: CompareOutputs = CompareOutputs(),
) -> CompareOutcome:
    """Find the same kidneys and lesions in two scans of one patient, and what has changed.

    Args:
        before: the earlier scan; a path is that of its label map.
        after: the later one.
        allow_different_patients: go on although the scans name different patients.
        border_mm: by how much an outline as a whole may lie too far out or in, one standard deviation: it
            decides which changes can be told from none.
        outputs: files to write.

    Returns:
        Both scans' measurements, and the comparison. docs/follow-up.md explains each number.

    Raises:
        InputError: the scans are of different patients, are one and the same, or in the wrong order; or one of its
            children: something cannot be read or written, or nothing is labelled.
    """
    outputs.check()
    if not 0.0 <= border_mm <= MOST_BORDER_MM:
        raise ConfigError(
            "border_mm is out of range", got=f"{border_mm:g}", expected=f"0 to {MOST_BORDER_MM:g} mm"
        )
    first = _read(before if isinstance(before, Visit) else Visit(Path(before)), "before")
    second = _read(after if isinstance(after, Visit) else Visit(Path(after)), "after")
    _check_same_scan(first, second)
    interval_days = _interval(first, second)
    stranger = _check_patients(first, second, allowed=allow_different_patients)
    found = compare_anatomies(
        first.timepoint,
        second.timepoint,
        interval_days=interval_days,
        same_phase=first.phase == second.phase and first.phase not in {None, "unknown"},
        border_mm=border_mm,
    )
    if stranger is not None:
        found = found.model_copy(update={"cautions": [stranger, *found.cautions]})
    if outputs.csv is not None:
        measured = first.timepoint.measurements, second.timepoint.measurements
        write_text_atomically(outputs.csv, comparison_to_csv(found, *measured))
    if outputs.report is not None:
        shown = [_for_page(each, anonymize=outputs.anonymize) for each in (first, second)]
        write_text_atomically(
            outputs.report, follow_up_page(FollowUpContents(shown[0], shown[1], found))
        )
    return CompareOutcome(
        renalmap_version=__version__, before=first.summary(), after=second.summary(), comparison=found
    )


@dataclass(frozen=True, eq=False)
class _Read:
    """A visit that has been read."""

    visit: Visit
    label_map: LabelMap
    volume: Volume | None
    timepoint: Timepoint
    dicom: DicomVisit
    phase: Phase | None = None
    cautions: tuple[str, ...] = field(default=())

    @property
    def taken_on(self) -> date | None:
        return self.visit.taken_on or self.dicom.taken_on

    def summary(self) -> ComparedScan:
        return ComparedScan(
            segmentation=str(self.visit.segmentation),
            scan=None if self.visit.scan is None else str(self.visit.scan),
            taken_on=self.taken_on,
            phase=self.phase,
            measurements=self.timepoint.measurements,
        )


@contextmanager
def _own_options(which: Which) -> Iterator[None]:
    """Where a reader's message names an option of one scan, it names that scan's."""

    def renamed(text: str | None) -> str | None:
        return None if text is None else re.sub(r"--(series|acquisition)\b", rf"--{which}-\1", text)

    try:
        yield
    except InputError as error:
        told = {"got": renamed(error.got), "expected": error.expected, "hint": renamed(error.hint)}
        raise type(error)(error.what, where=error.where, **told) from error


def _read(visit: Visit, which: Which) -> _Read:
    label_map = replace(
        read_label_map(visit.segmentation, visit.dicom.orientation), name=short_name(visit.segmentation)
    )
    if not label_map.labels.any():
        raise LabelError(
            "the label map is empty: there is nothing to compare",
            where=visit.segmentation,
            got="only background",
        )
    with _own_options(which):
        volume = None if visit.scan is None else read_volume(visit.scan, visit.dicom)
    anatomy = Anatomy.of(label_map, volume)
    contrast = None if volume is None else find_contrast(anatomy)
    warned = None if contrast is None else describe_contrast(contrast)
    return _Read(
        visit,
        label_map,
        volume,
        Timepoint.of(anatomy),
        _dicom_of(visit, volume),
        None if contrast is None else contrast.phase,
        () if warned is None else (warned,),
    )


def _dicom_of(visit: Visit, volume: Volume | None) -> DicomVisit:
    """From the scan if it is DICOM; else from a DICOM SEG, which names its scan's patient and study date."""
    if volume is not None and volume.source is not None:
        return read_visit(volume.source.instances[0].file)
    if is_dicom_path(visit.segmentation):
        return read_visit(DicomFile(visit.segmentation), is_seg=True)
    return DicomVisit("", None)


def _check_same_scan(before: _Read, after: _Read) -> None:
    """Refuse one scan given twice, under whatever name."""
    same = before.visit.segmentation.samefile(after.visit.segmentation)
    if before.volume is not None and after.volume is not None:
        same |= _instances(before.volume) == _instances(after.volume) != frozenset()
        same |= _equal((before.volume.hu, after.volume.hu), before, after)
    same |= _equal((before.label_map.labels, after.label_map.labels), before, after)
    if same:
        raise InputError(
            "BEFORE and AFTER are one and the same scan",
            where=after.visit.segmentation,
            expected="two scans of one patient, taken at different times",
            hint="To compare two outlines of one scan, use renalmap evaluate",
        )


def _instances(volume: Volume) -> frozenset[str]:
    """SOPInstanceUIDs of the slices; none where they were stripped."""
    instances = () if volume.source is None else volume.source.instances
    return frozenset(each.sop_instance_uid for each in instances if each.sop_instance_uid)


def _equal(arrays: tuple[NDArray[Any], NDArray[Any]], before: _Read, after: _Read) -> bool:
    return before.label_map.geometry.matches(after.label_map.geometry) and np.array_equal(*arrays)


def _interval(before: _Read, after: _Read) -> int | None:
    """Days from the one to the other; None if a date is missing."""
    if before.taken_on is None or after.taken_on is None:
        return None
    days = (after.taken_on - before.taken_on).days
    if days < 0:
        raise InputError(
            "AFTER was taken before BEFORE",
            where=after.visit.segmentation,
            got=f"{after.taken_on} as AFTER, {before.taken_on} as BEFORE",
            hint="Swap the two, or give --before-date and --after-date if the files' dates are wrong",
        )
    return days


def _check_patients(before: _Read, after: _Read, *, allowed: bool) -> Caution | None:
    """Refuse two patients by their PatientID, which is not shown; a caution if that is allowed."""
    ids = {each.dicom.patient_id for each in (before, after)}
    if len(ids) == 1 or "" in ids:
        return None
    if allowed:
        text = "the scans name different patients (PatientID): compared because that was asked for"
        return Caution(code="different_patients", text=text)
    raise InputError(
        "the scans are of different patients",
        where=after.visit.segmentation,
        got="a PatientID other than that of BEFORE",
        hint="If it is one patient under two numbers, give --allow-different-patients",
    )


def _for_page(read: _Read, *, anonymize: bool) -> FollowUpScan:
    doubts = () if read.volume is None else doubts_of(read.volume, anonymize=anonymize)
    visit = read.visit
    return FollowUpScan(
        labels=read.label_map,
        scan=read.volume,
        measurements=read.timepoint.measurements,
        cautions=(*doubts, *read.cautions),
        taken_on=None if anonymize else read.taken_on,
        files=()
        if anonymize
        else tuple(each for each in (visit.scan, visit.segmentation) if each is not None),
    )
