"""Dask clusters: one on this machine, one that Slurm starts, or a scheduler that is already running."""

from __future__ import annotations

import logging
import queue
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Final

from renalmap.dataset.workers import children_deaf_to_ctrl_c
from renalmap.errors import ClusterError, ConfigError
from renalmap.extras import import_extra
from renalmap.inference.session import available_cores

logger = logging.getLogger(__name__)

SCHEMES: Final = ("tcp://", "tls://")

_GRACE_S: Final = 1.0
"""Dask's own limit says more of what is wrong, so it comes first."""

_SLURM_WORKERS: Final = 4
_SLURM_DEFAULTS: Final[Mapping[str, Any]] = {"cores": 4, "memory": "8GiB", "processes": 1}
_SLURM_TEXTS: Final = (
    *("queue", "account", "walltime", "memory", "interface", "log_directory", "local_directory"),
)
_SLURM_NUMBERS: Final = ("cores", "processes")
_SLURM_LISTS: Final = {"directive": "job_extra_directives", "prologue": "job_script_prologue"}
_SLURM_KEYS: Final = (*_SLURM_TEXTS, *_SLURM_NUMBERS, *_SLURM_LISTS)


@dataclass(frozen=True)
class ClusterRequest:
    """Which cluster, and how.

    Attributes:
        address: `local`, `slurm`, or a scheduler's address (`tcp://`, `tls://`).
        workers: processes to start on this machine, or Slurm jobs; None takes as many as there are cores
            or scans, or 4 jobs.
        retries: how often a scan is restarted after its worker died.
        timeout_s: how long a scheduler may take to answer, and how long a run continues without any worker;
            for Slurm's queue there is no limit.
        slurm: (key, value) settings of the jobs; what is not here comes from dask-jobqueue's own
            configuration.
    """

    address: str
    workers: int | None = None
    retries: int = 2
    timeout_s: float = 30.0
    slurm: tuple[tuple[str, str], ...] = field(default=())


def check_request(request: ClusterRequest) -> None:
    """Refuse a request that cannot be served, without opening a connection.

    Raises:
        ConfigError: the kind of address is unknown, or settings do not belong to it.
        MissingDependencyError: a package is not installed.
        ClusterError: Slurm is not installed on this machine.
    """
    if request.address not in {"local", "slurm"} and not request.address.startswith(SCHEMES):
        raise ConfigError(
            "the kind of cluster is unknown",
            got=repr(request.address),
            expected="local, slurm, or the address of a scheduler such as tcp://host:8786",
        )
    if request.slurm and request.address != "slurm":
        raise ConfigError("--slurm is for --cluster slurm", got=f"--cluster {request.address}")
    if request.workers is not None and request.address.startswith(SCHEMES):
        raise ConfigError(
            "--workers is for clusters that are started here, and this one is already running",
            got=f"--cluster {request.address}",
        )
    _import("distributed")
    if request.address == "slurm":
        slurm_settings(request)
        _import("dask_jobqueue")
        if shutil.which("sbatch") is None:
            raise ClusterError(
                "Slurm is not installed on this machine",
                got="no command sbatch",
                hint="Start this on a login node, or give the address of a scheduler",
            )
    if not request.address.startswith(SCHEMES):
        _import("cryptography")


@contextmanager
def connected(request: ClusterRequest, scans: int, threads: int | None) -> Iterator[Any]:
    """A client of the cluster; what was started for it ends with it.

    Args:
        request: checked.
        scans: how many there are to do: no more workers are started.
        threads: of each worker that is started here; None shares out this machine's cores.

    Raises:
        ClusterError: the scheduler cannot be reached, or the workers cannot be started.
    """
    distributed = _import("distributed")
    if request.address.startswith(SCHEMES):
        with _client(distributed, request) as client:
            yield client
        return
    starts = _start_slurm if request.address == "slurm" else _start_local
    with starts(request, scans, threads) as cluster, distributed.Client(cluster) as client:
        yield client


def describe_dashboard(client: Any) -> str:
    """Where Dask's dashboard is, or why there is none."""
    try:
        if client.run_on_scheduler(find_spec, "bokeh") is not None:
            return f"Dask's dashboard: {client.dashboard_link}"
    except Exception:
        logger.info("could not ask for the dashboard", exc_info=True)
    return "Dask has no dashboard here: the scheduler's machine lacks the package bokeh"


def slurm_cluster(request: ClusterRequest) -> Any:
    """A dask-jobqueue cluster that has not submitted anything; its scheduler runs in this process."""
    import dask  # noqa: PLC0415  (an extra)

    given = slurm_settings(request)
    configured = dask.config.get("jobqueue.slurm", {})
    for key, value in _SLURM_DEFAULTS.items():
        if configured.get(key) is None:
            given.setdefault(key, value)
    if configured.get("shared-temp-directory") is None:  # where jobs read the run's key
        given["shared_temp_directory"] = "~"
    return _import("dask_jobqueue").SLURMCluster(
        job_name="renalmap",
        security=_secret(),
        scheduler_options={
            "dashboard_address": "localhost:8787",
            **(configured.get("scheduler-options") or {}),
        },
        worker_extra_args=[*(configured.get("worker-extra-args") or ()), "--no-dashboard"],
        **given,
    )


def _secret() -> Any:
    """A key and a certificate of this run's own: who has neither can neither read its messages nor send any.

    Slurm's jobs read them from files that nobody else may read.
    """
    _import("cryptography")
    return _import("distributed").Security.temporary()


def slurm_settings(request: ClusterRequest) -> dict[str, Any]:
    """The settings of Slurm's jobs under dask-jobqueue's names.

    Raises:
        ConfigError: a key is unknown, or a value that must be a whole number is not.
    """
    settings: dict[str, Any] = {}
    for key, value in request.slurm:
        if key in _SLURM_LISTS:
            settings.setdefault(_SLURM_LISTS[key], []).append(value)
        elif key in _SLURM_NUMBERS and value.isdecimal():
            settings[key] = int(value)
        elif key in _SLURM_TEXTS:
            settings[key] = value
        else:
            raise ConfigError(
                "a setting for Slurm is not valid",
                got=f"{key}={value}",
                expected=f"one of {', '.join(_SLURM_KEYS)}, whole numbers for {' and '.join(_SLURM_NUMBERS)}",
            )
    return settings


@contextmanager
def _client(distributed: Any, request: ClusterRequest) -> Iterator[Any]:
    try:
        client = _answer_in_time(
            lambda: distributed.Client(request.address, timeout=request.timeout_s), request.timeout_s
        )
    except Exception as error:  # OSError, TimeoutError, ValueError, TypeError for want of certificates
        tls = request.address.startswith("tls://")
        raise ClusterError(
            "the scheduler cannot be reached",
            where=request.address,
            got=f"{str(error) or type(error).__name__} (waited up to {request.timeout_s:g} s)",
            hint="Name the certificates in Dask's configuration (distributed.comm.tls)"
            if tls
            else "Start one with `dask scheduler`, or check whether a firewall is in between",
        ) from error
    with client:
        yield client


def _answer_in_time(connect: Callable[[], Any], timeout_s: float) -> Any:
    """What `connect` returns or raises, or TimeoutError.

    Dask's own limit does not apply if something accepts the connection and then says nothing.
    """
    answer: queue.SimpleQueue[tuple[Any, Exception | None]] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answer.put((connect(), None))
        except Exception as error:  # noqa: BLE001 -- raised where it is waited for
            answer.put((None, error))

    threading.Thread(target=ask, name="connect", daemon=True).start()
    try:
        client, error = answer.get(timeout=timeout_s + _GRACE_S)
    except queue.Empty:
        raise TimeoutError("whatever answers there is not a Dask scheduler, or it hangs") from None
    if error is not None:
        raise error
    return client


def _start_local(request: ClusterRequest, scans: int, threads: int | None) -> Any:
    workers = request.workers or max(1, min(scans, available_cores()))
    with children_deaf_to_ctrl_c():
        return _import("distributed").LocalCluster(
            n_workers=workers,
            threads_per_worker=threads or max(1, available_cores() // workers),
            processes=True,
            security=_secret(),
            dashboard_address="localhost:0",
            silence_logs=logging.CRITICAL,  # we report a worker that dies, in one sentence
        )


def _start_slurm(request: ClusterRequest, scans: int, threads: int | None) -> Any:
    del threads  # a worker has its job's cores
    cluster = slurm_cluster(request)
    logger.info("the jobs' script:\n%s", cluster.job_script())
    cluster.scale(jobs=request.workers or min(scans, _SLURM_WORKERS))
    return cluster


def _import(name: str) -> Any:
    module = import_extra(name, "a cluster")
    if not logger.isEnabledFor(logging.INFO):  # importing Dask sets these levels to INFO and WARNING
        for each in ("distributed", "distributed.client"):
            logging.getLogger(each).setLevel(logging.CRITICAL)
    return module
