"""One scan of a cohort, from marker to sidecar: the same in this process and on a worker."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from renalmap import __version__
from renalmap.api.cohort.scan import CaseReport, Loaded, segment_scan
from renalmap.api.cohort.sidecar import (
    Marker,
    Sidecar,
    as_json,
    find_difference,
    hash_outputs,
    marker_path,
    read_marker,
    read_sidecar,
    scan_files,
    write_marker,
    write_sidecar,
)
from renalmap.api.outputs import Target, planned_files
from renalmap.api.request import SegmentRequest
from renalmap.bundle import Bundle, default_bundle_path
from renalmap.dataset.source import FileState
from renalmap.errors import describe_failure
from renalmap.progress import Progress

_NOT_IN_OUTPUTS: Final = ("model", "overwrite", "names", "assume_hu", "dicom")
_NOT_IN_LABELS: Final = ("threads", "batch_size")
"""Fields of the request and its options that do not affect what is written, or belong to the job."""


@dataclass(frozen=True)
class Order:
    """What all jobs of a run share. It is sent to workers, so its paths are absolute.

    Attributes:
        request: with the bundle's folder, and leave to replace outputs: which ones is decided before the
            first job.
        bundle_sha256: the bundle's digest.
        run: a random name.
        attempts: how often a scan may be started before it counts as one that kills its workers.
        renalmap_version: of the process that gives the order.
    """

    request: SegmentRequest
    bundle_sha256: str
    run: str
    attempts: int = 1
    renalmap_version: str = __version__

    @classmethod
    def of(cls, request: SegmentRequest, bundle: Bundle, run: str, attempts: int = 1) -> Order:
        """The order for a request."""
        root = (request.model or default_bundle_path()).absolute()
        beside = request.beside.absolute
        settled = replace(request, model=root, beside=beside, overwrite=True)
        return cls(settled, bundle.digest, run, attempts)

    def made_by(self, job: Target) -> dict[str, Any]:
        """What a sidecar says about its maker: version, bundle, and the options that decide about outputs."""
        request = {**asdict(self.request), **asdict(job.dicom)}
        options = {name: value for name, value in request.items() if name not in _NOT_IN_OUTPUTS}
        options["options"] = {
            name: value for name, value in options["options"].items() if name not in _NOT_IN_LABELS
        }
        return {
            "renalmap_version": self.renalmap_version,
            "bundle_sha256": self.bundle_sha256,
            "options": as_json(options),
        }


State = Literal["absent", "finished", "interrupted", "other"]


@dataclass(frozen=True)
class Standing:
    """The state of a job before a run begins.

    Attributes:
        state: nothing there; complete and as the run would make it; left by a killed run; something else.
        reason: why it is something else.
        case: the report of a finished one.
    """

    state: State
    reason: str = ""
    case: CaseReport | None = None


def judge(job: Target, order: Order) -> Standing:
    """Determine the state of a job."""
    present = [path for path in planned_files(job, order.request) if path.exists()]
    sidecar = read_sidecar(job.output)
    reason = "it has no sidecar that this version reads"
    if sidecar is not None and present:
        reason = find_difference(sidecar, order.made_by(job), job.scan, job.output) or ""
        if not reason:
            case = _case_of(sidecar, job).model_copy(update={"skipped": True})
            return Standing("finished", case=case)
    if read_marker(job.output) is not None:
        return Standing("interrupted")
    return Standing("other", reason) if present else Standing("absent")


def run_job(
    job: Target, order: Order, loaded: Loaded, progress: Progress = lambda *_: None
) -> CaseReport:
    """Segment a scan, and write its sidecar last.

    A scan that fails is reported and does not raise. One that this very run has finished, on a worker
    that died before reporting it, is not repeated.
    """
    sidecar = read_sidecar(job.output)
    if sidecar is not None and sidecar.run == order.run:
        return _case_of(sidecar, job)
    attempt = attempts_of(job, order) + 1
    if attempt > order.attempts:
        return killer(job, order)
    before = _times_of(job, order)
    try:
        marker = Marker(run=order.run, attempt=attempt, host=platform.node(), pid=os.getpid())
        write_marker(marker, job.output)
        return _segment(job, order, loaded, attempt, progress)
    except Exception as error:  # noqa: BLE001 -- whatever broke one scan, the others are to be done
        if _times_of(job, order) == before:
            marker_path(job.output).unlink(missing_ok=True)
        told = {"attempts": attempt, **loaded.told}
        return failed(job, describe_failure(job.scan, error)).model_copy(update=told)


def attempts_of(job: Target, order: Order) -> int:
    """How often this run has started a job."""
    marker = read_marker(job.output)
    return marker.attempt if marker is not None and marker.run == order.run else 0


def failed(job: Target, error: str) -> CaseReport:
    """The report of a scan that failed."""
    return CaseReport(name=job.name, scan=str(job.scan), status="failed", error=error)


def killer(job: Target, order: Order) -> CaseReport:
    """The report of a scan whose workers died each time; its marker goes."""
    attempts = attempts_of(job, order)
    if not any(_times_of(job, order)):
        marker_path(job.output).unlink(missing_ok=True)
    case = failed(
        job,
        f"{job.scan}: the worker died each time it processed the scan (got {attempts} workers). "
        "Check the workers' logs: memory is the usual cause; --retries allows more attempts",
    )
    return case.model_copy(update={"attempts": attempts})


def _segment(job: Target, order: Order, loaded: Loaded, attempt: int, progress: Progress) -> CaseReport:
    source = FileState.at(scan_files(job.scan)) if job.scan.exists() else None
    case = segment_scan(lambda: loaded, job, order.request, progress)
    case = case.model_copy(update={"attempts": attempt})
    assert source is not None  # reading has refused a scan that is not there
    sidecar = Sidecar(
        run=order.run,
        source=source.hashed(scan_files(job.scan)),
        outputs=hash_outputs(case.files, job.output),
        report=case.model_dump(mode="json"),
        **order.made_by(job),
    )
    write_sidecar(sidecar, job.output)
    marker_path(job.output).unlink(missing_ok=True)
    return case


def _case_of(sidecar: Sidecar, job: Target) -> CaseReport:
    """What a sidecar reports; its paths are those of now, wherever the folder was then."""
    case = CaseReport.model_validate(sidecar.report)
    maps = {
        region: job.output.with_name(Path(path).name) for region, path in case.probability_maps.items()
    }
    now = {
        "name": job.name,
        "scan": str(job.scan),
        "output": str(job.output),
        "probability_maps": {region: str(path) for region, path in maps.items()},
    }
    return case.model_copy(update=now)


def _times_of(job: Target, order: Order) -> list[int]:
    """When each of a job's files was written; 0 for one that is not there."""
    files = planned_files(job, order.request)
    return [path.stat().st_mtime_ns if path.exists() else 0 for path in files]
