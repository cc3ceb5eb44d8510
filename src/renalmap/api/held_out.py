"""The patients a store's split keeps aside: segmented, for a bundle to be judged on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from renalmap.api.cohort import CohortReport, CohortRequest, Listener, segment_cohort
from renalmap.api.request import SegmentRequest
from renalmap.dataset.cohort import Cohort, CohortScan
from renalmap.dataset.layouts import Case, read_dataset
from renalmap.dataset.split import Part
from renalmap.dataset.store import Store
from renalmap.errors import DatasetError


def find_part(store: Path, dataset: Path, part: Part = "test") -> list[Case]:
    """The cases of one part of a store's split.

    Args:
        store: a prepared store.
        dataset: what it was prepared from, as `read_dataset` takes it; it may have moved since.
        part: which patients.

    Returns:
        The cases, in the order of their ids; each has a mask, and a scan or where it should be.

    Raises:
        StoreError: the store is none, or is not complete.
        DatasetError: the part has no patients, the data set lacks a case of theirs, or a case has no mask
            or consists of single slices.
    """
    wanted = {entry.case_id for entry in Store.open(store).part(part)}
    if not wanted:
        raise DatasetError(
            f"the split has no patients to {'test on' if part == 'test' else part}",
            where=store,
            hint="prepare --n-test says how many are kept aside",
        )
    cases = [case for case in read_dataset(dataset).cases if case.case_id in wanted]
    missing = sorted(wanted - {case.case_id for case in cases})
    unfit = [case.case_id for case in cases if case.mask is None or case.image is None]
    if missing or unfit:
        raise DatasetError(
            f"{part} cases are missing" if missing else f"{part} cases lack a scan or a mask",
            where=dataset,
            got=", ".join((missing or unfit)[:5]),
            expected=f"the scans and masks of {len(wanted)} cases",
            hint="Give the data set that the store was prepared from",
        )
    return cases


def segment_part(
    dataset: Path,
    cases: Sequence[Case],
    out: Path,
    request: SegmentRequest,
    listener: Listener,
) -> CohortReport:
    """Segment cases; one that is complete and made by the same bundle and options is kept.

    Args:
        dataset: where they lie, so that no result comes to lie among them.
        cases: from `find_part`.
        out: a folder, made if it is missing, that receives `<case id>_seg.nii.gz` and its sidecar.
        request: bundle, device, options.
        listener: who is told.

    Returns:
        A report with every case, in the cases' order. One that fails does not stop the others.

    Raises:
        RenalMapError: as `segment_cohort`.
    """
    folder = dataset if dataset.is_dir() else dataset.parent
    by_acquisition: dict[int | None, list[CohortScan]] = {}
    for case in cases:
        if case.image is not None:
            scans = by_acquisition.setdefault(case.acquisition, [])
            scans.append(CohortScan(case.image, case.case_id))
    reports = [
        segment_cohort(
            Cohort(tuple(scans), folders=(folder,)),
            out,
            replace(request, acquisition=acquisition),
            CohortRequest(resume=True),
            listener,
        )
        for acquisition, scans in by_acquisition.items()
    ]
    found = {case.name: case for report in reports for case in report.cases}
    return reports[0].model_copy(update={"cases": [found[case.case_id] for case in cases]})
