"""Which connected components of a foreground are kept for their size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray

from renalmap.inference.placement import Placement
from renalmap.preprocess import Plan

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class DroppedComponent:
    """A component that was taken for a mistake.

    Attributes:
        volume_ml: its volume.
        centre_zyx: its centroid, in voxels of the grid it was found on.
        reason: which of the Plan's limits it missed.
    """

    volume_ml: float
    centre_zyx: tuple[float, float, float]
    reason: str


@dataclass(frozen=True, eq=False)
class Component:
    """A 26-connected 3D component of a mask.

    Attributes:
        number: in the array of components.
        box: about it, as an index of the mask.
        inside: bool, of the box's shape.
        volume_ml: its volume.
        section_mm2: its largest axial section.
        is_cut: whether it touches the scan's first or last slice: then its volume says nothing.
        centre_zyx: its centroid, in voxels of the scan.
    """

    number: int
    box: tuple[slice, slice, slice]
    inside: BoolArray
    volume_ml: float
    section_mm2: float
    is_cut: bool
    centre_zyx: tuple[float, float, float]

    def dropped(self, reason: str) -> DroppedComponent:
        """What is told of it once it is taken for a mistake."""
        return DroppedComponent(self.volume_ml, self.centre_zyx, reason)


def find_components(mask: BoolArray, placement: Placement) -> tuple[NDArray[Any], list[Component]]:
    """The 26-connected 3D components of a mask.

    Args:
        mask: axes (z, y, x); best no larger than needed: its components take four bytes a voxel.
        placement: where it lies in the scan.

    Returns:
        The components' numbers, of the mask's shape, 0 outside; and the components by their number, from
        1. No component for an empty mask.
    """
    if not mask.any():
        return np.zeros(mask.shape, np.uint8), []
    numbers = cc3d.connected_components(mask, connectivity=26)
    return numbers, list(_measured(numbers, placement))


def _measured(numbers: NDArray[Any], placement: Placement) -> Iterator[Component]:
    statistics = cc3d.statistics(numbers)
    for number, voxels in enumerate(statistics["voxel_counts"].tolist()):
        if number == 0:
            continue
        box = statistics["bounding_boxes"][number]
        inside = numbers[box] == number
        yield Component(
            number=number,
            box=box,
            inside=inside,
            volume_ml=voxels * placement.voxel_ml,
            section_mm2=float(inside.sum(axis=(1, 2)).max()) * placement.pixel_mm2,
            is_cut=placement.is_cut(box[0]),
            centre_zyx=placement.of_scan(statistics["centroids"][number]),
        )


def keep_components(
    foreground: BoolArray, placement: Placement, plan: Plan, kidney: BoolArray | None = None
) -> tuple[BoolArray, tuple[DroppedComponent, ...]]:
    """Drop 26-connected 3D components that are too small to be a kidney or its tumour.

    A component is dropped if its largest axial section is below `component_min_area_mm2`; or if its
    volume is below `component_min_ml` or below `component_min_share` of the largest component's; or if
    it has less than `component_min_kidney_ml` of kidney. Only the first limit holds for a component that
    the scan's first or last slice cuts: its volume says nothing. Any number of components may stay:
    horseshoe, transplant and single kidneys occur.

    Args:
        foreground: axes (z, y, x).
        placement: where it lies in the scan.
        plan: the limits.
        kidney: which of the foreground is kidney rather than tumour; None where that is not known yet.

    Returns:
        The kept foreground, a new array; and what was dropped, largest first.
    """
    numbers, components = find_components(foreground, placement)
    largest_ml = max((component.volume_ml for component in components), default=0.0)
    keep = np.zeros(len(components) + 1, bool)
    dropped = []
    for component in components:
        reason = _why_small(component, largest_ml, plan)
        if reason is None and kidney is not None and not component.is_cut:
            kidney_ml = float((kidney[component.box] & component.inside).sum()) * placement.voxel_ml
            if kidney_ml < plan.component_min_kidney_ml:
                reason = f"kidney in it {kidney_ml:.1f} ml < {plan.component_min_kidney_ml:g} ml"
        keep[component.number] = reason is None
        if reason is not None:
            dropped.append(component.dropped(reason))
    return keep[numbers], largest_first(dropped)


def connected_to(strong: BoolArray, candidates: BoolArray) -> BoolArray:
    """Hysteresis: the candidates that are 26-connected in 3D to a strong voxel through candidates.

    Args:
        strong: axes (z, y, x), surely foreground.
        candidates: of the same shape, perhaps foreground; holds `strong`.

    Returns:
        A new array; all False where nothing is strong.
    """
    if not strong.any():
        return np.zeros_like(strong)
    numbers, count = cc3d.connected_components(candidates, connectivity=26, return_N=True)
    reached = np.zeros(count + 1, bool)
    reached[np.unique(numbers[strong])] = True
    reached[0] = False
    return reached[numbers]


def largest_first(dropped: list[DroppedComponent]) -> tuple[DroppedComponent, ...]:
    """Sorted by falling volume."""
    return tuple(sorted(dropped, key=lambda component: -component.volume_ml))


def _why_small(component: Component, largest_ml: float, plan: Plan) -> str | None:
    area_mm2, volume_ml = component.section_mm2, component.volume_ml
    if area_mm2 < plan.component_min_area_mm2:
        return f"largest section {area_mm2:.0f} mm2 < {plan.component_min_area_mm2:g} mm2"
    if component.is_cut:
        return None
    if volume_ml < plan.component_min_ml:
        return f"volume {volume_ml:.1f} ml < {plan.component_min_ml:g} ml"
    if volume_ml < plan.component_min_share * largest_ml:
        return f"volume {volume_ml:.1f} ml < {plan.component_min_share:g} of the largest"
    return None
