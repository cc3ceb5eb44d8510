"""What runs inside a Dask worker: its fitness for a run, the bundle it keeps loaded, one scan."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Final

from renalmap import __version__
from renalmap.api.cohort.scan import Loaded, load_model
from renalmap.api.cohort.targets import RunSettings, failed, segment_target
from renalmap.api.outputs import Target
from renalmap.bundle import Bundle
from renalmap.errors import ClusterError, RenalMapError
from renalmap.inference.cascade import SegmentOptions
from renalmap.inference.session import Device, Engine
from renalmap.text import json_text, keep_values_private

_Key = tuple[str, Engine, Device, SegmentOptions]

_loaded: Final[dict[_Key, Loaded]] = {}
_fit: Final[set[str]] = set()
_lock: Final = threading.Lock()


def find_unfitness(settings: RunSettings, paths: tuple[Path, ...]) -> str | None:
    """Why this process cannot serve a run; None if it can.

    Args:
        settings: the run's.
        paths: what it must see; the last one is the folder it must be able to write into.
    """
    if __version__ != settings.renalmap_version:
        return f"it has RenalMap {__version__} and not {settings.renalmap_version}"
    for path in paths:
        if not path.exists():
            return f"it cannot see {path}"
    if not os.access(paths[-1], os.W_OK):
        return f"it cannot write into {paths[-1]}"
    assert settings.request.model is not None
    try:
        digest = Bundle.open(settings.request.model).digest
    except RenalMapError as error:
        return str(error)
    if digest != settings.bundle_sha256:
        return (
            f"its bundle at {settings.request.model} is a different one "
            f"({digest[:12]}, not {settings.bundle_sha256[:12]})"
        )
    return None


def run_on_worker(target: Target, settings: RunSettings, threads: int) -> str:
    """Do one scan in a worker process.

    Args:
        target: paths absolute.
        settings: the run's.
        threads: slices processed at once if the settings do not say.

    Returns:
        The `CaseOutcome` as JSON.

    Raises:
        ClusterError: this worker cannot serve the run.
    """
    from distributed import get_worker  # noqa: PLC0415  (only workers are sure to have it)

    address = str(get_worker().address)
    keep_values_private()
    if settings.run not in _fit:  # a worker that came after the run began was not asked yet
        unfit = find_unfitness(settings, (target.output.parent,))
        if unfit is not None:
            raise unfit_worker(address, unfit)
        _fit.add(settings.run)
    if not target.scan.exists():
        error = ClusterError(
            "the worker cannot see the scan",
            where=target.scan,
            got=f"worker {address}",
            expected="the path as seen by the process with the command line",
            hint="Put the cohort where all machines can see it under the same path",
        )
        return json_text(failed(target, str(error)))
    options = settings.request.options
    ours = replace(options, threads=options.threads or threads)
    settings = replace(settings, request=replace(settings.request, options=ours))
    return json_text(segment_target(target, settings, _load_once(settings)))


def unfit_worker(address: str, reason: str) -> ClusterError:
    """The error of a worker that cannot serve a run."""
    return ClusterError(
        "a worker cannot do the work",
        where=address,
        got=reason,
        hint="Workers need the same RenalMap, bundle and paths as the machine with the command line",
    )


def _load_once(settings: RunSettings) -> Loaded:
    """The run's bundle, loaded when a process first needs it; a process keeps one."""
    request = settings.request
    key = settings.bundle_sha256, request.engine, request.device, request.options
    with _lock:
        kept = _loaded.get(key)
        if kept is not None:
            return kept
        loaded = load_model(request)
        _loaded.clear()
        _loaded[key] = replace(loaded, seconds=0.0)
        return loaded
