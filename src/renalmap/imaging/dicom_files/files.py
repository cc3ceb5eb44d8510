"""One DICOM file, wherever it lies: on disk or inside a `.zip`, which is never unpacked."""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Final, TypeVar

from renalmap.errors import UnreadableImageError
from renalmap.imaging.budget import check_budget, check_regular_file
from renalmap.imaging.dicom_files.archive import Archive
from renalmap.imaging.dicom_files.bounds import DicomStream, named_dicom_errors

if TYPE_CHECKING:
    from pydicom import Dataset


_Item = TypeVar("_Item")

_PREAMBLE_BYTES: Final = 128
_MAGIC: Final = b"DICM"
_BARE: Final = re.compile(rb"[\x02\x08]\0.\0([A-Z]{2}|.[\0-\3]\0\0)|\0[\x02\x08]\0.[A-Z]{2}", re.DOTALL)
"""A first element of group 2 or 8: little-endian with or without its kind of value, or big-endian."""


def begins_as_dicom(stream: IO[bytes]) -> bool:
    """Whether a seekable file begins as DICOM PS3.10, section 7.1, says, or as a dataset without its preamble."""
    stream.seek(0)
    head = stream.read(_PREAMBLE_BYTES + len(_MAGIC))
    return head[_PREAMBLE_BYTES:] == _MAGIC or _BARE.match(head) is not None


@dataclass(frozen=True)
class DicomFile:
    """A file on disk, or a member of an archive; it stays readable as long as the path exists.

    Attributes:
        path: the file, or the archive that holds it.
        member: its name within the archive; None for a file on disk.
        archive: the opened archive; None for a file on disk.
    """

    path: Path
    member: str | None = None
    archive: Archive | None = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The file's own name, without folders."""
        return self.path.name if self.member is None else PurePosixPath(self.member).name

    @property
    def folder(self) -> str:
        """Where it lies, to tell files of different folders apart."""
        return str((self.path if self.member is None else self.path / self.member).parent)

    @property
    def size_bytes(self) -> int:
        """How long it is; in an archive, unpacked."""
        if self.member is None or self.archive is None:
            return self.path.stat().st_size
        return self.archive.size_bytes(self.member)

    def __str__(self) -> str:
        return str(self.path if self.member is None else self.path / self.member)

    @contextmanager
    def open(self) -> Iterator[DicomStream]:
        """Open it to read its header; seekable.

        Raises:
            UnreadableImageError: it is a pipe or a device.
        """
        if self.member is None or self.archive is None:
            check_regular_file(self.path)
            with DicomStream(self.path.open("rb", buffering=0), str(self), self.size_bytes) as stream:
                yield stream
        else:
            with (
                self.archive.open(self.member) as member,
                DicomStream(member, str(self), self.size_bytes) as stream,
            ):
                yield stream

    def read_header(self, tags: Sequence[str]) -> Dataset:
        """Some of its tags.

        Raises:
            TruncatedFileError: it is damaged, or no DICOM file.
            TooLargeError, UnsafeArchiveError, UnreadableImageError: see `DicomStream` and `open`.
        """
        with quiet_pydicom(), named_dicom_errors(self), self.open() as stream:
            return read_tags(stream, stop_before_pixels=True, specific_tags=list(tags))

    def read_dataset(self) -> Dataset:
        """The whole dataset, pixels undecoded.

        Raises:
            TruncatedFileError: it is damaged, or no DICOM file.
            TooLargeError, UnsafeArchiveError: it is larger than a read may be, or unpacks to that.
            UnreadableImageError: its pixels are compressed, and it does not say how; or it is a pipe or a device.
        """
        check_budget(2 * self.size_bytes, str(self))
        with quiet_pydicom(), named_dicom_errors(self):
            if self.member is None or self.archive is None:
                check_regular_file(self.path)
                raw: Any = self.path.open("rb", buffering=0)
            else:
                raw = io.BytesIO(self.archive.read(self.member))
            with DicomStream(raw, str(self), self.size_bytes, whole=True) as stream:
                dataset = read_tags(stream)
            syntax = dataset.file_meta.TransferSyntaxUID
            if (
                "PixelData" in dataset
                and dataset["PixelData"].is_undefined_length
                and not syntax.is_compressed
            ):
                raise UnreadableImageError(
                    "the pixels are compressed, and the file does not say how",
                    where=str(self),
                    got=f"the transfer syntax {syntax.name}",
                    hint="Export it again, with its TransferSyntaxUID",
                )
        return dataset


@contextmanager
def quiet_pydicom() -> Iterator[list[warnings.WarningMessage]]:
    """Collect pydicom's warnings, which come in dozens for each file and may quote the patient."""
    pydicoms = logging.getLogger("pydicom")
    was_disabled, pydicoms.disabled = pydicoms.disabled, True
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            yield told
    finally:
        pydicoms.disabled = was_disabled


def quietly(items: Iterable[_Item]) -> Iterator[_Item]:
    """Go through something of pydicom's without its warnings."""
    iterator = iter(items)
    while True:
        with quiet_pydicom():
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item


def read_tags(stream: DicomStream, **how: Any) -> Dataset:
    """Read a DICOM stream with pydicom, even if it lacks the preamble or a TransferSyntaxUID.

    Args:
        stream: seekable.
        how: pydicom's own arguments.

    Raises:
        TooLargeError, UnsafeArchiveError: see `DicomStream`.
        InvalidDicomError: it does not begin as DICOM; anything else that pydicom raises on damaged files.
    """
    from pydicom import dcmread  # noqa: PLC0415  (slow import)
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian  # noqa: PLC0415

    bare = begins_as_dicom(stream)
    stream.seek(0)
    dataset = dcmread(stream, force=bare, **how)
    stream.check_sequences(dataset)
    if not dataset.file_meta.get("TransferSyntaxUID"):
        # Found by pydicom from how the first element is written.
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    return dataset
