"""Segmentations as DICOM SEG: which kidney is which, and to which series it refers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from renalmap.anatomy import Anatomy, Lesion, Speck, SpeckKind, Voxels
from renalmap.errors import InputError
from renalmap.imaging import LabelMap, Volume
from renalmap.imaging.dicom_seg.codes import STRUCTURES
from renalmap.imaging.dicom_seg.sources import check_source
from renalmap.imaging.nifti import is_nifti_name
from renalmap.labels import LABEL_NAMES, Side

if TYPE_CHECKING:
    from renalmap.imaging.dicom_files.source import DicomSource

DICOM_SEG_SUFFIX = "_seg.dcm"


def dicom_source_of(volume: Volume, scan: Path) -> DicomSource:
    """The series from which a scan was read, checked so that a SEG can refer to it.

    Raises:
        InputError: the scan is not DICOM.
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


def name_structures(anatomy: Anatomy) -> LabelMap:
    """Separate the voxels of the left kidney from the right's, and those of their lesions.

    A structure of unknown side goes to that of most of its voxels, because a segment must have one.

    Returns:
        Numbers of `STRUCTURES` in place of labels; all 0 where the label map is.
    """
    label_map = anatomy.label_map
    named = np.zeros_like(label_map.labels)
    numbers = {(LABEL_NAMES[each.label], each.side): each.number for each in STRUCTURES}

    def mark(voxels: Voxels, kind: SpeckKind, side: Side | None) -> None:
        number = numbers[kind, side or voxels.side(anatomy.midline.track)]
        named[voxels.box.slices][voxels.inside] = number

    for kidney in anatomy.kidneys:
        for tissue in kidney.own:
            mark(tissue, "kidney", kidney.side)
    others: list[Lesion | Speck] = [*anatomy.lesions, *anatomy.specks]
    for one in others:
        mark(one.voxels, one.kind, one.side)
    return LabelMap(named, label_map.geometry, label_map.name)


def _no_dicom(scan: Path) -> InputError:
    return InputError(
        "a DICOM SEG refers to the DICOM slices of its scan, and this scan is not DICOM",
        where=scan,
        expected="a DICOM series",
        hint="Give the DICOM series, or write NIfTI",
    )
