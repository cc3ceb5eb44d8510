"""The rules that follow the networks, in this order: fat, holes, sizes, tumours, kidneys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renalmap.inference.components import DroppedComponent, drop_small
from renalmap.inference.fat import peel_fat
from renalmap.inference.holes import fill_holes
from renalmap.inference.kidneys import keep_two_kidneys
from renalmap.inference.placement import Placement
from renalmap.inference.probability import GridProbabilities
from renalmap.inference.tumours import relabel_doubtful_tumours
from renalmap.preprocess import Plan


@dataclass(frozen=True)
class ScanFacts:
    """What the rules may ask about the scan; worked out only when they do.

    Attributes:
        midline_x: gives the body's midline, a column of the grid.
        hu_of: gives the HU (y, x) of a slice of the labels' box.
    """

    midline_x: Callable[[], float]
    hu_of: Callable[[int], NDArray[np.floating]]


@dataclass(frozen=True)
class RulesOutcome:
    """What the rules took for mistakes, and what a reader should know."""

    dropped: tuple[DroppedComponent, ...]
    notes: tuple[str, ...]


def apply_rules(
    labels: NDArray[np.uint8],
    probability: GridProbabilities,
    placement: Placement,
    plan: Plan,
    scan: ScanFacts,
    *,
    stage1_only: bool = False,
) -> RulesOutcome:
    """Apply the Plan's rules to the networks' labels, in place.

    Args:
        labels: axes (z, y, x), all of the scan's that are not background.
        probability: of the same box.
        placement: where it lies.
        plan: the rules' limits.
        scan: facts about the scan.
        stage1_only: the labels are stage 1's, which knows no tumour and whose sizes have been judged.
    """
    dropped: list[DroppedComponent] = []
    notes: tuple[str, ...] = ()
    if plan.peel_fat_mm > 0:
        peel_fat(labels, scan.hu_of, placement.spacing_mm[1:], plan.peel_fat_mm)
    if plan.fill_holes_mm2 > 0:
        fill_holes(labels, placement.pixel_mm2, plan.fill_holes_mm2)
    if not stage1_only:
        dropped.extend(drop_small(labels, placement, plan, judge_kidney=True))
    if not stage1_only and _judges_tumours(plan):
        dropped.extend(relabel_doubtful_tumours(labels, probability.tumour, placement, plan))
    if plan.keep == "two_kidneys" and labels.any():
        result = keep_two_kidneys(labels, probability, placement, scan.midline_x(), plan)
        dropped.extend(result.dropped)
        notes = result.notes
    return RulesOutcome(tuple(dropped), notes)


def _judges_tumours(plan: Plan) -> bool:
    limits = (
        *(plan.tumour_min_ml, plan.tumour_min_area_mm2),
        *(plan.tumour_min_mean_probability, plan.tumour_min_peak_probability),
    )
    return any(limit > 0 for limit in limits)
