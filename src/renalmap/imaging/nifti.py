"""Reading NIfTI files, streamed plane by plane so that there is never a second copy of a scan in memory."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from isal import igzip
from numpy.typing import NDArray

from renalmap.errors import (
    ColourImageError,
    TooLargeError,
    TruncatedFileError,
    UnreadableImageError,
    named_errors,
)
from renalmap.imaging.budget import PACKED_RATIO, check_budget, check_regular_file, is_trap
from renalmap.imaging.filling import HuGrid, LabelGrid
from renalmap.imaging.nifti_geometry import Orientation, find_place, settle_offset
from renalmap.imaging.orientation import build_geometry
from renalmap.imaging.volume import Geometry, LabelMap, Volume

logger = logging.getLogger(__name__)

NIFTI_SUFFIXES: Final = (".nii.gz", ".nii")
_GZIP_MAGIC: Final = b"\x1f\x8b"
CHUNK_BYTES: Final = 8 * 2**20
"""How much of a file is in memory beside the array it is read into or written from."""

_CHUNK_COPIES: Final = 3
"""Of a plane beyond that size: as bytes, rescaled, compared."""
_MOST_PACKED_LABELS: Final = 2**30
"""Voxels of 4,000 slices of 512 by 512."""
_DEFLATE_RATIO: Final = 1032
"""More bytes than this never come out of one; label maps come close."""


def is_nifti_name(path: Path) -> bool:
    """Whether the file's name ends like a NIfTI file's."""
    return path.name.lower().endswith(NIFTI_SUFFIXES)


def scan_name(path: Path) -> str:
    """A scan's short name: the file's name without `.nii`, `.nii.gz` or `.zip`, or the folder's name.

    A link has its own name, not its target's: stores of large files link to names that mean nothing.
    """
    name = path.resolve().name if path.name in {"", ".."} else path.name
    if name.upper() == "DICOMDIR":
        return path.absolute().parent.name
    for suffix in (*NIFTI_SUFFIXES, ".zip"):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def read_nifti_geometry(path: Path, orientation: Orientation | None = None) -> Geometry:
    """Read where a NIfTI file's voxels lie, from its header alone.

    Raises:
        InputError: as `read_nifti_volume`, but for voxels, which are not looked at.
    """
    with _named_errors(path), _open(path) as stream:
        header = _read_header(stream, path)
        geometry = _geometry(header, path, orientation)
        _check_size(header, path)
        return geometry


def read_nifti_volume(path: Path, orientation: Orientation | None = None) -> Volume:
    """Read a CT scan from a NIfTI file and canonicalise it.

    Args:
        path: a `.nii` or `.nii.gz` file, three-dimensional (trailing axes of length 1 are dropped).
        orientation: which of sform and qform counts where they contradict each other.

    Returns:
        int16 if every voxel is a whole number that int16 holds, else float32; axes (z, y, x).

    Raises:
        InputError: its child that names the trouble: `TruncatedFileError`, `UnreadableImageError`,
            `DimensionError`, `ColourImageError`, `AffineError` or `NonFiniteVoxelsError`.
    """
    with _named_errors(path), _open(path) as stream:
        header = _read_header(stream, path)
        geometry = _geometry(header, path, orientation)
        _check_packed(_check_size(header, path), path)
        hu_grid = HuGrid(geometry, path)
        _fill(hu_grid, stream, header, path)
        return Volume(hu_grid.hu, geometry, scan_name(path))


def read_nifti_label_map(path: Path, orientation: Orientation | None = None) -> LabelMap:
    """Read a label map from a NIfTI file and canonicalise it.

    Integers and floats of any width are taken if every value is a whole number from 0 to 255 (some
    KiTS19 masks are uint16).

    Args:
        path: a `.nii` or `.nii.gz` file.
        orientation: which of sform and qform counts where they contradict each other.

    Returns:
        uint8 labels, axes (z, y, x). A map without any label is all 0.

    Raises:
        LabelError: a value is not a label.
        InputError: as `read_nifti_volume`.
    """
    with _named_errors(path), _open(path) as stream:
        header = _read_header(stream, path)
        geometry = _geometry(header, path, orientation)
        claimed = _check_size(header, path)
        if prod(geometry.shape) > _MOST_PACKED_LABELS:  # below, 1,000 to 1 is usual
            _check_packed(claimed, path)
        label_grid = LabelGrid(geometry, path)
        _fill(label_grid, stream, header, path)
        return LabelMap(label_grid.labels, geometry, scan_name(path))


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    """Turn whatever gzip, ISA-L, nibabel and NumPy raise on damaged files into errors that name the file."""
    from nibabel.spatialimages import HeaderDataError  # noqa: PLC0415  (slow import)

    with named_errors(lambda got: _truncated(path, got)):
        try:
            yield
        except HeaderDataError as error:
            raise _unreadable(path, str(error)) from error


def _truncated(path: Path, got: str) -> TruncatedFileError:
    return TruncatedFileError(
        "the file is truncated or damaged",
        where=path,
        got=got,
        hint="Copy or download it again",
    )


def _unreadable(path: Path, got: str) -> UnreadableImageError:
    return UnreadableImageError(
        "this is not a NIfTI image",
        where=path,
        got=got,
        expected="a .nii or .nii.gz file, or a folder of DICOM slices",
    )


@contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    check_regular_file(path)
    if path.stat().st_size == 0:
        raise _truncated(path, "an empty file")
    with path.open("rb") as raw:
        if not path.name.lower().endswith(".gz"):
            yield raw
            return
        if raw.peek(2)[:2] != _GZIP_MAGIC:
            raise _unreadable(path, "its name says gzip, its first bytes do not")
        with igzip.IGzipFile(fileobj=raw, mode="rb") as unzipped:
            # A binary stream in all but its declared type.
            yield unzipped  # type: ignore[misc]


def _read_header(stream: IO[bytes], path: Path) -> Any:
    """The Nifti1Header or Nifti2Header at the start of a stream, which is left right behind it."""
    from nibabel.nifti1 import Nifti1Header  # noqa: PLC0415  (slow import)
    from nibabel.nifti2 import Nifti2Header  # noqa: PLC0415

    first = stream.read(4)
    sizes = {int.from_bytes(first, "little"), int.from_bytes(first, "big")}
    for header_class in (Nifti1Header, Nifti2Header):
        if header_class.sizeof_hdr not in sizes:
            continue
        block = first + stream.read(header_class.sizeof_hdr - 4)
        if len(block) < header_class.sizeof_hdr:
            raise _truncated(path, f"{len(block)} bytes")
        header: Any = header_class(block)  # type: ignore[no-untyped-call]
        if not bytes(header["magic"]).startswith(b"n+"):
            raise _unreadable(path, "a header whose voxels lie in another file (.hdr and .img)")
        check_voxel_type(header.get_data_dtype(), path)
        return header
    raise _unreadable(path, f"first bytes {first!r}")


def check_voxel_type(dtype: np.dtype[Any], where: Path | str) -> None:
    """Refuse voxels that are not plain numbers.

    Raises:
        ColourImageError: several samples a voxel.
        UnreadableImageError: complex numbers, truth values, text, objects.
    """
    if dtype.names is not None:
        raise ColourImageError(
            "the image is in colour",
            where=where,
            got=f"{len(dtype.names)} samples per voxel ({', '.join(dtype.names)})",
            expected="one number per voxel, in HU",
            hint="Give the CT itself, not a rendering of it",
        )
    if dtype.kind not in "iuf":
        raise UnreadableImageError(
            "the voxels are not plain numbers",
            where=where,
            got=str(dtype),
            expected="integers or floats",
        )


def three_axes(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape without trailing axes of length 1 beyond the third."""
    sizes = [int(size) for size in shape]
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    return tuple(sizes)


def _geometry(header: Any, path: Path, orientation: Orientation | None) -> Geometry:
    """Where the voxels lie; a header without a place for them gets the usual one."""
    misplaced = settle_offset(header)
    place = find_place(header, three_axes(header.get_data_shape()), path, orientation)
    doubts = (*place.doubts, *([] if misplaced is None else [misplaced]))
    for doubt in doubts:
        logger.warning("%s: %s", path, doubt)
    return build_geometry(
        three_axes(header.get_data_shape()),
        place.affine,
        header=place.header,
        where=path,
        doubts=doubts,
    )


def _check_size(header: Any, path: Path) -> int:
    """The bytes that a header claims; refused, before anything is allocated, if its file cannot hold them."""
    offset, itemsize = int(header.get_data_offset()), int(header.get_data_dtype().itemsize)
    *plane, planes = (int(size) for size in three_axes(header.get_data_shape()))
    claimed = offset + prod(plane) * planes * itemsize
    held = path.stat().st_size
    if path.name.lower().endswith(".gz"):
        held *= _DEFLATE_RATIO
    if claimed > held:
        raise _truncated(path, f"{held} bytes at most, of {claimed} that its header claims")
    check_budget(max(CHUNK_BYTES, prod(plane) * itemsize) * _CHUNK_COPIES, path)
    return claimed


def _check_packed(claimed: int, path: Path) -> None:
    """Refuse a file that unpacks to more than a scan of its size can."""
    if is_trap(claimed, path.stat().st_size):
        raise TooLargeError(
            "the file unpacks to more than a scan can",
            where=path,
            got=f"{claimed} bytes out of {path.stat().st_size}",
            expected=f"at most {PACKED_RATIO} to 1",
        )


def _fill(grid: HuGrid | LabelGrid, stream: IO[bytes], header: Any, path: Path) -> None:
    slope, intercept = header.get_slope_inter()
    slope = 1.0 if slope is None else float(slope)
    intercept = 0.0 if intercept is None else float(intercept)
    for first, planes in _planes(stream, header, path):
        grid.put(first, planes, slope, intercept)


def _planes(stream: IO[bytes], header: Any, path: Path) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield (index of first plane, planes) along the last stored axis, a few megabytes at a time."""
    dtype = header.get_data_dtype()
    rows, columns, planes = (int(size) for size in header.get_data_shape()[:3])
    plane_bytes = rows * columns * dtype.itemsize
    at_once = max(1, CHUNK_BYTES // plane_bytes)
    stream.seek(int(header.get_data_offset()))
    for first in range(0, planes, at_once):
        count = min(at_once, planes - first)
        block = stream.read(count * plane_bytes)
        if len(block) < count * plane_bytes:
            raise _truncated(path, f"voxels up to slice {first} of {planes}")
        yield first, np.frombuffer(block, dtype=dtype).reshape((rows, columns, count), order="F")
    # gzip compares its checksum only when it is asked for more than there is.
    stream.read(1)
