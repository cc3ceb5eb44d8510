"""Connected components of a foreground, and which of them are kept for their size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalmap.anatomy import Voxels
from renalmap.imaging.connected import connected_parts
from renalmap.inference.placement import Placement
from renalmap.labels import BACKGROUND, KIDNEY
from renalmap.preprocess import Plan

Place = tuple[float, float, float]
BoolArray = NDArray[np.bool_]
ByteArray = NDArray[np.uint8]


@dataclass(frozen=True)
class DroppedComponent:
    """A component that was taken for a mistake.

    Attributes:
        volume_ml: its volume.
        centre_zyx: its centroid, in voxels of the grid it was found on; of the scan in a `Segmentation`.
        reason: which of the Plan's limits it missed.
        ends_zyx: its lowest and its highest voxel along each axis, in the same voxels.
    """

    volume_ml: float
    centre_zyx: Place
    reason: str
    ends_zyx: tuple[Place, Place]

    def moved(self, move: Callable[[Place], Place]) -> DroppedComponent:
        """The same one on another grid, whose place for each place of this one is given."""
        low, high = self.ends_zyx
        return replace(self, centre_zyx=move(self.centre_zyx), ends_zyx=(move(low), move(high)))


@dataclass(frozen=True, eq=False)
class Component(Voxels):
    """A 26-connected 3D component of a mask; its box is a region of the array it was found in.

    Attributes:
        placement: where that array lies in the scan.
    """

    placement: Placement

    @cached_property
    def volume_ml(self) -> float:
        """Its volume."""
        return self.size * self.placement.voxel_ml

    @cached_property
    def section_mm2(self) -> float:
        """Its largest axial section."""
        return float(np.count_nonzero(self.inside, axis=(1, 2)).max()) * self.placement.pixel_mm2

    @property
    def is_cut(self) -> bool:
        """Whether it touches the scan's first or last slice; its volume then says nothing."""
        return self.placement.is_cut(self.box.slices[0])

    def dropped(self, reason: str) -> DroppedComponent:
        """What is reported about it once it is judged a false positive."""
        spans = [self.span(axis) for axis in range(3)]
        low, high = (self.placement.of_scan(ends) for ends in zip(*spans, strict=True))
        return DroppedComponent(
            self.volume_ml, self.placement.of_scan(self.centre_zyx), reason, (low, high)
        )

    def of(self, values: NDArray[Any]) -> NDArray[Any]:
        """Its voxels' values in an array like the one it was found in: one axis, a new array."""
        return values[self.box.slices][self.inside]

    def relabel(self, labels: ByteArray, label: int) -> None:
        """Give its voxels a label, in place, in the array it was found in."""
        labels[self.box.slices][self.inside] = label


def find_components(
    labels: ByteArray | BoolArray, placement: Placement, only: Sequence[int] = ()
) -> list[Component]:
    """The 26-connected 3D components of a foreground.

    Args:
        labels: axes (z, y, x); the foreground is what is not 0.
        placement: where it lies in the scan.
        only: the foreground is what has one of these labels, if any are given.

    Returns:
        The components from the feet up; none for an empty foreground.
    """
    parts = sorted(connected_parts(labels, only), key=lambda part: part[0].start)
    return [Component(box, inside, placement) for box, inside in parts]


def drop_small(
    labels: ByteArray, placement: Placement, plan: Plan, *, judge_kidney: bool = False
) -> tuple[DroppedComponent, ...]:
    """Drop 26-connected 3D components that are too small to be a kidney or its tumour, in place.

    A component is dropped if its largest axial section is below `component_min_area_mm2`; or if its
    volume is below `component_min_ml` or below `component_min_share` of the largest component's; or if
    it has less than `component_min_kidney_ml` of kidney. Only the first limit applies to a component that
    the scan's first or last slice cuts: its volume says nothing. Any number of components may stay, because
    horseshoe, transplanted and single kidneys occur.

    Args:
        labels: axes (z, y, x); what is dropped becomes background.
        placement: where they lie in the scan.
        plan: the limits.
        judge_kidney: whether the labels already distinguish kidney from tumour.

    Returns:
        What was dropped, largest first.
    """
    components = find_components(labels, placement)
    largest_ml = max((component.volume_ml for component in components), default=0.0)
    dropped = []
    for component in components:
        reason = _why_small(component, largest_ml, plan)
        if reason is None and judge_kidney and not component.is_cut:
            kidney_ml = float((component.of(labels) == KIDNEY).sum()) * placement.voxel_ml
            if kidney_ml < plan.component_min_kidney_ml:
                reason = f"kidney in it {kidney_ml:.1f} ml < {plan.component_min_kidney_ml:g} ml"
        if reason is not None:
            component.relabel(labels, BACKGROUND)
            dropped.append(component.dropped(reason))
    return largest_first(dropped)


def drop_unconnected(labels: ByteArray, sure: int) -> None:
    """Hysteresis: drop the foreground that is not 26-connected in 3D to a sure voxel, in place.

    Args:
        labels: axes (z, y, x); what stays is all labelled `sure`.
        sure: the label of what is surely foreground; any other but 0 is perhaps foreground.
    """
    for box, inside in list(connected_parts(labels)):
        values = labels[box.slices]
        values[inside] = sure if (values[inside] == sure).any() else BACKGROUND


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
