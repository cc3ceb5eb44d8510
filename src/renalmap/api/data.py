"""Data sets: prepare a store, write phantoms."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from renalmap.config import RunRecord, load_settings
from renalmap.dataset.cases import Case, find_cases
from renalmap.dataset.phantom import PhantomConfig, write_kits_layout
from renalmap.dataset.prepare import Progress, prepare
from renalmap.dataset.split import Split, draw_split
from renalmap.dataset.store import Store, StoreFormat, StoreSettings
from renalmap.errors import ConfigError, MissingDependencyError, OutputExistsError
from renalmap.preprocess import Plan
from renalmap.report import draw_intensity_table, draw_slice_statistics

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SplitRequest:
    """How a store's split comes about; see `draw_split`.

    Attributes:
        file: a split that was written before; the rest is then unused.
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


def prepare_store(
    datasets: Sequence[Path],
    out: Path,
    plan: Plan,
    *,
    store_format: StoreFormat = "npz",
    split: SplitRequest = SplitRequest(),
    progress: Progress = lambda *_: None,
) -> Store:
    """Make or continue a store from one or several data sets, and draw its two figures.

    Without matplotlib the figures are left out, with a warning: the store is complete without them, and
    the same call draws them later.

    Args:
        datasets: folders or tables that `find_cases` reads.
        out: the store's folder.
        plan: preprocessing decisions.
        store_format: how slices are kept.
        split: who trains, validates and tests.
        progress: called after every slice.

    Raises:
        InputError: a data set, a case or the split cannot be used; the store disagrees.
    """
    record = RunRecord.start(packages=("numpy", "nibabel", "pydicom"), seed=split.seed, settings=plan)
    cases = [case for dataset in datasets for case in find_cases(dataset)]
    ids = [case.case_id for case in cases]
    repeated = sorted({case_id for case_id in ids if ids.count(case_id) > 1})
    if repeated:
        raise ConfigError("the data sets share case ids", got=", ".join(repeated[:5]))
    start = time.perf_counter()
    settings = StoreSettings(format=store_format, plan=plan)
    store = prepare(cases, out, settings, split.resolve(cases), progress)
    try:
        _draw_figures(store, out)
    except MissingDependencyError as error:
        logger.warning("The store is complete, its figures are not drawn: %s, and prepare again", error)
    record.duration_s = round(time.perf_counter() - start, 1)
    record.write(out / "run.json")
    return store


def _draw_figures(store: Store, out: Path) -> None:
    draw_intensity_table(store.entries, out / "intensities.png")
    statistics = store.statistics
    draw_slice_statistics(statistics.mean_hu, statistics.deviation_hu, out / "slice_statistics.png")


class PhantomSet(BaseModel):
    """Settings of `renalmap phantom`: cases take these configurations in turn."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    phantoms: tuple[PhantomConfig, ...] = Field((PhantomConfig(),), min_length=1)


def write_phantoms(
    out: Path, *, cases: int, seed: int, config: Path | None = None, first_number: int = 0
) -> None:
    """Write synthetic cases in KiTS19's layout.

    Args:
        out: the data set's folder.
        cases: how many.
        seed: of all of them.
        config: a TOML file of `PhantomSet`; without one, the default phantom.
        first_number: number of the first case.

    Raises:
        InputError: the settings are wrong, or a case exists.
    """
    settings = load_settings(PhantomSet, config)
    for number in range(first_number, first_number + cases):
        case = out / "data" / f"case_{number:05d}"
        if case.exists():
            raise OutputExistsError(
                "the case exists", where=case, hint="Give another --out or another --first-number"
            )
    write_kits_layout(
        out, cases, settings.phantoms, np.random.default_rng(seed), first_number=first_number
    )
