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
from renalmap.measure.anatomy import find_kidneys
from renalmap.measure.midline import BodyTrack

if TYPE_CHECKING:
    from renalmap.imaging.dicom.source import DicomSource

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


def name_structures(label_map: LabelMap, track: BodyTrack) -> LabelMap:
    """Tell the left kidney's voxels from the right's, and their lesions', by the patient's midline.

    Sides are those of the quality report: a connected part is on the side of most of its voxels, whole,
    unless much of it lies on either. What is in no such part, a cyst apart from its kidney, goes by the
    midline voxel by voxel.

    Args:
        label_map: kidney, tumour and cyst; axes (z, y, x).
        track: where the body's midline is.

    Returns:
        Numbers of `STRUCTURES` in place of labels; all 0 where the label map is.
    """
    depth, _, columns = label_map.labels.shape
    left = np.arange(columns) > track.at(np.arange(depth))[:, None]
    tables = {"left": _table("left"), "right": _table("right")}
    named = np.empty_like(label_map.labels)
    for z, plane in enumerate(label_map.labels):
        named[z] = np.where(left[z], tables["left"][plane], tables["right"][plane])
    for kidney in find_kidneys(label_map, track):
        for part in kidney.parts:
            labels = label_map.labels[part.box.slices][part.inside]
            named[part.box.slices][part.inside] = tables[kidney.side][labels]
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
