"""Which files a path stands for: a folder with all below it, an archive, what a DICOMDIR lists."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from renalmap.errors import PathMissingError, TruncatedFileError, UnsafeArchiveError
from renalmap.imaging.budget import is_special_file
from renalmap.imaging.dicom_files.archive import ARCHIVE_SUFFIX, Archive
from renalmap.imaging.dicom_files.files import DicomFile, begins_as_dicom

DIRECTORY_NAME: Final = "DICOMDIR"

_NAMED: Final = 3


@dataclass(frozen=True)
class FileSet:
    """The files behind a path.

    Attributes:
        where: the path, for messages.
        files: sorted by name; none is opened yet.
        unlisted: how many files lie beside a DICOMDIR that does not list them; they are not read.
        missing: what a DICOMDIR lists as an image and is not there.
        single: whether the path was a single DICOM file.
    """

    where: Path
    files: tuple[DicomFile, ...]
    unlisted: int = 0
    missing: tuple[str, ...] = ()
    single: bool = False


def is_archive_name(path: Path) -> bool:
    """Whether the name ends like a zip archive's."""
    return path.name.lower().endswith(ARCHIVE_SUFFIX)


def is_directory_name(name: str) -> bool:
    """Whether this is what DICOM media call their directory."""
    return name.upper() == DIRECTORY_NAME


def is_dicom_file(path: Path) -> bool:
    """Whether a file on disk begins as a DICOM file must."""
    with path.open("rb") as stream:
        return begins_as_dicom(stream)


def find_files(path: Path) -> FileSet:
    """Find the files behind a path, without following links to folders.

    Args:
        path: a folder, a `.zip`, a DICOMDIR, or a single DICOM file.

    Returns:
        The files, hidden ones left out. Below a DICOMDIR only those that it lists.

    Raises:
        UnsafeArchiveError: an archive or a DICOMDIR leads elsewhere; see `Archive`.
        TruncatedFileError: an archive or a DICOMDIR is damaged.
    """
    if path.is_dir():
        return _as_listed(path, {_relative(file, path): DicomFile(file) for file in _walk(path)})
    if is_archive_name(path):
        archive = Archive(path)
        return _as_listed(
            path, {PurePosixPath(name): DicomFile(path, name, archive) for name in archive.members}
        )
    if is_directory_name(path.name):
        root = path.absolute().parent
        files = {
            _relative(file, root): DicomFile(path.parent / _relative(file, root)) for file in _walk(root)
        }
        return _as_listed(path, files)
    return FileSet(path, (DicomFile(path),), single=True)


def _walk(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files = (Path(folder) / name for name in sorted(names) if not name.startswith("."))
        yield from (file for file in files if not is_special_file(file))


def _relative(file: Path, root: Path) -> PurePosixPath:
    return PurePosixPath(file.relative_to(root).as_posix())


def _as_listed(where: Path, files: dict[PurePosixPath, DicomFile]) -> FileSet:
    """Below each DICOMDIR, keep what it lists."""
    directories = {name: file for name, file in files.items() if is_directory_name(name.name)}
    kept = {name: file for name, file in files.items() if name not in directories}
    unlisted: set[PurePosixPath] = set()
    missing: list[str] = []
    by_upper = {str(name).upper(): name for name in kept}
    for directory, file in directories.items():
        below = directory.parent
        listed = set()
        for entry, is_image in read_directory(file):
            # Media written by ISO 9660 have upper-case names, which some systems mount in lower case.
            found = by_upper.get(str(below / entry).upper())
            if found is not None:
                listed.add(found)
            elif is_image:
                missing.append(str(below / entry))
        unlisted |= {name for name in kept if name.is_relative_to(below) and name not in listed}
    chosen = tuple(file for name, file in sorted(kept.items()) if name not in unlisted)
    return FileSet(where, chosen, len(unlisted), tuple(missing))


def read_directory(file: DicomFile) -> Sequence[tuple[PurePosixPath, bool]]:
    """What a DICOMDIR lists (DICOM PS3.3 F.5).

    Returns:
        (path relative to the DICOMDIR's folder, whether it is an image) of every file.

    Raises:
        TruncatedFileError: it is damaged, or no DICOMDIR.
        UnsafeArchiveError: an entry leads out of the folder.
    """
    try:
        with warnings.catch_warnings():
            # pydicom warns of names with characters that DICOM does not allow; they are judged below.
            warnings.simplefilter("ignore")
            records = file.read_header(["DirectoryRecordSequence"]).DirectoryRecordSequence
            entries = [
                (each.get("ReferencedFileID"), str(each.get("DirectoryRecordType", "")))
                for each in records
            ]
    except Exception as error:  # pydicom raises many kinds on damaged files
        if isinstance(error, OSError) and error.filename is not None:
            raise
        raise TruncatedFileError(
            "the DICOMDIR cannot be read",
            where=str(file),
            got=f"{type(error).__name__}: {error}".splitlines()[0],
            hint="Give the folder that holds the slices instead",
        ) from error
    listed = []
    for entry, kind in entries:
        parts = [entry] if isinstance(entry, str) else list(entry or ())
        if not parts or parts == [""]:
            continue
        if any(part in {"", "..", "."} or set(part) & set("/\\:") for part in parts):
            raise UnsafeArchiveError(
                "the DICOMDIR names a file outside its folder",
                where=str(file),
                got=repr("/".join(parts)),
                hint="Give the folder that holds the slices instead",
            )
        listed.append((PurePosixPath(*parts), kind.upper() == "IMAGE"))
    return listed


def check_complete(files: FileSet) -> None:
    """Refuse a medium of which a part is gone.

    Raises:
        PathMissingError: a DICOMDIR lists images that are not there.
    """
    if files.missing:
        shown = ", ".join(files.missing[:_NAMED])
        more = f" and {len(files.missing) - _NAMED} more" if len(files.missing) > _NAMED else ""
        raise PathMissingError(
            "the DICOMDIR lists images that are not there",
            where=files.where,
            got=f"{shown}{more} missing",
            hint="Copy the whole medium, or give the folder of one series",
        )
