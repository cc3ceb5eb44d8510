"""What is learned about a case while its slices pass into the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalmap.dataset.cases import Case, CasePixels
from renalmap.dataset.source import CaseSource
from renalmap.dataset.store import INT16_RANGE, CaseEntry
from renalmap.labels import KIDNEY, TUMOUR, is_known
from renalmap.preprocess import Plan
from renalmap.preprocess.intensity import clip_hu

PLAUSIBLE_HU = (-1100.0, 4000.0)
"""A case with voxels outside this range is listed and drawn as an outlier (the paper's Fig. 1), never dropped."""


@dataclass
class CaseSurvey:
    """What is learned of a case while its slices pass by."""

    plan: Plan
    kidney_pixels: list[int] = field(default_factory=list)
    tumour_pixels: list[int] = field(default_factory=list)
    histogram: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(INT16_RANGE[1] - INT16_RANGE[0] + 1, np.int64)
    )
    extremes_hu: tuple[float, float] = (np.inf, -np.inf)

    def take(self, hu: NDArray[Any], labels: NDArray[np.uint8], on_grid: NDArray[np.uint8]) -> None:
        """Take in one slice: its HU and labels as scanned, and its labels on the grid."""
        known = hu[is_known(labels)]
        if known.size:
            self.extremes_hu = (
                min(self.extremes_hu[0], float(known.min())),
                max(self.extremes_hu[1], float(known.max())),
            )
        levels = np.clip(np.rint(known), *INT16_RANGE).astype(np.int64) - INT16_RANGE[0]
        self.histogram += np.bincount(levels.ravel(), minlength=self.histogram.size)
        self.kidney_pixels.append(int((on_grid == KIDNEY).sum()))
        self.tumour_pixels.append(int((on_grid == TUMOUR).sum()))

    def entry(self, case: Case, pixels: CasePixels, source: CaseSource) -> CaseEntry:
        """The case's record, once all slices were taken."""
        levels = np.arange(INT16_RANGE[0], INT16_RANGE[1] + 1, dtype=np.float64)
        cumulative = np.cumsum(self.histogram) / self.histogram.sum()
        p01, p50, p99 = (float(levels[np.searchsorted(cumulative, q)]) for q in (0.01, 0.5, 0.99))
        clipped = clip_hu(levels, self.plan).astype(np.float64)
        share = self.histogram / self.histogram.sum()
        mean = float((share * clipped).sum())
        deviation = float(np.sqrt((share * (clipped - mean) ** 2).sum()))
        low, high = self.extremes_hu
        return CaseEntry(
            case_id=case.case_id,
            patient=case.patient,
            shape=pixels.shape,
            spacing_mm=pixels.spacing_mm,
            z_indices=pixels.z_indices,
            kidney_pixels=tuple(self.kidney_pixels),
            tumour_pixels=tuple(self.tumour_pixels),
            min_hu=low,
            p01_hu=p01,
            p50_hu=p50,
            p99_hu=p99,
            max_hu=high,
            outlier=low < PLAUSIBLE_HU[0] or high > PLAUSIBLE_HU[1],
            volume_mean_deviation_hu=(mean, deviation),
            source=source,
        )
