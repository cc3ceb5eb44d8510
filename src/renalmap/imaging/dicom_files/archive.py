"""A `.zip` of DICOM files: checked before anything is read, and never unpacked onto the disk."""

from __future__ import annotations

import io
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from renalmap.errors import TruncatedFileError, UnsafeArchiveError

ARCHIVE_SUFFIX: Final = ".zip"

_CHUNK_BYTES: Final = 2**20
_HEADER_BYTES: Final = 2**16
_META_BYTES: Final = 4096
_META_START: Final = 144
_DEFLATED_UID: Final = b"1.2.840.10008.1.2.1.99"
_METHODS: Final = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_ENCRYPTED_BITS: Final = 0b100_0001
_LINK_MODES: Final = {stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK}


@dataclass(frozen=True)
class ArchiveLimits:
    """Limits beyond which an archive counts as a trap.

    Attributes:
        members: files in it.
        member_bytes: one file, unpacked. A multi-frame CT of 4,000 slices of 512 by 512 has 2 GiB.
        total_bytes: all files, unpacked.
        ratio: unpacked to packed bytes. Deflate packs CT to a third or so, and air up to 1,000 to 1, ...
        ratio_from_bytes: ... which is why the ratio is checked only from this size.
    """

    members: int = 200_000
    member_bytes: int = 4 * 2**30
    total_bytes: int = 64 * 2**30
    ratio: float = 100.0
    ratio_from_bytes: int = 64 * 2**20


LIMITS: Final = ArchiveLimits()


class Archive:
    """An archive whose members are read one at a time, into memory.

    Every member's name, kind and declared size is checked when it is opened; when a member is read, no
    more bytes than it declares are ever unpacked, and the checksum reveals one that lied. It can be
    pickled, and reopens where it arrives.

    Args:
        path: the `.zip`.
        limits: what is refused.

    Raises:
        TruncatedFileError: it is not an archive, or it is truncated.
        UnsafeArchiveError: a member is encrypted, a link, an archive itself, or packed in a way other
            than deflate, its name leads out of the archive or occurs twice, or it is too large.
    """

    def __init__(self, path: Path, limits: ArchiveLimits = LIMITS) -> None:
        self.path = path
        self._limits = limits
        self._open()

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_limits": self._limits}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the files in it, in their order; what macOS adds for itself is left out."""
        return tuple(self._infos)

    @contextmanager
    def open(self, member: str) -> Iterator[IO[bytes]]:
        """Open a member to read its beginning; seekable.

        Raises:
            TruncatedFileError: it is damaged.
        """
        with self._named_errors(member), self._zip.open(self._infos[member]) as stream:
            # ZipExtFile is a binary stream in all but its declared type.
            yield io.BufferedReader(stream, _HEADER_BYTES)  # type: ignore[type-var]

    def read(self, member: str) -> bytes:
        """A member's bytes; checked against its checksum.

        Raises:
            TruncatedFileError: it is damaged, or larger than the archive declares.
        """
        with self._named_errors(member), self._zip.open(self._infos[member]) as stream:
            # In pieces: if asked for everything, zipfile would unpack first and count afterwards.
            return b"".join(iter(lambda: stream.read(_CHUNK_BYTES), b""))

    def _open(self) -> None:
        try:
            self._zip = zipfile.ZipFile(self.path)
        except zipfile.BadZipFile as error:
            raise TruncatedFileError(
                "this is not a zip archive, or it is truncated",
                where=self.path,
                got=str(error),
                hint="Copy or export it again",
            ) from error
        self._infos: dict[str, zipfile.ZipInfo] = {}
        infos = [info for info in self._zip.infolist() if not info.is_dir()]
        self._check_whole(infos)
        for info in infos:
            self._check(info)
            if not _is_of_macos(info.filename):
                self._infos[info.filename] = info

    def _check_whole(self, infos: list[zipfile.ZipInfo]) -> None:
        limits = self._limits
        total, packed = sum(info.file_size for info in infos), sum(info.compress_size for info in infos)
        if len(infos) > limits.members:
            raise self._unsafe("too many files", f"{len(infos)}", f"at most {limits.members}")
        if total > limits.total_bytes:
            raise self._unsafe(
                "the archive unpacks to too much", _gib(total), f"at most {_gib(limits.total_bytes)}"
            )
        self._check_ratio("the archive", total, packed)

    def _check(self, info: zipfile.ZipInfo) -> None:
        limits, name = self._limits, info.filename
        mode = stat.S_IFMT(info.external_attr >> 16)
        for wrong, what in (
            (_leads_out(name), "a member's name leads out of the archive"),
            (mode in _LINK_MODES, "a member is a link or a device, not a file"),
            (info.flag_bits & _ENCRYPTED_BITS, "a member is encrypted"),
            (name.lower().endswith(ARCHIVE_SUFFIX), "an archive within the archive"),
            (info.compress_type not in _METHODS, "a member is not compressed with deflate"),
            (name in self._infos, "two members have one name"),
        ):
            if wrong:
                raise self._unsafe(what, repr(name))
        if info.file_size > limits.member_bytes:
            raise self._unsafe(
                f"{name!r} unpacks to too much",
                _gib(info.file_size),
                f"at most {_gib(limits.member_bytes)}",
            )
        self._check_ratio(repr(name), info.file_size, info.compress_size)

    def _check_ratio(self, what: str, unpacked: int, packed: int) -> None:
        limits = self._limits
        if unpacked >= limits.ratio_from_bytes and unpacked > limits.ratio * packed:
            raise self._unsafe(
                f"{what} unpacks to more than a scan can",
                f"{unpacked} bytes out of {packed}",
                f"at most {limits.ratio:g} to 1",
            )

    def _unsafe(self, what: str, got: str, expected: str | None = None) -> UnsafeArchiveError:
        return UnsafeArchiveError(
            what,
            where=self.path,
            got=got,
            expected=expected,
            hint="Nothing was read; if you trust it, unpack it yourself and give the folder",
        )

    @contextmanager
    def _named_errors(self, member: str) -> Iterator[None]:
        try:
            yield
        except (zipfile.BadZipFile, zlib.error) as error:
            raise TruncatedFileError(
                "a file in the archive is damaged, or larger than the archive says",
                where=self.path / member,
                got=str(error),
                hint="Copy or export the archive again",
            ) from error


def check_deflated(stream: IO[bytes], where: str, limits: ArchiveLimits = LIMITS) -> None:
    """Refuse a DICOM file in the transfer syntax Deflated Explicit VR that unpacks to too much.

    pydicom unpacks such a file at once and whole. Other files pass unread.

    Args:
        stream: the file at its beginning, where it is left again.
        where: its name, for messages.
        limits: what is refused.

    Raises:
        UnsafeArchiveError: it unpacks to more than a scan can.
        TruncatedFileError: it is damaged.
    """
    head = stream.read(_META_BYTES)
    if _DEFLATED_UID in head:
        # DICOM PS3.10 7.1: the length of the group that names the transfer syntax stands first in it.
        stream.seek(_META_START + int.from_bytes(head[_META_START - 4 : _META_START], "little"))
        unpacked, packed = _inflated_bytes(stream, where, limits)
        if unpacked > limits.member_bytes or (
            unpacked >= limits.ratio_from_bytes and unpacked > limits.ratio * packed
        ):
            raise UnsafeArchiveError(
                "the deflated DICOM file unpacks to more than a scan can",
                where=where,
                got=f"more than {limits.ratio:g} to 1, or {_gib(limits.member_bytes)}",
            )
    stream.seek(0)


def _inflated_bytes(stream: IO[bytes], where: str, limits: ArchiveLimits) -> tuple[int, int]:
    """Bytes unpacked and packed, counted without keeping them; stops where it is too much."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    unpacked = packed = 0
    while chunk := stream.read(_HEADER_BYTES):
        packed += len(chunk)
        while chunk:
            try:
                unpacked += len(inflater.decompress(chunk, _CHUNK_BYTES))
            except zlib.error as error:
                raise TruncatedFileError(
                    "the deflated DICOM file is damaged",
                    where=where,
                    got=str(error),
                    hint="Copy or export it again",
                ) from error
            chunk = inflater.unconsumed_tail
            if unpacked > max(limits.ratio_from_bytes, limits.ratio * packed, 1):
                return unpacked, packed
    return unpacked, packed


def _leads_out(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return parts[0] == "" or ".." in parts or ":" in parts[0]


def _is_of_macos(name: str) -> bool:
    """Resource forks and folder settings added by macOS."""
    *folders, last = name.split("/")
    return "__MACOSX" in folders or last.startswith("._") or last == ".DS_Store"


def _gib(size: int) -> str:
    return f"{size / 2**30:.3g} GiB"
