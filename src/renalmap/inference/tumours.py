"""Which of stage 2's tumours are accepted: those large enough, and with enough evidence."""

from __future__ import annotations

import numpy as np

from renalmap.inference.components import (
    ByteArray,
    Component,
    DroppedComponent,
    find_components,
    largest_first,
)
from renalmap.inference.placement import Placement
from renalmap.labels import KIDNEY, TUMOUR
from renalmap.preprocess import Plan

PEAK_PERCENTILE = 95
"""Of a tumour's voxels: what the surest twentieth reaches. The maximum would depend on a single voxel."""


def relabel_doubtful_tumours(
    labels: ByteArray, probability: ByteArray, placement: Placement, plan: Plan
) -> tuple[DroppedComponent, ...]:
    """Relabel doubtful 26-connected 3D tumours as kidney, in place.

    One is doubtful if it is smaller than `tumour_min_ml`; or, where the scan's first or last slice cuts
    it and its volume says nothing, if its largest axial section is below `tumour_min_area_mm2`; or if
    its mean probability is below `tumour_min_mean_probability`, or the 95th percentile of it below
    `tumour_min_peak_probability`. If all limits are 0, none is doubtful.

    Args:
        labels: axes (z, y, x).
        probability: of tumour, of the same shape, 255 for certainty.
        placement: where they lie in the scan.
        plan: the limits.

    Returns:
        The doubtful tumours, largest first.
    """
    dropped = []
    for component in find_components(labels, placement, only=(TUMOUR,)):
        doubt = _why_doubtful(component, component.of(probability), plan)
        if doubt is not None:
            component.relabel(labels, KIDNEY)
            dropped.append(component.dropped(f"tumour: {doubt}; relabelled kidney"))
    return largest_first(dropped)


def _why_doubtful(component: Component, values: ByteArray, plan: Plan) -> str | None:
    if component.is_cut and component.section_mm2 < plan.tumour_min_area_mm2:
        return f"largest section {component.section_mm2:.0f} mm2 < {plan.tumour_min_area_mm2:g} mm2"
    if not component.is_cut and component.volume_ml < plan.tumour_min_ml:
        return f"volume {component.volume_ml:.1f} ml < {plan.tumour_min_ml:g} ml"
    mean = float(values.mean()) / 255.0
    if mean < plan.tumour_min_mean_probability:
        return f"mean probability {mean:.2f} < {plan.tumour_min_mean_probability:g}"
    peak = float(np.percentile(values, PEAK_PERCENTILE)) / 255.0
    if peak < plan.tumour_min_peak_probability:
        return f"peak probability {peak:.2f} < {plan.tumour_min_peak_probability:g}"
    return None
