"""Where a NIfTI header places its voxels: by which of its two matrices, in which unit, and what is doubtful about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from renalmap.errors import AffineError
from renalmap.imaging.orientation import build_geometry, check_shape, describe_implausible, spacing_of
from renalmap.imaging.volume import Geometry

Orientation = Literal["sform", "qform"]
"""The two matrices that a NIfTI header may hold."""

_SPACE_UNIT_BITS: Final = 0b111
_MM_PER_UNIT: Final = {1: 1000.0, 3: 0.001}
"""NIfTI's codes for metre and micrometre; everything else is millimetres, said or unsaid."""
_FINEST_MM: Final = 0.1
"""No CT of a body has smaller pixels; in centimetres, all have."""
_UNIT_NAMES: Final = {1: "metre", 3: "micrometre"}

_SAME_PLACE_MM: Final = 1.0
"""Two matrices that place every corner this close mean the same: quaternions in float32 round."""
_SAME_SIZE: Final = 0.01
"""Voxel sizes may differ by this share."""

NO_CODES: Final = (
    "the header does not say how the patient lies (neither its sform nor its qform has a code): "
    "its axes were taken to point to L, A, S, a guess, so left and right may be swapped"
)


@dataclass(frozen=True, eq=False)
class Place:
    """What a header says about the place of its voxels.

    Attributes:
        affine: (4, 4) float64, stored voxel index to world (mm, RAS+).
        header: a copy of the header that says the same and nothing else.
        doubts: what is doubtful about it, a clause each.
    """

    affine: NDArray[np.float64]
    header: Any
    doubts: tuple[str, ...] = ()


def mm_per_unit(header: Any) -> float:
    """Millimetres in the unit that a NIfTI header's affine is in; 1 where it does not say."""
    return _MM_PER_UNIT.get(_unit(header), 1.0)


def find_place(
    header: Any, shape: Sequence[int], where: Path | str, orientation: Orientation | None = None
) -> Place:
    """Where a header places its voxels.

    The sform is used where it has a code, otherwise the qform, otherwise NIfTI's default (axes to L, A, S). Its
    unit is believed unless no scan can have that size and one in millimetres can.

    Args:
        header: nibabel's Nifti1Header or one of its children; not changed.
        shape: three sizes.
        where: the file, for messages.
        orientation: which matrix counts where there are two; the header returned then holds it alone.

    Raises:
        DimensionError: the shape is not three sizes.
        AffineError: sform and qform give the axes other directions, or voxels another size, and
            `orientation` does not say which is right; the only matrix is none.
    """
    check_shape(shape, where)
    header = header.copy()
    named = [name for name in ("sform", "qform") if header[f"{name}_code"] > 0]
    if orientation is not None and len(named) == 2:
        affine = _matrix(header, orientation, where)
        code = int(header[f"{orientation}_code"])
        header.set_sform(affine, code)
        header.set_qform(affine, code)
        named = [orientation]
    elif named:
        affine = _matrix(header, named[0], where)
    else:
        affine = np.array(header.get_base_affine(), np.float64)
    affine, *doubts = settle_unit(affine, shape, header)
    if sum(spacing_of(affine) < _FINEST_MM) >= 2:
        doubts.append(
            f"its voxels measure {_sizes(spacing_of(affine))}, finer than a scanner's: if that is in "
            "centimetres, volumes are a thousandth of what is right"
        )
    if not named:
        doubts.append(NO_CODES)
    elif len(named) == 2:
        doubts.append(_disagreement(affine, header, shape, where))
    elif named == ["sform"] and orientation is None:
        doubts.append(_other_sizes(affine, header))
    return Place(affine, header, tuple(doubt for doubt in doubts if doubt is not None))


def settle_unit(
    affine: NDArray[np.float64], shape: Sequence[int], header: Any
) -> tuple[NDArray[np.float64], str | None]:
    """A header's affine in mm; and, if the header's unit cannot be right and was replaced in it, that doubt."""
    scaled = affine.copy()
    scaled[:3] *= mm_per_unit(header)
    if mm_per_unit(header) == 1.0:
        return scaled, None
    absurd = describe_implausible(shape, scaled)
    if absurd is None or describe_implausible(shape, affine) is not None:
        return scaled, None
    unit = _UNIT_NAMES[_unit(header)]
    header["xyzt_units"] = (int(header["xyzt_units"]) & ~_SPACE_UNIT_BITS) | 2
    return (
        affine,
        f"the header's unit is the {unit}, but that gives {absurd}: it was taken as millimetre",
    )


def settle_offset(header: Any) -> str | None:
    """Set the offset of a single file's voxels where it is 0, which is within the header; and that doubt."""
    if float(header["vox_offset"]) != 0.0:
        return None
    first: int = header.single_vox_offset
    header["vox_offset"] = first
    return (
        f"the header says that its voxels begin at byte 0 (vox_offset); they were read from byte {first}"
    )


def _unit(header: Any) -> int:
    return int(header["xyzt_units"]) & _SPACE_UNIT_BITS


def _matrix(header: Any, name: str, where: Path | str) -> NDArray[np.float64]:
    from nibabel.spatialimages import HeaderDataError  # noqa: PLC0415  (slow import)

    try:
        return np.array(getattr(header, f"get_{name}")(), np.float64)
    except (HeaderDataError, ValueError) as error:  # the latter of its quaternion
        raise AffineError(
            "the header's rotation is not a rotation", where=where, got=str(error)
        ) from error


def _disagreement(
    sform: NDArray[np.float64], header: Any, shape: Sequence[int], where: Path | str
) -> str | None:
    """Doubt where the qform places voxels elsewhere than the sform, in mm; an error where that matters."""
    try:
        qform = _matrix(header, "qform", where)
        qform[:3] *= mm_per_unit(header)
        there = build_geometry(tuple(shape), qform, where=where)
    except AffineError as error:
        return f"its qform, which other programs may read, is unusable: {error.what}"
    here = build_geometry(tuple(shape), sform, where=where)
    differences = list(_material_differences(here, there))
    if differences:
        raise AffineError(
            "the header's sform and qform contradict each other",
            where=where,
            got="; ".join(differences),
            hint="Find out which is right, and say so with --orientation sform or --orientation qform "
            "(in Python, DicomChoice(orientation=...))",
        )
    if here.matches(there, tolerance_mm=_SAME_PLACE_MM):
        return None
    return "its sform and its qform place the scan differently: other programs may read the other one"


def _material_differences(sform: Geometry, qform: Geometry) -> list[str]:
    """What changes sides, slices or volumes."""
    differences = []
    axes = [(each.source.axes, each.source.flips) for each in (sform, qform)]
    if axes[0] != axes[1]:
        codes = [stored_axes(each) for each in (sform, qform)]
        differences.append(f"axes to {codes[0]} by the sform, to {codes[1]} by the qform")
    sizes = [spacing_of(each.source.affine) for each in (sform, qform)]
    if not np.allclose(sizes[0], sizes[1], rtol=_SAME_SIZE, atol=0.0):
        differences.append(
            f"voxels of {_sizes(sizes[0])} by the sform, of {_sizes(sizes[1])} by the qform"
        )
    return differences


def _other_sizes(sform: NDArray[np.float64], header: Any) -> str | None:
    """Doubt where a lone sform's voxels have another size than pixdim, which some programs use nevertheless."""
    by_sform = spacing_of(sform)
    by_pixdim = np.abs(header["pixdim"][1:4].astype(np.float64)) * mm_per_unit(header)
    if np.allclose(by_sform, by_pixdim, rtol=_SAME_SIZE, atol=0.0):
        return None
    return (
        f"its voxels measure {_sizes(by_sform)} by the sform, {_sizes(by_pixdim)} by pixdim: RenalMap reads "
        "files by the sform, other programs, SimpleITK among them, by pixdim"
    )


def stored_axes(geometry: Geometry) -> str:
    """Where a stored grid's axes point, in NIfTI's letters, as `RAS`."""
    from nibabel.orientations import aff2axcodes  # noqa: PLC0415  (slow import)

    codes: Any = aff2axcodes(geometry.source.affine)  # type: ignore[no-untyped-call]
    return "".join(codes)


def _sizes(spacing_mm: NDArray[np.float64]) -> str:
    return f"{' x '.join(f'{each:.4g}' for each in spacing_mm)} mm"
