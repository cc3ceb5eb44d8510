"""From an anatomy to `Nephrometry`."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from renalmap.anatomy import Anatomy, Border, Kidney, KidneyShape, Lesion, shape_of
from renalmap.anatomy.voxels import joined
from renalmap.imaging import LabelMap, Volume
from renalmap.measure import KidneyRelation, Measurements, relate
from renalmap.measure.diameters import Chord
from renalmap.measure.lines import longest_line
from renalmap.measure.place import Placer
from renalmap.nephrometry.lengths import Lengths, largest_diameter
from renalmap.nephrometry.merged import may_be_merged
from renalmap.nephrometry.points import not_assessable
from renalmap.nephrometry.results import (
    Component,
    KidneyLandmarks,
    LesionNephrometry,
    Nephrometry,
    Plane,
    PlaneName,
)
from renalmap.nephrometry.scoring import SIZE, R, assess_size, score_padua, score_renal

FloatArray = NDArray[np.float64]

THICK_SLICES_MM: Final = 5.0
HILUM_SHARE: Final = 0.1
TIP_SHARE: Final = 0.1
"""Of a kidney's largest section: an ellipsoid cut where it is this thin lacks a fortieth of its length, 3 mm."""

CUT_TUMOUR: Final = "the tumour reaches beyond the scan"
NO_TUMOUR: Final = "there is no tumour to score"
NO_SCAN: Final = "without the scan, the sinus is known from the gaps of the label map alone"
_CUT: Final = {"head": "the upper pole lies", "feet": "the lower pole lies"}


def score_label_map(label_map: LabelMap, scan: Volume | None = None) -> Nephrometry:
    """Score every tumour of a label map.

    Args:
        label_map: labels 0 background, 1 kidney, 2 tumour, 3 cyst, on the scan's canonical grid.
        scan: on the same grid; its HU show the fat of the sinus.

    Raises:
        LabelError: the map holds a value that is not a label.
        GeometryMismatchError: the scan lies on another grid.
    """
    return score_anatomy(Anatomy.of(label_map, scan))


def score_anatomy(anatomy: Anatomy, measured: Measurements | None = None) -> Nephrometry:
    """Score every tumour of a label map that has already been read; otherwise as `score_label_map`.

    Args:
        anatomy: of the label map.
        measured: its measurements, if there are any: what they tell is not worked out again.
    """
    relations = {} if measured is None else {one.id: one.relation for one in measured.lesions}
    place = Placer(anatomy.label_map.geometry)
    owners = {lesion.kidney for lesion in anatomy.tumours}
    kidneys = [kidney for kidney in anatomy.kidneys if kidney.id in owners]
    shapes = {kidney.id: _cut_off(kidney) or shape_of(kidney, anatomy) for kidney in kidneys}
    return Nephrometry(
        name=anatomy.label_map.name,
        with_scan=anatomy.scan is not None,
        kidneys=[_landmarks(kidney, shapes[kidney.id], anatomy, place) for kidney in kidneys],
        lesions=[
            _score(
                lesion,
                anatomy,
                shapes.get(lesion.kidney or "", "no kidney is near the tumour"),
                place,
                relations.get(lesion.number),
            )
            for lesion in anatomy.tumours
        ],
        caveats=_caveats(anatomy),
    )


def _caveats(anatomy: Anatomy) -> list[str]:
    told = [] if anatomy.tumours else [NO_TUMOUR]
    if anatomy.tumours and anatomy.scan is None:
        told.append(NO_SCAN)
    pitch_mm = anatomy.label_map.geometry.spacing_mm[0]
    if pitch_mm > THICK_SLICES_MM:
        told.append(
            f"slices are {pitch_mm:.1f} mm apart: whatever lies across them may be off by {pitch_mm / 2.0:.1f} mm"
        )
    return told


def _cut_off(kidney: Kidney) -> str | None:
    """Why the kidney's shape is not known; None if it lies in the scan, but for a tip."""
    borders = [border for border in kidney.borders if not _is_tip(kidney, border)]
    if not borders:
        return None
    poles = [_CUT[border] for border in borders if border in _CUT]
    return f"{poles[0] if poles else 'part of the kidney lies'} outside the scan"


def _is_tip(kidney: Kidney, border: Border) -> bool:
    """Whether a kidney is so thin where the first or last slice cuts it that a few mm are missing."""
    areas = joined(kidney.own).inside.sum(axis=(1, 2))
    ends = {"feet": areas[0], "head": areas[-1]}
    return border in ends and bool(ends[border] < TIP_SHARE * areas.max())


def _score(
    lesion: Lesion,
    anatomy: Anatomy,
    shape: KidneyShape | str,
    place: Placer,
    relation: KidneyRelation | None,
) -> LesionNephrometry:
    spacing_mm = anatomy.label_map.geometry.spacing_mm
    diameter = largest_diameter(lesion, spacing_mm)
    sizes = _sizes(lesion, diameter, spacing_mm)
    lengths: Lengths | str = CUT_TUMOUR if lesion.borders else ""
    if not lengths:
        lengths = shape if isinstance(shape, str) else Lengths.of(lesion, shape, anatomy)
    kidney = anatomy.kidney_of(lesion)
    return LesionNephrometry(
        lesion=lesion.number,
        kidney=None if kidney is None else kidney.number,
        side=lesion.side,
        renal=score_renal(sizes[0], lengths),
        padua=score_padua(sizes[1], lengths),
        largest_diameter=place.diameter(diameter),
        to_sinus=None if isinstance(lengths, str) else place.diameter(lengths.to_sinus),
        relation=relation or relate(lesion, anatomy, diameter.length_mm / 2.0),
        caveats=_lesion_caveats(lesion, kidney, anatomy),
    )


def _sizes(lesion: Lesion, diameter: Chord, spacing_mm: tuple[float, float, float]) -> list[Component]:
    """R, and PADUA's size."""
    longest_mm = round(diameter.length_mm, 2)
    if lesion.borders and longest_mm <= 70.0:
        return [not_assessable(item, CUT_TUMOUR, longest_mm) for item in (R, SIZE)]
    in_space_mm = max(longest_mm, longest_line([lesion.voxels], spacing_mm).length_mm)
    return [assess_size(item, longest_mm, max(spacing_mm[1:]), in_space_mm) for item in (R, SIZE)]


def _lesion_caveats(lesion: Lesion, kidney: Kidney | None, anatomy: Anatomy) -> list[str]:
    told = []
    if may_be_merged(lesion.voxels, anatomy.label_map.geometry.spacing_mm):
        told.append("it may be two tumours labelled as one: it narrows to a waist between two parts")
    if kidney is not None:
        if lesion.voxels.size > sum(part.size for part in kidney.own):
            told.append("it is larger than what is left of its kidney, whose former shape is a guess")
        if kidney.crosses_midline:
            told.append(
                "its kidney crosses the midline, where it is divided: neither score was made for that"
            )
    return told


def _landmarks(
    kidney: Kidney, shape: KidneyShape | str, anatomy: Anatomy, place: Placer
) -> KidneyLandmarks:
    if isinstance(shape, str):
        return KidneyLandmarks(kidney=kidney.number, side=kidney.side, not_assessable=shape)
    geometry, frame = anatomy.label_map.geometry, shape.frame
    up, _, front = frame.axes
    ends = np.stack([frame.centre_mm + height * up for height in shape.ends_mm])
    lower, upper = shape.polar_mm
    heights: dict[PlaneName, float] = {
        "upper polar line": upper,
        "axial midplane": shape.middle_mm,
        "lower polar line": lower,
    }
    planes = [_plane(name, frame.centre_mm + height * up, up, place) for name, height in heights.items()]
    return KidneyLandmarks(
        kidney=kidney.number,
        side=kidney.side,
        axis=place.diameter(Chord(ends)),
        axis_tilt_deg=round(float(np.degrees(np.arccos(np.clip(up[0], -1.0, 1.0)))), 1),
        axis_basis=frame.basis,
        planes=[*planes, _plane("coronal plane", frame.centre_mm, front, place)],
        hilum=place.point(_hilum_mm(shape, geometry.spacing_mm)),
        sinus_basis=shape.sinus_basis,
        polar_basis=shape.polar_basis,
        sinus_ml=round(anatomy.ml([shape.sinus]), 3),
        caveats=[*_tip_caveats(kidney), *_shape_caveats(shape)],
    )


def _plane(name: PlaneName, place_mm: FloatArray, normal: FloatArray, place: Placer) -> Plane:
    geometry = place.geometry
    world = geometry.affine[:3, :3] @ (normal / np.array(geometry.spacing_mm))
    return Plane(
        name=name,
        point=place.point(place_mm),
        normal_zyx=_triple(normal),
        normal_world=_triple(world / np.linalg.norm(world)),
    )


def _triple(vector: FloatArray) -> tuple[float, float, float]:
    first, second, third = (round(float(value), 5) + 0.0 for value in vector)
    return first, second, third


def _hilum_mm(shape: KidneyShape, spacing_mm: tuple[float, float, float]) -> FloatArray:
    """The middle of the part of the sinus that is nearest to the body's middle."""
    voxels = shape.sinus
    places = (np.argwhere(voxels.inside) + np.array(voxels.box.start)) * np.array(spacing_mm)
    medial = shape.frame.local(places)[:, 1]
    middle: FloatArray = places[medial >= np.quantile(medial, 1.0 - HILUM_SHARE)].mean(axis=0)
    return middle


def _tip_caveats(kidney: Kidney) -> list[str]:
    return [f"the tip of {_CUT[border]} outside the scan" for border in kidney.borders if border in _CUT]


def _shape_caveats(shape: KidneyShape) -> list[str]:
    told = []
    if shape.frame.basis != "principal axis":
        told.append(
            "what is left of the kidney is too round to have a long axis: the scanner's z is taken"
        )
    if shape.sinus_basis == "proportions":
        told.append(
            "the labels leave out (almost) nothing of the sinus: it is taken to lie where it usually does"
        )
    if shape.polar_basis == "sinus":
        told.append("the labels close the medial lip: the polar lines lie where the sinus begins")
    if shape.polar_basis == "proportions":
        told.append("the polar lines are not seen: they are taken to lie where they usually do")
    return told
