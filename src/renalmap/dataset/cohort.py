"""The scans of a cohort: which files and folders a path stands for."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from renalmap.dataset.layouts import KITS_IMAGE, KITS_MASKS, kits_folder, nifti_files
from renalmap.errors import (
    ConfigError,
    DatasetError,
    NoImagesError,
    RenalMapError,
    as_case_error,
)
from renalmap.imaging.dicom.reading_headers import read_owner
from renalmap.imaging.dicom_files.fileset import DICOM_SUFFIXES, is_dicom_file
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
    `imagesTs`), NIfTI files directly in it, or folders of DICOM slices anywhere below. Of the last kind, the folders
    of one patient's study are one scan, from which reading chooses a series; it is named after its path
    (`patient/study` is `patient_study`). If all are of one study, the folder is one scan. A path that does not exist
    remains a scan, so that reading reports it.

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
        if found and found[0].path == path:  # one study in several folders
            scans += found
            continue
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
    """A scan for each study with a folder of its own, else for each folder; the folder itself if it is one study."""
    owners, problems, hollow = _dicom_owners(folder)
    if not owners and not problems:
        return []
    alone = len(set(owners.values())) == 1 and not problems
    if alone and len(next(iter(owners.values()))) > 1 and not _leads_out(folder, owners):
        return [CohortScan(folder)]
    paths = set(problems)
    for owner in set(owners.values()):
        own = [series for series, whose in owners.items() if whose == owner]
        whole = Path(os.path.commonpath(own))
        others = (*problems, *(series for series, whose in owners.items() if whose != owner))
        is_own = not any(other.is_relative_to(whole) for other in others) and not _leads_out(whole, own)
        paths |= {whole} if is_own else set(own)
    for series in hollow:  # reading a study tells of those within it
        if not any(series.is_relative_to(path) for path in paths):
            problems[series] = str(_no_scan(series))
    return [
        CohortScan(path, "_".join(path.relative_to(folder).parts), problems.get(path))
        for path in sorted(paths | set(problems))
    ]


def _dicom_owners(folder: Path) -> tuple[dict[Path, tuple[str, ...]], dict[Path, str], list[Path]]:
    """Of the folders below: whose study's CT they hold, what is wrong with them, and which only seem to hold DICOM."""
    owners: dict[Path, tuple[str, ...]] = {}
    problems: dict[Path, str] = {}
    hollow = []
    for series in _dicom_folders(folder, frozenset()):
        try:
            first = _first_dicom(series)
            if first is None:
                hollow.append(series)
                continue
            modality, *owner = read_owner(first)
        except (RenalMapError, OSError) as error:
            problems[series] = str(as_case_error(series, error))
            continue
        if modality in {"", "CT"}:
            owners[series] = tuple(owner) if all(owner) else (str(series),)
        else:
            logger.warning("%s: left out, as its modality is %s, not CT", series, modality)
    return owners, problems, hollow


def _leads_out(folder: Path, below: Iterable[Path]) -> bool:
    """Whether some folders are reached through links, which reading the whole would not follow."""
    return any(
        each.is_symlink() for path in below for each in (path, *path.parents) if folder in each.parents
    )


def _dicom_folders(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    """Folders below that directly hold files that are DICOM or called so, or cannot be listed.

    No link is followed that leads back up.
    """
    above |= {folder.resolve()}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.is_dir() or path.resolve() in above:
            continue
        if _holds_dicom(path):
            yield path
            continue
        if any(each.suffix.lower() in DICOM_SUFFIXES and each.is_file() for each in path.iterdir()):
            yield path
        yield from _dicom_folders(path, above)


def _holds_dicom(folder: Path) -> bool:
    try:
        return _first_dicom(folder) is not None
    except OSError:  # reading says why it cannot be listed
        return True


def _first_dicom(folder: Path) -> Path | None:
    for path in sorted(folder.iterdir()):
        with suppress(OSError):
            if path.is_file() and not is_nifti_name(path) and is_dicom_file(path):
                return path
    return None
