"""The networks' part: a process for each network, runtime and lane, all open, taking turns."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.commands import CommandFailedError, environment, last_json, run_command, wait_for
from benchmarks.networks import NETWORKS
from benchmarks.results import FloorRun, Lane, NetworkResult, Runtime, Turn, Work
from benchmarks.rounds import Progress, interleave
from benchmarks.runtimes import RUNTIMES, missing


@dataclass(frozen=True)
class Entry:
    """One network in one runtime, its cores shared out one way."""

    network: str
    runtime: Runtime
    lane: Lane

    @property
    def title(self) -> str:
        """For progress bars and as a key."""
        return f"{NETWORKS[self.network].title}, {RUNTIMES[self.runtime][0]}, {self.lane.title}"

    @property
    def missing(self) -> str | None:
        """Why it cannot be measured here."""
        return NETWORKS[self.network].missing or missing(self.runtime)


class WorkerProcess:
    """`benchmarks.worker` as a child process; `peak_mb` is known once it has ended."""

    def __init__(self, entry: Entry, graph: Path) -> None:
        arguments = ["-m", "benchmarks.worker", entry.network, entry.runtime, "--graph", str(graph)]
        lane = ["--threads", str(entry.lane.threads), "--streams", str(entry.lane.streams)]
        self.peak_mb: float | None = None
        self._started = time.perf_counter()
        self._process = subprocess.Popen(  # noqa: S603 -- our own
            [sys.executable, *arguments, *lane],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(),
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self.peak_mb = wait_for(self._process, self._started).peak_mb

    def wait_until_ready(self) -> None:
        """Wait for the network to be loaded and warm.

        Raises:
            CommandFailedError: the process ended instead.
        """
        self._line()

    def turn(self, seconds: float) -> Turn:
        """Let it run for about so long."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        return Turn.model_validate_json(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise CommandFailedError(f"{self._process.args!r} ended without a word; run it by hand")
        return line


def measure_networks(
    entries: Sequence[Entry], work: Path, rounds: int, turn_s: float, progress: Progress
) -> tuple[tuple[NetworkResult, ...], tuple[FloorRun, ...]]:
    """Let all that can be built here take turns, the machine's floor among them.

    Returns:
        A result for every entry, with the reason for those that were skipped; the floor's rounds.
    """
    present = [entry for entry in entries if entry.missing is None]
    graphs = {entry: work / "graphs" / f"{entry.network}.onnx" for entry in present}
    _write_graphs(graphs, progress)
    workers: dict[Entry, WorkerProcess] = {}
    with ExitStack() as stack:
        for index, entry in enumerate(present):
            progress(f"loading {entry.title}", index, len(present))
            workers[entry] = stack.enter_context(WorkerProcess(entry, graphs[entry]))
            workers[entry].wait_until_ready()  # one at a time: nobody warms up beside another
        contestants: dict[str, Callable[[], Turn | FloorRun]] = {
            f"floor, {Lane(threads=threads).title}": partial(measure_floor, threads)
            for threads in sorted({entry.lane.threads for entry in present})
        }
        contestants |= {entry.title: partial(worker.turn, turn_s) for entry, worker in workers.items()}
        measured = interleave(contestants, rounds, progress)
    results = [
        NetworkResult(
            network=entry.network,
            runtime=entry.runtime,
            lane=entry.lane,
            turns=tuple(turn for turn in measured.get(entry.title, ()) if isinstance(turn, Turn)),
            peak_mb=workers[entry].peak_mb if entry in workers else None,
            skipped=entry.missing,
        )
        for entry in entries
    ]
    floor = [run for runs in measured.values() for run in runs if isinstance(run, FloorRun)]
    return tuple(results), tuple(floor)


def measure_floor(threads: int) -> FloorRun:
    """The machine's rates on so many threads."""
    command = [sys.executable, "-m", "benchmarks.floor", "--threads", str(threads)]
    # NumPy's library reads its threads from here, torch from the flag.
    _, printed = run_command(command, {"OPENBLAS_NUM_THREADS": str(threads)})
    return FloorRun.model_validate(last_json(printed))


def _write_graphs(graphs: dict[Entry, Path], progress: Progress) -> None:
    wanted = {entry.network: graph for entry, graph in graphs.items() if entry.runtime != "eager"}
    for index, (network, graph) in enumerate(wanted.items()):
        if not graph.exists():
            progress(f"exporting {NETWORKS[network].title}", index, len(wanted))
            run_command([sys.executable, "-m", "benchmarks.runtimes", network, str(graph)])


def count_work(networks: Sequence[str]) -> dict[str, Work]:
    """What each network that can be built here has to do."""
    present = [name for name in networks if NETWORKS[name].missing is None]
    _, printed = run_command([sys.executable, "-m", "benchmarks.macs", *present])
    return {name: Work.model_validate(values) for name, values in last_json(printed).items()}
