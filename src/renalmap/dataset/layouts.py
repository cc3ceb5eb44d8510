"""The layouts of data sets, and what a data set says about its cases.

Read are the official folders of KiTS19, KiTS21 and KiTS23, nnU-Net's raw folder, a `cases.csv` that names
scans and masks anywhere on disk, and a folder of single slices (`index.csv` beside `.npz` files).
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from renalmap.dataset.nnunet import read_nnunet_labels
from renalmap.errors import DatasetError, PathMissingError, named_errors
from renalmap.imaging.nifti import NIFTI_SUFFIXES, scan_name
from renalmap.imaging.nifti_geometry import Orientation

MANIFEST = "cases.csv"
MANIFEST_COLUMNS = ("case_id", "patient", "image", "mask", "acquisition")

KITS_IMAGE: Final = "imaging.nii.gz"
KITS_MASKS: Final = ("segmentation.nii.gz", "aggregated_MAJ_seg.nii.gz")
"""KiTS19's and KiTS23's mask; KiTS21's majority of three annotators."""

_KITS_FOLDERS: Final = ("data", "dataset", "kits21/data")
_KITS_TABLES: Final = {"kits.json": "kits19", "kits21.json": "kits21", "kits23.json": "kits23"}
_CLINICAL_KEYS: Final = frozenset({"age_at_nephrectomy", "gender", "body_mass_index"})
"""KiTS's own table has these; a phantom's, or another data set's in KiTS's layout, does not."""

_NAMED: Final = 80

LayoutName = Literal["kits", "nnunet", "table", "slices"]
Edition = Literal["kits19", "kits21", "kits23"]


@dataclass(frozen=True)
class Case:
    """A data set's record of one scan: no pixels.

    Attributes:
        case_id: unique in the data set.
        patient: who was scanned; a split never separates one patient's cases.
        image: NIfTI file or DICOM folder; None for a case of single slices, or if there is none.
        mask: NIfTI label map; None likewise.
        acquisition: which acquisition of a DICOM series.
        slice_files: for a case of single slices, (z, file) in ascending z.
        mask_labels: (stored value, label) of a mask with other numbers than ours; empty if they are ours.
        orientation: which of sform and qform counts in its NIfTI files where they contradict each other.
    """

    case_id: str
    patient: str
    image: Path | None = None
    mask: Path | None = None
    acquisition: int | None = None
    slice_files: tuple[tuple[int, Path], ...] = ()
    mask_labels: tuple[tuple[int, int], ...] = ()
    orientation: Orientation | None = None


@dataclass(frozen=True)
class Dataset:
    """A data set as it is on disk.

    Attributes:
        root: what was given.
        layout: which layout it has.
        cases: sorted by id; an image or a mask may be missing.
        edition: which KiTS it is; None if it is not KiTS, or only has its layout.
        records: by case id, what the data set's own table says about it; empty without a table.
    """

    root: Path
    layout: LayoutName
    cases: tuple[Case, ...]
    edition: Edition | None = None
    records: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def read_dataset(root: Path) -> Dataset:
    """Recognise a data set's layout and list its cases, complete or not.

    Args:
        root: a folder in KiTS's layout (`case_XXXXX/` in it, in `data/` or in `dataset/`), in nnU-Net's
            (`labelsTr/`, `imagesTr/`, `dataset.json`), of single slices with an `index.csv`, or a
            `cases.csv`, or a folder with it, with the columns of `MANIFEST_COLUMNS` (paths relative to the file;
            `acquisition` may be empty).

    Raises:
        PathMissingError: nothing is there.
        DatasetError: it is none of these layouts, a table is faulty, or ids repeat.
    """
    if not root.exists():
        raise PathMissingError("the data set does not exist", where=root)
    if root.is_file():
        dataset = Dataset(root, "table", _manifest_cases(root))
    elif (root / MANIFEST).is_file():
        dataset = Dataset(root, "table", _manifest_cases(root / MANIFEST))
    elif (root / "index.csv").is_file():
        dataset = Dataset(root, "slices", _slice_cases(root))
    elif (root / "labelsTr").is_dir() or (root / "imagesTr").is_dir():
        dataset = Dataset(root, "nnunet", _nnunet_cases(root))
    else:
        dataset = _kits_dataset(root)
    if not dataset.cases:
        raise DatasetError(
            "no data set of a known layout",
            where=root,
            expected="case_XXXXX/{imaging,segmentation}.nii.gz, nnU-Net's imagesTr and labelsTr, "
            "an index.csv of slices, or a cases.csv",
        )
    dataset = replace(dataset, cases=tuple(sorted(dataset.cases, key=lambda case: case.case_id)))
    _check_ids(dataset)
    return dataset


def read_by(cases: Iterable[Case], orientation: Orientation | None) -> tuple[Case, ...]:
    """Cases whose NIfTI files are read by one of their two matrices."""
    return tuple(replace(case, orientation=orientation) for case in cases)


def kits_folder(root: Path) -> Path:
    """The folder that holds `case_XXXXX/`: one of those KiTS's repositories have, or the one given."""
    below = [root / name for name in _KITS_FOLDERS]
    return next((path for path in below if path.is_dir()), root)


def nifti_files(folder: Path) -> list[Path]:
    """The NIfTI files in a folder, except hidden ones; none if there is no such folder."""
    return [path for suffix in NIFTI_SUFFIXES for path in folder.glob(f"[!.]*{suffix}")]


def _check_ids(dataset: Dataset) -> None:
    """Ids name files of the store, so they must be plain file names, each used once."""
    seen: set[str] = set()
    for case in dataset.cases:
        if case.case_id in seen:
            raise DatasetError("two cases have the same id", where=dataset.root, got=case.case_id)
        if not case.case_id or case.case_id.startswith(".") or Path(case.case_id).name != case.case_id:
            raise DatasetError(
                "a case's id must be a plain file name", where=dataset.root, got=repr(case.case_id)
            )
        seen.add(case.case_id)


def _kits_dataset(root: Path) -> Dataset:
    folder = kits_folder(root)
    cases = []
    for case_folder in folder.glob("case_*"):
        image = case_folder / KITS_IMAGE
        masks = [case_folder / name for name in KITS_MASKS if (case_folder / name).is_file()]
        found = image if image.is_file() else None
        if found or masks:
            name = case_folder.name
            cases.append(Case(name, name, found, masks[0] if masks else None))
    table, records = _kits_table(folder)
    edition = _edition(table, records, cases)
    return Dataset(root, "kits", tuple(cases), edition, records)


def _kits_table(folder: Path) -> tuple[Path | None, dict[str, Mapping[str, Any]]]:
    table = next((folder / name for name in _KITS_TABLES if (folder / name).is_file()), None)
    if table is None:
        return None, {}
    with named_errors(
        lambda got: DatasetError(
            "the table of the data set cannot be read",
            where=table,
            got=got,
            expected="a list of records, each with a case_id",
            hint="Fetch it again from the official repository",
        )
    ):
        rows = json.loads(table.read_text(encoding="utf-8"))
        return table, {row["case_id"]: dict(row) for row in rows}


def _edition(
    table: Path | None, records: Mapping[str, Mapping[str, Any]], cases: list[Case]
) -> Edition | None:
    """Which KiTS: by its masks' and its table's names; none if its table is not KiTS's."""
    if table is None or not any(record.keys() >= _CLINICAL_KEYS for record in records.values()):
        return None
    if any(case.mask is not None and case.mask.name == KITS_MASKS[1] for case in cases):
        return "kits21"
    if table.name == "kits23.json":
        return "kits23"
    return "kits21" if table.name == "kits21.json" else "kits19"


def _nnunet_cases(root: Path) -> tuple[Case, ...]:
    translation = read_nnunet_labels(root / "dataset.json")
    images = {
        re.sub(r"_0000$", "", scan_name(path)): path
        for path in nifti_files(root / "imagesTr")
        if scan_name(path).endswith("_0000")
    }
    masks = {scan_name(path): path for path in nifti_files(root / "labelsTr")}
    return tuple(
        Case(name, name, images.get(name), masks.get(name), mask_labels=translation)
        for name in images.keys() | masks.keys()
    )


def _manifest_cases(path: Path) -> tuple[Case, ...]:
    return tuple(
        Case(
            case_id=row["case_id"],
            patient=row["patient"] or row["case_id"],
            image=_existing(path, row["image"]),
            mask=_existing(path, row["mask"]),
            acquisition=_integer(path, row["acquisition"]) if row["acquisition"] else None,
        )
        for row in _read_table(path, MANIFEST_COLUMNS)
    )


def _slice_cases(root: Path) -> tuple[Case, ...]:
    table = root / "index.csv"
    files: dict[str, list[tuple[int, Path]]] = {}
    patients: dict[str, str] = {}
    for row in _read_table(table, ("name", "case", "z")):
        path = _existing(table, f"{row['name']}.npz")
        files.setdefault(row["case"], []).append((_integer(table, row["z"]), path))
        patient = row.get("patient") or row["case"]
        if patients.setdefault(row["case"], patient) != patient:
            raise DatasetError(
                "a case has slices of two patients",
                where=table,
                got=f"{row['case']}: {patients[row['case']]}, {patient}",
            )
    return tuple(
        Case(case, patients[case], slice_files=tuple(sorted(found))) for case, found in files.items()
    )


def _read_table(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    with (
        named_errors(lambda got: DatasetError("the table of cases is not CSV", where=path, got=got)),
        path.open(newline="", encoding="utf-8") as handle,
    ):
        reader = csv.DictReader(handle, restval="")
        missing = set(columns) - set(reader.fieldnames or ())
        rows = list(reader)
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
            "the table of cases has text where a whole number is needed", where=table, got=repr(text)
        ) from error


def _existing(table: Path, name: str) -> Path:
    if not name:
        raise DatasetError("the table of cases leaves a path empty", where=table)
    try:
        path = (table.parent / name).resolve()
        exists = path.exists()
    except (OSError, ValueError) as error:  # too long, or with a zero byte
        raise DatasetError(
            "the table of cases names what cannot be a file", where=table, got=repr(name[:_NAMED])
        ) from error
    if not exists:
        raise PathMissingError("a file that the table of cases names does not exist", where=path)
    return path
