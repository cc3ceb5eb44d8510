"""Scans already in memory, and label maps for further work there: arrays, nibabel, SimpleITK.

nibabel's world is RAS+, as RenalMap's; SimpleITK's is LPS. nibabel's arrays have the file's axes (i, j, k),
SimpleITK's the same ones in reverse, (k, j, i). Each library is imported only for an image of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from renalmap.errors import (
    AffineError,
    ColourImageError,
    DimensionError,
)
from renalmap.extras import import_extra
from renalmap.imaging.filling import HuGrid
from renalmap.imaging.in_memory_geometry import checked_affine, geometry_of_nibabel, geometry_of_sitk
from renalmap.imaging.nifti import CHUNK_BYTES, check_voxel_type, three_axes
from renalmap.imaging.nifti_geometry import Orientation, mm_per_unit
from renalmap.imaging.nifti_writing import label_map_header
from renalmap.imaging.orientation import LPS_TO_RAS, build_geometry
from renalmap.imaging.volume import Geometry, LabelMap, Volume


def is_nibabel_image(scan: Any) -> bool:
    """Whether this is a nibabel image, or quacks like one: it has `dataobj`, `affine` and `header`."""
    return all(hasattr(scan, name) for name in ("dataobj", "affine", "header"))


def is_sitk_image(scan: Any) -> bool:
    """Whether this is a SimpleITK image, without importing SimpleITK."""
    return any(base.__module__.partition(".")[0] == "SimpleITK" for base in type(scan).__mro__)


def volume_from_array(voxels: NDArray[Any], affine: ArrayLike | None, name: str = "array") -> Volume:
    """A scan from its voxels and their position in the patient.

    Args:
        voxels: HU, three axes in any order; trailing axes of length 1 are dropped. It is copied.
        affine: (4, 4), index in `voxels` to world coordinates (mm, RAS+ as in NIfTI).
        name: the scan's short name.

    Returns:
        int16 if every voxel is a whole number that int16 holds, else float32; axes (z, y, x).

    Raises:
        AffineError: there is no affine, or it places nothing: see `build_geometry`.
        DimensionError: the array has not three axes.
        ColourImageError, UnreadableImageError: the voxels are not plain numbers.
        NonFiniteVoxelsError: a voxel is NaN or infinite.
    """
    if affine is None:
        raise AffineError(
            "an array does not say where its voxels lie",
            where=name,
            got="no affine",
            expected="affine=, (4, 4), from index to mm in the patient, RAS+ as in NIfTI",
            hint="Left and right, and every millilitre, come from it",
        )
    voxels = np.asarray(voxels)
    check_voxel_type(voxels.dtype, name)
    shape = three_axes(voxels.shape)
    _check_dimensions(shape, name)
    geometry = build_geometry(shape, checked_affine(affine, name), where=name)
    return _fill(geometry, voxels.reshape(shape), name)


def volume_from_nibabel(
    image: Any, name: str = "nibabel image", orientation: Orientation | None = None
) -> Volume:
    """A scan from a nibabel image; its scaling is applied, as `get_fdata` would.

    The image's own affine counts, and its header's unit and codes, as for a file: also what is doubtful about
    them, unless the affine is not the header's. Returns and raises as `volume_from_array`.
    """
    dtype = image.header.get_data_dtype() if _is_proxy(image.dataobj) else image.dataobj.dtype
    check_voxel_type(np.dtype(dtype), name)
    if image.affine is None:
        raise AffineError(
            "the image does not say where its voxels lie", where=name, got="no affine in the image"
        )
    shape = three_axes(image.shape)
    _check_dimensions(shape, name)
    geometry = geometry_of_nibabel(image, shape, name, orientation)
    slope, intercept = 1.0, 0.0
    if _is_proxy(image.dataobj):  # whole numbers and a scale take a quarter of nibabel's float64
        raw = image.dataobj.get_unscaled()
        slope, intercept = float(image.dataobj.slope), float(image.dataobj.inter)
    else:
        raw = np.asanyarray(image.dataobj)
    return _fill(geometry, raw.reshape(shape), name, slope, intercept)


def volume_from_sitk(
    image: Any, name: str = "SimpleITK image", orientation: Orientation | None = None
) -> Volume:
    """A scan from a SimpleITK image.

    The stored grid has SimpleITK's index order (x, y, z) and its place, so that a label map is written as
    `SimpleITK.WriteImage` would have written the scan. What was doubtful about the NIfTI file that it was read
    from is known as long as SimpleITK keeps that header. Returns and raises as `volume_from_array`.
    """
    import SimpleITK as sitk  # noqa: N813, PLC0415  (there, since the image is)

    components = image.GetNumberOfComponentsPerPixel()
    if components > 1:
        raise ColourImageError(
            "the image is in colour, or holds vectors",
            where=name,
            got=f"{components} samples per voxel ({image.GetPixelIDTypeAsString()})",
            expected="one number per voxel, in HU",
            hint="Give the CT itself, not a rendering of it",
        )
    shape = tuple(image.GetSize())
    _check_dimensions(shape, name)
    voxels = sitk.GetArrayViewFromImage(image).transpose()
    check_voxel_type(voxels.dtype, name)
    return _fill(geometry_of_sitk(image, name, orientation), voxels, name)


def label_map_to_nibabel(label_map: LabelMap) -> Any:
    """A nibabel image of labels (uint8) on the scan's stored grid: what `write_label_map` would write."""
    from nibabel.nifti1 import Nifti1Header, Nifti1Image  # noqa: PLC0415  (slow import)
    from nibabel.nifti2 import Nifti2Image  # noqa: PLC0415

    source = label_map.geometry.source
    header = label_map_header(source)
    affine = source.affine.copy()
    affine[:3] /= mm_per_unit(header)
    kind: Any = Nifti1Image if type(header) is Nifti1Header else Nifti2Image
    return kind(np.ascontiguousarray(source.from_canonical(label_map.labels)), affine, header)


def label_map_to_sitk(label_map: LabelMap) -> Any:
    """A SimpleITK image of labels (uint8) on the scan's stored grid, index order (i, j, k).

    Raises:
        MissingDependencyError: SimpleITK is not installed.
    """
    sitk = import_extra("SimpleITK", "a SimpleITK image")
    source = label_map.geometry.source
    stored = source.from_canonical(label_map.labels)
    image: Any = sitk.GetImageFromArray(np.ascontiguousarray(stored.transpose()))
    lps = LPS_TO_RAS @ source.affine
    spacing_mm = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing_mm.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing_mm).ravel().tolist())
    return image


def _fill(
    geometry: Geometry, raw: NDArray[Any], name: str, slope: float = 1.0, intercept: float = 0.0
) -> Volume:
    """Canonical voxels, a few megabytes at a time: whatever the type, no second copy is made."""
    grid = HuGrid(geometry, name)
    planes = raw.shape[-1]
    at_once = max(1, CHUNK_BYTES // raw[..., 0].nbytes)
    for first in range(0, planes, at_once):
        grid.put(first, raw[..., first : first + at_once], slope, intercept)
    return Volume(grid.hu, geometry, name)


def _check_dimensions(shape: tuple[int, ...], name: str) -> None:
    if len(shape) == 4 and shape[-1] in {3, 4}:
        raise DimensionError(
            "the image has four axes",
            where=name,
            got=f"shape {shape}: in colour, or {shape[-1]} volumes in a series",
            expected="three axes, one number per voxel, in HU",
            hint="Give one CT volume",
        )
    if len(shape) != 3:
        raise DimensionError(
            "the image is not a three-dimensional grid",
            where=name,
            got=f"shape {shape}",
            expected="three axes",
            hint="Give one whole CT volume, not a slice or a series of volumes",
        )


def _is_proxy(dataobj: Any) -> bool:
    """Whether voxels are still in a file, unscaled, with one scale for all of them."""
    return hasattr(dataobj, "get_unscaled") and np.ndim(getattr(dataobj, "slope", [])) == 0
