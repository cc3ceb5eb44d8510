"""Data set to store: slices on the grid, intensities, split, slice statistics."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalmap.dataset.cases import Case, CasePixels, count_slices, open_case
from renalmap.dataset.split import Split
from renalmap.dataset.store import (
    INT16_RANGE,
    STATISTICS_FILE,
    CaseEntry,
    Store,
    StoreSettings,
    read_entries,
    read_settings,
    slice_store,
    write_entry,
)
from renalmap.errors import StoreError
from renalmap.imaging.files import write_text_atomically
from renalmap.labels import KIDNEY, TUMOUR
from renalmap.preprocess import InPlaneFit, Plan, SliceStatisticsAccumulator
from renalmap.preprocess.intensity import clip_hu

logger = logging.getLogger(__name__)

PLAUSIBLE_HU = (-1100.0, 4000.0)
"""A case with voxels outside is listed and drawn as an outlier (the paper's Fig. 1), never dropped."""

STATISTICS_PROGRESS = "slice statistics"
"""What `Progress` is told during the second pass."""

Progress = Callable[[int, int, str], None]
"""Told (slices done, slices in all, what is being done)."""


def prepare(
    cases: Sequence[Case],
    root: Path,
    settings: StoreSettings,
    split: Split,
    progress: Progress = lambda *_: None,
) -> Store:
    """Make a store, or continue one that was interrupted.

    Args:
        cases: the data set's.
        root: the store's folder, made if it is missing.
        settings: format and Plan; an existing store's must be the same.
        split: an existing store's must be the same.
        progress: called after every slice.

    Raises:
        StoreError: the store exists with other settings or another split.
        DatasetError: a case's patient is not in the split.
        InputError: a case cannot be read; what was done before stays done.
    """
    for case in cases:
        split.part_of(case.patient)
    root.mkdir(parents=True, exist_ok=True)
    _agree_on_settings(root, settings, split)
    slices = slice_store(root, settings.format)
    done = {entry.case_id for entry in read_entries(root)}
    waiting = [case for case in cases if case.case_id not in done]
    if waiting:
        # Statistics of fewer cases must not outlive the arrival of another.
        (root / STATISTICS_FILE).unlink(missing_ok=True)
    with_cysts = 0
    counter = _Counter(progress, len(cases), sum(count_slices(case) for case in waiting), len(done))
    for case in waiting:
        counter.begin(case.case_id)
        survey = _CaseSurvey(settings.plan)
        pixels = open_case(case)
        with_cysts += pixels.cysts
        walk = _on_grid(pixels, settings.plan, survey, counter)
        slices.write_case(case.case_id, walk, expected=len(pixels.z_indices))
        for _ in walk:
            """A case that was complete but not declared so is surveyed to its end."""
        write_entry(root, survey.entry(case, pixels))
    if with_cysts:
        logger.warning(
            "Cysts are marked (label 3) in %d of the cases: they are trained as kidney, as in KiTS19",
            with_cysts,
        )
    _write_statistics(root, settings, split, progress)
    store = Store.open(root)
    _write_intensities(store)
    return store


def _agree_on_settings(root: Path, settings: StoreSettings, split: Split) -> None:
    existing = read_settings(root)
    if existing is None:
        split.save(root / "split.json")
        write_text_atomically(root / "plan.json", settings.plan.model_dump_json(indent=2) + "\n")
        write_text_atomically(root / "store.json", settings.model_dump_json(indent=2) + "\n")
        return
    for name, got, expected in (
        ("settings", settings, existing),
        ("split", split, Split.load(root / "split.json")),
    ):
        if got != expected:
            raise StoreError(
                f"the store was made with another {name.removesuffix('s')}",
                where=root,
                got=got.model_dump_json(),
                expected=expected.model_dump_json(),
                hint="Give another --out, or the same options as before",
            )


@dataclass
class _Counter:
    progress: Progress
    cases: int
    total: int
    done: int = 0
    slices: int = 0
    name: str = ""

    def begin(self, name: str) -> None:
        self.name = name
        self.done += 1

    def step(self) -> None:
        self.slices += 1
        self.progress(self.slices, self.total, f"{self.name} ({self.done} of {self.cases} cases)")


@dataclass
class _CaseSurvey:
    """What is learned of a case while its slices pass by."""

    plan: Plan
    kidney_pixels: list[int] = field(default_factory=list)
    tumour_pixels: list[int] = field(default_factory=list)
    histogram: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(INT16_RANGE[1] - INT16_RANGE[0] + 1, np.int64)
    )
    extremes_hu: tuple[float, float] = (np.inf, -np.inf)
    moments: tuple[int, float, float] = (0, 0.0, 0.0)

    def take(self, hu: NDArray[Any], labels: NDArray[np.uint8]) -> None:
        self.extremes_hu = (
            min(self.extremes_hu[0], float(hu.min())),
            max(self.extremes_hu[1], float(hu.max())),
        )
        levels = np.clip(np.rint(hu), *INT16_RANGE).astype(np.int64) - INT16_RANGE[0]
        self.histogram += np.bincount(levels.ravel(), minlength=self.histogram.size)
        self.kidney_pixels.append(int((labels == KIDNEY).sum()))
        self.tumour_pixels.append(int((labels == TUMOUR).sum()))

    def entry(self, case: Case, pixels: CasePixels) -> CaseEntry:
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
        )


def _on_grid(
    pixels: CasePixels, plan: Plan, survey: _CaseSurvey, counter: _Counter
) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.uint8]]]:
    spacing_mm = (1.0, 1.0) if pixels.spacing_mm is None else pixels.spacing_mm[1:]
    fit = InPlaneFit(*pixels.shape, spacing_mm, plan.grid_size)
    for index, (_, hu, labels) in enumerate(pixels.slices):
        on_grid = fit.labels_to_grid(labels)
        survey.take(hu, on_grid)
        yield index, fit.to_grid(hu, plan.outside_hu), on_grid
        counter.step()


def _write_statistics(root: Path, settings: StoreSettings, split: Split, progress: Progress) -> None:
    path = root / STATISTICS_FILE
    if path.exists():
        return
    plan, slices = settings.plan, slice_store(root, settings.format)
    accumulator = SliceStatisticsAccumulator(plan.grid_size)
    entries = [entry for entry in read_entries(root) if split.part_of(entry.patient) == "train"]
    total = sum(len(entry.z_indices) for entry in entries)
    done = 0
    for entry in entries:
        count = len(entry.z_indices)
        weight = 1.0 if plan.statistics_weighting == "slice" else 1.0 / count
        for index in range(count):
            hu, _ = slices.read(entry.case_id, index)
            accumulator.add(clip_hu(hu, plan), weight)
            done += 1
            progress(done, total, STATISTICS_PROGRESS)
    accumulator.finish().save(path)


def _write_intensities(store: Store) -> None:
    """The per-case intensity table, outliers marked."""
    columns = ("case_id", "min_hu", "p01_hu", "p50_hu", "p99_hu", "max_hu", "outlier")
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(columns)
    for entry in store.entries:
        writer.writerow([getattr(entry, column) for column in columns])
        if entry.outlier:
            logger.warning(
                "%s has intensities from %g to %g HU, outside %g to %g",
                *(entry.case_id, entry.min_hu, entry.max_hu, *PLAUSIBLE_HU),
            )
    write_text_atomically(store.root / "intensities.csv", table.getvalue())
