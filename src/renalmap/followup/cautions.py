"""What a reader of a comparison should know before its numbers, one sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from renalmap.followup.changes import LEAST_INTERVAL_DAYS
from renalmap.followup.comparison import Caution, CautionCode, KidneyComparison, LesionComparison
from renalmap.followup.timepoint import Scans

DOUBTFUL_MM: Final = 1.5
"""Kidneys of different patients rarely fit better (benchmarks/alignment.py); one patient's usually do."""

STRETCHED_PERCENT: Final = 10.0
"""A change in length that an adult's kidney hardly undergoes."""

SLICES_DIFFER: Final = 1.9
"""One scan's slices are so many times as far apart as the other's."""


def scan_cautions(scans: Scans) -> Iterator[Caution]:
    """What is true of the scans as a whole: dates, slices, contrast phase."""
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


def kidney_cautions(found: KidneyComparison, scans: Scans) -> Iterator[Caution]:
    """What is true of one kidney: missing, truncated, not the same shape."""
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
    longer = found.length_mm
    if longer is not None and abs(longer.percent or 0.0) >= STRETCHED_PERCENT:
        how = "longer" if longer.change > 0 else "shorter"
        text = f"{name} is {abs(longer.percent or 0.0):.0f} % {how} in the later scan: breathing during a scan stretches"
        yield _caution(
            "kidney_stretched", f"{text} kidneys and what is in them, and volumes with it: check both"
        )


def lesion_cautions(found: LesionComparison, scans: Scans) -> Iterator[Caution]:
    """What is true of one lesion: not matched, truncated, called something else."""
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
