"""Commands and Dask's programs in processes of their own, and waiting for what they do."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PATIENCE_S = 300
"""Longer than anything takes on a machine that is busy with other things."""


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    """Poll until something is true, and return it."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.005)
    raise AssertionError(f"{what} did not happen in {PATIENCE_S} s")


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON file's content; None while there is none."""
    with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):  # Dask writes in place
        content: dict[str, Any] = json.loads(path.read_text())
        return content
    return None


@dataclass
class DaskProcesses:
    """A scheduler and its workers."""

    scheduler: subprocess.Popen[bytes]
    address: str
    folder: Path
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @classmethod
    def start(cls, folder: Path) -> DaskProcesses:
        """Start a scheduler; its files and logs go into the folder."""
        file = folder / "scheduler.json"
        arguments = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", file)
        process = start("dask_scheduler", folder, *arguments)
        found = wait_until(lambda: read_json(file), "the scheduler's start")
        return cls(process, found["address"], folder)

    def start_workers(self, count: int) -> None:
        """Start workers that nobody starts again if they die."""
        arguments = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", self.folder)
        for _ in range(count):
            self.workers.append(start("dask_worker", self.folder, self.address, *arguments))

    def stop_workers(self) -> None:
        """End all workers that are left."""
        for process in self.workers:
            end(process)
        self.workers.clear()


def start(program: str, folder: Path, *arguments: object) -> subprocess.Popen[bytes]:
    """Start one of Dask's programs, its output in a file."""
    command = [sys.executable, "-m", f"distributed.cli.{program}", *map(str, arguments)]
    with (folder / f"{program}.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process of ours."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


def start_segment(*arguments: object) -> subprocess.Popen[str]:
    """Start `renalmap segment` in a process group of its own, as a terminal does."""
    command = [sys.executable, "-m", "renalmap.cli", "segment", *map(str, arguments)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def finish(process: subprocess.Popen[str]) -> Ended:
    """Wait for a command."""
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    return Ended(process.returncode, stdout, stderr)


def segment(*arguments: object) -> Ended:
    """Run `renalmap segment`."""
    return finish(start_segment(*arguments))
