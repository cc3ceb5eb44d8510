"""From data set to store: slices on the grid, intensities, split, slice statistics.

Two passes over the cases, both spread over processes: pixels into the store, then statistics from it.
The second merges cases in the order of their ids, so nothing depends on which was finished first.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from renalmap.dataset.cases import Case, CasePixels, open_case
from renalmap.dataset.estimate import CaseEstimate, estimate_case, estimate_store_bytes
from renalmap.dataset.source import CaseSource, case_files
from renalmap.dataset.split import Split
from renalmap.dataset.store import (
    STATISTICS_FILE,
    CaseEntry,
    SliceStore,
    Store,
    StoreSettings,
    clear_unfinished,
    read_entries,
    read_settings,
    remove_entry,
    slice_store,
    write_entry,
)
from renalmap.dataset.survey import PLAUSIBLE_HU, CaseSurvey
from renalmap.dataset.workers import ONE_AT_A_TIME, Step, Task, Workload, run_tasks
from renalmap.errors import CasesFailedError, DiskSpaceError, InputError, RenalMapError, StoreError
from renalmap.imaging.files import csv_text, locked_folder, make_folder, write_text_atomically
from renalmap.labels import is_known
from renalmap.preprocess import InPlaneFit, Plan, SliceStatisticsAccumulator
from renalmap.preprocess.intensity import clip_hu
from renalmap.progress import Progress

logger = logging.getLogger(__name__)

_LOCK_NAME: Final = ".prepare.lock"


@dataclass(frozen=True)
class Prepared:
    """What a run of `prepare` did.

    Attributes:
        store: complete.
        cases: that were prepared; those finished before are not counted.
        slices: of these.
        seconds: how long that took, with the slice statistics.
    """

    store: Store
    cases: int
    slices: int
    seconds: float


def prepare(
    cases: Sequence[Case],
    root: Path,
    settings: StoreSettings,
    split: Split,
    progress: Progress = lambda *_: None,
    workload: Workload = ONE_AT_A_TIME,
) -> Store:
    """The store that `prepare_measured` makes."""
    return prepare_measured(cases, root, settings, split, progress, workload).store


def prepare_measured(
    cases: Sequence[Case],
    root: Path,
    settings: StoreSettings,
    split: Split,
    progress: Progress = lambda *_: None,
    workload: Workload = ONE_AT_A_TIME,
) -> Prepared:
    """Make a store, or continue one that was interrupted.

    Cases in the store are kept if all their slices are there and their files are unchanged; any other is
    prepared again from scratch. The store's bytes depend neither on the workload nor on
    interruptions.

    Args:
        cases: the data set's.
        root: the store's folder, made if it is missing.
        settings: format and Plan; an existing store's must be the same.
        split: an existing store's must be the same.
        progress: called after every slice.
        workload: cases at once. More than one job needs a program that can be imported again
            (`if __name__ == "__main__"`).

    Raises:
        CasesFailedError: cases cannot be read, or their processes died; the others are done, and the store
            is not complete.
        DiskSpaceError: the disk is too small, or full.
        FolderInUseError: another run is writing there.
        StoreError: the store exists with other settings or another split.
        DatasetError: a case's patient is not in the split.
    """
    for case in cases:
        split.part_of(case.patient)
    make_folder(root)
    with locked_folder(root, _LOCK_NAME, "prepare"):
        began = time.perf_counter()
        _agree_on_settings(root, settings, split)
        clear_unfinished(root)
        run = _Run(root, settings, workload, progress)
        waiting = run.waiting(cases)
        slices = run.prepare_cases(waiting, len(cases))
        _write_statistics(run, split)
        seconds = time.perf_counter() - began
        store = Store.open(root)
        _write_intensities(store)
    return Prepared(store, len(waiting), slices, seconds)


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

    def step(self, name: str) -> None:
        self.slices += 1
        self.progress(f"{name} ({self.done} of {self.cases} cases done)", self.slices, self.total)


@dataclass
class _Run:
    """What the steps of a run share."""

    root: Path
    settings: StoreSettings
    workload: Workload
    progress: Progress

    @cached_property
    def slices(self) -> SliceStore:
        return slice_store(self.root, self.settings.format)

    def waiting(self, cases: Sequence[Case]) -> list[Case]:
        """The cases that are not in the store, or not as they should be; the latter are removed from it."""
        entries = {entry.case_id: entry for entry in read_entries(self.root)}
        waiting = []
        for case in cases:
            entry = entries.get(case.case_id)
            trouble = None if entry is None else self._trouble(case, entry)
            if trouble is not None:
                logger.warning("%s is prepared again: %s", case.case_id, trouble)
                remove_entry(self.root, case.case_id)
            if entry is None or trouble is not None:
                waiting.append(case)
        if waiting:
            # Statistics of fewer cases must not survive when another arrives.
            (self.root / STATISTICS_FILE).unlink(missing_ok=True)
        return waiting

    def _trouble(self, case: Case, entry: CaseEntry) -> str | None:
        found = self.slices.count(case.case_id)
        if found != len(entry.z_indices):
            return f"the store has {found} of its {len(entry.z_indices)} slices"
        if entry.source is not None and not entry.source.still_is(case):
            return "its files have changed"
        return None

    def prepare_cases(self, waiting: Sequence[Case], in_all: int) -> int:
        """Put cases into the store, the largest first; returns the number of slices."""
        estimates, failures = self._estimate(waiting)
        total = sum(estimate.slices for estimate in estimates.values())
        self._check_space(total)
        order = sorted(
            (case for case in waiting if case.case_id in estimates),
            key=lambda case: -estimates[case.case_id].memory_bytes,
        )
        tasks = [Task(case.case_id, case, estimates[case.case_id].memory_bytes) for case in order]
        work = partial(_prepare_case, self.root, self.settings)
        self._warn_of_size(tasks)
        counter = _Counter(self.progress, in_all, total, in_all - len(waiting))
        with_cysts = 0
        with closing(run_tasks(tasks, work, self.workload, counter.step)) as outcomes:
            for outcome in outcomes:
                if outcome.error is not None:
                    failures[outcome.task.name] = outcome.error
                else:
                    counter.done += 1
                    with_cysts += bool(outcome.result)
        if with_cysts:
            logger.warning(
                "Cysts are marked (label 3) in %d of the cases: they are trained as kidney, as in KiTS19",
                with_cysts,
            )
        if failures:
            raise _failed(failures, in_all)
        return total

    def _estimate(
        self, waiting: Sequence[Case]
    ) -> tuple[dict[str, CaseEstimate], dict[str, RenalMapError]]:
        estimates: dict[str, CaseEstimate] = {}
        failures: dict[str, RenalMapError] = {}
        for case in waiting:
            try:
                estimates[case.case_id] = estimate_case(case, self.settings.plan.grid_size)
            except InputError as error:
                failures[case.case_id] = error
        return estimates, failures

    def _check_space(self, slices: int) -> None:
        needed = estimate_store_bytes(slices, self.settings.plan.grid_size, self.settings.format)
        free = shutil.disk_usage(self.root).free
        if needed > free:
            raise DiskSpaceError(
                "there is too little space on the disk",
                where=self.root,
                got=f"{free / 1e9:.1f} GB free",
                expected=f"about {needed / 1e9:.1f} GB for {slices} slices",
                hint="Free some space, give another --out, or use --store blosc2, which takes two thirds of npz",
            )

    def _warn_of_size(self, tasks: Sequence[Task[Any]]) -> None:
        allowed = self.workload.memory_bytes
        for task in tasks:
            if allowed is not None and task.memory_bytes > allowed:
                logger.warning(
                    "%s takes about %.1f GB, more than the %.1f GB allowed; it is prepared alone",
                    *(task.name, task.memory_bytes / 1e9, allowed / 1e9),
                )


def _failed(failures: Mapping[str, RenalMapError], in_all: int) -> CasesFailedError:
    error = CasesFailedError(
        f"{len(failures)} of {in_all} cases failed",
        got=", ".join(sorted(failures)[:5]) + (", ..." if len(failures) > 5 else ""),
        hint="The others are in the store. Fix these and run the same command again, or leave them out "
        "with --exclude",
    )
    error.failures = tuple(failures[name] for name in sorted(failures))
    return error


def _prepare_case(root: Path, settings: StoreSettings, case: Case, step: Step) -> bool:
    """Put one case into the store and declare it done; whether its mask marks cysts."""
    source = CaseSource.of(case)
    survey = CaseSurvey(settings.plan)
    pixels = open_case(case)
    walk = _on_grid(pixels, settings.plan, survey, step)
    slices = slice_store(root, settings.format)
    slices.write_case(case.case_id, walk, expected=len(pixels.z_indices))
    write_entry(root, survey.entry(case, pixels, source.hashed(case_files(case))))
    return pixels.cysts


def _on_grid(
    pixels: CasePixels, plan: Plan, survey: CaseSurvey, step: Step
) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.uint8]]]:
    spacing_mm = (1.0, 1.0) if pixels.spacing_mm is None else pixels.spacing_mm[1:]
    fit = InPlaneFit(*pixels.shape, spacing_mm, plan.grid_size)
    for index, (_, hu, labels) in enumerate(pixels.slices):
        on_grid = fit.labels_to_grid(labels)
        survey.take(hu, labels, on_grid)
        yield index, fit.to_grid(hu, plan.outside_hu), on_grid
        step()


def _accumulate_case(
    root: Path, settings: StoreSettings, entry: CaseEntry, step: Step
) -> SliceStatisticsAccumulator:
    """Sum up a case of the store."""
    plan, slices, count = settings.plan, slice_store(root, settings.format), len(entry.z_indices)
    weight = 1.0 if plan.statistics_weighting == "slice" else 1.0 / count
    accumulator = SliceStatisticsAccumulator(plan.grid_size)
    for index in range(count):
        hu, labels = slices.read(entry.case_id, index)
        accumulator.add(clip_hu(hu, plan), weight * is_known(labels))
        step()
    return accumulator


def _write_statistics(run: _Run, split: Split) -> None:
    path = run.root / STATISTICS_FILE
    if path.exists():
        return
    entries = [entry for entry in read_entries(run.root) if split.part_of(entry.patient) == "train"]
    tasks = [Task(entry.case_id, entry) for entry in entries]
    work = partial(_accumulate_case, run.root, run.settings)
    total, done = sum(len(entry.z_indices) for entry in entries), 0

    def step(_: str) -> None:
        nonlocal done
        done += 1
        run.progress("slice statistics", done, total)

    merged = SliceStatisticsAccumulator(run.settings.plan.grid_size)
    early: dict[str, SliceStatisticsAccumulator] = {}
    turn = iter(tasks)
    expected = next(turn, None)
    with closing(run_tasks(tasks, work, run.workload, step)) as outcomes:
        for outcome in outcomes:
            if outcome.error is not None:
                raise outcome.error
            if outcome.result is not None:
                early[outcome.task.name] = outcome.result
            while expected is not None and expected.name in early:
                merged.merge(early.pop(expected.name))
                expected = next(turn, None)
    merged.finish().save(path)


def _write_intensities(store: Store) -> None:
    """The per-case intensity table, outliers marked."""
    columns = ("case_id", "min_hu", "p01_hu", "p50_hu", "p99_hu", "max_hu", "outlier")
    for entry in store.entries:
        if entry.outlier:
            logger.warning(
                "%s has intensities from %g to %g HU, outside %g to %g",
                *(entry.case_id, entry.min_hu, entry.max_hu, *PLAUSIBLE_HU),
            )
    rows = [{column: getattr(entry, column) for column in columns} for entry in store.entries]
    write_text_atomically(store.root / "intensities.csv", csv_text(columns, rows))
