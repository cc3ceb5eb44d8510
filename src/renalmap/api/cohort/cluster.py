"""Scans carried to Dask workers, and what is done when workers die.

Dask hands a task on when its worker dies; how often each scan was really started is counted by its marker, because
Dask's own count also blames tasks that only waited on that worker. See docs/decisions/0032-cohorts.md.
"""

from __future__ import annotations

import json
import logging
import queue
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from renalmap.api.cohort.connecting import (
    ClusterRequest,
    connected,
    describe_dashboard,
)
from renalmap.api.cohort.scan import CaseOutcome
from renalmap.api.cohort.targets import RunSettings, attempts_of, failed, killer
from renalmap.api.cohort.workers import find_unfitness, run_on_worker, unfit_worker
from renalmap.api.outputs import Target
from renalmap.errors import ClusterError, RenalMapError
from renalmap.text import printable

logger = logging.getLogger(__name__)

_POLL_S: Final = 1.0
"""How often the driver looks for workers that came or went."""

OnCase = Callable[[CaseOutcome], None]
Announce = Callable[[str], None]


def run_on_cluster(
    targets: Sequence[Target],
    settings: RunSettings,
    request: ClusterRequest,
    on_case: OnCase,
    announce: Announce,
) -> None:
    """Do targets on a cluster, one at a time in each worker process.

    Args:
        targets: paths absolute; at least one.
        settings: its attempts are the request's retries and one.
        request: checked.
        on_case: called with every case when it is done.
        announce: called with what a user should know about the cluster.

    Raises:
        ClusterError: the scheduler cannot be reached or went away, there are no workers, or one cannot
            serve the run.
    """
    with connected(request, len(targets), settings.request.options.threads) as client:
        announce(describe_dashboard(client))
        limit_s = request.timeout_s if request.address != "slurm" else None
        driver = _Driver(client, settings, limit_s, on_case)
        try:
            driver.wait_for_workers()
            _check_workers(client, settings, targets[0])
            driver.run(targets)
        finally:
            driver.cancel()


def _check_workers(client: Any, settings: RunSettings, first: Target) -> None:
    """Check all workers before the first scan; those that come later are checked by their first scan."""
    try:
        answers = client.run(find_unfitness, settings, (first.scan, first.output.parent))
    except Exception as error:  # no RenalMap there, or one without this module
        raise unfit_worker("of those that are connected", f"{type(error).__name__}: {error}") from error
    for address, reason in answers.items():
        if reason is not None:
            raise unfit_worker(address, reason)


@dataclass(eq=False)
class _Driver:
    """Gives each worker one scan at a time.

    Dask would hand out all at once, and count the death of a worker against each scan it holds.
    """

    client: Any
    settings: RunSettings
    limit_s: float | None
    on_case: OnCase

    def __post_init__(self) -> None:
        self.waiting: deque[Target] = deque()
        self.running: dict[Any, tuple[Target, str]] = {}
        self.given_up: Counter[str] = Counter()
        self.done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.last_seen = time.monotonic()

    def run(self, targets: Sequence[Target]) -> None:
        self.waiting.extend(targets)
        while self.waiting or self.running:
            workers = self._workers()
            self._take_back(workers)
            self._hand_out(workers)
            try:
                future = self.done.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            if future in self.running:  # and not taken back
                target, _ = self.running.pop(future)
                self._take(target, future)

    def cancel(self) -> None:
        """Cancel what has not started; a scan being processed on another machine is finished there."""
        if self.running:
            try:
                self.client.cancel(list(self.running), force=True)
            except Exception:  # the scheduler may be what is gone
                logger.info("could not cancel", exc_info=True)

    def wait_for_workers(self) -> None:
        while not self._workers():
            time.sleep(_POLL_S / 10)

    def _workers(self) -> dict[str, int]:
        """Threads by worker.

        Raises:
            ClusterError: the scheduler is gone, or has had no worker for too long.
        """
        try:
            workers: dict[str, int] = self.client.nthreads()
        except Exception as error:  # CommClosedError, OSError, TimeoutError, RuntimeError
            raise _lost(str(error) or type(error).__name__) from error
        now = time.monotonic()
        if workers:
            self.last_seen = now
        elif self.limit_s is not None and now - self.last_seen > self.limit_s:
            raise ClusterError(
                "the scheduler has no workers",
                got=f"none for {self.limit_s:g} s",
                hint="Start some with `dask worker tcp://scheduler:8786`; --resume continues from here",
            )
        return workers

    def _hand_out(self, workers: dict[str, int]) -> None:
        busy = {address for _, address in self.running.values()}
        for address, threads in workers.items():
            if address in busy or not self.waiting:
                continue
            target = self.waiting.popleft()
            future = self.client.submit(
                run_on_worker,
                *(target, self.settings, threads),
                key=f"{printable(target.name)}-{self.settings.run}-{self.given_up[target.name]}",
                workers=[address],
                pure=False,
            )
            self.running[future] = target, address
            future.add_done_callback(self.done.put)

    def _take(self, target: Target, future: Any) -> None:
        """Report a task that ended, or queue it again where Dask gave it up too early."""
        if future.status == "finished":
            self.on_case(CaseOutcome.model_validate(json.loads(future.result())))
            return
        if future.status != "error":
            raise _lost(f"the task of {target.name} is {future.status}")
        error = future.exception()
        if type(error).__name__ != "KilledWorker":
            if isinstance(error, RenalMapError):
                raise error
            raise ClusterError(
                "a worker could not run the task",
                where=target.scan,
                got=f"{type(error).__name__}: {error}",
                hint="Workers need the same RenalMap as the machine with the command line",
            ) from error
        self._begin_again(target, str(error))

    def _take_back(self, workers: dict[str, int]) -> None:
        """Queue again what was given to workers that are gone.

        Dask keeps such a task for that address for ever, even where it was told that any other worker will do.
        """
        for future, (target, address) in list(self.running.items()):
            if address not in workers and not future.done():
                del self.running[future]
                future.cancel(force=True)
                self._begin_again(target, f"{address} is gone")

    def _begin_again(self, target: Target, reason: str) -> None:
        """Queue a target again whose worker died, unless that has happened too often."""
        self.given_up[target.name] += 1
        if attempts_of(target, self.settings) >= self.settings.attempts:
            self.on_case(killer(target, self.settings))
        elif self.given_up[target.name] < self.settings.attempts:
            self.waiting.append(target)
        else:
            text = f"{target.scan}: workers died before the scan was started ({reason})"
            self.on_case(failed(target, text))


def _lost(reason: str) -> ClusterError:
    return ClusterError(
        "the scheduler is gone",
        got=reason,
        hint="What is finished is kept; --resume continues from there",
    )
