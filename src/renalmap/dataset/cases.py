"""Cases and the layouts they come in.

Three layouts are read: KiTS19's official folder, a `cases.csv` that names scans and masks anywhere
on disk, and a folder of single slices (`index.csv` beside `.npz` files with `hu` and `label`).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from renalmap.errors import (
    DatasetError,
    GeometryMismatchError,
    LabelError,
    NoImagesError,
    NonFiniteVoxelsError,
    PathMissingError,
)
from renalmap.imaging import read_geometry, read_label_map, read_volume
from renalmap.labels import LABEL_NAMES

MANIFEST_COLUMNS = ("case_id", "patient", "image", "mask", "acquisition")


@dataclass(frozen=True)
class Case:
    """A data set's record of one scan: no pixels.

    Attributes:
        case_id: unique in the data set.
        patient: who was scanned; a split never separates one patient's cases.
        image: NIfTI file or DICOM folder; None for a case of single slices.
        mask: NIfTI label map; None likewise.
        acquisition: which acquisition of a DICOM series.
        slice_files: for a case of single slices, (z, file) in ascending z.
    """

    case_id: str
    patient: str
    image: Path | None = None
    mask: Path | None = None
    acquisition: int | None = None
    slice_files: tuple[tuple[int, Path], ...] = ()


@dataclass(frozen=True, eq=False)
class CasePixels:
    """A case's pixels, to be walked through once.

    Attributes:
        shape: (rows, columns) of its slices.
        spacing_mm: voxel spacing (z, y, x); None where the slices do not tell it.
        z_indices: the slices there are, ascending.
        slices: yields (z, HU, labels) in that order, arrays of `shape`.
    """

    shape: tuple[int, int]
    spacing_mm: tuple[float, float, float] | None
    z_indices: tuple[int, ...]
    slices: Iterator[tuple[int, NDArray[Any], NDArray[np.uint8]]]


def find_cases(root: Path) -> tuple[Case, ...]:
    """The cases of a data set, sorted by id.

    Args:
        root: a folder in KiTS19's layout (`case_XXXXX/` directly inside or under `data/`), a folder of
            single slices with an `index.csv`, or a `cases.csv` file with the columns of
            `MANIFEST_COLUMNS` (paths relative to the file; `acquisition` may be empty).

    Raises:
        PathMissingError: nothing is there.
        DatasetError: it is none of these layouts, a table is faulty, or ids repeat.
        NoImagesError: a KiTS19 case has a mask and no imaging.
    """
    if not root.exists():
        raise PathMissingError("the data set does not exist", where=root)
    if root.is_file():
        cases = _manifest_cases(root)
    elif (root / "index.csv").is_file():
        cases = _slice_cases(root)
    else:
        cases = _kits_cases(root)
    _check_ids(cases, root)
    return tuple(sorted(cases, key=lambda case: case.case_id))


def _check_ids(cases: list[Case], root: Path) -> None:
    """Ids name files of the store, so they must be plain file names, each once."""
    seen: set[str] = set()
    for case in cases:
        if case.case_id in seen:
            raise DatasetError("two cases have the same id", where=root, got=case.case_id)
        if not case.case_id or case.case_id.startswith(".") or Path(case.case_id).name != case.case_id:
            raise DatasetError(
                "a case's id must be a plain file name", where=root, got=repr(case.case_id)
            )
        seen.add(case.case_id)


def count_slices(case: Case) -> int:
    """How many slices a case has, from its headers alone.

    Raises:
        InputError: any of the readers' errors.
    """
    if case.image is None:
        return len(case.slice_files)
    return read_geometry(case.image, acquisition=case.acquisition).shape[0]


def open_case(case: Case) -> CasePixels:
    """Read a case.

    Raises:
        GeometryMismatchError: image and mask lie on different grids.
        LabelError: the mask holds other labels than KiTS19's 0, 1, 2.
        InputError: any of the readers' errors.
    """
    if case.image is None or case.mask is None:
        return _open_slices(case)
    volume = read_volume(case.image, acquisition=case.acquisition)
    labels = read_label_map(case.mask)
    if not volume.geometry.matches(labels.geometry, tolerance_mm=0.1):
        raise GeometryMismatchError(
            "image and mask lie on different grids",
            where=case.case_id,
            got=f"mask {labels.geometry.shape} at {labels.geometry.affine[:3, 3].round(1).tolist()} mm",
            expected=f"{volume.geometry.shape} at {volume.geometry.affine[:3, 3].round(1).tolist()} mm",
        )
    _check_labels(labels.labels, case.case_id)
    depth, rows, columns = volume.geometry.shape
    return CasePixels(
        shape=(rows, columns),
        spacing_mm=volume.geometry.spacing_mm,
        z_indices=tuple(range(depth)),
        slices=((z, volume.hu[z], labels.labels[z]) for z in range(depth)),
    )


def _kits_cases(root: Path) -> list[Case]:
    folder = root / "data" if (root / "data").is_dir() else root
    cases = []
    for case_folder in sorted(folder.glob("case_*")):
        mask = case_folder / "segmentation.nii.gz"
        image = case_folder / "imaging.nii.gz"
        if not mask.is_file():
            continue
        if not image.is_file():
            raise NoImagesError(
                "a mask without imaging",
                where=case_folder,
                expected="imaging.nii.gz beside segmentation.nii.gz",
                hint="Fetch the imaging first: renalmap fetch kits19 --out FOLDER",
            )
        cases.append(Case(case_folder.name, case_folder.name, image, mask))
    if not cases:
        raise DatasetError(
            "no data set of a known layout",
            where=root,
            expected="case_XXXXX/{imaging,segmentation}.nii.gz, an index.csv of slices, or a cases.csv",
        )
    return cases


def _manifest_cases(path: Path) -> list[Case]:
    rows = _read_table(path, MANIFEST_COLUMNS)
    return [
        Case(
            case_id=row["case_id"],
            patient=row["patient"] or row["case_id"],
            image=_existing(path, row["image"]),
            mask=_existing(path, row["mask"]),
            acquisition=_integer(path, row["acquisition"]) if row["acquisition"] else None,
        )
        for row in rows
    ]


def _slice_cases(root: Path) -> list[Case]:
    table = root / "index.csv"
    rows = _read_table(table, ("name", "case", "z"))
    files: dict[str, list[tuple[int, Path]]] = {}
    for row in rows:
        path = _existing(table, f"{row['name']}.npz")
        files.setdefault(row["case"], []).append((_integer(table, row["z"]), path))
    return [Case(case, case, slice_files=tuple(sorted(found))) for case, found in files.items()]


def _read_table(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as handle:
            reader = csv.DictReader(handle, restval="")
            missing = set(columns) - set(reader.fieldnames or ())
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError("the table of cases is not CSV", where=path, got=str(error)) from error
    if missing:
        raise DatasetError(
            "the table of cases lacks columns",
            where=path,
            got=f"no {', '.join(sorted(missing))}",
            expected=", ".join(columns),
        )
    return rows


def _integer(table: Path, text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise DatasetError(
            "the table of cases has text where an integer belongs", where=table, got=repr(text)
        ) from error


def _existing(table: Path, name: str) -> Path:
    if not name:
        raise DatasetError("the table of cases leaves a path empty", where=table)
    path = (table.parent / name).resolve()
    if not path.exists():
        raise PathMissingError("a file that the table of cases names does not exist", where=path)
    return path


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
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as arrays:
            hu, labels = arrays["hu"], arrays["label"]
    except (OSError, EOFError, KeyError, ValueError, BadZipFile) as error:
        raise DatasetError("a slice cannot be read", where=path, got=str(error)) from error
    if hu.ndim != 2 or hu.shape != labels.shape:
        raise DatasetError(
            "a slice's pixels and labels do not fit",
            where=path,
            got=f"hu {hu.shape}, label {labels.shape}",
        )
    if not np.isfinite(hu).all():
        raise NonFiniteVoxelsError("a slice holds NaN or infinite pixels", where=path)
    _check_labels(labels, str(path))
    return hu, labels.astype(np.uint8)


def _check_labels(labels: NDArray[Any], where: str) -> None:
    found = np.array([labels.min(), labels.max()])
    if labels.dtype.kind not in "iub" or not np.isin(found, list(LABEL_NAMES)).all():
        raise LabelError(
            "a mask holds unknown labels",
            where=where,
            got=f"{labels.dtype} from {found[0]} to {found[1]}",
            expected=", ".join(f"{value} {name}" for value, name in LABEL_NAMES.items()),
        )
