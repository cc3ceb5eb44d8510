"""Cases to train on, and their pixels. `renalmap.dataset.layouts` knows where files are on disk."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalmap.dataset.layouts import MANIFEST, Case, read_dataset
from renalmap.errors import (
    DatasetError,
    GeometryMismatchError,
    InputError,
    LabelError,
    NoImagesError,
    NonFiniteVoxelsError,
)
from renalmap.imaging import (
    Geometry,
    LabelMap,
    Volume,
    check_same_grid,
    read_geometry,
    read_label_map,
    read_volume,
)
from renalmap.imaging.arrays import read_npz
from renalmap.labels import CYST, KIDNEY, LABEL_NAMES, UNKNOWN, is_known

__all__ = [
    "Case",
    "CasePixels",
    "find_cases",
    "open_case",
    "read_case_geometry",
    "read_mask",
    "read_scan",
]

_FOR_ONE_SCAN = re.compile(r" ?\(?--(series|acquisition|resample|allow-missing-slices)( [\w.]+)?\)?")


@dataclass(frozen=True, eq=False)
class CasePixels:
    """A case's pixels, to be walked through once.

    Attributes:
        shape: (rows, columns) of its slices.
        spacing_mm: voxel spacing (z, y, x); None if the slices do not give it.
        z_indices: the slices there are, ascending.
        slices: yields (z, HU, labels) in that order, arrays of `shape`; labels 0, 1, 2 and `UNKNOWN`.
        cysts: whether the mask of a scan marks cysts, which count as kidney here.
    """

    shape: tuple[int, int]
    spacing_mm: tuple[float, float, float] | None
    z_indices: tuple[int, ...]
    slices: Iterator[tuple[int, NDArray[Any], NDArray[np.uint8]]]
    cysts: bool = False


def find_cases(root: Path, *, whole: bool = True) -> tuple[Case, ...]:
    """The cases of a data set that can be trained on, sorted by id.

    Args:
        root: a data set in one of the layouts that `read_dataset` reads. Scans without a mask are left
            out.
        whole: refuse a data set of which some cases have no imaging; otherwise one of which none has any.

    Raises:
        PathMissingError: nothing is there.
        DatasetError: it has none of these layouts, a table is faulty, ids repeat, or there is no mask.
        NoImagesError: a case has a mask and no imaging.
    """
    dataset = read_dataset(root)
    cases = tuple(case for case in dataset.cases if case.slice_files or case.mask is not None)
    if not cases:
        raise DatasetError("no case of the data set has a mask", where=root)
    without = [case for case in cases if case.image is None and not case.slice_files]
    if without and (whole or len(without) == len(cases)):
        raise _no_imaging(without[0])
    return cases


def read_case_geometry(case: Case) -> Geometry:
    """The position of a scan's voxels, from its headers alone.

    Raises:
        NoImagesError: there is a mask and no imaging.
        InputError: any of the readers' errors.
    """
    if case.image is None:
        raise _no_imaging(case)
    with _named_for_a_data_set():
        return read_geometry(case.image, acquisition=case.acquisition, orientation=case.orientation)


def read_scan(case: Case) -> Volume:
    """A case's scan.

    Raises:
        NoImagesError: there is a mask and no imaging.
        InputError: any of the readers' errors.
    """
    if case.image is None:
        raise _no_imaging(case)
    with _named_for_a_data_set():
        return read_volume(case.image, acquisition=case.acquisition, orientation=case.orientation)


@contextmanager
def _named_for_a_data_set() -> Iterator[None]:
    """Readers advise options for a single scan, which verbs for data sets lack."""
    try:
        yield
    except InputError as error:
        if not _FOR_ONE_SCAN.search(f"{error.hint} {error.got}"):
            raise
        raise type(error)(
            error.what,
            where=error.where,
            got=error.got and _FOR_ONE_SCAN.sub("", error.got),
            expected=error.expected,
            hint=f"A data set takes one complete, regular stack a case: name its folder in {MANIFEST}, "
            "and its acquisition, or convert it to NIfTI first",
        ) from error


def open_case(case: Case) -> CasePixels:
    """Read a case to train on. Cysts marked in a mask become kidney, as in KiTS19.

    Raises:
        GeometryMismatchError: image and mask are on different grids.
        LabelError: the mask holds other labels than KiTS's 0 to 3.
        InputError: any of the readers' errors.
    """
    if case.slice_files:
        return _open_slices(case)
    volume, labels = read_scan(case), read_mask(case)
    check_same_grid(volume, labels, where=case.case_id, names=("image", "mask"))
    _check_known(labels.labels, case.mask)
    cysts = bool((labels.labels == CYST).any())
    for plane in labels.labels if cysts else ():
        plane[plane == CYST] = KIDNEY
    depth, rows, columns = volume.geometry.shape
    return CasePixels(
        shape=(rows, columns),
        spacing_mm=volume.geometry.spacing_mm,
        z_indices=tuple(range(depth)),
        slices=((z, volume.hu[z], labels.labels[z]) for z in range(depth)),
        cysts=cysts,
    )


def read_mask(case: Case) -> LabelMap:
    """A case's mask in our labels, cysts kept.

    Raises:
        LabelError: it holds other values than KiTS's 0 to 3, or than its data set names.
        InputError: any of the readers' errors.
        ValueError: the case has no mask.
    """
    if case.mask is None:
        raise ValueError(f"{case.case_id} has no mask")
    label_map = read_label_map(case.mask, case.orientation)
    if not case.mask_labels:
        _check_labels(label_map.labels, str(case.mask))
        return label_map
    unnamed = 254
    ours = np.full(256, unnamed, np.uint8)
    for stored, label in case.mask_labels:
        ours[stored] = label
    # Slice by slice and in place: a scan's mask is in memory once.
    for plane in label_map.labels:
        highest = plane.max()
        plane[...] = ours[plane]
        if (plane == unnamed).any():
            raise LabelError(
                "a mask holds values that its dataset.json does not name",
                where=case.mask,
                got=f"values up to {highest}",
                expected=", ".join(str(stored) for stored, _ in case.mask_labels),
            )
    return label_map


def _no_imaging(case: Case) -> NoImagesError:
    return NoImagesError(
        "a mask without imaging",
        where=case.mask,
        expected="the scan of the case beside it (KiTS: imaging.nii.gz)",
        hint="Fetch the imaging first: renalmap fetch kits19 --out FOLDER",
    )


def _open_slices(case: Case) -> CasePixels:
    def walk() -> Iterator[tuple[int, NDArray[Any], NDArray[np.uint8]]]:
        for z, path in case.slice_files:
            hu, labels = _read_slice(path)
            if hu.shape != shape:
                raise GeometryMismatchError(
                    "a case's slices differ in size", where=path, got=str(hu.shape), expected=str(shape)
                )
            yield z, hu, labels

    shape = _read_slice(case.slice_files[0][1])[0].shape
    return CasePixels(
        shape=(shape[0], shape[1]),
        spacing_mm=None,
        z_indices=tuple(z for z, _ in case.slice_files),
        slices=walk(),
    )


def _read_slice(path: Path) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    hu, labels = read_npz(
        path, ("hu", "label"), lambda got: DatasetError("a slice cannot be read", where=path, got=got)
    )
    if hu.ndim != 2 or hu.shape != labels.shape:
        raise DatasetError(
            "a slice's pixels and labels differ in shape",
            where=path,
            got=f"hu {hu.shape}, label {labels.shape}",
        )
    if hu.dtype.kind not in "iuf":
        raise DatasetError("a slice's pixels are not numbers", where=path, got=str(hu.dtype))
    if not np.isfinite(hu).all():
        raise NonFiniteVoxelsError("a slice holds NaN or infinite pixels", where=path)
    _check_labels(labels, str(path))
    _check_known(labels, path)
    return hu, np.where(labels == CYST, KIDNEY, labels).astype(np.uint8)


def _check_labels(labels: NDArray[Any], where: str) -> None:
    """Labels are whole numbers from KiTS's 0 to 3, or `UNKNOWN`."""
    whole = labels.dtype.kind in "iub"
    named = labels[is_known(labels)] if whole else labels
    found = np.array([named.min(), named.max()]) if named.size else np.zeros(1, labels.dtype)
    if not whole or not np.isin(found, list(LABEL_NAMES)).all():
        raise LabelError(
            "a mask holds labels that are not allowed",
            where=where,
            got=f"{labels.dtype} from {found[0]} to {found[-1]}",
            expected=", ".join(f"{value} {name}" for value, name in LABEL_NAMES.items())
            + f", {UNKNOWN} unknown",
        )


def _check_known(labels: NDArray[Any], where: Path | str | None) -> None:
    if not is_known(labels).any():
        raise LabelError(
            "every voxel of a mask is unknown, so nothing can be learnt from it",
            where=where,
            got=f"{UNKNOWN} (unknown) everywhere",
            expected="a region in which background, kidney and tumour are marked",
            hint="Leave the case out with --exclude, or mark the region that was examined",
        )
