"""Writing a DICOM structured report: what was measured of each segment of a DICOM SEG (PS3.16 TID 1500)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import NAMESPACE_OID, uuid5

import numpy as np
from numpy.typing import NDArray

from renalmap.errors import DicomReferenceError
from renalmap.extras import import_extra
from renalmap.imaging.dicom_seg.codes import (
    ABNORMAL_STRUCTURE,
    ANATOMICAL_STRUCTURE,
    KIDNEY_CODE,
    SIDE_CODES,
    TYPE_CODES,
    SnomedCode,
)
from renalmap.imaging.dicom_seg.sources import CONVERSION_ERRORS, named_writing_errors, source_datasets
from renalmap.imaging.dicom_sr.codes import CT, MILLIMETRE, PRIVATE_SCHEME, VOLUME, Code
from renalmap.imaging.orientation import LPS_TO_RAS
from renalmap.labels import KIDNEY, Side

if TYPE_CHECKING:
    from pydicom import Dataset

    from renalmap.imaging.dicom_files.source import DicomSource

_WHAT: Final = "a structured report"
_HINT: Final = "Leave out --sr"
_LARGEST_NUMBER: Final = 2**31 - 1
_IDENTIFIERS: Final = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")


@dataclass(frozen=True, eq=False)
class Quantity:
    """A number that was measured.

    Attributes:
        name: what it is.
        value: the number.
        unit: of UCUM.
        derivation: mean or standard deviation, of many values.
        method: how it was measured.
        line_mm: (2, 3) the ends of the line that is so long, RAS+; None for what is no line.
    """

    name: Code
    value: float
    unit: Code
    derivation: Code | None = None
    method: Code | None = None
    line_mm: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Judgement:
    """A code that was given to something."""

    name: Code
    value: Code


@dataclass(frozen=True, eq=False)
class Finding:
    """A kidney or lesion, and everything about it.

    Attributes:
        name: unique in its report, as "left kidney" or "tumour 1".
        segment: the number of the SEG's segment that marks it, alone or with others.
        label: KIDNEY, TUMOUR or CYST.
        side: the patient's; None if it is not known.
        quantities: at least one that is no line.
        judgements: there may be none.
    """

    name: str
    segment: int
    label: int
    side: Side | None
    quantities: tuple[Quantity, ...]
    judgements: tuple[Judgement, ...] = ()


@dataclass(frozen=True)
class SegReference:
    """The DICOM SEG to which a report refers."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    series_number: int

    @classmethod
    def of(cls, dataset: Dataset, source: DicomSource, where: Path | str) -> SegReference:
        """A SEG that was made for a series.

        Raises:
            DicomReferenceError: it names another series, or lacks an identifier.
        """
        with named_writing_errors(where, _WHAT, _HINT):
            listed = dataset.get("ReferencedSeriesSequence") or ()
            named = [str(each.get("SeriesInstanceUID")) for each in listed]
            uids = {name: str(dataset.get(name) or "") for name in _IDENTIFIERS}
        if named and source.series_instance_uid not in named:
            raise DicomReferenceError(
                "the DICOM SEG was made from another series than this scan",
                where=where,
                got=", ".join(named[:3]),
                expected=source.series_instance_uid,
                hint="Give the series on which it was drawn as --scan",
            )
        if missing := [name for name, uid in uids.items() if not uid]:
            raise DicomReferenceError(
                "a structured report must refer to the DICOM SEG, whose identifiers do not allow it",
                where=where,
                got=f"no {', '.join(missing)}",
            )
        kind, own, series, study = uids.values()
        return cls(kind, own, series, study, _series_number(dataset))


def _series_number(dataset: Dataset) -> int:
    """A SEG's own, if another can follow it; otherwise 0."""
    try:
        number = int(dataset.get("SeriesNumber") or 0)
    except CONVERSION_ERRORS:
        return 0
    return number if 0 < number < _LARGEST_NUMBER else 0


@dataclass(frozen=True)
class SrAlgorithm:
    """Who measured.

    Attributes:
        version: RenalMap's.
        bundle_sha256: the hash of the model that also made the SEG; None if the SEG was given.
    """

    version: str
    bundle_sha256: str | None = None


def build_dicom_sr(
    findings: Sequence[Finding], seg: SegReference, source: DicomSource, algorithm: SrAlgorithm
) -> Dataset:
    """Make a structured report (PS3.16 TID 1500) of what was measured of a SEG's segments.

    Each finding is a measurement group (TID 1411) that refers to its segment. Lines with their ends in the patient are
    in a second group (TID 1501) of the same tracking identifiers, because TID 1411 has no room for them.

    Args:
        findings: at least one.
        seg: what they refer to.
        source: the series from which the SEG was made.
        algorithm: who measured.

    Returns:
        highdicom's Comprehensive3DSR, which is a pydicom Dataset.

    Raises:
        DicomReferenceError: highdicom cannot write it.
        MissingDependencyError: highdicom is not installed.
    """
    with named_writing_errors(source.instances[0].file.path, _WHAT, _HINT):
        return _build(findings, seg, source, algorithm)


def check_sr_can_be_written(source: DicomSource, where: Path) -> None:
    """Write a structured report of one number to nowhere, before the work.

    Raises:
        DicomReferenceError: it cannot be written.
        MissingDependencyError: highdicom is not installed.
    """
    finding = Finding("kidney", 1, KIDNEY, None, (Quantity(VOLUME, 1.0, MILLIMETRE),))
    seg = SegReference("1.2.840.10008.5.1.4.1.1.66.4", "1.2.3", "1.2.4", source.study_instance_uid, 1)
    with named_writing_errors(where, _WHAT, _HINT):
        dataset = _build([finding], seg, source, SrAlgorithm("0"))
        dataset.save_as(BytesIO(), enforce_file_format=True)


def _build(
    findings: Sequence[Finding], seg: SegReference, source: DicomSource, algorithm: SrAlgorithm
) -> Dataset:
    highdicom, sr = (import_extra(name, _WHAT) for name in ("highdicom", "highdicom.sr"))
    datasets = source_datasets(source)
    groups = [
        group for finding in findings for group in _Groups(sr, finding, seg, source, algorithm).all()
    ]
    report = sr.MeasurementReport(
        observation_context=sr.ObservationContext(_observer(sr, algorithm)),
        procedure_reported=_coded(sr, CT),
        imaging_measurements=groups,
    )
    dataset = sr.Comprehensive3DSR(
        evidence=[*datasets, _evidence(seg)],
        content=report[0],
        series_instance_uid=highdicom.UID(),
        series_number=seg.series_number + 1,
        series_description="RenalMap measurements",
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="RenalMap",
        manufacturer_model_name="RenalMap",
        software_versions=algorithm.version,
        device_serial_number=algorithm.bundle_sha256,
        is_complete=True,
    )
    dataset.CodingSchemeIdentificationSequence = [_private_scheme()]
    return dataset  # type: ignore[no-any-return]


@dataclass(frozen=True, eq=False)
class _Groups:
    """The measurement groups of one finding."""

    sr: Any
    finding: Finding
    seg: SegReference
    source: DicomSource
    algorithm: SrAlgorithm

    def all(self) -> Iterator[Any]:
        """What is measured of the segment; then its lines, if there are any."""
        sr, finding = self.sr, self.finding
        flat = [each for each in finding.quantities if each.line_mm is None]
        lines = [each for each in finding.quantities if each.line_mm is not None]
        yield sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
            referenced_segment=sr.ReferencedSegment(
                sop_class_uid=self.seg.sop_class_uid,
                sop_instance_uid=self.seg.sop_instance_uid,
                segment_number=finding.segment,
                source_series=sr.SourceSeriesForSegmentation(self.source.series_instance_uid),
            ),
            measurements=[self._measured(each) for each in flat],
            qualitative_evaluations=[
                sr.QualitativeEvaluation(_coded(sr, each.name), _coded(sr, each.value))
                for each in finding.judgements
            ],
            **self._shared(),
        )
        if lines:
            yield sr.MeasurementsAndQualitativeEvaluations(
                measurements=[self._measured(each) for each in lines], **self._shared()
            )

    def _shared(self) -> dict[str, Any]:
        sr, finding = self.sr, self.finding
        kidney = finding.label == KIDNEY
        side = None if finding.side is None else _snomed(sr, SIDE_CODES[finding.side])
        return {
            "tracking_identifier": sr.TrackingIdentifier(
                uid=_uid(f"{self.seg.sop_instance_uid} {finding.name}"), identifier=finding.name
            ),
            "finding_category": _snomed(sr, ANATOMICAL_STRUCTURE if kidney else ABNORMAL_STRUCTURE),
            "finding_type": _snomed(sr, TYPE_CODES[finding.label]),
            "finding_sites": [sr.FindingSite(_snomed(sr, KIDNEY_CODE), side)],
            "algorithm_id": sr.AlgorithmIdentification("RenalMap", self.algorithm.version),
        }

    def _measured(self, quantity: Quantity) -> Any:
        sr, line = self.sr, None
        if quantity.line_mm is not None:
            line = [
                sr.CoordinatesForMeasurement3D(
                    graphic_type="POLYLINE",
                    graphic_data=quantity.line_mm @ LPS_TO_RAS[:3, :3],
                    frame_of_reference_uid=self.source.frame_of_reference_uid,
                )
            ]
        return sr.Measurement(
            name=_coded(sr, quantity.name),
            value=quantity.value,
            unit=_coded(sr, quantity.unit),
            derivation=None if quantity.derivation is None else _coded(sr, quantity.derivation),
            method=None if quantity.method is None else _coded(sr, quantity.method),
            referenced_coordinates=line,
        )


def _observer(sr: Any, algorithm: SrAlgorithm) -> Any:
    """The program as the device that measured: the same version and model are the same device."""
    from pydicom.sr.codedict import codes  # noqa: PLC0415  (slow import)

    return sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=_uid(f"RenalMap {algorithm.version} {algorithm.bundle_sha256}"),
            name="RenalMap",
            manufacturer_name="RenalMap",
            model_name=f"RenalMap {algorithm.version}",
            serial_number=algorithm.bundle_sha256,
        ),
    )


def _evidence(seg: SegReference) -> Dataset:
    from pydicom import Dataset  # noqa: PLC0415  (slow import)

    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = seg.sop_class_uid, seg.sop_instance_uid
    dataset.SeriesInstanceUID, dataset.StudyInstanceUID = seg.series_instance_uid, seg.study_instance_uid
    return dataset


def _private_scheme() -> Dataset:
    from pydicom import Dataset  # noqa: PLC0415  (slow import)

    scheme = Dataset()
    scheme.CodingSchemeDesignator = PRIVATE_SCHEME
    scheme.CodingSchemeName = "RenalMap's own codes"
    scheme.CodingSchemeResponsibleOrganization = "The RenalMap authors"
    return scheme


def _uid(text: str) -> str:
    """The same UID for the same text (PS3.5 B.2)."""
    return f"2.25.{uuid5(NAMESPACE_OID, text).int}"


def _coded(sr: Any, code: Code) -> Any:
    return sr.CodedConcept(code.value, code.scheme, code.meaning)


def _snomed(sr: Any, code: SnomedCode) -> Any:
    return sr.CodedConcept(code.value, "SCT", code.meaning)
