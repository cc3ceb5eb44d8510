"""Decoding the pixels of slices, file by file."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from numpy.typing import NDArray

from renalmap.errors import (
    DimensionError,
    RenalMapError,
    TooLargeError,
    TruncatedFileError,
    UnreadableImageError,
    named_errors,
)
from renalmap.imaging.budget import PACKED_FROM_BYTES, check_budget, is_trap
from renalmap.imaging.dicom.headers import SliceHeader
from renalmap.imaging.dicom.padding import Padding
from renalmap.imaging.dicom_files.bounds import named_dicom_errors
from renalmap.imaging.dicom_files.files import DicomFile, quiet_pydicom, quietly

if TYPE_CHECKING:
    from pydicom import Dataset

_MOST_EXCESS: Final = 2
"""A compressed image may be so many times as long as the image: runs of one pixel each in RLE."""
_DECODED_COPIES: Final = 4
_NATIVE: Final = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"}
_RLE: Final = "1.2.840.10008.1.2.5"
_RLE_HEADER_BYTES: Final = 1024
_BOXES: Final = {b"jP  ", b"ftyp", b"jp2h", b"uuid", b"uinf", b"xml ", b"jp2i", b"jp2c"}
_FRAME_HEADERS: Final = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_JPEG_LS: Final = {"1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"}
_END_OF_IMAGE: Final = b"\xff\xd9"


def decode_slices(slices: Sequence[SliceHeader]) -> Iterator[tuple[int, NDArray[Any]]]:
    """Decode slices in the order that reads each file once.

    Args:
        slices: as they are stacked.

    Yields:
        (index in `slices`, raw pixels (rows, columns) before rescaling, with air for padding that is brighter).

    Raises:
        DimensionError: a slice has another size than its header says.
        UnreadableImageError: there is no decoder for the compression.
        TruncatedFileError: the pixels are damaged.
        TooLargeError: they take more memory than a read may.
    """
    of_file: dict[DicomFile, list[int]] = {}
    for index, each in enumerate(slices):
        of_file.setdefault(each.of.file, []).append(index)
    for file, indices in of_file.items():
        frames = [slices[index].frame for index in indices]
        for index, (pixels, padding) in zip(indices, _decode(file, frames), strict=True):
            expected = slices[index].of.rows_columns
            if pixels.shape != expected:
                raise DimensionError(
                    "a slice is not two-dimensional",
                    where=str(file),
                    got=f"pixels of shape {pixels.shape}",
                    expected=f"{expected}",
                )
            slice_of = slices[index]
            own = _own_bits(pixels, slice_of.of.bits_stored)
            yield index, own if padding is None else padding.filled(own, slice_of.rescale or (1.0, 0.0))


def _own_bits(pixels: NDArray[Any], bits_stored: int) -> NDArray[Any]:
    """Clear what lies above the stored bits, such as an overlay; pydicom does so only without compression."""
    unused = 8 * pixels.dtype.itemsize - bits_stored
    if pixels.dtype.kind not in "iu" or not 0 < unused < 8 * pixels.dtype.itemsize:
        return pixels
    cleared: NDArray[Any] = (pixels << unused) >> unused
    return cleared


def check_sizes(slices: Sequence[SliceHeader]) -> None:
    """Refuse headers that claim more pixels than their files can hold, before anything is allocated for them.

    Raises:
        TruncatedFileError: a file is too short, however well it may be compressed.
        UnreadableImageError: it is compressed, and does not say how.
    """
    frames: dict[DicomFile, int] = {}
    for each in slices:
        frames[each.of.file] = max(frames.get(each.of.file, 1), each.frame or 1)
    for of in {each.of.file: each.of for each in slices}.values():
        rows, columns = of.rows_columns
        pixels, stored = frames[of.file] * rows * columns, of.file.size_bytes
        native = of.transfer_syntax_uid in _NATIVE
        if pixels > stored if native else is_trap(2 * pixels, stored):
            with suppress(TruncatedFileError):
                of.file.read_dataset()  # refuses pixels that are compressed after all
            raise TruncatedFileError(
                "the file cannot hold the pixels that its header claims",
                where=str(of.file),
                got=f"{stored} bytes",
                expected=f"{frames[of.file]} x {rows} x {columns} pixels",
                hint="Copy or export it again",
            )


def _decode(
    file: DicomFile, frames: Sequence[int | None]
) -> Iterator[tuple[NDArray[Any], Padding | None]]:
    """Raw pixels of a file's frames (from 1; None: the only one), in the order given, and which of them are padding."""
    from pydicom.pixels.utils import iter_pixels, pixel_array  # noqa: PLC0415  (slow import)

    _check_length(file)
    dataset = file.read_dataset()
    with named_errors(lambda got: _undecodable(file, dataset, got)):
        with quiet_pydicom():
            check_claims(dataset, file)
            padding = Padding.of(dataset)
        # Decoders hold the interpreter's lock: a pool of threads was measured to gain nothing.
        arrays: Iterator[NDArray[Any]]
        if frames == [None]:
            arrays = (pixel_array(each) for each in (dataset,))
        else:
            arrays = iter_pixels(
                dataset, indices=[0 if frame is None else frame - 1 for frame in frames]
            )
        for pixels in quietly(arrays):
            yield pixels, padding


def _check_length(file: DicomFile) -> None:
    """Refuse a large file of which its header uses little, before it is read whole.

    Raises:
        TooLargeError: it holds several times what its header says.
    """
    if file.size_bytes < PACKED_FROM_BYTES:
        return
    tags = ("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "BitsAllocated")
    header = file.read_header(tags)
    with named_dicom_errors(file):
        rows, columns, frames, samples, bits = (int(header.get(name) or 1) for name in tags)
    claimed = rows * columns * frames * samples * bits // 8
    if file.size_bytes > _MOST_EXCESS * claimed + PACKED_FROM_BYTES:
        raise TooLargeError(
            "the DICOM file is much larger than the image that it says it holds",
            where=str(file),
            got=f"{file.size_bytes} bytes",
            expected=f"about {claimed}",
            hint="Export it again",
        )


def check_claims(dataset: Dataset, file: DicomFile) -> None:
    """Refuse pixels that cannot be what the header says: decoders allocate first and look afterwards.

    Args:
        dataset: the file's, with its pixels.
        file: which it is.

    Raises:
        ValueError: there are too few bytes, or a compressed frame says that it has another size.
        TooLargeError: decoding takes more memory than a read may.
    """
    from pydicom.encaps import generate_frames  # noqa: PLC0415  (slow import)

    rows, columns, samples = int(dataset.Rows), int(dataset.Columns), int(dataset.SamplesPerPixel)
    frames = int(dataset.get("NumberOfFrames") or 1)
    plane_bits = rows * columns * samples * int(dataset.BitsAllocated)
    stored = dataset.get("PixelData") or b""
    check_budget(_DECODED_COPIES * plane_bits // 8, str(file))
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    encapsulated = syntax is not None and syntax.is_encapsulated
    if (
        is_trap(frames * plane_bits // 8, len(stored))
        if encapsulated
        else frames * plane_bits > 8 * len(stored)
    ):
        raise ValueError(
            f"{len(stored)} bytes for {frames} x {rows} x {columns} pixels of {dataset.BitsAllocated} bits"
        )
    for frame in generate_frames(stored, number_of_frames=frames) if encapsulated else ():
        if syntax == _RLE:
            # It unpacks to 64 times itself at most, and is unpacked before it is measured.
            if len(frame) > _MOST_EXCESS * plane_bits // 8 + _RLE_HEADER_BYTES:
                raise ValueError("the compressed image is longer than the image")
            check_budget(64 * len(frame), str(file))
        elif has_decoder(syntax):
            stated = stated_size(frame)
            if stated != (rows, columns, samples):
                raise ValueError(
                    f"the compressed image has size {stated}, not {(rows, columns, samples)}"
                )
            # On a truncated JPEG-LS stream the decoder takes half a minute to give up.
            if syntax in _JPEG_LS and not frame.rstrip(b"\0").endswith(_END_OF_IMAGE):
                raise ValueError("the compressed image has no end")


def stated_size(frame: bytes) -> tuple[int, int, int] | None:
    """(rows, columns, samples) that a JPEG, JPEG-LS or JPEG 2000 image states about itself; None if it is not one.

    ISO/IEC 10918-1 B.2.2 and 14495-1 C.2.2 (frame headers), 15444-1 A.5.1 (SIZ) and I.4 (boxes).
    """
    at = 0
    while frame[at + 4 : at + 8] in _BOXES:  # a file format around the codestream, against PS3.5 A.4.4
        length = int.from_bytes(frame[at : at + 4], "big")
        is_codestream = frame[at + 4 : at + 8] == b"jp2c"
        at += 8 if is_codestream else max(8, length)
        if is_codestream:
            break
    if frame[at : at + 4] == b"\xff\x4f\xff\x51":
        columns, rows, left, top = struct.unpack_from(">4I", frame, at + 8)
        return rows - top, columns - left, int.from_bytes(frame[at + 40 : at + 42], "big")
    if frame[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 10 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker in _FRAME_HEADERS:
            rows, columns, samples = struct.unpack_from(">HHB", frame, at + 5)
            return rows, columns, samples
        # 0xFF may be repeated before a marker.
        at += 1 if marker == 0xFF else 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
    return None


def _undecodable(file: DicomFile, dataset: Dataset, got: str) -> RenalMapError:
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if not has_decoder(syntax):
        return UnreadableImageError(
            "no decoder for this kind of compressed DICOM is installed",
            where=str(file),
            got=getattr(syntax, "name", str(syntax)),
            hint="Decompress it (dcmdjpeg, gdcmconv --raw), or pip install python-gdcm",
        )
    return TruncatedFileError(
        "the pixels cannot be decoded; the file is truncated or damaged",
        where=str(file),
        got=got,
        hint="Copy or export it again",
    )


def has_decoder(transfer_syntax_uid: str | None) -> bool:
    """Whether pixels stored in this way can be decoded with what is installed."""
    from pydicom.pixels.decoders.base import get_decoder  # noqa: PLC0415  (slow import)
    from pydicom.uid import UID  # noqa: PLC0415

    try:
        return bool(get_decoder(UID(transfer_syntax_uid or "")).is_available)
    except NotImplementedError:
        return False
