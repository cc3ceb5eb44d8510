"""Segmentations as DICOM SEG: which kidney is which, and to the file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from renalmap import __version__
from renalmap.errors import InputError
from renalmap.imaging import LabelMap, Volume
from renalmap.imaging.dicom_seg.codes import STRUCTURES, Side
from renalmap.imaging.dicom_seg.sources import check_source
from renalmap.imaging.dicom_seg.writing import (
    SegAlgorithm,
    SegmentationType,
    build_dicom_seg,
    write_dicom_seg,
)
from renalmap.imaging.nifti import is_nifti_name
from renalmap.labels import CYST, TUMOUR
from renalmap.measure.anatomy import Part
from renalmap.measure.sides import assemble_kidneys, foreground_parts, locate_midline

if TYPE_CHECKING:
    from renalmap.imaging.dicom_files.source import DicomSource

DICOM_SEG_SUFFIX = "_seg.dcm"


def dicom_source_of(volume: Volume, scan: Path) -> DicomSource:
    """The series a scan was read from, fit to be referred to.

    Raises:
        InputError: the scan is no DICOM.
        DicomReferenceError: it lacks identifiers; as `check_source`.
    """
    if volume.source is None:
        raise _no_dicom(scan)
    check_source(volume.source, scan)
    return volume.source


def check_can_be_dicom_seg(scan: Path) -> None:
    """Refuse a scan that is a NIfTI file, by its name, before it is read.

    Raises:
        InputError: it is.
    """
    if is_nifti_name(scan):
        raise _no_dicom(scan)


def save_dicom_seg(
    structures: LabelMap,
    source: DicomSource,
    out: Path,
    bundle_sha256: str,
    *,
    segmentation_type: SegmentationType = "binary",
    overwrite: bool = False,
) -> None:
    """Write structures as a DICOM SEG of the series they were found on; as `build_dicom_seg`.

    Args:
        structures: from `name_structures`.
        source: the series.
        out: the file.
        bundle_sha256: the model's hash.
        segmentation_type: `binary` or `labelmap`.
        overwrite: replace an existing file.
    """
    algorithm = SegAlgorithm(__version__, bundle_sha256)
    dataset = build_dicom_seg(structures, source, algorithm, segmentation_type)
    write_dicom_seg(dataset, out, overwrite=overwrite)


def name_structures(label_map: LabelMap, volume: Volume) -> LabelMap:
    """Tell the left kidney's voxels from the right's, and their lesions'.

    Sides are those of `measure_label_map`: a kidney's pieces and their lesions are on the side of most of
    its tissue, whole; only a kidney that lies on both sides is shared out by the body's midline. A lesion
    apart from any kidney, or of a kidney that is shared out, is on the side of most of its voxels.

    Args:
        label_map: kidney, tumour and cyst; axes (z, y, x).
        volume: the scan, whose body tells where the midline is.

    Returns:
        Numbers of `STRUCTURES` in place of labels; all 0 where the label map is.
    """
    parts = foreground_parts(label_map)
    midline = locate_midline(label_map, parts, volume)
    named = np.zeros_like(label_map.labels)

    def name(part: Part, side: Side | None) -> None:
        labels = label_map.labels[part.box.slices][part.inside]
        named[part.box.slices][part.inside] = _table(side or part.side(midline.track))[labels]

    whole: set[int] = set()
    for kidney in assemble_kidneys(label_map, parts, midline):
        for piece in kidney.parts:
            name(piece, kidney.side)
            whole.add(id(piece))
    for part in parts:
        if id(part) in whole:
            continue
        if not named[part.box.slices][part.inside].any():
            name(part, None)
        for lesion in (TUMOUR, CYST):
            for found in part.only(label_map, lesion).connected():
                name(found, None)
    return LabelMap(named, label_map.geometry, label_map.name)


def _table(side: Side) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """A side's structure for each label."""
    table = np.zeros(256, np.uint8)
    for each in STRUCTURES:
        if each.side == side:
            table[each.label] = each.number
    return table


def _no_dicom(scan: Path) -> InputError:
    return InputError(
        "a DICOM SEG refers to the DICOM slices of its scan, and this scan is no DICOM",
        where=scan,
        expected="a DICOM series",
        hint="Give the DICOM series, or write NIfTI (--out NAME.nii.gz)",
    )
