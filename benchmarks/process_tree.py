"""A command and all processes it starts, measured from outside: time, memory together, exit code."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from benchmarks.commands import ROOT, CommandFailedError, environment

_LOOK_EVERY_S: Final = 0.05
_PROC: Final = Path("/proc")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class TreeRun(BaseModel):
    """What a command and its children took.

    Attributes:
        seconds: by the clock.
        cpu_s: of all its processes.
        peak_mb: the largest sum of their resident sizes that was seen, looking 20 times a second. Pages that
            processes share count in each.
        processes: how many there were at once, at most.
        exit_code: its own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seconds: float
    cpu_s: float
    peak_mb: float
    processes: int
    exit_code: int


def run_tree(arguments: Sequence[str], output: Path, good: Collection[int] = (0,)) -> TreeRun:
    """Run a command to its end. Linux only.

    Args:
        arguments: the command.
        output: where its standard output goes; its errors go beside it, to `<output>.log`.
        good: exit codes that are no failure.

    Raises:
        CommandFailedError: it ended with another one.
    """
    log = output.with_name(f"{output.name}.log")
    with output.open("w") as out, log.open("w") as errors:
        start = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603 -- our own
            arguments, stdout=out, stderr=errors, env=environment(), cwd=ROOT
        )
        peak_bytes, most = 0, 1
        while True:
            sizes = [_resident_bytes(pid) for pid in _tree(process.pid)]
            peak_bytes, most = max(peak_bytes, sum(sizes)), max(most, len(sizes))
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            time.sleep(_LOOK_EVERY_S)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in good:
        raise CommandFailedError(f"{' '.join(arguments)}: exit code {process.returncode}, see {log}")
    return TreeRun(
        seconds=round(time.perf_counter() - start, 2),
        cpu_s=round(usage.ru_utime + usage.ru_stime, 2),
        peak_mb=round(peak_bytes / 2**20, 1),
        processes=most,
        exit_code=process.returncode,
    )


def _tree(pid: int) -> Iterator[int]:
    """A process and its descendants."""
    yield pid
    for children in _PROC.glob(f"{pid}/task/*/children"):
        for child in _read(children).split():
            yield from _tree(int(child))


def _resident_bytes(pid: int) -> int:
    fields = _read(_PROC / str(pid) / "statm").split()
    return int(fields[1]) * _PAGE_BYTES if fields else 0


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:  # it has ended
        return ""
