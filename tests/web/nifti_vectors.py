"""NIfTI files of every kind for the page's TypeScript, and what Python reads of them or says about them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from renalmap.errors import InputError
from renalmap.imaging.nifti import read_nifti_volume


def nifti_cases(
    folder: Path, generator: np.random.Generator, volume_json: Callable[[Any], Any]
) -> Iterator[dict[str, Any]]:
    """Files of every kind, and what Python reads of them or says about them."""
    folder.mkdir(exist_ok=True)
    hu = generator.integers(-1000, 1500, (7, 6, 5)).astype(np.int16)
    files = (*_voxel_types(hu), *_places(hu), *_bad_files(hu))
    for number, (suffix, content) in enumerate(files):
        path = folder / f"scan{number}{suffix}"
        path.write_bytes(content)
        case: dict[str, Any] = {"file": path.name}
        try:
            volume = read_nifti_volume(path)
        except InputError as error:
            yield case | {"error": error.what}
            continue
        yield case | {
            "volume": volume_json(volume),
            "axes": volume.geometry.source.axes,
            "flips": volume.geometry.source.flips,
            "doubts": volume.geometry.source.doubts,
        }


LAS: Final = np.diag([-0.8, 0.9, 3.0, 1.0])
SAL: Final = np.array([[0, 0, -0.9, 4.0], [0, 0.8, 0, -3], [3.0, 0, 0, 2], [0, 0, 0, 1]])


def _voxel_types(hu: NDArray[np.int16]) -> Iterator[tuple[str, bytes]]:
    yield ".nii", _saved(nib.Nifti1Image(hu, LAS))
    yield ".nii.gz", _gzipped(_saved(nib.Nifti1Image(hu, SAL)))
    yield ".nii", _saved(nib.Nifti2Image(hu.astype(np.float64), LAS))
    yield ".nii", _saved(nib.Nifti1Image(hu.astype(np.float32) + 0.25, SAL))
    swapped = nib.Nifti1Header(endianness=">")
    yield ".nii", _saved(nib.Nifti1Image(hu, LAS, swapped))
    for dtype in (np.uint8, np.int8, np.uint16, np.int32, np.uint32, np.int64):
        yield ".nii", _saved(nib.Nifti1Image((hu % 100).astype(dtype), LAS, dtype=dtype))
    scaled = nib.Nifti1Image((hu + 1024).astype(np.uint16), LAS)
    scaled.header.set_slope_inter(1.0, -1024.0)
    yield ".nii", _saved(scaled)


def _places(hu: NDArray[np.int16]) -> Iterator[tuple[str, bytes]]:
    only_qform = nib.Nifti1Image(hu, SAL)
    only_qform.set_sform(SAL, 0)
    only_qform.set_qform(SAL, 1)
    yield ".nii", _saved(only_qform)
    without = nib.Nifti1Image(hu, LAS)
    without.set_sform(LAS, 0)
    without.set_qform(LAS, 0)
    yield ".nii", _saved(without)
    torn = nib.Nifti1Image(hu, LAS)
    torn.set_sform(LAS, 2)
    torn.set_qform(SAL, 1)
    yield ".nii", _saved(torn)
    qform_first = nib.Nifti1Image(hu, LAS)
    qform_first.set_sform(LAS, 1)
    qform_first.set_qform(LAS, 3)
    yield ".nii", _saved(qform_first)
    metres = nib.Nifti1Image(hu, np.diag([-0.0008, 0.0009, 0.003, 1.0]))
    metres.header.set_xyzt_units("meter")
    yield ".nii", _saved(metres)
    pretended = nib.Nifti1Image(hu, LAS)
    pretended.header.set_xyzt_units("micron")
    yield ".nii", _saved(pretended)
    yield ".nii", _saved(nib.Nifti1Image(hu, np.diag([0.001, 0.001, 0.001, 1.0])))
    yield ".nii", _saved(nib.Nifti1Image(hu, np.diag([-0.08, 0.08, 0.3, 1.0])))
    shear = LAS.copy()
    shear[0, 1] = 0.5
    yield ".nii", _saved(nib.Nifti1Image(hu, shear))
    turned = LAS.copy()
    turned[:2, :2] = 0.8 * np.array([[-0.7, 0.714], [0.714, 0.7]])
    yield ".nii", _saved(nib.Nifti1Image(hu, turned))


def _bad_files(hu: NDArray[np.int16]) -> Iterator[tuple[str, bytes]]:
    yield ".nii", _saved(nib.Nifti1Image(np.stack([hu, hu], -1), LAS))
    yield ".nii", _saved(nib.Nifti1Image(hu[..., None], LAS))
    holes = hu.astype(np.float32)
    holes[2, 2, 2] = np.nan
    yield ".nii", _saved(nib.Nifti1Image(holes, LAS))
    colours = np.zeros((4, 4, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    yield ".nii", _saved(nib.Nifti1Image(colours, LAS))
    yield ".nii", _saved(nib.Nifti1Image(hu.astype(np.complex64), LAS))
    whole = _saved(nib.Nifti1Image(hu, LAS))
    yield ".nii", whole[:-20]
    yield ".nii", whole[:100]
    yield ".nii", b""
    yield ".nii", b"nothing of this kind"
    yield ".nii.gz", whole
    yield ".nii.gz", _gzipped(whole)[:-30]
    yield ".nii", whole.replace(b"n+1\0", b"ni1\0")


def _saved(image: Any) -> bytes:
    content: bytes = image.to_bytes()
    return content


def _gzipped(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return packer.compress(content) + packer.flush()
