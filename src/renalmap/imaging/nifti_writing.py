"""Writing NIfTI files on the grid a scan came from: the same bytes for the same voxels, completely or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from isal import igzip
from numpy.typing import NDArray

from renalmap.errors import GeometryMismatchError, InputError
from renalmap.imaging.files import check_writable, replace_atomically
from renalmap.imaging.nifti import CHUNK_BYTES, is_nifti_name
from renalmap.imaging.volume import Geometry, LabelMap, SourceGrid, Volume

_LABEL_INTENT: Final = 1002
_SCANNER_CODE: Final = 1
_GZIP_LEVEL: Final = 2
"""Of ISA-L's 0 to 3: labels come out a fifth larger than at zlib's 4, in a thirtieth of the time."""
_GRID_FIELDS: Final = (
    *("pixdim", "xyzt_units", "dim_info", "qform_code", "sform_code"),
    *("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("srow_x", "srow_y", "srow_z"),
)
"""What places a grid in the patient. Nothing else of a scan's header is copied: it may name the patient."""


def write_label_map(label_map: LabelMap, path: Path, *, overwrite: bool = False) -> None:
    """Write labels as uint8 on the scan's own grid: its axis order, affine, codes and units.

    Two calls with the same labels write identical files (on processors of one kind: ISA-L compresses with
    what instructions there are).

    Args:
        label_map: labels, axes (z, y, x).
        path: a `.nii.gz` or `.nii` file.
        overwrite: replace an existing file.

    Raises:
        InputError: the suffix is neither.
        OutputExistsError: the file exists.
        PathMissingError: the folder does not.
    """
    source = label_map.geometry.source
    _write(label_map_header(source), source.from_canonical(label_map.labels), path, overwrite=overwrite)


def write_volume(volume: Volume, path: Path, *, overwrite: bool = False) -> None:
    """Write a scan (int16 or float32 HU, unscaled) on its own grid; otherwise as `write_label_map`."""
    source = volume.geometry.source
    header = _header_for(source, volume.hu.dtype)
    _write(header, source.from_canonical(volume.hu), path, overwrite=overwrite)


def write_probability_map(
    probability_u8: NDArray[np.uint8], geometry: Geometry, path: Path, *, overwrite: bool = False
) -> None:
    """Write probabilities on the scan's own grid; readers see 0..1.

    Args:
        probability_u8: (z, y, x), 255 times the probability.
        geometry: the array's grid.
        path: a `.nii.gz` or `.nii` file.
        overwrite: replace an existing file.

    Raises:
        GeometryMismatchError: the array has another shape than the grid.
        InputError: as `write_label_map`.
    """
    if probability_u8.shape != geometry.shape:
        raise GeometryMismatchError(
            "a probability map and its geometry differ in shape",
            where=path,
            got=str(probability_u8.shape),
            expected=str(geometry.shape),
        )
    header = _header_for(geometry.source, np.dtype(np.uint8))
    header.set_slope_inter(1.0 / 255.0, 0.0)
    _write(header, geometry.source.from_canonical(probability_u8), path, overwrite=overwrite)


def label_map_header(source: SourceGrid) -> Any:
    """The header of a label map on a scan's own grid, a nibabel Nifti1Header or Nifti2Header."""
    header = _header_for(source, np.dtype(np.uint8))
    header["intent_code"] = _LABEL_INTENT
    return header


def _header_for(source: SourceGrid, dtype: np.dtype[Any]) -> Any:
    """A new header that holds the grid and nothing else of the scan's."""
    from nibabel.nifti1 import Nifti1Header  # noqa: PLC0415  (slow import)

    header: Any = (Nifti1Header if source.header is None else type(source.header))()
    header.set_data_shape(source.shape)
    if source.header is None:
        header.set_qform(source.affine, code=_SCANNER_CODE)
        header.set_sform(source.affine, code=_SCANNER_CODE)
        header.set_xyzt_units("mm")
    else:
        for name in _GRID_FIELDS:
            header[name] = source.header[name]
    header.set_data_dtype(dtype)
    header.set_slope_inter(1.0, 0.0)
    header.set_data_offset(header.single_vox_offset)
    header["descrip"] = b"RenalMap"
    return header


def _write(header: Any, stored: NDArray[Any], path: Path, *, overwrite: bool) -> None:
    _check_suffix(path)
    check_writable(path, overwrite=overwrite, at_once=True)
    with replace_atomically(path) as temporary, _open_for_writing(temporary) as stream:
        stream.write(header.binaryblock)
        stream.write(bytes(header.single_vox_offset - len(header.binaryblock)))
        at_once = max(1, CHUNK_BYTES // stored[..., 0].nbytes)
        for first in range(0, stored.shape[-1], at_once):
            stream.write(stored[..., first : first + at_once].tobytes(order="F"))


def _check_suffix(path: Path) -> None:
    if not is_nifti_name(path):
        raise InputError(
            "the suffix of the output decides its format, and this one is unknown",
            where=path,
            got=path.suffix or "no suffix",
            expected=".nii.gz or .nii",
        )


@contextmanager
def _open_for_writing(path: Path) -> Iterator[IO[bytes]]:
    with path.open("wb") as raw:
        if not path.name.lower().endswith(".gz"):
            yield raw
            return
        # No name and no time in the gzip header: the same voxels give the same bytes.
        with igzip.IGzipFile(
            filename="", fileobj=raw, mode="wb", compresslevel=_GZIP_LEVEL, mtime=0
        ) as zipped:
            yield zipped  # type: ignore[misc]
