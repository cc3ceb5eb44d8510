"""One scan of a cohort, from marker to sidecar: the same in this process and on a worker."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import ValidationError

from renalmap import __version__
from renalmap.api.cohort.scan import CaseOutcome, Loaded, segment_scan
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
from renalmap.api.dicom_sr import sr_path
from renalmap.api.outputs import Target, planned_files
from renalmap.api.request import SegmentRequest
from renalmap.bundle import Bundle, default_bundle_path
from renalmap.dataset.source import FileState
from renalmap.errors import describe_failure
from renalmap.progress import Progress
from renalmap.text import json_text

_NOT_IN_OUTPUTS: Final = ("model", "overwrite", "names", "assume_hu", "dicom")
_NOT_IN_LABELS: Final = ("threads", "batch_size")
"""Fields of the request and of its options that change nothing of what is written, or are the target's."""


@dataclass(frozen=True)
class RunSettings:
    """What all targets of a run share. It is sent to workers, so its paths are absolute.

    Attributes:
        request: with the bundle's folder, and leave to replace outputs: which ones is decided before the
            first target.
        bundle_sha256: the bundle's digest.
        run: a random name.
        attempts: how often a scan may be begun before it counts as one that kills its workers.
        renalmap_version: of the process that was given the command.
    """

    request: SegmentRequest
    bundle_sha256: str
    run: str
    attempts: int = 1
    renalmap_version: str = __version__

    @classmethod
    def of(cls, request: SegmentRequest, bundle: Bundle, run: str, attempts: int = 1) -> RunSettings:
        """The settings that a request means."""
        root = (request.model or default_bundle_path()).absolute()
        beside = request.beside.absolute
        settled = replace(request, model=root, beside=beside, overwrite=True)
        return cls(settled, bundle.digest, run, attempts)

    def made_by(self, target: Target) -> dict[str, Any]:
        """What a sidecar says of the maker: version, bundle, and the options that decide about outputs."""
        request = {**asdict(self.request), **asdict(target.dicom)}
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
class TargetState:
    """How far a target is before a run begins.

    Attributes:
        state: nothing there; complete and as the run would make it; left by a killed run; something else.
        reason: why it is something else.
        case: the outcome of a finished one.
    """

    state: State
    reason: str = ""
    case: CaseOutcome | None = None


def find_state(target: Target, settings: RunSettings) -> TargetState:
    """Find out how far a target is. Whatever is wrong with one leaves the others alone."""
    present = [path for path in planned_files(target, settings.request) if path.exists()]
    sidecar, marker = read_sidecar(target.output), read_marker(target.output)
    reason = "it has no sidecar that this version reads"
    if sidecar is not None and present:
        try:
            difference = find_difference(sidecar, settings.made_by(target), target.scan, target.output)
            if difference is None:
                case = _case_of(sidecar, target).model_copy(update={"skipped": True})
                return TargetState("finished", case=case)
            reason = difference
        except OSError as error:
            reason = f"it cannot be compared ({error})"
        except ValidationError:  # only the outcome is damaged: the outputs are what will be made again
            return TargetState("interrupted")
    # A marker beside its own run's sidecar was left by a kill after the work was done: whatever the outputs
    # are now, somebody has changed them since.
    if marker is not None and (sidecar is None or sidecar.run != marker.run):
        return TargetState("interrupted")
    return TargetState("other", reason) if present else TargetState("absent")


def segment_target(
    target: Target, settings: RunSettings, loaded: Loaded, progress: Progress = lambda *_: None
) -> CaseOutcome:
    """Segment a scan, and write its sidecar last.

    A scan that fails is reported and does not raise. One that this very run has finished, on a worker
    that died before reporting it, is not repeated.
    """
    sidecar = read_sidecar(target.output)
    if sidecar is not None and sidecar.run == settings.run:
        return _case_of(sidecar, target)
    attempt = attempts_of(target, settings) + 1
    if attempt > settings.attempts:
        return killer(target, settings)
    before = _times_of(target, settings)
    try:
        marker = Marker(run=settings.run, attempt=attempt, host=platform.node(), pid=os.getpid())
        write_marker(marker, target.output)
        return _segment(target, settings, loaded, attempt, progress)
    except Exception as error:  # noqa: BLE001 -- whatever broke one scan, the others are to be done
        if _times_of(target, settings) == before:
            marker_path(target.output).unlink(missing_ok=True)
        told = {"attempts": attempt, **loaded.told}
        return failed(target, describe_failure(target.scan, error)).model_copy(update=told)


def attempts_of(target: Target, settings: RunSettings) -> int:
    """How often this run has begun a target."""
    marker = read_marker(target.output)
    return marker.attempt if marker is not None and marker.run == settings.run else 0


def failed(target: Target, error: str) -> CaseOutcome:
    """The outcome of a scan that failed."""
    return CaseOutcome(name=target.name, scan=str(target.scan), status="failed", error=error)


def killer(target: Target, settings: RunSettings) -> CaseOutcome:
    """The outcome of a scan whose workers died each time; its marker goes."""
    attempts = attempts_of(target, settings)
    if not any(_times_of(target, settings)):
        marker_path(target.output).unlink(missing_ok=True)
    case = failed(
        target,
        f"{target.scan}: the worker died each time it processed the scan (got {attempts} workers). "
        "Check the workers' logs: memory is the usual cause; --retries allows more attempts",
    )
    return case.model_copy(update={"attempts": attempts})


def _segment(
    target: Target, settings: RunSettings, loaded: Loaded, attempt: int, progress: Progress
) -> CaseOutcome:
    source = FileState.at(scan_files(target.scan)) if target.scan.exists() else None
    case = segment_scan(lambda: loaded, target, settings.request, progress)
    case = case.model_copy(update={"attempts": attempt})
    assert source is not None  # reading has refused a scan that is not there
    sidecar = Sidecar(
        run=settings.run,
        source=source.hashed(scan_files(target.scan)),
        outputs=hash_outputs(case.files, target.output),
        report=json.loads(json_text(case)),
        **settings.made_by(target),
    )
    write_sidecar(sidecar, target.output)
    marker_path(target.output).unlink(missing_ok=True)
    return case


def _case_of(sidecar: Sidecar, target: Target) -> CaseOutcome:
    """What a sidecar reports; its paths are those of now, wherever the folder was then."""
    case = CaseOutcome.model_validate(sidecar.report)
    maps = {
        region: target.output.with_name(Path(path).name)
        for region, path in case.probability_maps.items()
    }
    now = {
        "name": target.name,
        "scan": str(target.scan),
        "output": str(target.output),
        "structured_report": None if case.structured_report is None else str(sr_path(target.output)),
        "probability_maps": {region: str(path) for region, path in maps.items()},
    }
    return case.model_copy(update=now)


def _times_of(target: Target, settings: RunSettings) -> list[int]:
    """When each of a target's files was written; 0 for one that is not there."""
    files = planned_files(target, settings.request)
    return [path.stat().st_mtime_ns if path.exists() else 0 for path in files]
