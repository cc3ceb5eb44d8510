"""Where images of nibabel and SimpleITK lie, and what is doubtful about it: as for the files they were read from."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from renalmap.errors import AffineError, UnreadableImageError
from renalmap.imaging.nifti_geometry import (
    NO_CODES,
    Orientation,
    find_place,
    mm_per_unit,
    settle_unit,
)
from renalmap.imaging.orientation import LPS_TO_RAS, build_geometry, spacing_of
from renalmap.imaging.volume import Geometry

_SITK_FIELDS: Final = (
    *("sform_code", "qform_code", "xyzt_units", "vox_offset", "pixdim[1]", "pixdim[2]", "pixdim[3]"),
    *("srow_x", "srow_y", "srow_z", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z"),
)
"""What SimpleITK keeps of a NIfTI header that places voxels: not the qform's handedness, pixdim[0]. So it hides
a qform that differs from the sform in nothing else."""

_SAME_PLACE: Final = 1e-3


def geometry_of_nibabel(
    image: Any, shape: tuple[int, ...], name: str, orientation: Orientation | None
) -> Geometry:
    """By its header where that is a NIfTI file's and holds the image's affine, otherwise by its affine."""
    from nibabel.nifti1 import Nifti1Header  # noqa: PLC0415  (slow import)
    from nibabel.nifti2 import Nifti2Header  # noqa: PLC0415

    affine, header = checked_affine(image.affine, name), image.header
    if not isinstance(header, Nifti1Header):
        return build_geometry(shape, affine, where=name)
    # A pair's header (.hdr and .img) names another file, so labels do not get it.
    whole = type(header) in {Nifti1Header, Nifti2Header}
    if whole and getattr(image.dataobj, "offset", None) == 0:
        raise _misread("nibabel", name)
    best: Any = header.get_best_affine()  # type: ignore[no-untyped-call]
    if not np.allclose(best, affine, rtol=1e-5, atol=1e-3):  # it was changed in place
        copied: Any = header.copy()  # type: ignore[no-untyped-call]
        affine, doubt = settle_unit(affine, shape, copied)
        return build_geometry(shape, affine, where=name, doubts=() if doubt is None else (doubt,))
    place = find_place(header, shape, name, orientation)
    kept = place.header if whole else None
    return build_geometry(shape, place.affine, header=kept, where=name, doubts=place.doubts)


def geometry_of_sitk(image: Any, name: str, orientation: Orientation | None) -> Geometry:
    """By its own grid, unless that is as the NIfTI file it was read from has it and the file's is wrong."""
    shape = tuple(image.GetSize())
    lps = np.eye(4)
    lps[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    lps[:3, 3] = image.GetOrigin()
    affine, header = LPS_TO_RAS @ lps, _header_of_sitk(image)
    if header is None or not _lies_as_read(affine, header):
        return build_geometry(shape, affine, where=name)
    if header["vox_offset"] < header.single_vox_offset:
        raise _misread("SimpleITK", name)
    place = find_place(header, shape, name, orientation)
    doubts = tuple(
        each.replace(NO_CODES, NO_CODES.replace("L, A, S", "L, P, S")) for each in place.doubts
    )
    if orientation == "qform" and _apart(affine, place.affine, 1.0) >= _SAME_PLACE:
        raise UnreadableImageError(
            "SimpleITK read this image by its sform, and does not keep all of its qform",
            where=name,
            hint="Give the file's path",
        )
    if orientation is not None or mm_per_unit(place.header) != mm_per_unit(header):
        affine = place.affine
    return build_geometry(shape, affine, where=name, doubts=doubts)


def checked_affine(affine: ArrayLike, name: str) -> NDArray[np.float64]:
    """A copy of an affine as numbers.

    Raises:
        AffineError: it is not an affine.
    """
    try:
        matrix = np.array(affine, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise AffineError(
            "the affine is not a matrix of numbers", where=name, got=f"a {type(affine).__name__}"
        ) from error
    if matrix.shape == (4, 4) and matrix[3].tolist() != [0.0, 0.0, 0.0, 1.0]:
        raise AffineError(
            "the affine's last row is not that of an affine",
            where=name,
            got=str(matrix[3].tolist()),
            expected="0, 0, 0, 1",
            hint="Is it transposed?",
        )
    return matrix


def _misread(library: str, name: str) -> UnreadableImageError:
    return UnreadableImageError(
        f"the voxels are said to begin at byte 0, where the header is, and {library} takes them from there",
        where=name,
        got="vox_offset 0",
        hint="Give the file's path, which RenalMap reads from behind the header",
    )


def _header_of_sitk(image: Any) -> Any:
    """What SimpleITK keeps of the NIfTI header it read an image with; None for any other image."""
    from nibabel.nifti1 import Nifti1Header  # noqa: PLC0415  (slow import)

    if not all(image.HasMetaDataKey(name) for name in ("nifti_type", *_SITK_FIELDS)):
        return None
    header: Any = Nifti1Header()  # type: ignore[no-untyped-call]
    try:
        for name in _SITK_FIELDS:
            values = [float(value) for value in image.GetMetaData(name).split()]
            field, _, place = name.partition("[")
            if place:
                header[field][int(place[:-1])] = values[0]
            else:
                header[field] = values if field.startswith("srow") else values[0]
    except (ValueError, IndexError):  # somebody's own
        return None
    quaternion = [header[f"quatern_{name}"] for name in "bcd"]
    length = max(1.0, float(np.linalg.norm(quaternion)))  # texts of six digits round
    for name in "bcd":
        header[f"quatern_{name}"] /= length
    if image.GetMetaData("nifti_type") != "1":  # a pair
        header["vox_offset"] = header.single_vox_offset
    return header


def _lies_as_read(affine: NDArray[np.float64], header: Any) -> bool:
    """Whether an image lies where its header says; its qform is then given the handedness that fits better."""
    from nibabel.spatialimages import HeaderDataError  # noqa: PLC0415  (slow import)

    unit_mm = mm_per_unit(header)
    if header["sform_code"] <= 0 and header["qform_code"] <= 0:
        return not affine[:3, 3].any() and np.allclose(
            affine[:3, :3], np.diag(spacing_of(affine) * (-1, -1, 1))
        )
    gaps = []
    for handedness in (1.0, -1.0):
        header["pixdim"][0] = handedness
        try:
            gaps.append(_apart(affine, header.get_qform(coded=False), unit_mm))
        except (HeaderDataError, ValueError):
            gaps.append(np.inf)
    header["pixdim"][0] = 1.0 if gaps[0] <= gaps[1] else -1.0
    by_sform = _apart(affine, header.get_sform(coded=False), unit_mm)
    near = [by_sform] * bool(header["sform_code"] > 0) + [min(gaps)] * bool(header["qform_code"] > 0)
    return min(near) < _SAME_PLACE


def _apart(ours: NDArray[np.float64], theirs: NDArray[np.float64], unit_mm: float) -> float:
    """How far directions and origins are apart; sizes do not count, which SimpleITK takes from pixdim."""
    with np.errstate(invalid="ignore", divide="ignore"):
        gaps = [
            ours[:3, :3] / spacing_of(ours) - theirs[:3, :3] / spacing_of(theirs),
            (ours[:3, 3] - theirs[:3, 3] * unit_mm) / max(1.0, unit_mm),
        ]
    apart = max(float(np.abs(gap).max()) for gap in gaps)
    return np.inf if np.isnan(apart) else apart
