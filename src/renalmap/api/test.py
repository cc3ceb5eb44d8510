"""The patients that a store's split sets aside: segmented and scored, to evaluate a bundle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from renalmap.api.evaluate import Scoring, score_pairs
from renalmap.api.listener import Listener
from renalmap.api.outputs import holds_any
from renalmap.api.request import SegmentRequest
from renalmap.api.segment import CohortRequest, SegmentOutcome, segment_cohort
from renalmap.bundle import Bundle
from renalmap.dataset.cohort import Cohort, CohortScan
from renalmap.dataset.layouts import Case, read_dataset
from renalmap.dataset.split import Part
from renalmap.dataset.store import Store
from renalmap.errors import ConfigError, DatasetError
from renalmap.evaluation import Score


@dataclass(frozen=True)
class HeldOut:
    """Patients that a split sets aside.

    Attributes:
        store: the store on which the model was trained; it has the split.
        dataset: the data set it was prepared from, as for `read_dataset`; it may have moved since.
        part: `test` or `validation`: the split's own part, not a fold's.
    """

    store: Path
    dataset: Path
    part: Part = "test"


@dataclass(frozen=True)
class HeldOutOutcome:
    """How well a bundle performed.

    Attributes:
        segmented: the result of every patient's scan.
        scores: of those that were segmented.
        failed: why the others were not, by case.
    """

    segmented: SegmentOutcome
    scores: list[Score]
    failed: dict[str, str]


def test(
    patients: HeldOut,
    out: Path,
    request: SegmentRequest,
    scoring: Scoring = Scoring(),
    listener: Listener = Listener(),
) -> HeldOutOutcome:
    """Segment and score the patients that a split sets aside.

    Complete results made with the same bundle and options are kept. If one fails, the others go on. The
    listener is warned if the bundle's networks may have seen these patients.

    Args:
        patients: which ones.
        out: a folder, made if it is missing, that receives `<case id>_seg.nii.gz` and its sidecar.
        request: the bundle to evaluate, which must be named, device, options.
        scoring: by which rules, and what to write.
        listener: who is kept informed.

    Raises:
        ConfigError: no bundle is named, or a scan or a mask of the cases lies in `out` or below it.
        DatasetError: the part has no patients, the data set lacks a case of theirs, or a case has no mask
            or consists of single slices.
        RenalMapError: as `segment` and `evaluate`.
    """
    if request.model is None:
        raise ConfigError(
            "no bundle to evaluate was given",
            hint="Give one trained on this store: the bundled model was trained on some of KiTS19's patients",
        )
    store = Store.open(patients.store)
    cases = _find_cases(store, patients)
    scoring.check(made=out)
    for doubt in _find_doubts(store, cases, Bundle.open(request.model)):
        listener.warn(doubt)
    outcome = _segment(patients.dataset, cases, out, request, listener)
    by_name = {case.case_id: case for case in cases}
    pairs = [
        (done.name, Case(done.name, done.name, mask=Path(done.output)), by_name[done.name])
        for done in outcome.cases
        if done.output is not None
    ]
    failed = {
        done.name: done.error or "nothing was written" for done in outcome.cases if not done.output
    }
    return HeldOutOutcome(outcome, score_pairs(pairs, scoring, listener.progress), failed)


def _find_cases(store: Store, patients: HeldOut) -> list[Case]:
    """In the order of their ids; each has a mask, and a scan or where it should be."""
    part, dataset = patients.part, patients.dataset
    wanted = {entry.case_id for entry in store.part(part)}
    if not wanted:
        raise DatasetError(
            f"the split has no patients for {part}",
            where=store.root,
            hint=f"prepare --n-{part} sets how many are set aside",
        )
    cases = [case for case in read_dataset(dataset).cases if case.case_id in wanted]
    missing = sorted(wanted - {case.case_id for case in cases})
    if missing:
        raise DatasetError(
            f"{part} cases are missing",
            where=dataset,
            got=f"no {', '.join(missing[:5])}",
            expected=f"all {len(wanted)} of the split",
            hint="Give the data set that the store was prepared from",
        )
    slices = [case.case_id for case in cases if case.slice_files]
    unfit = [case.case_id for case in cases if case.mask is None or case.image is None]
    if slices or unfit:
        raise DatasetError(
            "single slices are not a scan that can be segmented"
            if slices
            else "cases lack a scan or a mask",
            where=dataset,
            got=", ".join((slices or unfit)[:5]),
            expected="a scan and a mask of each",
        )
    return cases


def _find_doubts(store: Store, cases: Sequence[Case], bundle: Bundle) -> Iterator[str]:
    """Why a bundle's networks may have seen some cases; a bundle has its store's statistics."""
    ours, theirs = store.statistics, bundle.statistics
    if not np.array_equal(ours.mean_hu, theirs.mean_hu):
        yield (
            f"{bundle.root}: the bundle was not trained on the store {store.root}: its networks may have "
            "seen these patients"
        )
    entries = {entry.case_id: entry for entry in store.entries}
    for case in cases:
        source = entries[case.case_id].source
        if source is not None and not source.still_is(case):
            yield f"{case.case_id}: its files are not those that the store was prepared from"


def _segment(
    dataset: Path, cases: Sequence[Case], out: Path, request: SegmentRequest, listener: Listener
) -> SegmentOutcome:
    files = [path for case in cases for path in (case.image, case.mask) if path is not None]
    if holds_any(out, files):
        raise ConfigError(
            "the results would be among the data", where=out, hint="Give another folder as --out"
        )
    scans = [
        CohortScan(case.image, case.case_id, acquisition=case.acquisition)
        for case in cases
        if case.image is not None
    ]
    cohort = Cohort(tuple(scans), folders=(dataset if dataset.is_dir() else dataset.parent,))
    how = CohortRequest(resume=True, always_resumes=True)
    return segment_cohort(cohort, out, request, how, listener)
