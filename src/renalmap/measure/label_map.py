"""From an anatomy to `Measurements`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from renalmap.anatomy import SPECK_BELOW_ML, Anatomy, Kidney, Lesion, Voxels, raise_flags
from renalmap.imaging import LabelMap, Volume
from renalmap.imaging.volume import SliceNames
from renalmap.measure.centrality import centre_offset
from renalmap.measure.contact import SmoothLesion, contact_area_mm2
from renalmap.measure.diameters import Chord
from renalmap.measure.exophytic import beyond_outline_mm
from renalmap.measure.lines import Spacing, axial_lines, centroid_mm, longest_line
from renalmap.measure.margins import tissue_near_ml
from renalmap.measure.measurements import (
    KidneyMeasurement,
    KidneyRelation,
    LesionMeasurement,
    Measurements,
    PolarPosition,
    SizeClass,
    Speck,
)
from renalmap.measure.place import Placer

SIZE_LIMITS_MM: Final[tuple[tuple[float, SizeClass], ...]] = (
    (40.0, "up to 4 cm"),
    (70.0, "over 4 to 7 cm"),
    (100.0, "over 7 to 10 cm"),
    (float("inf"), "over 10 cm"),
)
"""The limits of T1a, T1b and T2a of the TNM classification of renal cell carcinoma (UICC, 8th edition)."""

MARGINS_MM: Final = (5.0, 10.0)

_ML_DIGITS: Final = 3


def measure_label_map(label_map: LabelMap, volume: Volume | None = None) -> Measurements:
    """Measure kidneys and lesions.

    Args:
        label_map: labels 0 background, 1 kidney, 2 tumour, 3 cyst, on the scan's canonical grid.
        volume: the scan, on the same grid: gives HU, and the body, which tells left from right.

    Returns:
        The measurements. For a map without any label they are empty, with the flag `no_kidney_found`.

    Raises:
        LabelError: the map holds a value that is not a label.
        GeometryMismatchError: the scan lies on another grid.
    """
    return measure_anatomy(Anatomy.of(label_map, volume))


def measure_anatomy(anatomy: Anatomy) -> Measurements:
    """Measure kidneys and lesions of a label map that has already been read; otherwise as `measure_label_map`."""
    geometry, scan = anatomy.label_map.geometry, anatomy.scan
    place = Placer(geometry)
    return Measurements(
        name=anatomy.label_map.name,
        shape_zyx=geometry.shape,
        spacing_mm=geometry.spacing_mm,
        side_basis=anatomy.midline.basis,
        with_scan=scan is not None,
        flags=raise_flags(anatomy),
        kidneys=[_measure_kidney(kidney, anatomy, place) for kidney in anatomy.kidneys],
        lesions=[_measure_lesion(one, anatomy, place) for one in anatomy.lesions],
        specks=[
            Speck(
                kind=speck.kind,
                volume_ml=round(speck.voxels.size * geometry.voxel_ml, 5),
                centroid=place.point(centroid_mm([speck.voxels], geometry.spacing_mm)),
            )
            for speck in anatomy.specks
        ],
        specks_below_ml=SPECK_BELOW_ML,
    )


def _hu(anatomy: Anatomy, parts: Sequence[Voxels]) -> dict[str, float | None]:
    """Mean and standard deviation over all voxels of some parts."""
    if anatomy.scan is None:
        return {"mean_hu": None, "sd_hu": None}
    values = anatomy.hu_of(parts)
    mean, deviation = values.mean(dtype=np.float64), values.std(dtype=np.float64)
    return {"mean_hu": round(float(mean), 1), "sd_hu": round(float(deviation), 1)}


def _measure_lesion(lesion: Lesion, anatomy: Anatomy, place: Placer) -> LesionMeasurement:
    voxels, kidney = lesion.voxels, anatomy.kidney_of(lesion)
    spacing_mm = anatomy.label_map.geometry.spacing_mm
    lines = axial_lines(voxels, spacing_mm)
    height_mm = lines.slice * spacing_mm[0]
    centroid = centroid_mm([voxels], spacing_mm)
    in_space = longest_line([voxels], spacing_mm)
    if (
        lines.longest.length_mm > in_space.length_mm
    ):  # a flat lesion, whose borders are placed differently
        in_space = Chord(np.insert(lines.longest.ends, 0, height_mm, axis=1))
    whole = _whole(kidney)
    fraction = None if whole is None else _polar_fraction(lesion, whole)
    longest_mm = round(lines.longest.length_mm, 2)
    return LesionMeasurement(
        id=lesion.number,
        kind=lesion.kind,
        kidney=None if kidney is None else kidney.number,
        side=lesion.side,
        volume_ml=round(anatomy.ml([voxels]), _ML_DIGITS),
        longest_axial_diameter_mm=longest_mm,
        short_axis_mm=round(lines.short.length_mm, 2),
        slice=lines.slice,
        slice_names=SliceNames.of(lines.slice, anatomy.scan),
        largest_3d_diameter_mm=round(in_space.length_mm, 2),
        longest_axial_diameter=place.diameter(lines.longest, height_mm),
        short_axis=place.diameter(lines.short, height_mm),
        largest_3d_diameter=place.diameter(in_space),
        centroid=place.point(centroid),
        polar_position=None if fraction is None else _third(fraction),
        polar_fraction=None if fraction is None else round(fraction, 3),
        **_relation(lesion, kidney, lines.longest.length_mm / 2.0, spacing_mm),
        **_hu(anatomy, [voxels]),
        size_class=size_class(longest_mm) if lesion.kind == "tumour" else None,
        crosses_midline=lesion.crosses_midline,
        borders=lesion.borders,
        incomplete=bool(lesion.borders),
    )


def relate(lesion: Lesion, anatomy: Anatomy, radius_mm: float) -> KidneyRelation:
    """How a lesion of that axial radius lies in and against its kidney; nothing is known without one."""
    spacing_mm = anatomy.label_map.geometry.spacing_mm
    return KidneyRelation(**_relation(lesion, anatomy.kidney_of(lesion), radius_mm, spacing_mm))


def _whole(kidney: Kidney | None) -> Sequence[Voxels] | None:
    """A kidney's body; None if it is truncated, because its outline is then not known."""
    return None if kidney is None or kidney.borders else kidney.body


def _relation(
    lesion: Lesion, kidney: Kidney | None, radius_mm: float, spacing_mm: Spacing
) -> dict[str, float | None]:
    if kidney is None:
        return {}
    return _in_outline(lesion, _whole(kidney), radius_mm, spacing_mm) | _against(
        lesion.voxels, kidney.own, spacing_mm
    )


def _in_outline(
    lesion: Lesion, whole: Sequence[Voxels] | None, radius_mm: float, spacing_mm: Spacing
) -> dict[str, float | None]:
    """How a lesion lies in its kidney's outline; nothing where that is not known."""
    if whole is None:
        return {}
    beyond_mm = beyond_outline_mm(lesion.voxels, whole, spacing_mm)
    told: dict[str, float | None] = {"exophytic_share": round(float((beyond_mm > 0.0).mean()), 3)}
    if lesion.borders:
        return told
    offset = centre_offset(lesion.voxels, whole, spacing_mm)
    depth_mm = max(0.0, -float(beyond_mm.min()))
    # Deeper than its diameter, a tumour is surrounded: Hsieh's cap is then the whole sphere.
    sunk_mm = min(depth_mm, 2.0 * radius_mm)
    return {
        **told,
        "depth_mm": round(depth_mm, 2),
        "hsieh_contact_mm2": round(2.0 * np.pi * radius_mm * sunk_mm, 1),
        "axial_offset_mm": round(offset.axial_mm, 2),
        "craniocaudal_offset_mm": round(offset.craniocaudal_mm, 2),
        "c_index": round(offset.length_mm / radius_mm, 3),
    }


def _against(voxels: Voxels, kidney: Sequence[Voxels], spacing_mm: Spacing) -> dict[str, float | None]:
    """What of its kidney a lesion touches, and what is near it."""
    lesion = SmoothLesion.of(voxels, spacing_mm)
    near_ml = tissue_near_ml(lesion, kidney, MARGINS_MM)
    return {
        "contact_mm2": round(contact_area_mm2(lesion, kidney), 1),
        **{
            f"kidney_within_{margin:.0f}_mm_ml": round(ml, _ML_DIGITS)
            for margin, ml in zip(MARGINS_MM, near_ml, strict=True)
        },
    }


def _polar_fraction(lesion: Lesion, kidney: Sequence[Voxels]) -> float:
    """Height of a lesion's centroid between the lower and the upper end of its kidney's own tissue."""
    ends = [part.span(0) for part in kidney]
    low, high = min(first for first, _ in ends) - 0.5, max(last for _, last in ends) + 0.5
    return (lesion.voxels.centre_zyx[0] - low) / (high - low)


def _third(fraction: float) -> PolarPosition:
    return "lower" if fraction < 1 / 3 else "middle" if fraction <= 2 / 3 else "upper"


def size_class(diameter_mm: float) -> SizeClass:
    """The class of a diameter; a limit belongs to the class below it, as in the TNM."""
    return next(name for limit_mm, name in SIZE_LIMITS_MM if diameter_mm <= limit_mm)


def _measure_kidney(kidney: Kidney, anatomy: Anatomy, place: Placer) -> KidneyMeasurement:
    spacing_mm = anatomy.label_map.geometry.spacing_mm
    length = longest_line(kidney.body, spacing_mm)
    borders = anatomy.borders_of(kidney)
    return KidneyMeasurement(
        id=kidney.number,
        side=kidney.side,
        parenchyma_ml=round(anatomy.ml(kidney.own), _ML_DIGITS),
        tumour_ml=round(anatomy.lesions_ml(kidney, "tumour"), _ML_DIGITS),
        cyst_ml=round(anatomy.lesions_ml(kidney, "cyst"), _ML_DIGITS),
        share_of_both=_share_of_both(kidney, anatomy),
        length_mm=round(length.length_mm, 2),
        length=place.diameter(length),
        centroid=place.point(centroid_mm(kidney.own, spacing_mm)),
        **_hu(anatomy, kidney.own),
        pieces=len(kidney.pieces),
        lesions=[lesion.number for lesion in anatomy.lesions_of(kidney)],
        crosses_midline=kidney.crosses_midline,
        borders=borders,
        incomplete=bool(borders),
    )


def _share_of_both(kidney: Kidney, anatomy: Anatomy) -> float | None:
    """A kidney's part of the tissue of two kidneys that are all there; None otherwise."""
    if len(anatomy.kidneys) != 2 or any(anatomy.borders_of(each) for each in anatomy.kidneys):
        return None
    return round(anatomy.ml(kidney.own) / sum(anatomy.ml(each.own) for each in anatomy.kidneys), 3)
