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


class HuHistogram:
    """How often every HU occurs, rounded to whole HU within int16; taken in slice by slice."""

    def __init__(self) -> None:
        self.levels_hu = np.arange(INT16_RANGE[0], INT16_RANGE[1] + 1, dtype=np.float64)
        self.counts = np.zeros(self.levels_hu.size, np.int64)
        self.min_hu, self.max_hu = np.inf, -np.inf

    def take(self, hu: NDArray[Any]) -> None:
        """Take in some voxels; there may be none."""
        if hu.size:
            self.min_hu = min(self.min_hu, float(hu.min()))
            self.max_hu = max(self.max_hu, float(hu.max()))
        whole = hu if hu.dtype == np.int16 else np.rint(hu).clip(*INT16_RANGE)
        levels = whole.astype(np.int32).ravel() - INT16_RANGE[0]
        self.counts += np.bincount(levels, minlength=self.counts.size)

    @property
    def percentiles_hu(self) -> tuple[float, float, float]:
        """The 1st, the 50th and the 99th."""
        shares = np.cumsum(self.counts) / self.counts.sum()
        p01, p50, p99 = self.levels_hu[np.searchsorted(shares, (0.01, 0.5, 0.99))].tolist()
        return p01, p50, p99


@dataclass
class CaseSurvey:
    """What is learned of a case while its slices pass by."""

    plan: Plan
    kidney_pixels: list[int] = field(default_factory=list)
    tumour_pixels: list[int] = field(default_factory=list)
    histogram: HuHistogram = field(default_factory=HuHistogram)

    def take(self, hu: NDArray[Any], labels: NDArray[np.uint8], on_grid: NDArray[np.uint8]) -> None:
        """Take in one slice: its HU and labels as scanned, and its labels on the grid."""
        self.histogram.take(hu[is_known(labels)])
        self.kidney_pixels.append(int((on_grid == KIDNEY).sum()))
        self.tumour_pixels.append(int((on_grid == TUMOUR).sum()))

    def entry(self, case: Case, pixels: CasePixels, source: CaseSource) -> CaseEntry:
        """The case's record, once all slices were taken."""
        histogram = self.histogram
        p01, p50, p99 = histogram.percentiles_hu
        clipped = clip_hu(histogram.levels_hu, self.plan).astype(np.float64)
        share = histogram.counts / histogram.counts.sum()
        mean = float((share * clipped).sum())
        deviation = float(np.sqrt((share * (clipped - mean) ** 2).sum()))
        low, high = histogram.min_hu, histogram.max_hu
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
