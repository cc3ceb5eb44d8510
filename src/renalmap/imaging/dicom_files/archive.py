"""A `.zip` of DICOM files: checked before anything is read, and never unpacked onto the disk."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from renalmap.errors import TruncatedFileError, UnsafeArchiveError, named_errors
from renalmap.imaging.budget import PACKED_FROM_BYTES, PACKED_RATIO, check_budget

ARCHIVE_SUFFIX: Final = ".zip"

_CHUNK_BYTES: Final = 2**20
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
    ratio: float = PACKED_RATIO
    ratio_from_bytes: int = PACKED_FROM_BYTES


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

    def size_bytes(self, member: str) -> int:
        """A member's size, unpacked, as declared: no more is ever read."""
        return self._infos[member].file_size

    @contextmanager
    def open(self, member: str) -> Iterator[IO[bytes]]:
        """Open a member to read its beginning; seekable, unbuffered.

        Raises:
            TruncatedFileError: it is damaged.
        """
        with self._named_errors(member), self._zip.open(self._infos[member]) as stream:
            yield stream

    def read(self, member: str) -> bytes:
        """A member's bytes; checked against its checksum.

        Raises:
            TruncatedFileError: it is damaged, or larger than the archive declares.
            TooLargeError: reading it takes more memory than a read may.
        """
        check_budget(2 * self.size_bytes(member), self.path / member)
        with self._named_errors(member), self._zip.open(self._infos[member]) as stream:
            # In pieces: if asked for everything, zipfile would unpack first and count afterwards.
            return b"".join(iter(lambda: stream.read(_CHUNK_BYTES), b""))

    def _open(self) -> None:
        with named_errors(
            lambda got: TruncatedFileError(
                "this is not a zip archive, or it is truncated",
                where=self.path,
                got=got,
                hint="Copy or export it again",
            )
        ):
            self._zip = zipfile.ZipFile(self.path)
            infos = [info for info in self._zip.infolist() if not info.is_dir()]
        self._infos: dict[str, zipfile.ZipInfo] = {}
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
        with named_errors(
            lambda got: TruncatedFileError(
                "a file in the archive is damaged, or larger than the archive says",
                where=self.path / member,
                got=got,
                hint="Copy or export the archive again",
            )
        ):
            yield


def _leads_out(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return parts[0] == "" or ".." in parts or ":" in parts[0]


def _is_of_macos(name: str) -> bool:
    """Resource forks and folder settings added by macOS."""
    *folders, last = name.split("/")
    return "__MACOSX" in folders or last.startswith("._") or last == ".DS_Store"


def _gib(size: int) -> str:
    return f"{size / 2**30:.3g} GiB"
