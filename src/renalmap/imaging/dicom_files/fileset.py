"""Which files a path stands for: a folder with all below it, an archive, what a DICOMDIR lists."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Final

from renalmap.errors import PathMissingError, TruncatedFileError, UnsafeArchiveError, named_errors
from renalmap.imaging.dicom_files.archive import ARCHIVE_SUFFIX, Archive
from renalmap.imaging.dicom_files.files import DicomFile, begins_as_dicom, quiet_pydicom, read_tags

DIRECTORY_NAME: Final = "DICOMDIR"
DICOM_SUFFIXES: Final = {".dcm", ".dicom", ".ima", ".dic"}
"""A file called so is meant to be DICOM; others may be."""

_NAMED: Final = 5

HIDDEN: Final = "hidden"
LINKED: Final = "behind a link to a folder"
UNLISTED: Final = "not listed by the DICOMDIR"
NO_FILE: Final = "not a file that can be opened"

_MOST_BEYOND: Final = 1000
"""Of a hidden folder or behind a link so many files are compared with the scan: it may be a whole disk."""


@dataclass(frozen=True)
class FileAside:
    """A file that is not read as part of a scan.

    Attributes:
        file: which.
        reason: why, for the user; such as `HIDDEN`, `LINKED`, `UNLISTED` or `NO_FILE`.
    """

    file: DicomFile
    reason: str


@dataclass(frozen=True)
class FileSet:
    """The files behind a path.

    Attributes:
        where: the path, for messages.
        files: sorted by name; none is opened yet.
        aside: files beside them that are not read.
        missing: what a DICOMDIR lists as an image and is not there.
        unreadable: folders whose contents cannot be listed, with the reason.
        single: whether the path was a single DICOM file.
    """

    where: Path
    files: tuple[DicomFile, ...]
    aside: tuple[FileAside, ...] = ()
    missing: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    single: bool = False

    @property
    def unlisted(self) -> int:
        """How many files lie beside a DICOMDIR that does not list them."""
        return sum(each.reason == UNLISTED for each in self.aside)


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
        return _below(path, path)
    if is_archive_name(path):
        archive = Archive(path)
        members = {PurePosixPath(name): DicomFile(path, name, archive) for name in archive.members}
        return _as_listed(FileSet(path, ()), members)
    if is_directory_name(path.name):
        return _below(path, path.absolute().parent)
    return FileSet(path, (DicomFile(path),), single=True)


def _below(where: Path, root: Path) -> FileSet:
    """The files of a folder and all below, those that are not read apart."""
    unreadable: list[str] = []
    files: dict[PurePosixPath, DicomFile] = {}
    aside: list[FileAside] = []
    for path, reason in _walk(root, unreadable):
        name = PurePosixPath(path.relative_to(root).as_posix())
        file = DicomFile(path if where == root else where.parent / name)
        if reason is None:
            files[name] = file
        else:
            aside.append(FileAside(file, reason))
    return _as_listed(FileSet(where, (), tuple(aside), unreadable=tuple(unreadable)), files)


def _walk(root: Path, unreadable: list[str]) -> Iterator[tuple[Path, str | None]]:
    """Every file with the reason why it is not read, None where it is."""

    def note(error: OSError) -> None:
        unreadable.append(f"{error.filename}: {error.strerror}")

    for folder, folders, names in os.walk(root, onerror=note):
        for path in (Path(folder) / name for name in sorted(names)):
            if not path.name.startswith("._") and path.name != ".DS_Store":  # macOS's own
                yield path, _why_not_read(path)
        for path in (Path(folder) / name for name in sorted(folders)):
            if path.is_symlink() or path.name.startswith("."):
                reason = LINKED if path.is_symlink() else HIDDEN
                beyond = (Path(below) / name for below, _, found in os.walk(path) for name in found)
                yield from (
                    (file, reason) for file in islice(filter(_has_content, beyond), _MOST_BEYOND)
                )
        folders[:] = sorted(name for name in folders if not name.startswith("."))


def _has_content(path: Path) -> bool:
    """Whether it is a file; those of /proc, which may never end, say that they are empty."""
    return os.path.isfile(path) and path.stat().st_size > 0  # noqa: PTH113  (Path's raises)


def _why_not_read(path: Path) -> str | None:
    if not os.path.isfile(path):  # noqa: PTH113  (Path's raises where permission is lacking)
        return NO_FILE  # or a link to nothing, a pipe, a device
    return HIDDEN if path.name.startswith(".") else None


def _as_listed(found: FileSet, files: dict[PurePosixPath, DicomFile]) -> FileSet:
    """Of some files, below each DICOMDIR keep what it lists."""
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
            there = by_upper.get(str(below / entry).upper())
            if there is not None:
                listed.add(there)
            elif is_image:
                missing.append(str(below / entry))
        unlisted |= {name for name in kept if name.is_relative_to(below) and name not in listed}
    return replace(
        found,
        files=tuple(file for name, file in sorted(kept.items()) if name not in unlisted),
        aside=(*found.aside, *(FileAside(kept[name], UNLISTED) for name in sorted(unlisted))),
        missing=tuple(missing),
    )


def read_directory(file: DicomFile) -> Sequence[tuple[PurePosixPath, bool]]:
    """What a DICOMDIR lists (DICOM PS3.3 F.5).

    Returns:
        (path relative to the DICOMDIR's folder, whether it is an image) of every file.

    Raises:
        TruncatedFileError: it is damaged, or no DICOMDIR.
        TooLargeError, UnsafeArchiveError: see `DicomStream`; the latter also if an entry leads out of the folder.
    """
    unreadable = partial(
        TruncatedFileError,
        "the DICOMDIR cannot be read",
        where=str(file),
        hint="Give the folder that holds the slices instead",
    )
    # pydicom warns of names with characters that DICOM does not allow; they are judged below.
    with quiet_pydicom(), named_errors(lambda got: unreadable(got=got)), file.open() as stream:
        entries = [
            (each.get("ReferencedFileID"), str(each.get("DirectoryRecordType", "")))
            for each in read_tags(stream).DirectoryRecordSequence
        ]
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
    """Refuse a path of which a part is gone or closed.

    Raises:
        PathMissingError: a DICOMDIR lists images that are not there, or a folder cannot be read.
    """
    for missing, what, hint in (
        (files.missing, "the DICOMDIR lists images that are not there", "Copy the whole medium"),
        (files.unreadable, "a folder cannot be read, and may hold slices", "Make it readable"),
    ):
        if missing:
            raise PathMissingError(
                what,
                where=files.where,
                got=shorten(missing),
                hint=f"{hint}, or give the folder of one series; --allow-missing-slices takes what is there",
            )


def shorten(names: Sequence[str], between: str = ", ") -> str:
    """A list for a message, however long."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return between.join(names[:_NAMED]) + more
