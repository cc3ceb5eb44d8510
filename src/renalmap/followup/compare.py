"""From the anatomies of two scans to what has changed between them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from renalmap.followup.alignment import Alignment, align
from renalmap.followup.cautions import kidney_cautions, lesion_cautions, scan_cautions
from renalmap.followup.changes import BORDER_MM, doubling_time
from renalmap.followup.comparison import (
    AlignmentReport,
    Comparison,
    KidneyComparison,
    LesionComparison,
    LesionStatus,
)
from renalmap.followup.matching import Group, Placed, leaves_a_speck, lies_outside, match_lesions
from renalmap.followup.surface import kidney_surface
from renalmap.followup.timepoint import Scans, Timepoint
from renalmap.measure.place import Placer

_ML_DIGITS: Final = 3


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
    scans = Scans(before, after, interval_days, same_phase, border_mm)
    names = _kidney_names(before, after)
    kidneys: list[KidneyComparison] = []
    lesions: list[LesionComparison] = []
    cautions = list(scan_cautions(scans))
    for name in names:
        kidney, alignment = _compare_kidney(name, scans)
        kidneys.append(kidney)
        cautions += kidney_cautions(kidney, scans)
        lesions += _compare_lesions(name, scans, alignment)
    stray = {
        one.kidney or one.side or "unknown" for each in (before, after) for one in each.anatomy.lesions
    }
    for name in sorted(stray - set(names)):
        lesions += _compare_lesions(name, scans, None)
    lesions.sort(key=lambda one: (not one.after, one.after or one.before))
    cautions += [caution for lesion in lesions for caution in lesion_cautions(lesion, scans)]
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


def _compare_kidney(name: str, scans: Scans) -> tuple[KidneyComparison, Alignment | None]:
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
    update: dict[str, Any] = {
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


def _compare_lesions(name: str, scans: Scans, alignment: Alignment | None) -> Iterator[LesionComparison]:
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


def _compare_group(group: Group, kidney: str, status: LesionStatus, scans: Scans) -> LesionComparison:
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
    update: dict[str, Any] = {"hu_change": scans.hu_change(*(one.mean_hu for one in measured))}
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
