"""The results of measuring: kidneys, lesions, specks and flags, as models that go to JSON."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from renalmap.anatomy import Border, Flag, SideBasis, SpeckKind
from renalmap.imaging.volume import SliceNames
from renalmap.labels import LesionKind, Side

PolarPosition = Literal["upper", "middle", "lower"]

SizeClass = Literal["up to 4 cm", "over 4 to 7 cm", "over 7 to 10 cm", "over 10 cm"]

SIZE_CLASS_NOTE: Final = (
    "size_class uses the size limits of the TNM's T1a, T1b, T2a and T2b, and size alone: it is not a T stage, "
    "which also depends on what a tumour grows into"
)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Point(_Model):
    """A position in the scan, which may lie between voxel centres.

    Attributes:
        voxel_zyx: in voxels of the canonical grid: z from the feet, y from the front, x from the right.
        stored_ijk: in voxels of the file, as viewers of NIfTI count them.
        world_mm: RAS+ as in NIfTI, mm.
    """

    voxel_zyx: tuple[float, float, float]
    stored_ijk: tuple[float, float, float]
    world_mm: tuple[float, float, float]


class Diameter(_Model):
    """A straight line from border to border."""

    length_mm: float
    start: Point
    end: Point

    @property
    def ends_mm(self) -> NDArray[np.float64]:
        """(2, 3) both ends in the world, RAS+."""
        return np.array([self.start.world_mm, self.end.world_mm])


class KidneyRelation(_Model):
    """How a lesion lies in and against its kidney.

    Attributes:
        exophytic_share: share of its volume outside the kidney's outline, from 0 to 1; the outline is
            the convex closing of the kidney's own tissue. None without a whole kidney.
        contact_mm2: how much of its surface lies against its kidney's own tissue; None without a kidney.
        hsieh_contact_mm2: 2 pi r d, with r half the longest axial diameter and d `depth_mm`, at most 2 r (Hsieh 2016).
        kidney_within_5_mm_ml, kidney_within_10_mm_ml: its kidney's own tissue that near to its surface; None without a
            kidney.
        depth_mm: how far below its kidney's outline its deepest point lies.
        c_index: distance of its middle from its kidney's, in radii (Simmons 2010).
        axial_offset_mm, craniocaudal_offset_mm: that distance in the plane of the slices and along z.
        hsieh_contact_mm2, depth_mm, c_index, axial_offset_mm, craniocaudal_offset_mm: None unless both it and its kidney
            are whole.
    """

    exophytic_share: float | None = None
    contact_mm2: float | None = None
    hsieh_contact_mm2: float | None = None
    kidney_within_5_mm_ml: float | None = None
    kidney_within_10_mm_ml: float | None = None
    depth_mm: float | None = None
    c_index: float | None = None
    axial_offset_mm: float | None = None
    craniocaudal_offset_mm: float | None = None


class LesionMeasurement(KidneyRelation):
    """One connected tumour or cyst. Numbers are lower bounds where it is incomplete.

    Attributes:
        id: from 1, largest first.
        kind: tumour (label 2) or cyst (label 3).
        kidney: `id` of the kidney it belongs to; None if no kidney is near it.
        side: the patient's; None if it cannot be determined.
        longest_axial_diameter_mm: in the axial slice where it is longest.
        short_axis_mm: the longest perpendicular line in the same section.
        slice: that slice, in the canonical grid from the feet, counted from 0.
        slice_names: the same slice under every name: from 0, from 1, and DICOM's.
        largest_3d_diameter_mm: in any direction.
        polar_fraction: height of the centroid in its kidney: 0 at the lower end of the kidney's own
            tissue, 1 at the upper; below 0 or over 1 beyond them. None without a whole kidney.
        polar_position: the same in thirds.
        mean_hu, sd_hu: of its voxels; None without a scan.
        size_class: of a tumour's longest axial diameter; None for cysts. See `SIZE_CLASS_NOTE`.
        crosses_midline: whether at least 5 ml and a tenth of it lie on either side; it is measured whole.
        borders: of the scan that it touches.
        incomplete: whether it touches any.
    """

    id: int
    kind: LesionKind
    kidney: int | None
    side: Side | None
    volume_ml: float
    longest_axial_diameter_mm: float
    short_axis_mm: float
    slice: int
    slice_names: SliceNames
    largest_3d_diameter_mm: float
    longest_axial_diameter: Diameter
    short_axis: Diameter
    largest_3d_diameter: Diameter
    centroid: Point
    polar_position: PolarPosition | None
    polar_fraction: float | None
    mean_hu: float | None = None
    sd_hu: float | None = None
    size_class: SizeClass | None
    crosses_midline: bool
    borders: list[Border]
    incomplete: bool

    @property
    def relation(self) -> KidneyRelation:
        """How it lies in and against its kidney, alone."""
        return KidneyRelation(**{name: getattr(self, name) for name in KidneyRelation.model_fields})


class KidneyMeasurement(_Model):
    """One kidney. Numbers are lower bounds where it is incomplete.

    Attributes:
        id: from 1; left before right, largest first.
        side: the patient's; None if it cannot be determined.
        parenchyma_ml: the kidney's own tissue (label 1), without tumours and cysts.
        tumour_ml, cyst_ml: of its lesions, specks left out.
        share_of_both: its own tissue's share of that of both kidneys; None unless there are two, both whole.
        length_mm: longest line through the kidney's own tissue in any direction.
        centroid: of its own tissue.
        mean_hu, sd_hu: of its own tissue; None without a scan.
        pieces: unconnected pieces it is made of.
        lesions: `id` of each.
        crosses_midline: whether its tissue lies on both sides of the midline, at which it was divided.
        borders: of the scan that it or its lesions touch.
        incomplete: whether they touch any.
    """

    id: int
    side: Side | None
    parenchyma_ml: float
    tumour_ml: float
    cyst_ml: float
    share_of_both: float | None = None
    length_mm: float
    length: Diameter
    centroid: Point
    mean_hu: float | None = None
    sd_hu: float | None = None
    pieces: int
    lesions: list[int]
    crosses_midline: bool
    borders: list[Border]
    incomplete: bool


class Speck(_Model):
    """A component too small to be measured; it is not included in any volume."""

    kind: SpeckKind
    volume_ml: float
    centroid: Point


class Measurements(_Model):
    """Everything measured on one label map.

    Attributes:
        name: the label map's.
        shape_zyx, spacing_mm: of the canonical grid.
        side_basis: what told left from right.
        with_scan: whether HU were measured.
        kidneys, lesions: what was found; an organ that is not there is left out, never listed as 0.
        specks: components below `specks_below_ml`.
    """

    name: str
    shape_zyx: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    side_basis: SideBasis
    with_scan: bool
    flags: list[Flag]
    kidneys: list[KidneyMeasurement]
    lesions: list[LesionMeasurement]
    specks: list[Speck]
    specks_below_ml: float
    size_class_note: str = SIZE_CLASS_NOTE

    @property
    def tumours(self) -> list[LesionMeasurement]:
        """The lesions that are tumours, largest first."""
        return [lesion for lesion in self.lesions if lesion.kind == "tumour"]
