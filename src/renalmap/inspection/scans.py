"""Checks of a scan by itself and with its mask: intensities, second phases, what is under the labels."""

from __future__ import annotations

from typing import Final

import numpy as np

from renalmap.anatomy import Anatomy
from renalmap.dataset.survey import PLAUSIBLE_HU, HuHistogram
from renalmap.imaging import Volume, doubt_hounsfield
from renalmap.inspection.findings import CaseInspection, IntensityRange
from renalmap.inspection.masks import hash_voxels
from renalmap.inspection.phases import SecondPhase, find_second_phase, silhouette

KIDNEY_HU: Final = (-20.0, 400.0)
"""Median of a kidney: 14 to 40 without contrast agent, below 300 at its brightest; fat has -100."""

PADDING_HU: Final = -3100.0
"""Scanners write -2000, -2048, -3024 or -3071 outside their circle; resampling overshoots a little."""


def inspect_scan(volume: Volume, anatomy: Anatomy | None, found: CaseInspection) -> None:
    """Check a scan, with what a mask on its grid shows, and add measures and findings to the case's inspection."""
    found.image_sha256 = hash_voxels(volume.hu)
    silhouettes, histogram = [], HuHistogram()
    for plane in volume.hu:
        silhouettes.append(silhouette(plane))
        histogram.take(plane)
    p01, p50, p99 = histogram.percentiles_hu
    found.intensity = IntensityRange(
        min_hu=histogram.min_hu,
        p01_hu=p01,
        p50_hu=p50,
        p99_hu=p99,
        max_hu=histogram.max_hu,
        kidney_p50_hu=_kidney_median_hu(volume, anatomy),
    )
    _check_intensity(volume, found.intensity, found)
    phase = find_second_phase(np.stack(silhouettes), volume.geometry.spacing_mm[0])
    if phase is not None:
        _tell_second_phase(phase, found)


def _kidney_median_hu(volume: Volume, anatomy: Anatomy | None) -> float | None:
    if anatomy is None or not anatomy.kidneys:
        return None
    own = [tissue for kidney in anatomy.kidneys for tissue in kidney.own]
    return float(np.median(np.concatenate([volume.hu[one.box.slices][one.inside] for one in own])))


def _check_intensity(volume: Volume, intensity: IntensityRange, found: CaseInspection) -> None:
    doubt = doubt_hounsfield(volume)
    if doubt is not None:
        found.add("intensity", "error", str(doubt))
    elif intensity.min_hu < PADDING_HU or intensity.max_hu > PLAUSIBLE_HU[1]:
        found.add(
            "intensity",
            "warning",
            f"intensities from {intensity.min_hu:g} to {intensity.max_hu:g} HU, "
            f"outside {PLAUSIBLE_HU[0]:g} to {PLAUSIBLE_HU[1]:g}",
        )
    elif intensity.min_hu < PLAUSIBLE_HU[0]:
        found.add("intensity", "note", f"values down to {intensity.min_hu:g} HU: padding, or overshoot")
    kidney_hu = intensity.kidney_p50_hu
    if doubt is None and kidney_hu is not None and not KIDNEY_HU[0] <= kidney_hu <= KIDNEY_HU[1]:
        found.add(
            "kidney_hu",
            "error",
            f"the voxels labelled kidney have a median of {kidney_hu:g} HU: "
            "the mask is misplaced or flipped",
        )


def _tell_second_phase(phase: SecondPhase, found: CaseInspection) -> None:
    """An error if only one of the two is labelled: it teaches that kidneys are background."""
    labelled = found.labelled_slices
    on_both = labelled is not None and labelled[0] < phase.first_slice <= labelled[1]
    one_only = labelled is not None and not on_both
    found.add(
        "second_phase",
        "error" if one_only else "warning",
        f"slices {phase.repeated_by[0]} to {phase.repeated_by[1]} repeat the anatomy of "
        f"{phase.repeats[0]} to {phase.repeats[1]} (correlation {phase.correlation:.2f}): a second series"
        + (", and only one of the two is labelled" if one_only else ""),
    )
