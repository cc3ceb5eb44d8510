"""Measurements as a DICOM structured report, each beside the segment of the DICOM SEG that it belongs to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from renalmap import __version__
from renalmap.anatomy import LESION_LABELS, Anatomy, Kidney, Voxels
from renalmap.api.dicom_seg import dicom_source_of
from renalmap.api.dicom_sr_scores import score_judgements, score_quantities
from renalmap.errors import ConfigError, GeometryMismatchError
from renalmap.imaging import LabelMap
from renalmap.imaging.dicom_seg.codes import STRUCTURES
from renalmap.imaging.dicom_seg.reading import is_dicom_seg, read_segments
from renalmap.imaging.dicom_seg.writing import DICOM_SUFFIX, write_dicom
from renalmap.imaging.dicom_sr.codes import (
    ATTENUATION,
    AXIAL_OFFSET,
    C_INDEX,
    CONTACT,
    CRANIOCAUDAL_OFFSET,
    DEPTH,
    DEVIATION,
    DIAMETER_IN_SPACE,
    EXOPHYTIC_SHARE,
    HOUNSFIELD,
    HSIEH,
    LENGTH,
    LONG_AXIS,
    MEAN,
    MILLILITRE,
    MILLIMETRE,
    NO_UNITS,
    PERCENT,
    SHARE_OF_BOTH,
    SHORT_AXIS,
    SQUARE_MILLIMETRE,
    VOLUME,
    VOXEL_SUM,
    WITHIN_5_MM,
    WITHIN_10_MM,
    Code,
)
from renalmap.imaging.dicom_sr.writing import (
    Finding,
    Quantity,
    SegReference,
    SrAlgorithm,
    build_dicom_sr,
)
from renalmap.imaging.nifti import is_nifti_name
from renalmap.labels import KIDNEY
from renalmap.measure import Diameter, KidneyMeasurement, LesionMeasurement, Measurements
from renalmap.nephrometry import Nephrometry, score_anatomy

if TYPE_CHECKING:
    from pydicom import Dataset

DICOM_SR_SUFFIX: Final = "_sr.dcm"


def check_sr_request(label_map: Path, scan: Path | None) -> None:
    """Refuse, before anything is read, a structured report that would have nothing to refer to.

    Raises:
        ConfigError: there is no scan, or the label map is no DICOM SEG.
    """
    if scan is None:
        raise ConfigError(
            "a structured report refers to the slices of its scan, and none was given",
            where=label_map,
            hint="Give the DICOM series as --scan",
        )
    if is_nifti_name(label_map) or not is_dicom_seg(label_map):
        raise ConfigError(
            "a structured report refers to the segments of a DICOM SEG, and this label map is none",
            where=label_map,
            hint="renalmap segment SERIES --out NAME.dcm --sr writes both",
        )


def write_sr_beside_seg(
    path: Path, seg: tuple[Path, Anatomy], measured: Measurements, scan: Path, *, overwrite: bool
) -> None:
    """Write the structured report of an existing DICOM SEG.

    Args:
        path: the report.
        seg: the SEG's file, and the anatomy read from it, with its scan.
        measured: what was measured of it.
        scan: the scan's path.
        overwrite: replace an existing file.

    Raises:
        InputError: the scan is not DICOM.
        DicomReferenceError: the SEG is another series', or there are no identifiers to refer to.
        GeometryMismatchError: the file has changed since the anatomy was read.
        OutputExistsError: the report exists.
    """
    file, anatomy = seg
    assert anatomy.scan is not None
    source = dicom_source_of(anatomy.scan, scan)
    segments, dataset = read_segments(file)
    if not np.array_equal(segments.labels > 0, anatomy.label_map.labels > 0):
        raise GeometryMismatchError("the DICOM SEG has changed since it was measured", where=file)
    findings = findings_of(anatomy, measured, score_anatomy(anatomy, measured), segments.labels)
    reference = SegReference.of(dataset, source, file)
    report = build_dicom_sr(findings, reference, source, SrAlgorithm(__version__))
    write_dicom(report, path, overwrite=overwrite)


def segments_of(structures: LabelMap, seg: Dataset) -> NDArray[np.uint8]:
    """The segment numbers that `build_dicom_seg` gave to structures, voxel by voxel."""
    numbers = np.zeros(256, np.uint8)
    given = {str(each.SegmentLabel): int(each.SegmentNumber) for each in seg.SegmentSequence}
    for structure in STRUCTURES:
        numbers[structure.number] = given.get(structure.name, 0)
    found: NDArray[np.uint8] = numbers[structures.labels]
    return found


def findings_of(
    anatomy: Anatomy, measured: Measurements, scored: Nephrometry, segments: NDArray[np.uint8]
) -> list[Finding]:
    """Every kidney and lesion with its numbers and its segment.

    Args:
        anatomy: as it was measured.
        measured: its measurements.
        scored: its tumours' scores.
        segments: (z, y, x) the number of the segment that marks each voxel of the anatomy's grid.
    """
    kidneys = [
        Finding(
            _name(kidney),
            _segment(kidney.own, segments),
            KIDNEY,
            kidney.side,
            tuple(_of_kidney(one)),
        )
        for kidney, one in zip(anatomy.kidneys, measured.kidneys, strict=True)
    ]
    scores = {one.lesion: one for one in scored.lesions}
    lesions = [
        Finding(
            lesion.name,
            _segment([lesion.voxels], segments),
            LESION_LABELS[lesion.kind],
            lesion.side,
            (*_of_lesion(one), *score_quantities(scores.get(one.id))),
            tuple(score_judgements(scores.get(one.id))),
        )
        for lesion, one in zip(anatomy.lesions, measured.lesions, strict=True)
    ]
    return [*kidneys, *lesions]


def _name(kidney: Kidney) -> str:
    """As "left kidney"; a second one of a side is "left kidney 2"."""
    side, _, rank = kidney.id.partition("_")
    return f"{side} kidney {rank}".rstrip()


def _segment(parts: Sequence[Voxels], segments: NDArray[np.uint8]) -> int:
    """The segment of most voxels: one without a side may be shared out between two."""
    counts = sum(np.bincount(segments[part.box.slices][part.inside], minlength=256) for part in parts)
    return int(np.argmax(counts))


def _of_kidney(kidney: KidneyMeasurement) -> Iterator[Quantity]:
    yield Quantity(VOLUME, kidney.parenchyma_ml, MILLILITRE, method=VOXEL_SUM)
    yield from _attenuation(kidney)
    yield from _known((SHARE_OF_BOTH, _percent(kidney.share_of_both), PERCENT))
    yield _line(LENGTH, kidney.length)


def _of_lesion(lesion: LesionMeasurement) -> Iterator[Quantity]:
    yield Quantity(VOLUME, lesion.volume_ml, MILLILITRE, method=VOXEL_SUM)
    yield from _attenuation(lesion)
    yield from _known(
        (EXOPHYTIC_SHARE, _percent(lesion.exophytic_share), PERCENT),
        (CONTACT, lesion.contact_mm2, SQUARE_MILLIMETRE),
        (HSIEH, lesion.hsieh_contact_mm2, SQUARE_MILLIMETRE),
        (DEPTH, lesion.depth_mm, MILLIMETRE),
        (WITHIN_5_MM, lesion.kidney_within_5_mm_ml, MILLILITRE),
        (WITHIN_10_MM, lesion.kidney_within_10_mm_ml, MILLILITRE),
        (C_INDEX, lesion.c_index, NO_UNITS),
        (AXIAL_OFFSET, lesion.axial_offset_mm, MILLIMETRE),
        (CRANIOCAUDAL_OFFSET, lesion.craniocaudal_offset_mm, MILLIMETRE),
    )
    yield _line(LONG_AXIS, lesion.longest_axial_diameter)
    yield _line(SHORT_AXIS, lesion.short_axis)
    yield _line(DIAMETER_IN_SPACE, lesion.largest_3d_diameter)


def _attenuation(one: KidneyMeasurement | LesionMeasurement) -> Iterator[Quantity]:
    for value, derivation in ((one.mean_hu, MEAN), (one.sd_hu, DEVIATION)):
        if value is not None:
            yield Quantity(ATTENUATION, value, HOUNSFIELD, derivation)


def _known(*rows: tuple[Code, float | None, Code]) -> Iterator[Quantity]:
    """The rows that have a value."""
    yield from (Quantity(name, value, unit) for name, value, unit in rows if value is not None)


def _line(name: Code, diameter: Diameter) -> Quantity:
    return Quantity(name, diameter.length_mm, MILLIMETRE, line_mm=diameter.ends_mm)


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100.0 * share, 1)


def sr_path(output: Path) -> Path:
    """Where the structured report of a DICOM SEG goes: SCAN_sr.dcm beside SCAN_seg.dcm, NAME_sr.dcm beside NAME.dcm."""
    stem = output.name[: -len(DICOM_SUFFIX)].removesuffix("_seg")
    return output.with_name(f"{stem}{DICOM_SR_SUFFIX}")
