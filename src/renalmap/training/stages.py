"""What each stage's network sees of a slice: stage 1's grid may be reduced, stage 2's never is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import nn

from renalmap.labels import KIDNEY, TUMOUR, UNKNOWN, is_known
from renalmap.networks.enet import ENet, ReducedNetwork
from renalmap.preprocess import Plan
from renalmap.preprocess.intensity import average_squares, clip_hu
from renalmap.training.settings import Stage


def stage_plan(plan: Plan, stage: Stage) -> Plan:
    """The Plan on the grid that a stage sees: stage 1's may be reduced."""
    if stage == "segment":
        return plan
    return plan.model_copy(update={"grid_size": plan.grid_size // plan.localizer_reduction})


def reduce_slice(
    hu: NDArray[np.float32], labels: NDArray[np.uint8], plan: Plan, factor: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """A slice averaged over squares, as the localizer's graph does it: HU are clipped first.

    Args:
        hu: (grid, grid).
        labels: the same shape.
        plan: gives the range to clip to.
        factor: edge of the squares; 1 returns the slice.

    Returns:
        HU, and labels: 2 if tumour fills at least half of the square, 1 if kidney and tumour together do. A
        square with an unknown pixel is unknown.
    """
    if factor == 1:
        return hu, labels
    known = is_known(labels)
    halves = [average_squares((labels >= label) & known, factor) >= 0.5 for label in (KIDNEY, TUMOUR)]
    reduced = np.asarray(sum(half.astype(np.uint8) for half in halves), np.uint8)
    reduced[average_squares(known, factor) < 1] = UNKNOWN
    return average_squares(clip_hu(hu, plan), factor), reduced


def on_grid(network: ENet, plan: Plan, stage: Stage) -> nn.Module:
    """A stage's network for slices or crops at full size, as the bundle's graph has it."""
    if stage == "localize" and plan.localizer_reduction > 1:
        return ReducedNetwork(network, plan.localizer_reduction)
    return network
