"""The renal sinus: what lies inside a kidney's outline and is neither its tissue nor a lesion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from renalmap.anatomy.frame import Frame, Sections, find_frame
from renalmap.anatomy.kidneys import SPECK_BELOW_ML, Kidney
from renalmap.anatomy.reading import Anatomy
from renalmap.anatomy.voxels import Voxels, joined
from renalmap.imaging.connected import connected_parts
from renalmap.labels import KIDNEY

SinusBasis = Literal["scan", "mask", "proportions"]
"""What showed the sinus: the gaps of the label map and the fat in the scan; the gaps alone; or nothing, so
that it is taken to lie where it lies in other kidneys."""

PolarBasis = Literal["medial lip", "sinus", "proportions"]
"""What showed the polar lines: where the medial lip is interrupted; where the sinus begins, in a map whose labels close
the lip; or nothing, so that they are taken to lie where they lie in other kidneys."""

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]

FAT_BELOW_HU: Final = -20.0
"""Half-way between fat and soft tissue. Vessels and fluid are not told from tissue by HU: they depend on the phase."""

RIM_MM: Final = 1.5
"""A gap this near the outline is a rough border."""

FAT_RIM_MM: Final = 3.0
"""Fat this near the outline may be perirenal fat within a generous border."""

DEEP_MM: Final = 5.0
"""The sinus reaches at least this far inside; a dent between two lobes or beside a tumour seldom does."""

DEEP_SHARE: Final = 0.3
"""And this much of it lies so deep: of dents, a quarter at most."""

WITHIN: Final = (0.7, 0.8, 0.8)
"""The centre of a part of the sinus in the kidney's half axes: beyond it, towards a pole, lie dents."""

FILLED_BELOW: Final = 0.015
"""A sinus seen to take a smaller share of the kidney's tissue is mostly labelled as tissue."""

USUAL_CENTRE: Final = (0.0, 0.22, 0.0)
USUAL_HALF: Final = (0.5, 0.42, 0.38)
"""A sinus in its kidney, both ellipsoids: centre and half axes in the kidney's half axes, up, to the hilum and to the front."""

USUAL_LINES: Final = (0.33, 0.61)
"""The polar lines in shares of the length from the lower pole. These proportions are medians of kidneys with small tumours
or none, among KiTS19's masks, whose lip is interrupted (docs/nephrometry.md)."""

HILUM_TURN_DEG: Final = 25.0
"""How far forward of the middle a hilum usually faces: the median of the same kidneys."""

OFF_CENTRE_MM: Final = 1.0
"""A sinus whose centre is nearer than this to the long axis does not show where the hilum is."""

_OPEN_MM2: Final = 4.0
_SEEN_MM2: Final = 10.0
_PLAUSIBLE: Final = ((0.08, 0.5), (0.45, 0.92))
_LEAST_SPAN: Final = 0.12


@dataclass(frozen=True, eq=False)
class KidneyShape:
    """The geometry of one kidney to which scores refer. All lengths are mm.

    Attributes:
        kidney: whose.
        frame: its axes; the second points to the hilum.
        ends_mm: the outline's lower and upper end on the long axis, from the frame's centre.
        sinus: its voxels.
        sinus_basis: what showed it.
        polar_mm: heights of the lower and the upper polar line on the long axis, from the frame's centre.
        polar_basis: what showed them.
    """

    kidney: Kidney
    frame: Frame
    ends_mm: tuple[float, float]
    sinus: Voxels
    sinus_basis: SinusBasis
    polar_mm: tuple[float, float]
    polar_basis: PolarBasis

    @property
    def middle_mm(self) -> float:
        """Height of the axial midplane: half-way between the polar lines."""
        return sum(self.polar_mm) / 2.0


def shape_of(kidney: Kidney, anatomy: Anatomy) -> KidneyShape:
    """The axes, the sinus and the polar lines of a kidney; meaningful only if all of it lies in the scan."""
    spacing_mm = anatomy.label_map.geometry.spacing_mm
    body = joined(kidney.body)
    z, _, x = body.centre_zyx
    middle_x = float(anatomy.midline.track.at(np.array([z]))[0])
    medial = np.array([0.0, 0.0, np.sign(middle_x - x) or 1.0])
    sections = Sections.of(body, spacing_mm, find_frame(body, spacing_mm, medial))
    depth_mm = sections.at_voxels(sections.depth_mm)
    seen, basis = _find_sinus(sections, depth_mm, anatomy)
    rim_mm = FAT_RIM_MM if basis == "scan" else RIM_MM
    polar_mm, polar_basis = _polar_lines(sections, seen, rim_mm)
    turn = np.radians(HILUM_TURN_DEG)
    towards = np.cos(turn) * sections.frame.axes[1] + np.sin(turn) * sections.frame.axes[2]
    filled = np.count_nonzero(seen) < FILLED_BELOW * body.size
    if not filled:
        centre = sections.frame.local(np.array(Voxels(body.box, seen).centre_zyx) * np.array(spacing_mm))
        if np.hypot(*centre[1:]) > OFF_CENTRE_MM:
            towards = centre[1:] @ sections.frame.axes[1:]
    frame = sections.frame.towards(towards)
    if filled:
        seen = seen | _usual_sinus(Sections.of(body, spacing_mm, frame), anatomy)
        basis = "proportions"
    low, high = sections.extent_mm[0]
    ends_mm = (float(low), float(high))
    return KidneyShape(kidney, frame, ends_mm, Voxels(body.box, seen), basis, polar_mm, polar_basis)


def _find_sinus(
    sections: Sections, depth_mm: NDArray[np.float32], anatomy: Anatomy
) -> tuple[BoolArray, SinusBasis]:
    """The gaps of the labels that reach deep inside, and what is fat there."""
    body = sections.body
    gap = (anatomy.label_map.labels[body.box.slices] == 0) & (depth_mm >= RIM_MM)
    basis: SinusBasis = "mask"
    if anatomy.scan is not None:
        basis = "scan"
        gap |= body.inside & (anatomy.scan.hu[body.box.slices] < FAT_BELOW_HU) & (depth_mm >= FAT_RIM_MM)
    voxel_ml = anatomy.label_map.geometry.voxel_ml
    found = np.zeros_like(gap)
    for box, part in connected_parts(gap):
        deep = np.count_nonzero(depth_mm[box.slices][part] >= DEEP_MM)
        size = np.count_nonzero(part)
        if min(size, 2 * deep) * voxel_ml < SPECK_BELOW_ML or deep < DEEP_SHARE * size:
            continue
        places = (
            np.argwhere(part) + np.array(box.start) + np.array(body.box.start)
        ) * sections.spacing_mm
        if (np.abs(_in_kidney(sections, sections.frame.local(places)).mean(axis=0)) <= WITHIN).all():
            found[box.slices] |= part
    return found, basis


def _in_kidney(sections: Sections, local_mm: FloatArray) -> FloatArray:
    """(n, 3) places along a kidney's axes, in its half axes and from the middle of its extent."""
    extent = sections.extent_mm
    places: FloatArray = (local_mm - extent.mean(axis=1)) / (np.diff(extent, axis=1)[:, 0] / 2.0)
    return places


def _usual_sinus(sections: Sections, anatomy: Anatomy) -> BoolArray:
    """The voxels of the box within an ellipsoid of usual proportions at the usual place; lesions are left out."""
    every = np.ones(sections.depth_mm.shape, np.bool_)
    places = (_in_kidney(sections, sections.points(every)) - USUAL_CENTRE) / USUAL_HALF
    away = sections.at_voxels(np.linalg.norm(places, axis=1).reshape(every.shape))
    free = anatomy.label_map.labels[sections.body.box.slices] <= KIDNEY
    # Where lesions fill all of that place, what is nearest to it is left of it.
    usual: BoolArray = free & (away <= max(1.0, float(away[free].min())))
    return usual


def _polar_lines(
    sections: Sections, sinus: BoolArray, rim_mm: float
) -> tuple[tuple[float, float], PolarBasis]:
    """Heights of the lower and upper line, and what showed them."""
    low, high = sections.extent_mm[0]
    inside = sections.sampled(sinus)
    areas = inside.sum(axis=(1, 2)) * sections.pitch_mm**2
    open_at = inside & (sections.depth_mm < rim_mm + sections.pitch_mm)
    is_open = open_at.sum(axis=(1, 2)) * sections.pitch_mm**2 >= _OPEN_MM2
    is_open &= np.where(inside, sections.depth_mm, 0.0).max(axis=(1, 2)) >= DEEP_MM
    candidates: tuple[tuple[PolarBasis, BoolArray], ...] = (
        ("medial lip", is_open),
        ("sinus", areas >= _SEEN_MM2),
    )
    for basis, chosen in candidates:
        heights = sections.along_mm[chosen]
        if heights.size:
            ends = heights[[0, -1]] + np.array([-0.5, 0.5]) * sections.pitch_mm
            if _plausible((ends - low) / (high - low)):
                return (float(ends[0]), float(ends[1])), basis
    lower, upper = (float(low + share * (high - low)) for share in USUAL_LINES)
    return (lower, upper), "proportions"


def _plausible(shares: FloatArray) -> bool:
    within = all(least <= share <= most for share, (least, most) in zip(shares, _PLAUSIBLE, strict=True))
    return within and bool(shares[1] - shares[0] >= _LEAST_SPAN)
