"""One scan of a cohort, from marker to sidecar: the same in this process and on a worker."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from renalmap import __version__
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
from renalmap.api.segment import (
    CaseReport,
    ScanProgress,
    describe_failure,
    load_segmenter,
    segment_scan,
)
from renalmap.api.segmenter import Segmenter
from renalmap.bundle import Bundle, default_bundle_path
from renalmap.dataset.source import FileState

_NOT_IN_OUTPUTS: Final = ("model", "overwrite", "names", "assume_hu")
_NOT_IN_LABELS: Final = ("threads", "batch_size")
"""Fields of the request and of its options that change nothing of what is written."""


class CohortCase(CaseReport):
    """What became of one scan of a cohort."""

    name: str
    """What it is called in the cohort."""
    skipped: bool = False
    """It was complete before; what is reported of it is what its sidecar says."""
    attempts: int = 1
    """How often it was begun in the run that made it: more than once if a worker died."""
    worker: str | None = None
    """The process that did it, as host:pid; None for a scan that nobody began."""
    load_s: float = 0.0
    """How long the process took to load the bundle for it; 0 where it was loaded already."""


@dataclass(frozen=True)
class Order:
    """What all jobs of a run share. It is sent to workers, so its paths are absolute.

    Attributes:
        request: with the bundle's folder, and leave to replace outputs: which ones is decided before the
            first job.
        bundle_sha256: the bundle's digest.
        run: a random name.
        attempts: how often a scan may be begun before it counts as one that kills its workers.
        renalmap_version: of the process that gives the order.
    """

    request: SegmentRequest
    bundle_sha256: str
    run: str
    attempts: int = 1
    renalmap_version: str = __version__

    @classmethod
    def of(cls, request: SegmentRequest, bundle: Bundle, run: str, attempts: int = 1) -> Order:
        """The order that a request means."""
        root = (request.model or default_bundle_path()).absolute()
        beside = request.beside.absolute
        settled = replace(request, model=root, beside=beside, overwrite=True)
        return cls(settled, bundle.digest, run, attempts)

    def made_by(self, job: Target) -> dict[str, Any]:
        """What a sidecar says of the maker: version, bundle, and the options that decide about outputs."""
        options = {
            name: value for name, value in asdict(self.request).items() if name not in _NOT_IN_OUTPUTS
        }
        if job.acquisition is not None:
            options["acquisition"] = job.acquisition
        options["options"] = {
            name: value for name, value in options["options"].items() if name not in _NOT_IN_LABELS
        }
        return {
            "renalmap_version": self.renalmap_version,
            "bundle_sha256": self.bundle_sha256,
            "options": as_json(options),
        }


@dataclass(frozen=True, eq=False)
class Loaded:
    """A bundle ready to run.

    Attributes:
        segmenter: with the order's options.
        seconds: how long loading took just now; 0 if it was done before.
    """

    segmenter: Segmenter
    seconds: float = 0.0


Load = Callable[[], Loaded]
"""Gives the order's bundle, loaded once in a process."""

State = Literal["absent", "finished", "interrupted", "other"]


@dataclass(frozen=True)
class Standing:
    """How far a job is before a run begins.

    Attributes:
        state: nothing there; complete and what the run would make; left by a killed run; something else.
        reason: why it is something else.
        case: what is reported of a finished one.
    """

    state: State
    reason: str = ""
    case: CohortCase | None = None


def judge(job: Target, order: Order) -> Standing:
    """Find out how far a job is."""
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
    job: Target, order: Order, load: Load, progress: ScanProgress = lambda *_: None
) -> CohortCase:
    """Segment a scan, and write its sidecar last.

    A scan that fails is reported and raises nothing. One that this very run has finished, on a worker
    that died before it could say so, is not done again.

    Raises:
        RenalMapError: what `load` raises: the process cannot serve the run at all.
    """
    sidecar = read_sidecar(job.output)
    if sidecar is not None and sidecar.run == order.run:
        return _case_of(sidecar, job)
    attempt = attempts_of(job, order) + 1
    if attempt > order.attempts:
        return killer(job, order)
    loaded = load()
    host, pid = platform.node(), os.getpid()
    details = {"attempts": attempt, "worker": f"{host}:{pid}", "load_s": round(loaded.seconds, 3)}
    before = _times_of(job, order)
    try:
        write_marker(Marker(run=order.run, attempt=attempt, host=host, pid=pid), job.output)
        return _segment(job, order, loaded, details, progress)
    except Exception as error:  # noqa: BLE001 -- whatever broke one scan, the others are to be done
        if _times_of(job, order) == before:
            marker_path(job.output).unlink(missing_ok=True)
        return failed(job, describe_failure(job.scan, error)).model_copy(update=details)


def attempts_of(job: Target, order: Order) -> int:
    """How often this run has begun a job."""
    marker = read_marker(job.output)
    return marker.attempt if marker is not None and marker.run == order.run else 0


def failed(job: Target, error: str) -> CohortCase:
    """The report of a scan that failed."""
    return CohortCase(name=job.name, scan=str(job.scan), status="failed", error=error)


def killer(job: Target, order: Order) -> CohortCase:
    """The report of a scan whose workers died each time; its marker goes."""
    attempts = attempts_of(job, order)
    if not any(_times_of(job, order)):
        marker_path(job.output).unlink(missing_ok=True)
    case = failed(
        job,
        f"{job.scan}: the worker died each time the scan was in work (got {attempts} workers). "
        "Look into the workers' logs: memory is the usual cause; --retries allows more attempts",
    )
    return case.model_copy(update={"attempts": attempts})


def load_bundle(order: Order) -> Loaded:
    """Load an order's bundle."""
    began = time.perf_counter()
    segmenter = load_segmenter(order.request)
    return Loaded(segmenter, time.perf_counter() - began)


def _segment(
    job: Target, order: Order, loaded: Loaded, details: dict[str, Any], progress: ScanProgress
) -> CohortCase:
    source = FileState.at(scan_files(job.scan)) if job.scan.exists() else None
    report = segment_scan(lambda: loaded.segmenter, job, order.request, progress)
    assert source is not None  # reading has refused a scan that is not there
    case = CohortCase(name=job.name, **report.model_dump()).model_copy(update=details)
    sidecar = Sidecar(
        run=order.run,
        source=source.hashed(scan_files(job.scan)),
        outputs=hash_outputs(report.files, job.output),
        report=case.model_dump(mode="json"),
        **order.made_by(job),
    )
    write_sidecar(sidecar, job.output)
    marker_path(job.output).unlink(missing_ok=True)
    return case


def _case_of(sidecar: Sidecar, job: Target) -> CohortCase:
    """What a sidecar reports; its paths are those of now, wherever the folder was then."""
    case = CohortCase.model_validate(sidecar.report)
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
