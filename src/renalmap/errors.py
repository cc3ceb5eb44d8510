"""The error tree: everything RenalMap raises on purpose is a `RenalMapError`.

A message says what is wrong, in which file or case, what was got and expected, and what to do next.
`InputError` and its children end a command with exit code 2; a `CaseError` is one case of many that
failed while the others went on (exit code 1).

    RenalMapError (exit code 1)
    ├── InputError (exit code 2)
    │   ├── PathMissingError
    │   ├── NoImagesError
    │   ├── TruncatedFileError
    │   ├── TooLargeError
    │   ├── UnreadableImageError
    │   ├── DimensionError
    │   ├── ColourImageError
    │   ├── NonFiniteVoxelsError
    │   ├── AffineError
    │   │   └── GantryTiltError
    │   ├── NonAxialSeriesError
    │   ├── MissingSliceError
    │   │   └── UnevenSlicesError
    │   ├── MixedSeriesError
    │   ├── AmbiguousSeriesError
    │   ├── UnsafeArchiveError
    │   ├── AmbiguousAcquisitionError
    │   ├── LabelError
    │   ├── GeometryMismatchError
    │   ├── DicomReferenceError
    │   ├── OutputExistsError
    │   ├── ConfigError
    │   ├── DatasetError
    │   ├── StoreError
    │   ├── BundleError
    │   ├── MissingDependencyError
    │   ├── DiskSpaceError
    │   ├── FolderInUseError
    │   └── ClusterError
    ├── NetworkError
    ├── ContentError
    │   └── DamagedContentError
    ├── ExportMismatchError
    └── CaseError
        └── CasesFailedError
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger(__name__)

_LINES = 3
"""Of a library's message: what, where and why in pydantic's."""


class RenalMapError(Exception):
    """Root of the tree.

    Args:
        what: what is wrong, in one clause.
        where: the file, folder or case it concerns.
        got: what was found.
        expected: what would have been right.
        hint: what to do next.
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        where: Path | str | None = None,
        got: str | None = None,
        expected: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.what = what
        self.where = None if where is None else str(where)
        self.got = got
        self.expected = expected
        self.hint = hint
        super().__init__(self._compose())

    def _compose(self) -> str:
        head = self.what if self.where is None else f"{self.where}: {self.what}"
        details = [
            f"{name} {value}"
            for name, value in (("got", self.got), ("expected", self.expected))
            if value is not None
        ]
        text = head + (f" ({'; '.join(details)})" if details else "")
        return text if self.hint is None else f"{text}. {self.hint}"


class InputError(RenalMapError):
    """The user's input cannot be used as it is."""

    exit_code = 2


class PathMissingError(InputError):
    """A path that was given does not exist."""


class NoImagesError(InputError):
    """A folder holds no image that can be read."""


class TruncatedFileError(InputError):
    """A file ends before its data does."""


class TooLargeError(InputError):
    """Reading a file would take more memory than a read may."""


class UnreadableImageError(InputError):
    """A file is not an image of a kind RenalMap reads."""


class DimensionError(InputError):
    """An image is not a three-dimensional grid."""


class ColourImageError(InputError):
    """An image has several samples per voxel (RGB)."""


class NonFiniteVoxelsError(InputError):
    """An image holds NaN or infinite voxels."""


class AffineError(InputError):
    """An affine is singular, sheared, or oblique beyond what an axial network can take."""


class GantryTiltError(AffineError):
    """A series' slices are shifted against each other: the gantry was tilted."""


class NonAxialSeriesError(InputError):
    """A series is not made of axial slices."""


class MissingSliceError(InputError):
    """The gaps between a series' slices are unequal."""


class MixedSeriesError(InputError):
    """A folder holds slices that do not belong to one volume."""


class UnevenSlicesError(MissingSliceError):
    """The spacing of a series' slices varies, and not because slices are missing."""


class AmbiguousSeriesError(InputError):
    """Several series could be meant, or the named one does not exist."""


class UnsafeArchiveError(InputError):
    """An archive or a DICOMDIR asks for something unsafe."""


class AmbiguousAcquisitionError(InputError):
    """A series holds several acquisitions and none was chosen."""


class LabelError(InputError):
    """A label map holds values that are not labels."""


class GeometryMismatchError(InputError):
    """Two images that must share a grid do not."""


class DicomReferenceError(InputError):
    """A scan has no identifiers by which a DICOM SEG could refer to it."""


class OutputExistsError(InputError):
    """An output would overwrite a file and `--overwrite` was not given."""


class ConfigError(InputError):
    """A setting is unknown, out of range, or contradicts another."""


class DatasetError(InputError):
    """A data set's layout, table or split cannot be used."""


class StoreError(InputError):
    """A prepared store is missing, incomplete, or made with other settings."""


class BundleError(InputError):
    """A model bundle is missing a part or fails its hash."""


class MissingDependencyError(InputError):
    """An optional package is needed and not installed."""


class DiskSpaceError(InputError):
    """A disk has too little space for what was requested."""


class FolderInUseError(InputError):
    """Another process is writing into a folder."""


class ClusterError(InputError):
    """A cluster cannot be reached, or cannot do what it is asked to do."""


class NetworkError(RenalMapError):
    """A server cannot be reached, or does not provide what was requested."""


class ContentError(RenalMapError):
    """What a server sent is not the file it should be: a web page, a Git LFS pointer."""


class DamagedContentError(ContentError):
    """A file of the right kind is truncated or damaged; it may arrive whole if sent again."""


class ExportMismatchError(RenalMapError):
    """The exported graph and the network disagree."""


class CaseError(RenalMapError):
    """One case of several failed."""


class CasesFailedError(CaseError):
    """Cases of several failed, while the others went on.

    Attributes:
        failures: one error per case.
    """

    failures: tuple[RenalMapError, ...] = ()


def is_full_disk(error: OSError) -> bool:
    """Whether a file could not be written because there is no room, or no more is allowed."""
    return error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def as_output_error(path: Path | str, error: OSError) -> InputError:
    """Why an output cannot be written, by the name that the user knows and not by a temporary one."""
    if is_full_disk(error):
        hint = "Free some space; what is finished is kept, and the same command continues"
        return DiskSpaceError("the disk is full", where=path, got=error.strerror, hint=hint)
    reason = error.strerror or str(error)
    return InputError("the output cannot be written", where=path, got=reason, hint="Give another place")


@contextmanager
def named_errors(name: Callable[[str], RenalMapError]) -> Iterator[None]:
    """A format's boundary: whatever a library raises about a file becomes the format's own error.

    Errors of ours pass, and so do the system's own: no permission, no such file, a faulty disk.

    Args:
        name: makes the error from what the library said.
    """
    try:
        yield
    except RenalMapError:
        raise
    except MemoryError as error:
        where = name("").where
        raise TooLargeError("there is not enough memory to read this", where=where) from error
    except Exception as error:
        if isinstance(error.__context__, RenalMapError):  # which the library hid behind its own
            raise error.__context__ from error
        if isinstance(error, OSError) and _is_systems(error):
            raise
        logger.info("a library's error", exc_info=True)
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise name(" ".join(lines[:_LINES]) or type(error).__name__) from error


def _is_systems(error: OSError) -> bool:
    """Whether a path or a disk is at fault; a bad place to seek to (EINVAL) comes from what a file claims."""
    return error.filename is not None or error.errno not in {None, errno.EINVAL}


def as_case_error(where: Path | str, error: Exception) -> RenalMapError:
    """What went wrong with one of several cases, as one of our errors, whoever raised it.

    Args:
        where: the case, named if the error itself does not say.
        error: one of ours stays as it is; for one of the system's, the file and the reason are given.
    """
    if isinstance(error, RenalMapError):
        return error
    if isinstance(error, OSError) and error.strerror:  # gzip's have only a text
        file = error.filename or "a file could not be read or written"
        return CaseError(f"{file}: {error.strerror}", where=where)
    return CaseError(f"{type(error).__name__}: {error}", where=where)


def describe_failure(where: Path | str, error: Exception) -> str:
    """The error of one of several cases that failed; a mistake in the program is logged with its traceback."""
    known = isinstance(error, (RenalMapError, OSError))  # the latter: no permission, a full disk
    logger.log(logging.INFO if known else logging.ERROR, "%s failed", where, exc_info=error)
    return str(as_case_error(where, error))
