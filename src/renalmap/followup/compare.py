"""From the anatomies of two scans to what has changed between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from renalmap.anatomy import Anatomy, Kidney, Lesion
from renalmap.followup.alignment import Alignment, align
from renalmap.followup.changes import (
    BORDER_MM,
    LEAST_INTERVAL_DAYS,
    Change,
    Grid,
    change_of,
    doubling_time,
)
from renalmap.followup.comparison import (
    AlignmentReport,
    Caution,
    CautionCode,
    Comparison,
    KidneyComparison,
    LesionComparison,
    LesionStatus,
)
from renalmap.followup.matching import Group, Placed, leaves_a_speck, lies_outside, match_lesions
from renalmap.followup.surface import kidney_surface
from renalmap.measure import LesionMeasurement, Measurements, measure_anatomy
from renalmap.measure.place import Placer

DOUBTFUL_MM: Final = 1.5
"""Kidneys of different patients rarely fit better (benchmarks/alignment.py); one patient's usually do."""

STRETCHED_PERCENT: Final = 10.0
"""A change in length that an adult's kidney hardly undergoes."""

SLICES_DIFFER: Final = 1.9
"""One scan's slices are so many times as far apart as the other's."""

_ML_DIGITS: Final = 3
_MM_DIGITS: Final = 2


@dataclass(frozen=True, eq=False)
class Timepoint:
    """One of the two scans: its anatomy, and its measurements if they are there already."""

    anatomy: Anatomy
    measurements: Measurements

    @classmethod
    def of(cls, anatomy: Anatomy) -> Timepoint:
        """Measure an anatomy."""
        return cls(anatomy, measure_anatomy(anatomy))

    @cached_property
    def kidneys(self) -> dict[str, Kidney]:
        """By their ids."""
        return {kidney.id: kidney for kidney in self.anatomy.kidneys}

    def lesions_of(self, kidney: str) -> list[Lesion]:
        """A kidney's, and those near no kidney on its side; largest first."""
        return [one for one in self.anatomy.lesions if (one.kidney or one.side or "unknown") == kidney]

    def measured(self, lesion: Lesion) -> LesionMeasurement:
        """A lesion's measurements."""
        return self.measurements.lesions[lesion.number - 1]


@dataclass(frozen=True, eq=False)
class _Scans:
    """Both scans, and what has to be known to compare numbers of theirs."""

    before: Timepoint
    after: Timepoint
    interval_days: int | None
    same_phase: bool
    border_mm: float

    @cached_property
    def grids(self) -> tuple[Grid, Grid]:
        """Of the two."""
        first, second = (
            Grid(each.anatomy.label_map.geometry.spacing_mm, self.border_mm)
            for each in (self.before, self.after)
        )
        return first, second

    def change(
        self, numbers: Iterable[float], deviations: Iterable[float], digits: int = _MM_DIGITS
    ) -> Change:
        """Of one number, from both scans' numbers and standard deviations."""
        (before, after), (first, second) = numbers, deviations
        return change_of((before, after), (first, second), self.interval_days, digits=digits)

    def hu_change(self, before_hu: float | None, after_hu: float | None) -> float | None:
        """Of two mean HU; None if they cannot be compared."""
        if not self.same_phase or before_hu is None or after_hu is None:
            return None
        return round(after_hu - before_hu, 1)


def compare_anatomies(
    before: Timepoint,
    after: Timepoint,
    *,
    interval_days: int | None = None,
    same_phase: bool = False,
    border_mm: float = BORDER_MM,
) -> Comparison:
    """Find what has changed between two scans of one patient.

    Args:
        before: the earlier scan.
        after: the later one.
        interval_days: between them; None if that is not known: then nothing is given per year.
        same_phase: whether both scans show one contrast phase, so that HU may be compared.
        border_mm: by how much each outline as a whole is off, one standard deviation.
    """
    scans = _Scans(before, after, interval_days, same_phase, border_mm)
    names = _kidney_names(before, after)
    kidneys, lesions, cautions = [], [], list(_cautions(scans))
    for name in names:
        kidney, alignment = _compare_kidney(name, scans)
        kidneys.append(kidney)
        cautions += _kidney_cautions(kidney, scans)
        lesions += _compare_lesions(name, scans, alignment)
    stray = {
        one.kidney or one.side or "unknown" for each in (before, after) for one in each.anatomy.lesions
    }
    for name in sorted(stray - set(names)):
        lesions += _compare_lesions(name, scans, None)
    lesions.sort(key=lambda one: (not one.after, one.after or one.before))
    cautions += [caution for lesion in lesions for caution in _lesion_cautions(lesion, scans)]
    return Comparison(
        interval_days=interval_days,
        border_mm=border_mm,
        cautions=cautions,
        kidneys=kidneys,
        lesions=lesions,
    )


def _kidney_names(before: Timepoint, after: Timepoint) -> list[str]:
    """The ids of every kidney, left before right, unknown last."""
    return sorted({*before.kidneys, *after.kidneys}, key=lambda name: (name.startswith("unknown"), name))


def _compare_kidney(name: str, scans: _Scans) -> tuple[KidneyComparison, Alignment | None]:
    ours, theirs = scans.before.kidneys.get(name), scans.after.kidneys.get(name)
    side = next(kidney.side for kidney in (ours, theirs) if kidney is not None)
    numbers = [None if kidney is None else kidney.number for kidney in (ours, theirs)]
    found = KidneyComparison(kidney=name, side=side, before=numbers[0], after=numbers[1])
    if ours is None or theirs is None:
        return found, None
    surfaces = kidney_surface(ours, scans.before.anatomy), kidney_surface(theirs, scans.after.anatomy)
    if not all(len(surface.points_mm) for surface in surfaces):  # wrapped in lesions
        return found, None
    alignment = align(*surfaces, after_is_part=bool(theirs.borders) and not ours.borders)
    centre = surfaces[0].points_mm.mean(axis=0)
    moved = np.round(alignment(centre[None])[0] - centre, 1) + 0.0
    measured = [
        one.measurements.kidneys[kidney.number - 1]
        for one, kidney in ((scans.before, ours), (scans.after, theirs))
    ]
    update = {
        "alignment": AlignmentReport(
            residual_mm=round(alignment.residual_mm, 2),
            turn_degrees=round(alignment.turn_degrees, 1),
            shift_mm=(float(moved[0]), float(moved[1]), float(moved[2])),
            fits=alignment.fits,
        ),
        "hu_change": scans.hu_change(*(one.mean_hu for one in measured)),
    }
    if not ours.borders and not theirs.borders:
        volumes = (
            grid.volume_sd_ml(kidney.own)
            for grid, kidney in zip(scans.grids, (ours, theirs), strict=True)
        )
        lengths = (grid.space_sd_mm() for grid in scans.grids)
        update |= {
            "parenchyma_ml": scans.change((one.parenchyma_ml for one in measured), volumes, _ML_DIGITS),
            "length_mm": scans.change((one.length_mm for one in measured), lengths),
        }
    return found.model_copy(update=update), alignment


def _compare_lesions(
    name: str, scans: _Scans, alignment: Alignment | None
) -> Iterator[LesionComparison]:
    ours, theirs = scans.before.lesions_of(name), scans.after.lesions_of(name)
    if alignment is not None and alignment.fits:
        placed = Placed(scans.before.anatomy.label_map, scans.after.anatomy.label_map, alignment)
        for group in match_lesions(ours, theirs, placed):
            status, seen = _status(group, placed)
            yield _compare_group(group, name, status, scans).model_copy(update=seen)
        return
    both = name in scans.before.kidneys and name in scans.after.kidneys
    if both and len(ours) == len(theirs) == 1:
        yield _compare_group(Group((ours[0],), (theirs[0],), "side"), name, "matched", scans)
        return
    for group in (*(Group((one,), ()) for one in ours), *(Group((), (one,)) for one in theirs)):
        yield _compare_group(group, name, "unmatched" if both else "kidney_missing", scans)


def _status(group: Group, placed: Placed) -> tuple[LesionStatus, dict[str, Any]]:
    """What became of a group; and what the other scan shows at the place of a lesion that is in one only."""
    if group.before and group.after:
        merged, split = len(group.before) > 1, len(group.after) > 1
        return (
            "regrouped" if merged and split else "merged" if merged else "split" if split else "matched",
            {},
        )
    if group.before:
        points, other = placed.before_in_after(group.before[0]), placed.after
    else:
        points, other = placed.after_in_before(group.after[0]), placed.before
    if lies_outside(points, other.geometry):
        return "outside_scan", {}
    middle_mm = points.mean(axis=0) * other.geometry.spacing_mm
    seen = {
        "counterpart": Placer(other.geometry).point(middle_mm),
        "speck": leaves_a_speck(points, other),
    }
    return "vanished" if group.before else "new", seen


def _compare_group(group: Group, kidney: str, status: LesionStatus, scans: _Scans) -> LesionComparison:
    latest = (group.after or group.before)[0]
    found = LesionComparison(
        status=status,
        kidney=kidney,
        side=latest.side,
        kind=latest.kind,
        before=[one.number for one in group.before],
        after=[one.number for one in group.after],
        how=group.how,
        distance_mm=group.distance_mm,
        size_class_before=scans.before.measured(group.before[0]).size_class if group.before else None,
        size_class_after=scans.after.measured(group.after[0]).size_class if group.after else None,
    )
    if not group.before or not group.after:
        return found
    measured = scans.before.measured(group.before[0]), scans.after.measured(group.after[0])
    update = {"hu_change": scans.hu_change(*(one.mean_hu for one in measured))}
    if any(one.borders for one in (*group.before, *group.after)):
        return found.model_copy(update=update)
    parts = [[one.voxels for one in lesions] for lesions in (group.before, group.after)]
    volume = scans.change(
        (
            round(each.anatomy.ml(voxels), _ML_DIGITS)
            for each, voxels in zip((scans.before, scans.after), parts, strict=True)
        ),
        (grid.volume_sd_ml(voxels) for grid, voxels in zip(scans.grids, parts, strict=True)),
        _ML_DIGITS,
    )
    axial, space = (
        [getattr(grid, name)() for grid in scans.grids] for name in ("axial_sd_mm", "space_sd_mm")
    )
    lines = {"longest_axial_diameter_mm": axial, "short_axis_mm": axial, "largest_3d_diameter_mm": space}
    update |= {
        name: scans.change((getattr(one, name) for one in measured), sds) for name, sds in lines.items()
    }
    return found.model_copy(
        update={
            **update,
            "volume_ml": volume,
            "doubling_time": doubling_time(volume, scans.interval_days),
        }
    )


def _cautions(scans: _Scans) -> Iterator[Caution]:
    """What is true of the scans as a whole."""
    days = scans.interval_days
    if days is None:
        yield _caution(
            "date_unknown", "the date of a scan is not known: changes are given, but none per year"
        )
    elif days < LEAST_INTERVAL_DAYS:
        apart = f"{days} days apart" if days else "of the same day"
        text = f"the scans are {apart}: under {LEAST_INTERVAL_DAYS} days nothing is given per year"
        yield _caution("interval_short", text)
    steps_mm = [each.anatomy.label_map.geometry.spacing_mm[0] for each in (scans.before, scans.after)]
    if max(steps_mm) / min(steps_mm) >= SLICES_DIFFER:
        text = f"slices are {steps_mm[0]:.1f} mm apart in the earlier scan and {steps_mm[1]:.1f} mm in the later one: "
        yield _caution("slices_differ", f"{text}small changes may come from that alone")
    if (
        not scans.same_phase
        and scans.before.measurements.with_scan
        and scans.after.measurements.with_scan
    ):
        text = "the scans do not show the same contrast phase for certain: HU are not compared, and outlines may differ"
        yield _caution("contrast_differs", text)


def _kidney_cautions(found: KidneyComparison, scans: _Scans) -> Iterator[Caution]:
    name = (
        "the kidney of unknown side"
        if found.side is None
        else f"the {found.kidney.replace('_', ' kidney ')}"
    )
    name += "" if found.side is None or "_" in found.kidney else " kidney"
    if found.before is None or found.after is None:
        there, gone = ("earlier", "later") if found.after is None else ("later", "earlier")
        code: CautionCode = "side_unknown" if found.side is None else "kidney_missing"
        yield _caution(
            code, f"{name} is only in the {there} scan: removed, not found, or beyond the {gone} one"
        )
        return
    pair = scans.before.kidneys[found.kidney], scans.after.kidneys[found.kidney]
    cut = [which for which, one in zip(("earlier", "later"), pair, strict=True) if one.borders]
    if cut:
        scan = "both scans" if len(cut) == 2 else f"the {cut[0]} scan"
        yield _caution(
            "kidney_incomplete", f"{name} is truncated in {scan}: its volume and length are not compared"
        )
    if found.alignment is None or not found.alignment.fits:
        how = (
            "" if found.alignment is None else f" (surfaces {found.alignment.residual_mm:.1f} mm apart)"
        )
        text = f"{name} of one scan could not be laid on that of the other{how}: lesions are matched by side alone"
        yield _caution("alignment_failed", text)
    elif found.alignment.residual_mm >= DOUBTFUL_MM:
        text = f"{name} fits no better than those of two patients do (surfaces {found.alignment.residual_mm:.1f} mm apart)"
        yield _caution(
            "kidneys_fit_badly", f"{text}: check that both scans are of one patient, and the outlines"
        )


def _lesion_cautions(found: LesionComparison, scans: _Scans) -> Iterator[Caution]:
    kinds = [
        {each.measurements.lesions[number - 1].kind for number in numbers}
        for each, numbers in ((scans.before, found.before), (scans.after, found.after))
    ]
    name = f"{found.kind} {(found.after or found.before)[0]} of the {'later' if found.after else 'earlier'} scan"
    if found.status == "unmatched":
        yield _caution(
            "lesion_unmatched", f"{name} could not be matched: whether it is new or gone is not known"
        )
    if found.status == "outside_scan":
        yield _caution("lesion_unmatched", f"{name} lies where the other scan does not reach")
    if found.before and found.after and found.volume_ml is None:
        yield _caution(
            "lesion_incomplete", f"{name} is truncated in one of the scans: its sizes are not compared"
        )
    if kinds[0] and kinds[1] and kinds[0] != kinds[1]:
        was, now = (" and ".join(sorted(each)) for each in kinds)
        yield _caution("kind_changed", f"{name} was labelled {was} and is now labelled {now}")


def _caution(code: CautionCode, text: str) -> Caution:
    return Caution(code=code, text=text)
