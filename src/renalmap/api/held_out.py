"""The patients a store's split keeps aside: segmented, for a bundle to be judged on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from renalmap.api.listener import Listener
from renalmap.api.request import SegmentRequest
from renalmap.api.score import Pair
from renalmap.api.segment import (
    CohortRequest,
    SegmentReport,
    holds_any,
    segment_cohort,
)
from renalmap.bundle import Bundle
from renalmap.dataset.cohort import Cohort, CohortScan
from renalmap.dataset.layouts import Case, read_dataset
from renalmap.dataset.split import Part
from renalmap.dataset.store import Store
from renalmap.errors import ConfigError, DatasetError


def find_part(store: Store, dataset: Path, part: Part = "test") -> list[Case]:
    """The cases of one part of a store's split.

    Args:
        store: what the model was trained on.
        dataset: what it was prepared from, as `read_dataset` takes it; it may have moved since.
        part: which patients.

    Returns:
        The cases, in the order of their ids; each has a mask, and a scan or where it should be.

    Raises:
        DatasetError: the part has no patients, the data set lacks a case of theirs, or a case has no mask
            or consists of single slices.
    """
    wanted = {entry.case_id for entry in store.part(part)}
    if not wanted:
        raise DatasetError(
            f"the split keeps no patients for {part}",
            where=store.root,
            hint=f"prepare --n-{part} says how many are kept aside",
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
            "single slices are no scan to be segmented" if slices else "cases lack a scan or a mask",
            where=dataset,
            got=", ".join((slices or unfit)[:5]),
            expected="a scan and a mask of each",
        )
    return cases


def find_doubts(store: Store, cases: Sequence[Case], bundle: Bundle) -> list[str]:
    """Why cases may not be ones that a bundle's networks have never seen, a sentence each.

    Args:
        store: whose split keeps the cases aside.
        cases: from `find_part`.
        bundle: what is to be judged. A bundle has its store's slice statistics.
    """
    doubts = []
    ours, theirs = store.statistics, bundle.statistics
    if not np.array_equal(ours.mean_hu, theirs.mean_hu):
        doubts.append(
            f"{bundle.root}: the bundle was not trained on the store {store.root}: its networks may have "
            "seen these patients"
        )
    entries = {entry.case_id: entry for entry in store.entries}
    for case in cases:
        source = entries[case.case_id].source
        if source is not None and not source.still_is(case):
            doubts.append(f"{case.case_id}: its files are not those that the store was prepared from")
    return doubts


def segment_part(
    dataset: Path, cases: Sequence[Case], out: Path, request: SegmentRequest, listener: Listener
) -> SegmentReport:
    """Segment cases; one that is complete and made by the same bundle and options is kept.

    Args:
        dataset: where they lie.
        cases: from `find_part`.
        out: a folder, made if it is missing, that receives `<case id>_seg.nii.gz` and its sidecar.
        request: bundle, device, options.
        listener: who is told.

    Returns:
        A report with every case, in the cases' order. One that fails does not stop the others.

    Raises:
        ConfigError: a scan or a mask of the cases lies in `out` or below it.
        RenalMapError: as `segment_cohort`.
    """
    files = [path for case in cases for path in (case.image, case.mask) if path is not None]
    if holds_any(out, files):
        raise ConfigError(
            "the results would lie among the data", where=out, hint="Give another folder as --out"
        )
    scans = [
        CohortScan(case.image, case.case_id, acquisition=case.acquisition)
        for case in cases
        if case.image is not None
    ]
    cohort = Cohort(tuple(scans), folders=(dataset if dataset.is_dir() else dataset.parent,))
    how = CohortRequest(resume=True, always_resumes=True)
    return segment_cohort(cohort, out, request, how, listener)


def pairs_of(cases: Sequence[Case], report: SegmentReport) -> list[Pair]:
    """What was segmented of cases, each with its reference, to be scored; those that failed are left out."""
    by_name = {case.case_id: case for case in cases}
    return [
        (done.name, Case(done.name, done.name, mask=Path(done.output)), by_name[done.name])
        for done in report.cases
        if done.output is not None
    ]
