"""From data sets to a store."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from renalmap.config import RunRecord, load_settings
from renalmap.dataset.cases import Case, find_cases
from renalmap.dataset.estimate import available_memory_bytes
from renalmap.dataset.layouts import read_by
from renalmap.dataset.prepare import Prepared, prepare_measured
from renalmap.dataset.split import PARTS, Part, Split, draw_split
from renalmap.dataset.store import Store, StoreFormat, StoreSettings, read_entries
from renalmap.dataset.workers import Workload
from renalmap.errors import ConfigError, MissingDependencyError
from renalmap.imaging import Orientation
from renalmap.inference.session import available_cores
from renalmap.preprocess import Plan
from renalmap.progress import Progress
from renalmap.recipes import RecipeName, read_recipe
from renalmap.report import draw_intensity_table, draw_slice_statistics

logger = logging.getLogger(__name__)

_MEMORY_SHARE: Final = 0.75
"""Share of the free memory for preparing: the rest is for the system, and for what estimates miss."""


@dataclass(frozen=True)
class SplitRequest:
    """How a store's split is made; see `draw_split`.

    Attributes:
        file: an existing split; the rest is then unused.
    """

    seed: int = 0
    n_test: int = 20
    n_validation: int | None = None
    test: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    file: Path | None = None

    def resolve(self, cases: Sequence[Case]) -> Split:
        """The split of a store: as the file says, or as drawn."""
        if self.file is not None:
            return Split.load(self.file)
        return draw_split(
            cases,
            seed=self.seed,
            n_test=self.n_test,
            n_validation=self.n_validation,
            test=self.test,
            validation=self.validation,
        )


@dataclass(frozen=True)
class PrepareRequest:
    """How a store is made.

    Attributes:
        store_format: how slices are kept.
        split: who trains, validates and tests.
        jobs: cases at once, each in its own process; None takes as many as there are cores.
        memory_gb: memory these processes may use together, by an estimate of each case from its headers;
            None takes three quarters of what is free.
        exclude: ids of cases that are left out. The split is the one with them.
        orientation: which of sform and qform counts in NIfTI files where they contradict each other.
    """

    store_format: StoreFormat = "npz"
    split: SplitRequest = SplitRequest()
    jobs: int | None = 1
    memory_gb: float | None = None
    exclude: tuple[str, ...] = ()
    orientation: Orientation | None = None

    @property
    def workload(self) -> Workload:
        """Jobs and memory in numbers."""
        if self.memory_gb is None:
            memory_bytes = round(_MEMORY_SHARE * available_memory_bytes())
        else:
            memory_bytes = round(self.memory_gb * 1e9)
        return Workload(available_cores() if self.jobs is None else self.jobs, max(1, memory_bytes))


class PartCounts(BaseModel):
    """What one part of a store's split holds."""

    model_config = ConfigDict(extra="forbid")

    patients: int
    cases: int
    slices: int
    slices_with_kidney: int
    slices_with_tumour: int


class PrepareOutcome(BaseModel):
    """What `renalmap prepare` did.

    Attributes:
        store: the store's folder.
        format: how it keeps slices.
        parts: what it holds.
        prepared_cases: those finished before are not counted.
        prepared_slices: of these.
        seconds: how long that took, with the slice statistics.
        slices_per_s: None if nothing was left to prepare.
        jobs: cases at once.
        memory_gb: what they were allowed.
    """

    model_config = ConfigDict(extra="forbid")

    store: str
    format: StoreFormat
    parts: dict[Part, PartCounts]
    prepared_cases: int
    prepared_slices: int
    seconds: float
    slices_per_s: float | None
    jobs: int
    memory_gb: float


def load_plan(
    config: Path | None = None, flags: Mapping[str, Any] = {}, recipe: RecipeName | None = None
) -> Plan:
    """Preprocessing decisions: defaults, a recipe, a TOML file, then flags that are not None.

    Raises:
        InputError: the file is missing or a setting is wrong.
    """
    return load_settings(Plan, config, flags, read_recipe(recipe, "plan"))


def prepare(
    datasets: Sequence[Path],
    out: Path,
    plan: Plan,
    request: PrepareRequest = PrepareRequest(),
    progress: Progress = lambda *_: None,
) -> PrepareOutcome:
    """Make or continue a store from one or several data sets, and draw its two figures.

    Without matplotlib the figures are left out, with a warning: the store is complete without them, and
    the same call draws them later.

    Args:
        datasets: folders or tables that `find_cases` reads.
        out: the store's folder.
        plan: preprocessing decisions.
        request: format, split, and how much at once.
        progress: called after every slice.

    Raises:
        InputError: a data set or the split cannot be used, the store disagrees, or the disk is too small.
        CasesFailedError: cases failed; the others are done.
    """
    split = request.split
    record = RunRecord.start(packages=("numpy", "nibabel", "pydicom"), seed=split.seed, settings=plan)
    found = [case for dataset in datasets for case in find_cases(dataset, whole=False)]
    cases = read_by(found, request.orientation)
    ids = [case.case_id for case in cases]
    repeated = sorted({case_id for case_id in ids if ids.count(case_id) > 1})
    if repeated:
        raise ConfigError("the data sets share case ids", got=", ".join(repeated[:5]))
    start = time.perf_counter()
    settings = StoreSettings(format=request.store_format, plan=plan)
    workload = request.workload
    wanted = _without(cases, request.exclude, out)
    prepared = prepare_measured(wanted, out, settings, split.resolve(cases), progress, workload)
    try:
        statistics = prepared.store.statistics
        draw_intensity_table(prepared.store.entries, out / "intensities.png")
        figure = out / "slice_statistics.png"
        draw_slice_statistics(statistics.mean_hu, statistics.deviation_hu, figure)
    except MissingDependencyError as error:
        logger.warning(
            "The store is complete, but its figures were not drawn: %s, and prepare again", error
        )
    record.duration_s = round(time.perf_counter() - start, 1)
    record.write(out / "run.json")
    return _outcome(prepared, workload)


def _without(cases: Sequence[Case], exclude: Sequence[str], out: Path) -> list[Case]:
    unknown = sorted(set(exclude) - {case.case_id for case in cases})
    if unknown:
        raise ConfigError(
            "cases to leave out are not in the data sets",
            got=", ".join(unknown),
            expected="ids such as case_00015",
        )
    there = sorted({entry.case_id for entry in read_entries(out)} & set(exclude))
    if there:
        raise ConfigError(
            "cases to leave out are already in the store",
            where=out,
            got=", ".join(there),
            hint="Give another --out",
        )
    return [case for case in cases if case.case_id not in exclude]


def _outcome(prepared: Prepared, workload: Workload) -> PrepareOutcome:
    store = prepared.store
    return PrepareOutcome(
        store=str(store.root),
        format=store.settings.format,
        parts={part: _count_part(store, part) for part in PARTS},
        prepared_cases=prepared.cases,
        prepared_slices=prepared.slices,
        seconds=round(prepared.seconds, 2),
        slices_per_s=round(prepared.slices / prepared.seconds, 2) if prepared.slices else None,
        jobs=workload.jobs,
        memory_gb=round((workload.memory_bytes or 0) / 1e9, 2),
    )


def _count_part(store: Store, part: Part) -> PartCounts:
    entries = store.part(part)
    return PartCounts(
        patients=len({entry.patient for entry in entries}),
        cases=len(entries),
        slices=sum(len(entry.z_indices) for entry in entries),
        slices_with_kidney=sum(pixels > 0 for entry in entries for pixels in entry.kidney_pixels),
        slices_with_tumour=sum(pixels > 0 for entry in entries for pixels in entry.tumour_pixels),
    )
