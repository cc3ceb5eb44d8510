"""The rule of two kidneys: which components are the kidneys, what belongs to them, what does not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from renalmap.inference.components import (
    ByteArray,
    Component,
    DroppedComponent,
    find_components,
    largest_first,
)
from renalmap.inference.nearness import comes_within, continues_along_z
from renalmap.inference.placement import Placement
from renalmap.inference.probability import GridProbabilities
from renalmap.labels import BACKGROUND, KIDNEY
from renalmap.preprocess import Plan

RIGHT, LEFT = "right", "left"
BOTH = frozenset({RIGHT, LEFT})

_COUNT_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True, eq=False)
class Candidate:
    """A component that may be a kidney.

    Attributes:
        component: where it is.
        evidence_ml: sum of its voxels' kidney probability.
        kidney_ml: how much of it is labelled kidney rather than tumour.
        sides: the patient's sides it lies on; both for a horseshoe kidney.
    """

    component: Component
    evidence_ml: float
    kidney_ml: float
    sides: frozenset[str]

    @property
    def is_tumour(self) -> bool:
        """Whether most of it is tumour."""
        return self.kidney_ml < 0.5 * self.component.volume_ml


@dataclass(frozen=True)
class Kept:
    """What the rule of two kidneys decided.

    Attributes:
        dropped: what does not stay, largest first.
        notes: what a reader should know, a sentence each.
    """

    dropped: tuple[DroppedComponent, ...] = ()
    notes: tuple[str, ...] = ()


def keep_two_kidneys(
    labels: ByteArray,
    probability: GridProbabilities,
    placement: Placement,
    midline_x: float,
    plan: Plan,
) -> Kept:
    """Keep two kidneys and what belongs to them; the rest becomes background, in place.

    The kidneys are the component with the most evidence and, unless that one crosses the midline, the
    one with the most on the other side. Of the others stay: those near a kidney that are mostly tumour,
    that are truncated by the end of the scan (they may be connected outside), or that continue directly above or below it (the
    networks missed a slice between); and those large enough to be a further kidney, with a note.

    Args:
        labels: axes (z, y, x).
        probability: of the same box.
        placement: where they lie in the scan.
        midline_x: the body's midline, a column of the scan; the patient's right has smaller columns.
        plan: the limits.

    Returns:
        What was dropped. A scan of one slice keeps everything: it shows a kidney's lips apart.
    """
    components = find_components(labels, placement) if placement.scan_slices > 1 else []
    if not components:
        return Kept()
    column = midline_x - placement.origin_zyx[2]
    candidates = sorted(
        (_measure(each, labels, probability, (placement.voxel_ml, column, plan)) for each in components),
        key=lambda candidate: (-candidate.evidence_ml, candidate.component.box.start),
    )
    kidneys = choose_kidneys(candidates)
    further, dropped = [], []
    for candidate in candidates:
        if candidate in kidneys or _belongs(candidate, kidneys, placement, plan):
            continue
        if _is_kidney_sized(candidate, kidneys, plan):
            further.append(candidate)
        else:
            candidate.component.relabel(labels, BACKGROUND)
            dropped.append(candidate.component.dropped(_why_not(candidate, kidneys)))
    return Kept(largest_first(dropped), tuple(_notes(kidneys, further)))


def choose_kidneys(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The first, and the next that shares no side with it.

    Args:
        candidates: by falling evidence; at least one.
    """
    first = candidates[0]
    others = (candidate for candidate in candidates[1:] if not candidate.sides & first.sides)
    return [first, *[other for other in [next(others, None)] if other is not None]]


def _measure(
    component: Component,
    labels: ByteArray,
    probability: GridProbabilities,
    scale: tuple[float, float, Plan],
) -> Candidate:
    voxel_ml, midline_column, plan = scale
    inside, place = component.inside, component.box.slices
    only_kidney = component.of(probability.kidney) - component.of(probability.tumour)
    evidence = float(only_kidney.sum(dtype=np.int64)) / 255.0
    kidney = inside & (labels[place] == KIDNEY)
    voxels = int(kidney.sum())
    by_column = (kidney if voxels else inside).sum(axis=(0, 1))
    columns = place[2].start + np.arange(by_column.size)
    right_share = float(by_column[columns < midline_column].sum()) / float(by_column.sum())
    if min(right_share, 1.0 - right_share) >= plan.kidney_crossing_share:
        sides = BOTH
    else:
        sides = frozenset({RIGHT if right_share > 0.5 else LEFT})
    return Candidate(component, evidence * voxel_ml, voxels * voxel_ml, sides)


def _belongs(
    candidate: Candidate, kidneys: Sequence[Candidate], placement: Placement, plan: Plan
) -> bool:
    """Whether it is part of a chosen kidney, or its tumour."""
    spacing_mm, limit_mm = placement.spacing_mm, plan.kidney_joined_mm
    own, others = candidate.component, [kidney.component for kidney in kidneys]
    if candidate.is_tumour or own.is_cut:
        return any(comes_within(own, other, spacing_mm, limit_mm) for other in others)
    return any(continues_along_z(own, other, spacing_mm[0], limit_mm) for other in others)


def _is_kidney_sized(candidate: Candidate, kidneys: Sequence[Candidate], plan: Plan) -> bool:
    """Whether it is too large to be deleted, measured by the smaller of the chosen kidneys.

    That kidney's tumour does not count: it would make a transplanted kidney look small.
    """
    smaller, component = kidneys[-1], candidate.component
    share = plan.further_kidney_min_share
    if component.is_cut:
        return component.section_mm2 >= share * smaller.component.section_mm2 / len(smaller.sides)
    reference_ml = smaller.kidney_ml / len(smaller.sides)
    return component.volume_ml >= max(plan.further_kidney_min_ml, share * reference_ml)


def _why_not(candidate: Candidate, kidneys: Sequence[Candidate]) -> str:
    found = f"rule of two kidneys: kidney in it {candidate.evidence_ml:.1f} ml"
    for kidney in kidneys:
        if kidney.sides & candidate.sides:
            where = (
                "across the midline" if kidney.sides == BOTH else f"on the {next(iter(kidney.sides))}"
            )
            return f"{found}, {kidney.evidence_ml:.1f} ml in the one {where}"
    return f"{found}, more in the two others"


def _notes(kidneys: Sequence[Candidate], further: Sequence[Candidate]) -> Iterator[str]:
    crossing = kidneys[0].sides == BOTH
    if crossing:
        yield "one component crosses the midline: a horseshoe kidney, or two joined by mistake"
    if further:
        count = len(kidneys) + len(further)
        word = _COUNT_WORDS[count] if count < len(_COUNT_WORDS) else str(count)
        where = ""
        if len(kidneys) == 1:
            where = ", one across the midline" if crossing else " on one side of the body"
        yield f"{word} kidney-sized components{where}: all are kept, though one may not be a kidney"
