"""Whole processes, timed from outside.

`ru_maxrss` of a child counts from before its `exec`, when it still is a copy of its parent. So whoever calls
this must stay small: the suite's own process loads neither NumPy nor torch.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from benchmarks.results import CommandRun

ROOT = Path(__file__).resolve().parent.parent
_KB_PER_MB = 1024.0


class CommandFailedError(Exception):
    """A measured process ended with an error."""


def environment() -> dict[str, str]:
    """For measured processes: this working tree's package, NumPy's own kernels, bytecode that is kept."""
    unwanted = ("OPENBLAS_", "PYTHONDONTWRITEBYTECODE")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    return inherited | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}


def run_command(
    arguments: Sequence[str], variables: Mapping[str, str] = MappingProxyType({})
) -> tuple[CommandRun, str]:
    """Run a process to its end; what it took, and what it printed.

    Raises:
        CommandFailedError: it did not exit with 0.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603 -- our own
            arguments, stdout=out, stderr=errors, env=environment() | dict(variables), cwd=ROOT
        )
        run = wait_for(process, start)
        out.seek(0)
        errors.seek(0)
        if process.returncode:
            last = errors.read().decode(errors="replace").strip().splitlines()[-1:]
            raise CommandFailedError(f"{' '.join(arguments)}: {''.join(last) or process.returncode}")
        return run, out.read().decode()


def wait_for(process: subprocess.Popen[Any], start: float) -> CommandRun:
    """Wait for a process's end; what it took since `start`, and its peak resident size."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return CommandRun(
        seconds=time.perf_counter() - start,
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_mb=usage.ru_maxrss / _KB_PER_MB,
    )


def with_stages(run: CommandRun, stages: Mapping[str, float]) -> CommandRun:
    """The same run with what it told of its parts."""
    return run.model_copy(update={"stages": dict(stages)})


def last_json(text: str) -> Any:
    """What a module of the benchmarks printed as its last line."""
    return json.loads(text.strip().splitlines()[-1])
