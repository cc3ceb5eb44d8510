"""The results of nephrometry: scores with every length behind them, and where those lie; models that go to JSON."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from renalmap.anatomy import AxisBasis, PolarBasis, SinusBasis
from renalmap.labels import Side
from renalmap.measure import Diameter, KidneyRelation, Point

Confidence = Literal["high", "moderate", "low"]
"""high: a component stays the same if borders move by a voxel and by 2 mm; moderate: it changes with 2 mm; low: it changes
with a voxel, or rests on something that was assumed (`Component.note`)."""

Risk = Literal["low", "moderate", "high"]
"""R.E.N.A.L.: 4-6, 7-9, 10-12; PADUA: 6-7, 8-9 (which it calls intermediate), 10 and more."""

Range = tuple[int, int]

PlaneName = Literal["upper polar line", "lower polar line", "axial midplane", "coronal plane"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Component(_Model):
    """One item of a score.

    Attributes:
        code: R, E, N, L or A; for PADUA polar, exophytic, rim, sinus, collecting_system, size or face.
        name: what is measured, in words.
        value: what was measured, in `unit`; None if it is not assessable.
        unit: mm, or "" for a share from 0 to 1.
        lengths: further numbers that the points depend on, each with its unit in its name.
        points: None for a letter, and if it is not assessable.
        letter: of A and of PADUA's face: a (anterior), p (posterior) or x (neither).
        threshold: the row of the table that applied, as "> 40 and < 70 mm".
        points_one_voxel, points_2_mm: fewest and most points if borders move by one voxel, or by 2 mm.
        confidence: see `Confidence`; None if it is not assessable.
        edge: near which limit it lies, in words; None if neither move changes anything.
        not_assessable: why there is no value, as "the upper pole lies outside the scan".
        note: what a mask cannot know about it; None if there is nothing of the kind.
    """

    code: str
    name: str
    value: float | None = None
    unit: str = ""
    lengths: dict[str, float] = {}
    points: int | None = None
    letter: Literal["a", "p", "x"] | None = None
    threshold: str | None = None
    points_one_voxel: Range | None = None
    points_2_mm: Range | None = None
    confidence: Confidence | None = None
    edge: str | None = None
    not_assessable: str | None = None
    note: str | None = None


class Score(_Model):
    """A score of one tumour.

    Attributes:
        components: all of them, those that are not assessable included.
        total: the sum; None unless every component that gives points was assessed.
        total_range: fewest and most points: every component within a voxel and 2 mm, one not assessable within its table.
        risk: the class of the total; None without a total.
        text: as "7a", or "at least 5, at most 11: N not assessable".
    """

    name: Literal["R.E.N.A.L.", "PADUA"]
    components: list[Component]
    total: int | None
    total_range: Range
    risk: Risk | None
    text: str


class Plane(_Model):
    """A plane of a kidney.

    Attributes:
        point: in it, on the kidney's long axis.
        normal_zyx: unit vector along the canonical axes (mm, not voxels): to the upper pole, of the coronal plane
            to the front.
        normal_world: the same in world coordinates, RAS+.
    """

    name: PlaneName
    point: Point
    normal_zyx: tuple[float, float, float]
    normal_world: tuple[float, float, float]


class KidneyLandmarks(_Model):
    """The places of a kidney that scores refer to.

    Attributes:
        kidney: its `id` in the measurements.
        axis: the long axis from the lower (start) to the upper pole (end).
        axis_tilt_deg: between it and the scanner's z.
        axis_basis: "principal axis", or "scanner's z" for a kidney too round to have one.
        planes: empty for a kidney that is cut off.
        hilum: the middle of the tenth of the sinus that is nearest to the body's middle.
        sinus_basis: what showed the sinus.
        polar_basis: what showed the polar lines.
        sinus_ml: the sinus' volume, as far as it is seen.
        axis, axis_tilt_deg, axis_basis, hilum, sinus_basis, polar_basis, sinus_ml: None for a kidney that is cut off.
        not_assessable: why they are None, as "the upper pole lies outside the scan".
        caveats: a sentence each.
    """

    kidney: int
    side: Side | None
    axis: Diameter | None = None
    axis_tilt_deg: float | None = None
    axis_basis: AxisBasis | None = None
    planes: list[Plane] = []
    hilum: Point | None = None
    sinus_basis: SinusBasis | None = None
    polar_basis: PolarBasis | None = None
    sinus_ml: float | None = None
    not_assessable: str | None = None
    caveats: list[str] = []


class LesionNephrometry(_Model):
    """One tumour.

    Attributes:
        lesion: its `id` in the measurements.
        kidney: `id` of its kidney; None if no kidney is near it.
        largest_diameter: R's line.
        relation: C-index, contact with the kidney, margins and depth, as in the measurements.
        to_sinus: N's line, from the tumour (start) to the sinus (end); None without a sinus.
        caveats: a sentence each.
    """

    lesion: int
    kidney: int | None
    side: Side | None
    renal: Score
    padua: Score
    largest_diameter: Diameter
    to_sinus: Diameter | None
    relation: KidneyRelation
    caveats: list[str] = []


class Nephrometry(_Model):
    """Everything about one label map. Cysts are not scored.

    Attributes:
        name: the label map's.
        with_scan: whether the scan's HU helped to find the sinus.
        kidneys: those with a tumour.
        lesions: every tumour, largest first.
        caveats: of the map as a whole, a sentence each.
    """

    name: str
    with_scan: bool
    kidneys: list[KidneyLandmarks]
    lesions: list[LesionNephrometry]
    caveats: list[str] = []
