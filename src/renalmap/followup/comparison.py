"""What a comparison of two scans found, as models that go to JSON."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from renalmap.followup.changes import Change, DoublingTime
from renalmap.followup.matching import How
from renalmap.labels import LesionKind, Side
from renalmap.measure.measurements import Point, SizeClass

CautionCode = Literal[
    "different_patients",
    "date_unknown",
    "interval_short",
    "side_unknown",
    "kidney_missing",
    "kidney_incomplete",
    "alignment_failed",
    "kidneys_fit_badly",
    "kidney_stretched",
    "lesion_incomplete",
    "lesion_unmatched",
    "kind_changed",
    "slices_differ",
    "contrast_differs",
]

LesionStatus = Literal[
    "matched",
    "merged",
    "split",
    "regrouped",
    "new",
    "vanished",
    "kidney_missing",
    "outside_scan",
    "unmatched",
]
"""The last three say that nothing is known: the lesion's kidney, or its place, is not in the other scan; or no place
could be compared, and there is not just one lesion on either side."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Caution(_Model):
    """What a reader should know before the numbers."""

    code: CautionCode
    text: str


class AlignmentReport(_Model):
    """How a kidney of the earlier scan was laid on that of the later one.

    Attributes:
        residual_mm: root mean square distance of the surfaces, over the four fifths that fit best.
        turn_degrees: by how much the kidney was turned.
        shift_mm: by how much its centre was moved, (x, y, z) in RAS+.
        fits: whether places in the two kidneys were compared.
    """

    residual_mm: float
    turn_degrees: float
    shift_mm: tuple[float, float, float]
    fits: bool


class KidneyComparison(_Model):
    """One kidney in two scans.

    Attributes:
        kidney: "left", "right", "left_2", or "unknown" where the side could not be determined.
        side: the patient's.
        before, after: its `id` in the measurements of either scan; None where it is missing.
        alignment: None unless it is in both.
        parenchyma_ml, length_mm: changes; None unless it is whole in both.
        hu_change: of its own tissue's mean HU; None unless both scans show one contrast phase.
    """

    kidney: str
    side: Side | None
    before: int | None
    after: int | None
    alignment: AlignmentReport | None = None
    parenchyma_ml: Change | None = None
    length_mm: Change | None = None
    hu_change: float | None = None


class LesionComparison(_Model):
    """One lesion in two scans, or several that merged or split.

    Attributes:
        status: what became of it.
        kidney, side: as in `KidneyComparison`.
        kind: what it is called in the later scan, or was in the earlier if it is gone.
        before, after: each lesion's `id` in the measurements of either scan.
        how: what says that they are the same: they overlap once the kidneys lie on each other; they are nearest; or
            there is but one on this side in either scan. None if nothing does.
        distance_mm: between the centres of the largest once the kidneys lie on each other.
        volume_ml: of all of them together.
        longest_axial_diameter_mm, short_axis_mm, largest_3d_diameter_mm: of the largest. All four are None unless the
            lesion is whole in both scans.
        hu_change: of the largest one's mean HU; None unless both scans show one contrast phase.
        doubling_time: None unless its volume has grown by more than the error over a known time.
        size_class_before, size_class_after: of the largest.
        counterpart: the same place in the other scan, of a lesion that is new or has vanished.
        speck: whether the other scan shows a part below 0.1 ml where a lesion is new or has vanished.
    """

    status: LesionStatus
    kidney: str
    side: Side | None
    kind: LesionKind
    before: list[int]
    after: list[int]
    how: How | None = None
    distance_mm: float | None = None
    volume_ml: Change | None = None
    longest_axial_diameter_mm: Change | None = None
    short_axis_mm: Change | None = None
    largest_3d_diameter_mm: Change | None = None
    hu_change: float | None = None
    doubling_time: DoublingTime | None = None
    size_class_before: SizeClass | None = None
    size_class_after: SizeClass | None = None
    counterpart: Point | None = None
    speck: bool = False


class Comparison(_Model):
    """Two scans of one patient.

    Attributes:
        interval_days: from the earlier to the later; None if a date is not known.
        border_mm: by how much each outline as a whole is taken to be off, one standard deviation.
        cautions: what to know first.
        kidneys: left before right.
        lesions: those of the later scan in its order, then those that are in the earlier one only.
    """

    interval_days: int | None
    border_mm: float
    cautions: list[Caution]
    kidneys: list[KidneyComparison]
    lesions: list[LesionComparison]
