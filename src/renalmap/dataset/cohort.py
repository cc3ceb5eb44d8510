"""The scans of a cohort: which files and folders a path stands for."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from renalmap.dataset.layouts import KITS_IMAGE, KITS_MASKS, kits_folder, nifti_files
from renalmap.errors import ConfigError, DatasetError, NoImagesError
from renalmap.imaging.dicom_files.bounds import named_dicom_errors
from renalmap.imaging.dicom_files.files import DicomFile
from renalmap.imaging.dicom_files.fileset import is_dicom_file
from renalmap.imaging.nifti import is_nifti_name, scan_name

logger = logging.getLogger(__name__)

_NNUNET_FOLDERS: Final = ("imagesTr", "imagesTs")
_CHANNEL: Final = "_0000"
_SEGMENTATION: Final = "_seg"


@dataclass(frozen=True)
class CohortScan:
    """One scan of a cohort.

    Attributes:
        path: a NIfTI file or a DICOM folder; if there is none, where it should be.
        name: its name in the cohort; None for a scan that was given by its own path.
        problem: why there is nothing to segment; None if there is.
        acquisition: which acquisition of a DICOM series; None leaves it to the request.
    """

    path: Path
    name: str | None = None
    problem: str | None = None
    acquisition: int | None = None


@dataclass(frozen=True)
class Cohort:
    """Scans to be segmented together.

    Attributes:
        scans: in the order of the paths that were given, and by name below each.
        folders: those of the paths that are folders of scans.
    """

    scans: tuple[CohortScan, ...]
    folders: tuple[Path, ...] = ()

    @property
    def is_several(self) -> bool:
        """Whether results belong in a folder; False for one scan given by its own path."""
        return bool(self.folders) or len(self.scans) != 1


def short_name(scan: Path) -> str:
    """A scan's name: the file's without suffix, the DICOM folder's, or a KiTS19 case's."""
    name = scan_name(scan)
    return scan.absolute().parent.name if name == scan_name(Path(KITS_IMAGE)) else name


def find_cohort(paths: Sequence[Path]) -> Cohort:
    """Find the scans that paths stand for.

    A path is one scan if it is a file, or a folder with DICOM slices directly in it. Any other folder is a
    folder of scans if it has KiTS's layout (`case_XXXXX/imaging.nii.gz`), nnU-Net's (`imagesTr`,
    `imagesTs`), NIfTI files directly in it, or folders of DICOM slices anywhere below; a scan of the last kind is
    named after its path (`patient/series` is `patient_series`). A path that does not exist remains a scan, so
    that reading reports it.

    Args:
        paths: files and folders.

    Raises:
        NoImagesError: the only path is a folder without a scan; of several, it becomes a scan with a
            problem.
        ConfigError: a folder holds NIfTI files and folders of DICOM slices.
        DatasetError: it has nnU-Net's layout and no scan in it.
    """
    scans: list[CohortScan] = []
    folders = []
    for path in paths:
        if not _is_folder(path) or _holds_dicom(path):
            scans.append(CohortScan(path))
            continue
        found = _scans_in(path)
        if found:
            folders.append(path)
            scans += found
            continue
        error = _no_scan(path)
        if len(paths) == 1:
            raise error
        scans.append(CohortScan(path, problem=str(error)))
    return Cohort(tuple(scans), tuple(folders))


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name too long for the file system: reading says so
        return False


def _no_scan(folder: Path) -> NoImagesError:
    kinds = Counter(path.suffix or "no suffix" for path in folder.iterdir())
    return NoImagesError(
        "the folder holds no scan",
        where=folder,
        got=", ".join(f"{count} x {kind}" for kind, count in sorted(kinds.items())) or "an empty folder",
        expected="DICOM slices in it or in folders below it, NIfTI files in it, or the layout of KiTS or "
        "nnU-Net",
    )


def _scans_in(folder: Path) -> list[CohortScan]:
    if any((folder / name).is_dir() for name in _NNUNET_FOLDERS):
        return _nnunet_scans(folder)
    if (folder / KITS_IMAGE).is_file():
        return [CohortScan(folder / KITS_IMAGE, folder.absolute().name)]
    kits = _kits_scans(folder)
    if kits:
        return kits
    flat, series = _flat_scans(folder), _dicom_scans(folder)
    if flat and series:
        raise ConfigError(
            "the folder holds NIfTI files and folders of DICOM slices",
            where=folder,
            got=f"{flat[0].path.name} and {series[0].path.relative_to(folder)}/, among others",
            expected="one kind, as one may be a conversion of the other",
            hint="Give the files or folders themselves",
        )
    return flat or series


def _kits_scans(folder: Path) -> list[CohortScan]:
    """By case; one that only has a mask is named, so that a run cannot silently skip it."""
    scans = []
    for case in sorted(kits_folder(folder).glob("case_*")):
        image = case / KITS_IMAGE
        if image.is_file():
            scans.append(CohortScan(image, case.name))
        elif any((case / mask).is_file() for mask in KITS_MASKS):
            problem = f"{image}: the case has a mask and no scan. `renalmap fetch` downloads it"
            scans.append(CohortScan(image, case.name, problem))
    return scans


def _nnunet_scans(folder: Path) -> list[CohortScan]:
    files = [path for name in _NNUNET_FOLDERS for path in nifti_files(folder / name)]
    scans = [path for path in files if scan_name(path).endswith(_CHANNEL)]
    if not scans:
        raise DatasetError(
            "the data set in nnU-Net's layout has no scan",
            where=folder,
            expected="imagesTr/NAME_0000.nii.gz or imagesTs/NAME_0000.nii.gz",
        )
    named = [CohortScan(path, scan_name(path).removesuffix(_CHANNEL)) for path in scans]
    return sorted(named, key=lambda scan: scan.name or "")


def _flat_scans(folder: Path) -> list[CohortScan]:
    """Without masks: KiTS's, and `NAME_seg.nii.gz` beside `NAME.nii.gz`."""
    files = [path for path in nifti_files(folder) if path.name not in KITS_MASKS]
    names = {scan_name(path) for path in files}
    masks = {f"{name}{_SEGMENTATION}" for name in names}
    kept = sorted(path for path in files if scan_name(path) not in masks)
    if len(kept) < len(files):
        logger.info("%s: left out %d segmentations beside their scans", folder, len(files) - len(kept))
    return [CohortScan(path, scan_name(path)) for path in kept]


def _dicom_scans(folder: Path) -> list[CohortScan]:
    scans = []
    for series in _dicom_folders(folder, frozenset()):
        modality = _modality(series)
        if modality in {"", "CT"}:
            scans.append(CohortScan(series, "_".join(series.relative_to(folder).parts)))
        else:
            logger.warning("%s: left out, as its modality is %s, not CT", series, modality)
    return scans


def _dicom_folders(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    """Folders below that hold DICOM files directly; a link that leads back up is not followed."""
    above |= {folder.resolve()}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.is_dir() or path.resolve() in above:
            continue
        if _holds_dicom(path):
            yield path
        else:
            yield from _dicom_folders(path, above)


def _holds_dicom(folder: Path) -> bool:
    return _first_dicom(folder) is not None


def _first_dicom(folder: Path) -> Path | None:
    files = (path for path in sorted(folder.iterdir()) if path.is_file() and not is_nifti_name(path))
    return next((path for path in files if is_dicom_file(path)), None)


def _modality(folder: Path) -> str:
    """The modality that the folder's first DICOM file states; empty if it states none."""
    first = _first_dicom(folder)
    if first is None:
        return ""
    with named_dicom_errors(first):
        return str(DicomFile(first).read_header(["Modality"]).get("Modality") or "")
