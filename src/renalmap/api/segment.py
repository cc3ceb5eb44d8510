"""From scans to segmentations: one, several or a cohort; what to do, who does it, and the results."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from renalmap import __version__
from renalmap.api.cohort.cluster import run_on_cluster
from renalmap.api.cohort.connecting import ClusterRequest, check_request
from renalmap.api.cohort.scan import CaseOutcome, load_model, segment_scan
from renalmap.api.cohort.sidecar import marker_path, remove_temporary_files
from renalmap.api.cohort.table import check_table, write_table
from renalmap.api.cohort.targets import RunSettings, TargetState, failed, find_state, segment_target
from renalmap.api.listener import Listener
from renalmap.api.outputs import Target, plan_targets
from renalmap.api.request import SegmentRequest
from renalmap.bundle import Bundle, default_bundle_path
from renalmap.dataset.cohort import Cohort, find_cohort
from renalmap.errors import OutputExistsError
from renalmap.imaging.files import check_writable, locked_folder, make_folder
from renalmap.progress import Progress

logger = logging.getLogger(__name__)

_NAMED: Final = 3
"""How many outputs an error lists one by one."""


class SegmentOutcome(BaseModel):
    """What `renalmap segment` did; cases in the order of the scans."""

    model_config = ConfigDict(extra="forbid")

    renalmap_version: str
    bundle_sha256: str
    cases: list[CaseOutcome]


@dataclass(frozen=True)
class CohortRequest:
    """How to go through several scans.

    Attributes:
        resume: keep complete scans made with the same bundle, options and version.
        always_resumes: the user has no choice in that, so messages do not mention `--resume`.
        table: where to write a row for each scan, `.csv` or `.parquet`; None writes no table.
        cluster: None processes the scans here, one after another.
    """

    resume: bool = False
    always_resumes: bool = False
    table: Path | None = None
    cluster: ClusterRequest | None = None

    @property
    def keeps_record(self) -> bool:
        """Whether even a single scan is processed like those of a cohort, with a sidecar."""
        return self.resume or self.table is not None or self.cluster is not None


def segment(
    scans: Sequence[Path],
    out: Path,
    request: SegmentRequest = SegmentRequest(),
    how: CohortRequest = CohortRequest(),
    listener: Listener = Listener(),
) -> SegmentOutcome:
    """Segment scans in files, one, several or whole folders of them, and write what was found.

    A single scan given by its own path raises its own error, and only what was requested is written, unless `how`
    asks for more. If one of several fails, the others go on, and a sidecar beside each output
    says what made it.

    Args:
        scans: NIfTI files; DICOM folders, `.zip` archives, DICOMDIRs, enhanced CT files; folders of these, as
            `find_cohort` takes them.
        out: for one scan the file to write, or a folder that exists; for several a folder, made if it
            is missing, that receives `<scan's name>_seg.nii.gz` or `_seg.dcm`. KiTS19's `case_XXXXX/imaging.nii.gz`
            is named after its folder. With KiTS's names it is always a folder.
        request: bundle, device, options. `overwrite` replaces what `how.resume` does not keep.
        how: resuming, table, cluster.
        listener: who is kept informed.

    Returns:
        The outcome of every scan.

    Raises:
        OutputExistsError: before the first scan, if an output exists that is neither to be kept nor to be
            replaced. What a killed run left unfinished may always be replaced.
        FolderInUseError: another process is segmenting several scans into the folder.
        ClusterError: see `run_on_cluster`.
        RenalMapError: a fault of the request, or of a single scan; what was finished before is kept.
    """
    return segment_cohort(find_cohort(scans), out, request, how, listener)


def segment_cohort(
    cohort: Cohort,
    out: Path,
    request: SegmentRequest,
    how: CohortRequest = CohortRequest(),
    listener: Listener = Listener(),
) -> SegmentOutcome:
    """Segment what `find_cohort` gives, or a cohort put together otherwise; as `segment`."""
    targets = plan_targets(cohort, out, request)
    if not cohort.is_several and not how.keeps_record:
        return _segment_alone(targets[0], request, listener)
    if how.table is not None:
        check_table(how.table, overwrite=request.overwrite or how.resume)
    if how.cluster is not None:
        check_request(how.cluster)
        targets = [target.absolute for target in targets]
    attempts = 1 if how.cluster is None else how.cluster.retries + 1
    bundle = Bundle.open(request.model or default_bundle_path())
    settings = RunSettings.of(request, bundle, secrets.token_hex(8), attempts)
    folder = targets[0].output.parent
    if cohort.is_several or request.names != "scan":
        make_folder(folder)
    else:
        check_writable(targets[0].output, overwrite=True)  # whether it may be replaced is decided below
    request.beside.make_folders()
    run = _Run(settings, how, listener)
    with locked_folder(folder, None, "segment"):
        for target, scan in zip(targets, cohort.scans, strict=True):
            if scan.problem is not None:
                run.cases[target.name] = failed(target, scan.problem)
        todo = [target for target in targets if target.name not in run.cases]
        run.do(run.sort_out(todo, overwrite=request.overwrite))
    cases = [run.cases[target.name] for target in targets]
    if how.table is not None:
        write_table(cases, how.table)
    return _outcome(cases, bundle)


def _segment_alone(target: Target, request: SegmentRequest, listener: Listener) -> SegmentOutcome:
    """A scan by itself: nothing is recorded, its error is raised; the model is loaded while it is read."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="loading") as pool:
        loading = pool.submit(load_model, request)
        if request.names != "scan":
            loading.result()
            make_folder(target.output.parent)
        try:
            case = segment_scan(loading.result, target, request, _told(listener, target.name))
        except Exception:
            loading.result()  # a fault of the model is not the scan's
            raise
        return _outcome([case], loading.result().segmenter.bundle)


def _outcome(cases: list[CaseOutcome], bundle: Bundle) -> SegmentOutcome:
    return SegmentOutcome(renalmap_version=__version__, bundle_sha256=bundle.digest, cases=cases)


def _told(listener: Listener, what: str) -> Progress:
    """Reports on the slices of a scan."""

    def told(part: str, done: int, total: int) -> None:
        listener.progress(f"{what}: {part}", done, total)

    return told


@dataclass
class _Run:
    """A run over several scans, and their results so far, by name."""

    settings: RunSettings
    how: CohortRequest
    listener: Listener
    cases: dict[str, CaseOutcome] = field(default_factory=dict)

    def add(self, case: CaseOutcome) -> None:
        self.cases[case.name] = case
        logger.info("%s: %s", case.name, case.status)

    def sort_out(self, targets: Sequence[Target], *, overwrite: bool) -> list[Target]:
        """The targets that are to be done; those to be kept are noted.

        Raises:
            OutputExistsError: an output is neither to be kept nor to be replaced.
        """
        resume = self.how.resume
        if overwrite and not resume:
            return list(targets)
        todo, refused = [], []
        for index, target in enumerate(targets):
            self.listener.progress("looking for what is done", index, len(targets))
            found = find_state(target, self.settings)
            if found.state == "finished" and found.case is not None and resume:
                marker_path(target.output).unlink(missing_ok=True)  # of a run killed after the sidecar
                self.add(found.case)
            elif overwrite or found.state == "absent" or (resume and found.state == "interrupted"):
                todo.append(target)
            else:
                refused.append((target, found))
        if refused:
            raise _refusal(refused, self.how)
        kept = len(targets) - len(todo)
        if kept:
            self.listener.announce(f"{kept} of {len(targets)} scans are complete and kept")
        return todo

    def do(self, targets: Sequence[Target]) -> None:
        """Do targets here or on the cluster."""
        for target in targets:
            remove_temporary_files(target.output)
        try:
            if not targets:
                return
            if self.how.cluster is None:
                self._do_here(targets)
            else:
                self._do_on_cluster(targets, self.how.cluster)
        except KeyboardInterrupt:
            done = sum(target.name in self.cases for target in targets)
            again = "the same command" if self.how.always_resumes else "--resume"
            self.listener.announce(
                f"Stopped: {done} of {len(targets)} scans are finished and kept; {again} continues from there"
            )
            raise
        for target in targets:  # of workers that died
            remove_temporary_files(target.output)

    def _do_here(self, targets: Sequence[Target]) -> None:
        loaded = load_model(self.settings.request)
        for index, target in enumerate(targets, start=1):
            told = _told(self.listener, f"{index} of {len(targets)}, {target.name}")
            self.add(segment_target(target, self.settings, loaded, told))
            loaded = replace(loaded, seconds=0.0)

    def _do_on_cluster(self, targets: Sequence[Target], cluster: ClusterRequest) -> None:
        started, key = len(self.cases), f"segmenting on {cluster.address}"

        def told(case: CaseOutcome) -> None:
            self.add(case)
            self.listener.progress(f"{key}: {case.name} done", len(self.cases) - started, len(targets))

        self.listener.progress(f"{key}: waiting for workers", 0, len(targets))
        run_on_cluster(targets, self.settings, cluster, told, self.listener.announce)


def _refusal(refused: Sequence[tuple[Target, TargetState]], how: CohortRequest) -> OutputExistsError:
    states = {
        "finished": "complete, made with the same bundle and options",
        "interrupted": "left by a run that was stopped",
    }
    listed = [
        f"{target.output.name}: {found.reason or states[found.state]}"
        for target, found in refused[:_NAMED]
    ]
    more = f"; and {len(refused) - _NAMED} more" if len(refused) > _NAMED else ""
    if how.always_resumes:
        hint = "--overwrite redoes these and keeps the others; or give another --out"
    elif how.resume:
        hint = "--resume --overwrite redoes these and keeps the others; or give another --out"
    else:
        hint = "--resume keeps those that are complete, --overwrite redoes all; or give another --out"
    return OutputExistsError(
        "there are outputs that this run would not make" if how.resume else "outputs exist",
        where=refused[0][0].output.parent,
        got="; ".join(listed) + more,
        hint=hint,
    )
