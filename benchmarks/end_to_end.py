"""Whole commands: `renalmap segment`, the eager yardstick beside it, and how long anything takes to start."""

from __future__ import annotations

import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from benchmarks.commands import last_json, run_command, with_stages
from benchmarks.phantoms import SCAN_NAME, phantom_folder
from benchmarks.results import CommandResult, CommandRun, Lane
from benchmarks.rounds import Progress, interleave

SEGMENT: Final = "renalmap segment"
EAGER: Final = "PyTorch eager ENet on every slice"


@dataclass(frozen=True)
class Plan:
    """What is segmented.

    Attributes:
        lengths: slices of the phantoms.
        eager_slices: length of the one that the yardstick does too.
        eager_threads: with how many threads; `renalmap segment` takes as many beside it.
        also: further flags of `renalmap segment`, each measured beside the plain command.
        python: the interpreter that `renalmap segment` runs with; the one of the run-time environment
            starts faster than one with torch and SciPy in reach.
        work: a folder for the phantoms.
        cores: what `renalmap segment` takes without `--threads`.
    """

    lengths: tuple[int, ...]
    eager_slices: int
    eager_threads: tuple[int, ...]
    also: tuple[str, ...]
    python: Path
    work: Path
    cores: int


@dataclass(frozen=True)
class Command:
    """One of the commands that take turns."""

    title: str
    slices: int
    cores: int
    measure: Callable[[], CommandRun]

    def result(self, runs: Sequence[CommandRun]) -> CommandResult:
        """What it took."""
        return CommandResult(title=self.title, slices=self.slices, cores=self.cores, runs=tuple(runs))


def make_phantoms(plan: Plan, progress: Progress) -> None:
    """Make the phantoms that are not there yet, in processes of their own."""
    for index, slices in enumerate(plan.lengths):
        folder = phantom_folder(plan.work, slices)
        if (folder / SCAN_NAME).exists():
            continue
        progress(f"making a phantom of {slices} slices", index, len(plan.lengths))
        arguments = ["-m", "benchmarks.phantoms", "--slices", str(slices), "--out", str(folder)]
        run_command([sys.executable, *arguments])


def measure_segment(plan: Plan, rounds: int, progress: Progress) -> tuple[CommandResult, ...]:
    """`renalmap segment` on every phantom, and the yardstick on one, in turn."""
    _segment(plan, min(plan.lengths), "")  # the first use of an environment writes its bytecode
    commands = [
        Command(f"{SEGMENT} {flags}".strip(), slices, plan.cores, partial(_segment, plan, slices, flags))
        for slices in plan.lengths
        for flags in ("", *plan.also)
    ]
    if find_spec("torch") is not None:
        commands += _beside_eager(plan)
    named = {f"{each.title}, {each.slices} slices": each for each in commands}
    runs = interleave({name: each.measure for name, each in named.items()}, rounds, progress)
    return tuple(each.result(runs[name]) for name, each in named.items())


def _beside_eager(plan: Plan) -> Iterator[Command]:
    """The yardstick, and `renalmap segment` on as few threads where it would take more."""
    slices = plan.eager_slices
    for threads in plan.eager_threads:
        if threads < plan.cores:
            flags = f"--threads {threads}"
            yield Command(f"{SEGMENT} {flags}", slices, threads, partial(_segment, plan, slices, flags))
        title = f"{EAGER}, {Lane(threads=threads).title}"
        yield Command(title, slices, threads, partial(_eager, plan, slices, threads))


def measure_starts(python: Path, rounds: int, progress: Progress) -> tuple[CommandResult, ...]:
    """What starting takes, from a bare Python to the libraries that a scan needs."""
    programs = {
        "python": "pass",
        "import renalmap": "import renalmap",
        "import onnxruntime": "import onnxruntime",
        "import openvino": "import openvino",
        "import torch": "import torch",
    }
    commands: dict[str, Sequence[str]] = {
        title: [str(_interpreter_of(title, python)), "-c", program]
        for title, program in programs.items()
    }
    commands["renalmap --help"] = [str(python), "-m", "renalmap.cli", "--help"]
    skipped = {
        title: f"{title.split()[-1]} is not installed"
        for title in programs
        if title.startswith("import ") and find_spec(title.split()[-1]) is None
    }
    measures = {
        title: partial(_run, command) for title, command in commands.items() if title not in skipped
    }
    for write_bytecode in measures.values():
        write_bytecode()
    runs = interleave(measures, rounds, progress)
    return tuple(
        CommandResult(title=title, runs=tuple(runs.get(title, ())), skipped=skipped.get(title))
        for title in commands
    )


def _interpreter_of(title: str, python: Path) -> Path:
    """Torch and OpenVINO are in the development environment only."""
    return Path(sys.executable) if title in {"import torch", "import openvino"} else python


def _run(command: Sequence[str]) -> CommandRun:
    return run_command(command)[0]


def _segment(plan: Plan, slices: int, flags: str) -> CommandRun:
    scan = phantom_folder(plan.work, slices) / SCAN_NAME

    def command(out: str) -> list[str]:
        verb = ["-m", "renalmap.cli", "segment", str(scan), "--out", out, "--json"]
        return [str(plan.python), *verb, *shlex.split(flags)]

    run, printed = _with_output(command)
    report = printed[printed.index("{") :]
    (case,) = last_json(" ".join(report.split("\n")))["cases"]
    return with_stages(run, case["seconds"])


def _eager(plan: Plan, slices: int, threads: int) -> CommandRun:
    module = [sys.executable, "-m", "benchmarks.eager", str(phantom_folder(plan.work, slices))]
    run, printed = _with_output(lambda out: [*module, "--threads", str(threads), "--out", out])
    return with_stages(run, last_json(printed))


def _with_output(command: Callable[[str], Sequence[str]]) -> tuple[CommandRun, str]:
    with tempfile.TemporaryDirectory() as folder:
        return run_command(command(f"{folder}/labels.nii.gz"))
