"""Writing a DICOM SEG: from structures on a canonical grid to the stored slices of their scan.

Every pixel of every source slice is looked up by where it lies in the patient. No axis is flipped
anywhere: orientations follow from ImagePositionPatient and ImageOrientationPatient alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from renalmap.errors import GeometryMismatchError, LabelError
from renalmap.extras import import_extra
from renalmap.imaging.dicom.placing import labels_on_instances
from renalmap.imaging.dicom_seg.codes import (
    ABNORMAL_STRUCTURE,
    ANATOMICAL_STRUCTURE,
    KIDNEY_CODE,
    SIDE_CODES,
    STRUCTURES,
    TYPE_CODES,
    SnomedCode,
    Structure,
)
from renalmap.imaging.dicom_seg.sources import (
    check_source,
    named_writing_errors,
    source_datasets,
    unusable_attributes,
)
from renalmap.imaging.files import check_writable, replace_atomically
from renalmap.imaging.volume import LabelMap
from renalmap.labels import KIDNEY

if TYPE_CHECKING:
    from pydicom import Dataset

    from renalmap.imaging.dicom_files.source import DicomSource

SegmentationType = Literal["binary", "labelmap"]

DICOM_SUFFIX: Final = ".dcm"

_SERIES_NUMBER_STEP: Final = 1000


@dataclass(frozen=True)
class SegAlgorithm:
    """Who made a segmentation.

    Attributes:
        version: RenalMap's.
        bundle_sha256: the model's hash, 64 hexadecimal digits.
    """

    version: str
    bundle_sha256: str


def build_dicom_seg(
    structures: LabelMap,
    source: DicomSource,
    algorithm: SegAlgorithm,
    segmentation_type: SegmentationType = "binary",
) -> Dataset:
    """Make a DICOM SEG (PS3.3 A.51) out of structures, for the series on which they were found.

    Args:
        structures: numbers of `STRUCTURES`, 0 elsewhere; axes (z, y, x).
        source: that series.
        algorithm: named in every segment.
        segmentation_type: `binary`: one bit per pixel, uncompressed, a frame for each structure and each
            slice with any of it. `labelmap`: the newer Label Map Segmentation (DICOM 2024), one byte per
            pixel, RLE, a frame for each slice.

    Returns:
        highdicom's Segmentation, which is a pydicom Dataset. A structure without voxels gets no segment.

    Raises:
        DicomReferenceError: as `check_source`; or highdicom cannot write it.
        LabelError: there is no structure at all, or a number is not a structure's.
        GeometryMismatchError: the structures do not lie on the series' slices.
        MissingDependencyError: highdicom is not installed.
    """
    check_source(source, structures.name)
    found = _structures_in(structures)
    with named_writing_errors(structures.name):
        return _build(found, _pixels(structures, source), source, algorithm, segmentation_type)


def check_can_be_written(
    source: DicomSource, where: Path, segmentation_type: SegmentationType = "binary"
) -> tuple[str, ...]:
    """Write a DICOM SEG of one pixel on two slices of a series to nowhere, before the work.

    Args:
        source: a series that `check_source` took.
        where: for messages.
        segmentation_type: as for `build_dicom_seg`.

    Returns:
        What the SEG will leave out, a sentence each.

    Raises:
        DicomReferenceError: it cannot be written.
        MissingDependencyError: highdicom is not installed.
    """
    trial = replace(source, instances=source.instances[:2])
    pixels = np.zeros((len(trial.instances), *source.rows_columns), np.uint8)
    pixels[0, 0, 0] = STRUCTURES[0].number
    with named_writing_errors(where):
        dataset = _build([STRUCTURES[0]], pixels, trial, SegAlgorithm("0", "0" * 64), segmentation_type)
        dataset.save_as(BytesIO(), enforce_file_format=True)
        unusable = unusable_attributes(source)
    return tuple(
        f"{where}: the DICOM SEG has no {name}, because the scan's is not a value that DICOM allows"
        for name in unusable
    )


def _build(
    found: Sequence[Structure],
    pixels: NDArray[np.uint8],
    source: DicomSource,
    algorithm: SegAlgorithm,
    segmentation_type: SegmentationType,
) -> Dataset:
    """The SEG of structures, given as their numbers on every source slice (instances, rows, columns)."""
    highdicom = import_extra("highdicom", "writing a DICOM SEG")
    import_extra("highdicom.seg", "writing a DICOM SEG")
    datasets = source_datasets(source)
    binary = segmentation_type == "binary"
    numbers = np.zeros(256, np.uint8)
    for place, each in enumerate(found, start=1):
        numbers[each.number] = place if binary else each.number
    dataset = highdicom.seg.Segmentation(
        source_images=datasets,
        pixel_array=numbers[pixels],
        segmentation_type=segmentation_type.upper(),
        segment_descriptions=[
            _describe(highdicom, each, int(numbers[each.number]), algorithm) for each in found
        ],
        series_instance_uid=highdicom.UID(),
        series_number=_SERIES_NUMBER_STEP + int(datasets[0].get("SeriesNumber") or 0),
        series_description="RenalMap kidneys and tumours",
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="RenalMap",
        manufacturer_model_name="RenalMap",
        software_versions=algorithm.version,
        device_serial_number=algorithm.bundle_sha256,
        content_label="RENALMAP",
        content_description="Kidneys and tumours; research use only",
        transfer_syntax_uid=_transfer_syntax(segmentation_type),
        # All slices' frames show how far the scan reaches. Where they would cost too much, single
        # bits, the list of referenced instances tells it; a multi-frame scan's has one entry only.
        omit_empty_frames=binary and len(datasets) > 1,
    )
    if source.instances[0].frame is not None:
        _refer_to_frames(dataset, source)
    return dataset  # type: ignore[no-any-return]


def write_dicom(dataset: Dataset, path: Path, *, overwrite: bool = False) -> None:
    """Write a DICOM SEG or structured report, completely or not at all.

    Raises:
        OutputExistsError: the file exists.
        PathMissingError: its folder does not.
        DicomReferenceError: it holds a value that cannot be written.
    """
    check_writable(path, overwrite=overwrite, at_once=True)
    with named_writing_errors(path), replace_atomically(path) as temporary:
        dataset.save_as(temporary, enforce_file_format=True)


def _pixels(structures: LabelMap, source: DicomSource) -> NDArray[np.uint8]:
    """(instances, rows, columns): the structures on every source slice."""
    placed = labels_on_instances(structures, source)
    if not source.resampled:
        voxels, found = _counts(structures.labels), _counts(placed)
        if not np.array_equal(voxels, found):
            raise GeometryMismatchError(
                "the labels are not on the slices of the series",
                where=structures.name,
                got=f"{int(voxels.sum())} labelled voxels, {int(found.sum())} pixels",
                expected="each voxel as one pixel",
                hint="Give the series on which the labels were drawn",
            )
    return placed


def _refer_to_frames(dataset: Any, source: DicomSource) -> None:
    """Put the source's own frame numbers in place of those among the frames that were taken from it."""
    references = [
        reference
        for own in dataset.PerFrameFunctionalGroupsSequence
        for reference in own.DerivationImageSequence[0].SourceImageSequence
    ]
    # Frames of several segments on one slice share one item.
    for reference in {id(each): each for each in references}.values():
        taken = int(reference.ReferencedFrameNumber) - 1
        reference.ReferencedFrameNumber = source.instances[taken].frame


def _counts(labels: NDArray[np.uint8]) -> NDArray[np.intp]:
    """(256,) how often each number is there, but for 0."""
    return np.bincount(labels[labels > 0], minlength=256)


def _structures_in(structures: LabelMap) -> list[Structure]:
    present = np.flatnonzero(_counts(structures.labels))
    known = {each.number: each for each in STRUCTURES}
    if not present.size:
        raise LabelError(
            "a DICOM SEG must mark something, and nothing was found",
            where=structures.name,
            hint="Write NIfTI instead (--out NAME.nii.gz), where a label map may be empty",
        )
    strangers = sorted(set(present.tolist()) - known.keys())
    if strangers:
        raise LabelError(
            "a map of structures holds other numbers",
            where=structures.name,
            got=", ".join(map(str, strangers)),
            expected=f"0 to {len(STRUCTURES)}",
        )
    return [known[number] for number in present.tolist()]


def _describe(highdicom: Any, structure: Structure, number: int, algorithm: SegAlgorithm) -> Dataset:
    """A segment's description; PS3.3 C.8.20.4."""
    from pydicom.sr.codedict import codes  # noqa: PLC0415  (slow import)

    def coded(code: SnomedCode) -> Any:
        return highdicom.sr.CodedConcept(code.value, "SCT", code.meaning)

    kidney = structure.label == KIDNEY
    described = highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=structure.name,
        segmented_property_category=coded(ANATOMICAL_STRUCTURE if kidney else ABNORMAL_STRUCTURE),
        segmented_property_type=coded(TYPE_CODES[structure.label]),
        algorithm_type="AUTOMATIC",
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name="RenalMap",
            version=algorithm.version,
            family=codes.cid7162.ArtificialIntelligence,
            parameters={"bundle_sha256": algorithm.bundle_sha256},
        ),
        anatomic_regions=None if kidney else [coded(KIDNEY_CODE)],
        display_color=highdicom.color.CIELabColor.from_rgb(*structure.rgb),
    )
    # A kidney's side belongs to what it is, a lesion's to where it is.
    side = [coded(SIDE_CODES[structure.side])]
    if kidney:
        described.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = side
    else:
        described.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = side
    return described  # type: ignore[no-any-return]


def _transfer_syntax(segmentation_type: SegmentationType) -> str:
    """RLE for bytes. Single bits cannot be coded so, and viewers read them uncompressed only."""
    from pydicom.uid import ExplicitVRLittleEndian, RLELossless  # noqa: PLC0415  (slow import)

    return RLELossless if segmentation_type == "labelmap" else ExplicitVRLittleEndian
