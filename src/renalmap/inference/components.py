"""Which connected components of a foreground are kept."""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import numpy as np
from numpy.typing import NDArray

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


def keep_components(
    foreground: BoolArray,
    spacing_mm: tuple[float, float, float],
    plan: Plan,
    kidney: BoolArray | None = None,
) -> tuple[BoolArray, tuple[DroppedComponent, ...]]:
    """Drop 26-connected 3D components that are too small to be a kidney or its tumour.

    A component is dropped if its largest axial section is below `component_min_area_mm2`; or if its
    volume is below `component_min_ml` or below `component_min_share` of the largest component's; or if
    it has less than `component_min_kidney_ml` of kidney. Only the first limit holds for a component that
    the scan's first or last slice cuts: its volume says nothing. Any number of components may stay: horseshoe, transplant and single kidneys occur.

    Args:
        foreground: axes (z, y, x).
        spacing_mm: voxel spacing (z, y, x).
        plan: the limits.
        kidney: which of the foreground is kidney rather than tumour; None where that is not known yet.

    Returns:
        The kept foreground, a new array; and what was dropped, largest first.
    """
    kept = np.zeros_like(foreground)
    inside = _bounding_box(foreground)
    if inside is None:
        return kept, ()
    # Only the bounding box is labelled: the labels take four bytes a voxel.
    components, count = cc3d.connected_components(foreground[inside], connectivity=26, return_N=True)
    statistics = cc3d.statistics(components)
    voxel_ml = float(np.prod(spacing_mm)) / 1000.0
    volumes_ml = statistics["voxel_counts"].astype(np.float64) * voxel_ml
    largest_ml = float(volumes_ml[1:].max())
    origin = np.array([span.start for span in inside])
    keep = np.zeros(count + 1, bool)
    dropped = []
    for number in range(1, count + 1):
        box = statistics["bounding_boxes"][number]
        sections = (components[box] == number).sum(axis=(1, 2))
        area_mm2 = float(sections.max()) * spacing_mm[1] * spacing_mm[2]
        cut = box[0].start + origin[0] == 0 or box[0].stop + origin[0] == foreground.shape[0]
        reason = _why_small(float(volumes_ml[number]), area_mm2, largest_ml, plan, cut=bool(cut))
        if reason is None and kidney is not None and not cut:
            kidney_ml = float((kidney[inside][box] & (components[box] == number)).sum()) * voxel_ml
            if kidney_ml < plan.component_min_kidney_ml:
                reason = f"kidney in it {kidney_ml:.1f} ml < {plan.component_min_kidney_ml:g} ml"
        keep[number] = reason is None
        if reason is not None:
            z, y, x = (float(value) for value in statistics["centroids"][number] + origin)
            dropped.append(DroppedComponent(float(volumes_ml[number]), (z, y, x), reason))
    kept[inside] = keep[components]
    return kept, tuple(sorted(dropped, key=lambda component: -component.volume_ml))


def _why_small(
    volume_ml: float, area_mm2: float, largest_ml: float, plan: Plan, *, cut: bool
) -> str | None:
    if area_mm2 < plan.component_min_area_mm2:
        return f"largest section {area_mm2:.0f} mm2 < {plan.component_min_area_mm2:g} mm2"
    if cut:
        return None
    if volume_ml < plan.component_min_ml:
        return f"volume {volume_ml:.1f} ml < {plan.component_min_ml:g} ml"
    if volume_ml < plan.component_min_share * largest_ml:
        return f"volume {volume_ml:.1f} ml < {plan.component_min_share:g} of the largest"
    return None


def _bounding_box(foreground: BoolArray) -> tuple[slice, ...] | None:
    spans = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        hits = np.flatnonzero(foreground.any(axis=others))
        if hits.size == 0:
            return None
        spans.append(slice(int(hits[0]), int(hits[-1]) + 1))
    return tuple(spans)
