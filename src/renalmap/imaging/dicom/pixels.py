"""Decoding the pixels of slices, file by file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from numpy.typing import NDArray

from renalmap.errors import DimensionError, TruncatedFileError, UnreadableImageError
from renalmap.imaging.dicom.headers import SliceHeader
from renalmap.imaging.dicom.padding import Padding
from renalmap.imaging.dicom_files.files import DicomFile, quietly

if TYPE_CHECKING:
    from pydicom import Dataset

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


def _decode(
    file: DicomFile, frames: Sequence[int | None]
) -> Iterator[tuple[NDArray[Any], Padding | None]]:
    """Raw pixels of a file's frames (from 1; None: the only one), in the order given, and what of them is none."""
    from pydicom.pixels.utils import iter_pixels, pixel_array  # noqa: PLC0415  (slow import)

    dataset = file.read_dataset()
    try:
        _check_ends(dataset)
        padding = Padding.of(dataset)
        # Decoders hold the interpreter's lock: a pool of threads was measured to gain nothing.
        if frames == [None]:
            arrays = (pixel_array(each) for each in (dataset,))
        else:
            arrays = iter_pixels(
                dataset, indices=[0 if frame is None else frame - 1 for frame in frames]
            )
        for pixels in quietly(arrays):
            yield pixels, padding
    except (ValueError, RuntimeError, EOFError, AttributeError, NotImplementedError) as error:
        raise _undecodable(file, dataset, error) from error


def _check_ends(dataset: Dataset) -> None:
    """Refuse a truncated JPEG-LS stream, on which its decoder takes half a minute to give up."""
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax in _JPEG_LS and not dataset.PixelData.rstrip(b"\0").endswith(_END_OF_IMAGE):
        raise ValueError("the compressed image has no end")


def _undecodable(file: DicomFile, dataset: Dataset, error: Exception) -> Exception:
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
        got=(str(error).splitlines() or [type(error).__name__])[0],
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
