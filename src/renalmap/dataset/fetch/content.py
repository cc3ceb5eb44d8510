"""What proves that a file is what its name says, and complete.

A gzip file carries a CRC and a length for each of its members, a NIfTI header the size of the voxels; together
they detect every truncation and nearly every wrong bit. `gzip.open` would do, except that the compressed bytes are hashed in the same pass, and the work must end soon when the user interrupts.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from renalmap.dataset.fetch.sources import FileKind
from renalmap.errors import ContentError, DamagedContentError

HEAD_BYTES: Final = 64
"""How much of a file shows its kind."""

LIMITS: Final[dict[FileKind, int]] = {"table": 64 << 20, "mask": 1 << 30, "imaging": 8 << 30}
"""More bytes than any KiTS file has; a server that sends more is not serving one."""

_LARGEST_IMAGE: Final = 32 << 30
"""What an image may unpack to: four thousand slices of 1,024 x 1,024 voxels of eight bytes."""

_READ_BYTES: Final = 16 * 1024  # of zeros, deflated a thousandfold, 16 MB in memory
_GZIP_MAGIC: Final = b"\x1f\x8b"
_LFS_START: Final = b"version https://git-lfs"
_NIFTI_HEADER_BYTES: Final = 540


def check_head(head: bytes, kind: FileKind, where: str) -> None:
    """Refuse what cannot be the file, judging by its first bytes.

    Args:
        head: the first `HEAD_BYTES` bytes, or all there are.
        kind: what the file should be.
        where: its name, for the message.

    Raises:
        ContentError: it is something else.
    """
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(_LFS_START):
        raise ContentError(
            "the server sent a Git LFS pointer in place of the file",
            where=where,
            hint="A mirror must contain the files themselves (git lfs pull)",
        )
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<!--")):
        raise ContentError(
            "the server sent a web page in place of the file",
            where=where,
            hint="It may be a login page, a proxy's page or an error page; open the address in a browser",
        )
    if kind != "table" and not head.startswith(_GZIP_MAGIC):
        raise ContentError(
            "the file is not a gzip file", where=where, got=repr(head[:12]), expected=".nii.gz"
        )


def hash_checked(
    path: Path, kind: FileKind, where: str, go_on: Callable[[int], None] = lambda _: None
) -> str:
    """Read a file once: check that it is complete, and hash it.

    Args:
        path: the file, under whatever name.
        kind: what it should be.
        where: its name, for messages.
        go_on: called with the number of bytes read; may raise to end the work.

    Returns:
        SHA-256 of its bytes, in hexadecimal.

    Raises:
        ContentError: it is something else.
        DamagedContentError: it is truncated or damaged.
        OSError: it cannot be read.
    """
    with path.open("rb") as handle:
        check_head(handle.read(HEAD_BYTES), kind, where)
    if kind == "table":
        return _hash_table(path, where)
    whole = _GzipReader(where)
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(_READ_BYTES):
            digest.update(block)
            whole.feed(block)
            go_on(len(block))
    whole.finish()
    return digest.hexdigest()


def _hash_table(path: Path, where: str) -> str:
    content = path.read_bytes()
    try:
        rows = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DamagedContentError(
            "the table of cases is not JSON", where=where, got=str(error)
        ) from error
    if not isinstance(rows, list) or not rows:
        raise ContentError("the table of cases is not a list of cases", where=where)
    return hashlib.sha256(content).hexdigest()


class _GzipReader:
    """Decompresses in passing; keeps the NIfTI header and the length."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._member: zlib._Decompress | None = None
        self._at_end = False
        self._header = b""
        self._length = 0

    def feed(self, block: bytes) -> None:
        """Take the next compressed bytes."""
        while block:
            if self._member is None:
                if self._at_end:
                    block = block.lstrip(b"\0")  # padding, which gzip allows behind the last member
                    if not block:
                        return
                self._member = zlib.decompressobj(wbits=31)
            try:
                data = self._member.decompress(block)
            except zlib.error as error:
                raise DamagedContentError(
                    "the file is damaged", where=self._where, got=str(error)
                ) from error
            self._length += len(data)
            if self._length > _LARGEST_IMAGE:
                raise ContentError("the file unpacks to more than an image", where=self._where)
            self._header += data[: _NIFTI_HEADER_BYTES - len(self._header)]
            block = self._member.unused_data
            if self._member.eof:
                self._member, self._at_end = None, True

    def finish(self) -> None:
        """Check that the last member ended and the header's voxels are all there."""
        if self._member is not None or not self._at_end:
            raise DamagedContentError("the file is truncated", where=self._where)
        expected = nifti_bytes(self._header)
        if expected is None:
            raise ContentError("the gzip file does not contain a NIfTI image", where=self._where)
        if self._length < expected:
            raise DamagedContentError(
                "the image ends before its voxels do",
                where=self._where,
                got=f"{self._length:,} bytes",
                expected=f"{expected:,}",
            )


def nifti_bytes(header: bytes) -> int | None:
    """How long the file is that a NIfTI-1 or -2 header describes; None if it is not such a header.

    The offsets are those of nifti1.h and nifti2.h (https://nifti.nimh.nih.gov).
    """
    for order in "<>":
        size = struct.unpack_from(f"{order}i", header)[0] if len(header) >= 348 else 0
        if size == 348 and header[344:348] == b"n+1\0":
            dimensions = struct.unpack_from(f"{order}8h", header, 40)
            (bits,) = struct.unpack_from(f"{order}h", header, 72)
            (offset,) = struct.unpack_from(f"{order}f", header, 108)
        elif size == 540 and header[4:8] == b"n+2\0" and len(header) >= 540:
            dimensions = struct.unpack_from(f"{order}8q", header, 16)
            (bits,) = struct.unpack_from(f"{order}h", header, 14)
            (offset,) = struct.unpack_from(f"{order}q", header, 168)
        else:
            continue
        axes, shape = dimensions[0], dimensions[1:]
        if not 1 <= axes <= 7 or min(shape[:axes]) < 1 or bits < 1 or not 0 <= offset < _LARGEST_IMAGE:
            return None  # NaN is in no range
        expected: int = int(offset) + math.prod(shape[:axes]) * bits // 8
        return expected
    return None
