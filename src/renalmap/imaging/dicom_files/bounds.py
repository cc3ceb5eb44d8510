"""The boundary of DICOM: what pydicom may read, and what its errors become.

Every byte that pydicom gets goes through `DicomStream`, and what it raises through `named_dicom_errors`: sizes that a
file only claims, and what it packs, are checked at these two places, for headers and pixels, DICOMDIRs and SEGs.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from renalmap.errors import TooLargeError, TruncatedFileError, UnsafeArchiveError, named_errors
from renalmap.imaging.budget import check_budget, is_trap, read_budget_bytes

_BUFFER_BYTES: Final = 2**16
_DEFLATED_BYTES: Final = 256 * 2**20
"""A deflated file is unpacked whole: one slice has half a megabyte."""
_HEADER_BYTES: Final = 2**30
"""What parsing a header may take: that of an enhanced CT of 4,000 slices takes a quarter."""
_ELEMENT_BYTES: Final = 32 * 2**20
"""One element of a header; the frames of an enhanced CT of 4,000 slices take a third of that."""
_READ_BYTES: Final = 512
"""What pydicom keeps for each piece that it reads, beside the piece."""
_ITEM_BYTES: Final = 10_000
"""What each item of a sequence counts as, however little is in it: it takes a tenth of that, and a tenth of a millisecond."""
_PER_SEQUENCE_BYTE: Final = 40
"""And for each byte of a sequence that it has read and not parsed yet: an empty element takes eight of them."""
_QUOTED: Final = re.compile(r"""b?('[^']*'|"[^"]*")""")
_ITEMS: Final = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
"""How an item begins (PS3.5 7.5), in either order of bytes."""


@contextmanager
def named_dicom_errors(file: object) -> Iterator[None]:
    """Turn whatever pydicom and its decoders raise, at once or when a value is looked at, into one error.

    Raises:
        TruncatedFileError: in place of it.
    """
    with named_errors(
        lambda got: TruncatedFileError(
            "the DICOM header is damaged",
            where=str(file),
            got=without_values(got),
            hint="Export it again",
        )
    ):
        yield


def without_values(told: str) -> str:
    """What pydicom says, without what it quotes: it may be the patient's name, under whatever tag."""
    return _QUOTED.sub("...", told)


class DicomStream(io.BufferedReader):
    """A file as pydicom reads it, which stops at what no header and no scan needs.

    Args:
        raw: the file or the archive's member.
        where: its name, for messages.
        size_bytes: how long it is: whatever a header claims, no more is read.
        whole: whether pixels will be read too; otherwise limits for headers hold.
    """

    def __init__(self, raw: Any, where: str, size_bytes: int, *, whole: bool = False) -> None:
        super().__init__(raw, _BUFFER_BYTES)
        self._where, self._size_bytes = where, size_bytes
        budget_bytes = read_budget_bytes()
        self._left_bytes = budget_bytes if whole else min(_HEADER_BYTES, budget_bytes)
        self._most_bytes = budget_bytes if whole else _ELEMENT_BYTES
        self._left_for_sequences_bytes = min(_HEADER_BYTES, budget_bytes)

    @property
    def name(self) -> str:
        """Its name, which bytes in memory lack."""
        return self._where

    def read(self, size: int | None = -1, /) -> bytes:
        """As of any stream.

        Raises:
            TooLargeError: a header asks for more than headers have.
            UnsafeArchiveError: a deflated file unpacks to more than a scan can.
        """
        if size is None or size < 0:  # so reads pydicom what it will inflate, and nothing else
            return self._checked_deflated()
        size = min(size, self._size_bytes)
        self._left_bytes -= size + _READ_BYTES
        if size > self._most_bytes or self._left_bytes < 0:
            raise self._too_large(f"an element of {size} bytes")
        content = super().read(size)
        if content[:4] in _ITEMS:
            self._left_bytes -= _ITEM_BYTES
        return content

    def check_sequences(self, dataset: Any) -> None:
        """Refuse sequences whose parsing, when they are looked at, would take more than a header's may.

        Args:
            dataset: what was read from here. Sequences of a stated length are still bytes in it.

        Raises:
            TooLargeError: there are such.
        """
        from pydicom.dataelem import RawDataElement  # noqa: PLC0415  (slow import)

        for element in dataset.values():
            if not isinstance(element, RawDataElement):
                for item in element.value if element.VR == "SQ" else ():
                    self.check_sequences(item)
            elif element.value and (element.VR or _usual_vr(element.tag)) == "SQ":
                self._spend(_PER_SEQUENCE_BYTE * len(element.value), element.value)

    def _spend(self, size_bytes: int, content: bytes) -> None:
        items = sum(map(content.count, _ITEMS))
        self._left_for_sequences_bytes -= size_bytes + _ITEM_BYTES * items
        if self._left_for_sequences_bytes < 0:
            raise self._too_large(f"a sequence of {items} items")

    def _too_large(self, got: str) -> TooLargeError:
        return TooLargeError(
            "the DICOM header is larger than a scan's can be",
            where=self._where,
            got=got,
            hint="Export it again; if it is a scan after all, --memory-gb may allow more",
        )

    def _checked_deflated(self) -> bytes:
        packed = super().read(min(self._size_bytes, _DEFLATED_BYTES))
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        unpacked, rest = 0, packed
        while rest and not inflater.eof:
            content = inflater.decompress(rest, _BUFFER_BYTES)
            unpacked += len(content)
            self._spend(0, content)
            rest = inflater.unconsumed_tail
            if unpacked > _DEFLATED_BYTES or is_trap(unpacked, len(packed)):
                raise UnsafeArchiveError(
                    "the deflated DICOM file unpacks to more than a scan can",
                    where=self._where,
                    got=f"more than {unpacked} bytes out of {len(packed)}",
                    hint="If you trust it, decompress it first (dcmconv +te)",
                )
        check_budget(unpacked + len(packed), self._where)
        return packed


def _usual_vr(tag: Any) -> str:
    from pydicom.datadict import dictionary_VR  # noqa: PLC0415  (slow import)

    with suppress(KeyError):
        return dictionary_VR(tag)
    return ""
