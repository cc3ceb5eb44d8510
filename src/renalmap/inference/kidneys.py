"""The rule of two kidneys: which components are the kidneys, what belongs to them, what does not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renalmap.inference.components import (
    BoolArray,
    Component,
    DroppedComponent,
    find_components,
    largest_first,
)
from renalmap.inference.nearness import comes_within, continues_along_z
from renalmap.inference.placement import Placement
from renalmap.labels import KIDNEY
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


@dataclass(frozen=True, eq=False)
class Kept:
    """What the rule of two kidneys decided.

    Attributes:
        mask: what stays, axes (z, y, x).
        dropped: the rest, largest first.
        notes: what a reader should know, a sentence each.
    """

    mask: BoolArray
    dropped: tuple[DroppedComponent, ...] = ()
    notes: tuple[str, ...] = ()


def keep_two_kidneys(
    labels: NDArray[np.uint8],
    kidney_probability: NDArray[np.uint8],
    placement: Placement,
    midline_x: float,
    plan: Plan,
) -> Kept:
    """Keep two kidneys and what belongs to them.

    The kidneys are the component with the most evidence and, unless that one crosses the midline, the
    one with the most on the other side. Of the others stay: those near a kidney that are mostly tumour,
    that the scan's end cuts (they may be joined outside), or that go on straight above or below it (the
    networks missed a slice between); and those large enough to be a further kidney, with a note.

    Args:
        labels: axes (z, y, x).
        kidney_probability: of kidney without tumour, of the same shape, 255 for certainty.
        placement: where they lie in the scan.
        midline_x: the body's midline, a column of the scan; the patient's right has smaller columns.
        plan: the limits.

    Returns:
        What stays. A scan of one slice keeps everything: it shows a kidney's lips apart.
    """
    foreground = labels > 0
    if placement.scan_slices == 1:
        return Kept(foreground)
    numbers, components = find_components(foreground, placement)
    if not components:
        return Kept(foreground)
    column = midline_x - placement.origin_zyx[2]
    candidates = sorted(
        (
            _measure(each, labels, kidney_probability, (placement.voxel_ml, column, plan))
            for each in components
        ),
        key=lambda candidate: (-candidate.evidence_ml, candidate.component.number),
    )
    kidneys = choose_kidneys(candidates)
    keep = np.zeros(len(components) + 1, bool)
    keep[[kidney.component.number for kidney in kidneys]] = True
    kidney_mask = keep[numbers]
    further, dropped = [], []
    for candidate in candidates:
        number = candidate.component.number
        if keep[number]:
            continue
        if _belongs(candidate, numbers == number, kidney_mask, placement, plan):
            keep[number] = True
        elif _is_kidney_sized(candidate, kidneys, plan):
            keep[number] = True
            further.append(candidate)
        else:
            dropped.append(candidate.component.dropped(_why_not(candidate, kidneys)))
    return Kept(keep[numbers], largest_first(dropped), tuple(_notes(kidneys, further)))


def choose_kidneys(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The first, and the next that lies on no side the first lies on.

    Args:
        candidates: by falling evidence; at least one.
    """
    first = candidates[0]
    others = (candidate for candidate in candidates[1:] if not candidate.sides & first.sides)
    return [first, *[other for other in [next(others, None)] if other is not None]]


def _measure(
    component: Component,
    labels: NDArray[np.uint8],
    kidney_probability: NDArray[np.uint8],
    scale: tuple[float, float, Plan],
) -> Candidate:
    voxel_ml, midline_column, plan = scale
    inside = component.inside
    evidence = float(kidney_probability[component.box][inside].sum(dtype=np.int64)) / 255.0
    kidney = inside & (labels[component.box] == KIDNEY)
    voxels = int(kidney.sum())
    by_column = (kidney if voxels else inside).sum(axis=(0, 1))
    columns = component.box[2].start + np.arange(by_column.size)
    right_share = float(by_column[columns < midline_column].sum()) / float(by_column.sum())
    if min(right_share, 1.0 - right_share) >= plan.kidney_crossing_share:
        sides = BOTH
    else:
        sides = frozenset({RIGHT if right_share > 0.5 else LEFT})
    return Candidate(component, evidence * voxel_ml, voxels * voxel_ml, sides)


def _belongs(
    candidate: Candidate, mask: BoolArray, kidneys: BoolArray, placement: Placement, plan: Plan
) -> bool:
    """Whether it is part of a chosen kidney, or its tumour."""
    spacing_mm, limit_mm = placement.spacing_mm, plan.kidney_joined_mm
    if candidate.is_tumour or candidate.component.is_cut:
        return comes_within(mask, kidneys, spacing_mm, limit_mm)
    return continues_along_z(mask, kidneys, spacing_mm[0], limit_mm)


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
        yield f"{word} kidney-sized components{where}: all stay, though one may be no kidney"
