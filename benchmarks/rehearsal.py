"""KiTS19 from inspect to evaluate, by the commands a user gives, on phantoms that wear its masks.

    nice python -m benchmarks.rehearsal --cases 59 --wide            # all, and a stand-in for case_00160
    nice python -m benchmarks.rehearsal --cases 8                    # the shortest, the longest, six between
    python -m benchmarks.rehearsal --show benchmarks/results/rehearsal.json

Every stage is a process of its own, measured with its children: time, memory, disk. A stage that is done is
not done again: interrupted, the same command continues. `--fresh` starts over, but for the phantoms.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer
from pydantic import BaseModel, ConfigDict

from benchmarks.commands import ROOT
from benchmarks.machine import describe_machine
from benchmarks.process_tree import TreeRun, run_tree
from benchmarks.results import Machine

KITS19_SLICES: Final = 45_424
KITS19_CASES: Final = 210
KITS23_CASES: Final = 489
TEST_CASES: Final = 20
"""That are held out of either, as the paper holds out of KiTS19."""

SHARED_MASKS: Final = ROOT.parent / "shared" / "data" / "kits19"
RESULT: Final = ROOT / "benchmarks" / "results" / "rehearsal.json"

# Training starts from the shipped weights: after a few steps from nothing, classes are all but tied, and export
# rightly refuses a graph whose roundings decide ties otherwise.
_TRAINING: Final = """
validate_every = {steps}
validation_stride = 8
whole_slice_steps = 0
threads = 1
"""

Scales = Literal["slices", "test slices", "no"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CaseFacts(_Record):
    """What a case is like."""

    case: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    mask_type: str


class Stage(_Record):
    """One command.

    Attributes:
        scales: with what its time and its disk grow.
        disk_mb: what it left behind.
    """

    name: str
    scales: Scales
    run: TreeRun
    disk_mb: float


class Rehearsal(_Record):
    """A rehearsal."""

    machine: Machine
    settings: dict[str, str]
    cases: tuple[CaseFacts, ...]
    test_cases: tuple[str, ...] = ()
    stages: tuple[Stage, ...] = ()
    found: dict[str, float] = {}
    """By bundle and region, mean Dice on the test cases: that the chain's ends meet, not how good it is."""

    @property
    def slices(self) -> int:
        """Of all cases."""
        return sum(case.shape[0] for case in self.cases)

    @property
    def test_slices(self) -> int:
        """Of the test cases."""
        return sum(case.shape[0] for case in self.cases if case.case in self.test_cases)

    def factor(self, scales: Scales, cases: int) -> float:
        """How much more a data set of so many cases is, which have as many slices each as KiTS19's."""
        mean = KITS19_SLICES / KITS19_CASES
        if scales == "no":
            return 1.0
        if scales == "slices":
            return cases * mean / self.slices
        return TEST_CASES * mean / self.test_slices


@dataclass(frozen=True)
class Options:
    """What is rehearsed, and where."""

    masks: Path
    work: Path
    cases: int
    steps: int
    jobs: int
    plan: Path | None
    wide: bool = False

    def texts(self) -> dict[str, str]:
        """For the record; places are left out."""
        return {
            "cases": str(self.cases),
            "steps": str(self.steps),
            "jobs": str(self.jobs),
            "wide": "yes" if self.wide else "no",
        }


@dataclass(frozen=True)
class _Command:
    """A stage that is to come: its command, and what it leaves behind."""

    name: str
    scales: Scales
    arguments: tuple[str, ...]
    made: Path
    good: Collection[int] = (0,)


def rehearse(options: Options, result: Path, *, fresh: bool = False) -> Rehearsal:
    """Do every stage that is not done, and keep the record after each.

    Raises:
        CommandFailedError: a stage failed; those before it stay done.
    """
    work = options.work
    work.mkdir(parents=True, exist_ok=True)
    state = work / "rehearsal.json"
    if fresh:
        state.unlink(missing_ok=True)
    run_tree(
        _python(
            *("benchmarks.mask_phantoms", "--masks", options.masks, "--out", work / "set"),
            *("--cases", options.cases, *(("--wide",) if options.wide else ())),
        ),
        work / "phantoms.txt",
    )
    (work / "training.toml").write_text(_TRAINING.format(steps=options.steps), encoding="utf-8")
    rehearsal = Rehearsal(
        machine=describe_machine(), settings=options.texts(), cases=tuple(_facts(work / "set"))
    )
    if state.exists():
        earlier = Rehearsal.model_validate_json(state.read_text(encoding="utf-8"))
        same = (earlier.settings, earlier.cases) == (rehearsal.settings, rehearsal.cases)
        rehearsal = earlier if same else rehearsal
    done = {stage.name for stage in rehearsal.stages}
    for command in _commands(options):
        if command.name not in done:
            stage = _measure(command, work)
            rehearsal = rehearsal.model_copy(update={"stages": (*rehearsal.stages, stage)})
            rehearsal = rehearsal.model_copy(update={"test_cases": _test_cases(work)})
            _write(rehearsal, state)
    rehearsal = rehearsal.model_copy(update={"found": _found(work)})
    _write(rehearsal, state)
    _write(rehearsal, result)
    return rehearsal


def _commands(options: Options) -> Iterator[_Command]:
    """The chain. What a command needs of those before it is read when its turn comes."""
    work, data, store = options.work, options.work / "set", options.work / "store"
    jobs = ("--jobs", str(options.jobs))
    inspect = ("inspect", str(data), *jobs, "--json")
    # Findings in the real masks end with 1.
    yield _Command("inspect", "slices", inspect, work / "inspect.txt", (0, 1))
    n_test = max(1, min(options.cases // 4, 6))
    prepare: tuple[str, ...] = ("prepare", str(data), "--out", str(store), "--recipe", "renalmap")
    prepare += ("--store", "blosc2", "--n-test", str(n_test), "--n-validation", "1", *jobs, "--json")
    if options.plan is not None:
        prepare += ("--config", str(options.plan))
    yield _Command("prepare", "slices", prepare, store)
    for stage, weights in (("localize", "localizer"), ("segment", "segmenter")):
        train: tuple[str, ...] = ("train", str(store), "--stage", stage, "--out", str(work / stage))
        train += ("--initial", str(ROOT / "experiments" / "weights" / f"{weights}.safetensors"))
        train += ("--recipe", "renalmap", "--config", str(work / "training.toml"))
        yield _Command(
            f"train --stage {stage}", "no", (*train, "--steps", str(options.steps)), work / stage
        )
    checkpoints = [str(work / stage / "last.safetensors") for stage in ("localize", "segment")]
    export: tuple[str, ...] = ("export", str(store), "--out", str(work / "bundle"), "--overwrite")
    export += ("--localizer", checkpoints[0], "--segmenter", checkpoints[1])
    yield _Command("export", "no", export, work / "bundle")
    scans = [str(data / "data" / case / "imaging.nii.gz") for case in _test_cases(work)]
    own = ("--model", str(work / "bundle"))
    for title, out, model in (("", "own", own), (", the bundle that ships", "shipped", ())):
        predictions = work / out
        predictions.mkdir(exist_ok=True)
        segment = ("segment", *scans, "--out", str(predictions), "--overwrite", "--json", *model)
        yield _Command(f"segment{title}", "test slices", segment, predictions)
        evaluate = ("evaluate", str(predictions), str(data), "--json")
        yield _Command(f"evaluate{title}", "test slices", evaluate, work / f"evaluate_{out}.txt")


def _measure(command: _Command, work: Path) -> Stage:
    name = command.name.replace(", the bundle that ships", " shipped").replace(" --stage ", " ")
    if command.name in {"prepare", "train --stage localize", "train --stage segment"}:
        # Half of an interrupted one would not be measured.
        shutil.rmtree(command.made, ignore_errors=True)
    output = work / f"{'_'.join(name.split())}.txt"
    if command.name.startswith("evaluate"):
        output = command.made
    run = run_tree(_python("renalmap.cli", *command.arguments), output, command.good)
    return Stage(name=command.name, scales=command.scales, run=run, disk_mb=_megabytes(command.made))


def _python(module: str, *arguments: Any) -> list[str]:
    return [sys.executable, "-m", module, *map(str, arguments)]


def _megabytes(path: Path) -> float:
    files = [path] if path.is_file() else [inner for inner in path.rglob("*") if inner.is_file()]
    return round(sum(file.stat().st_size for file in files) / 1e6, 4)


def _facts(data: Path) -> Iterator[CaseFacts]:
    import nibabel as nib  # noqa: PLC0415 -- after the measured processes' parent was small

    for folder in sorted((data / "data").glob("case_*")):
        mask: Any = nib.load(folder / "segmentation.nii.gz")
        yield CaseFacts(
            case=folder.name,
            shape=mask.shape,
            spacing_mm=tuple(round(float(size), 3) for size in mask.header.get_zooms()[:3]),
            mask_type=str(mask.get_data_dtype()),
        )


def _test_cases(work: Path) -> tuple[str, ...]:
    path = work / "store" / "split.json"
    return tuple(json.loads(path.read_text(encoding="utf-8"))["test"]) if path.exists() else ()


def _found(work: Path) -> dict[str, float]:
    found = {}
    for name in ("own", "shipped"):
        scores = json.loads((work / f"evaluate_{name}.txt").read_text(encoding="utf-8"))["cases"]
        for region in ("kidney", "tumour"):
            dices = [case[f"{region}_dice"] for case in scores]
            known = [dice for dice in dices if dice is not None]
            if known:
                found[f"{name} {region}"] = round(sum(known) / len(known), 3)
    return found


def _write(rehearsal: Rehearsal, path: Path) -> None:
    path.write_text(rehearsal.model_dump_json(indent=1) + "\n", encoding="utf-8")


def report(rehearsal: Rehearsal) -> str:
    """The tables, in Markdown."""
    lengths = [case.shape[0] for case in rehearsal.cases]
    title = (
        f"{len(lengths)} cases, {rehearsal.slices} slices ({min(lengths)} to {max(lengths)}); tested on "
        f"{len(rehearsal.test_cases)} cases, {rehearsal.test_slices} slices"
    )
    columns = (
        *("stage", "s", "CPU s", "processes", "peak MB, all together", "left on disk, MB"),
        *("CPU for 210 cases", "for 489", "disk for 210, GB", "for 489"),
    )
    lines = [title, "", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for stage in rehearsal.stages:
        run = stage.run
        cells = [stage.name, f"{run.seconds:.0f}", f"{run.cpu_s:.0f}", str(run.processes)]
        cells += [f"{run.peak_mb:.0f}", f"{stage.disk_mb:.1f}"]
        factors = [rehearsal.factor(stage.scales, cases) for cases in (KITS19_CASES, KITS23_CASES)]
        if stage.scales == "no":
            cells += [""] * 4
        else:
            cells += [_duration(run.cpu_s * factor) for factor in factors]
            cells += [f"{stage.disk_mb * factor / 1000:.1f}" for factor in factors]
        lines.append(f"| {' | '.join(cells)} |")
    dices = ", ".join(f"{name} {dice:.2f}" for name, dice in rehearsal.found.items())
    return "\n".join([*lines, "", f"Mean Dice on the test cases: {dices}"])


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def main(  # noqa: PLR0913 -- flags
    *,
    masks: Annotated[Path, typer.Option(help="A data set in KiTS's layout.")] = SHARED_MASKS,
    cases: Annotated[int, typer.Option(min=3, help="How many, spread over their lengths.")] = 8,
    steps: Annotated[int, typer.Option(min=1, help="Of training, each stage.")] = 4,
    jobs: Annotated[int, typer.Option(min=1, help="Of inspect and prepare.")] = 2,
    wide: Annotated[bool, typer.Option("--wide", help="And a case of 512 by 796 pixels.")] = False,
    plan: Annotated[Path | None, typer.Option(help="TOML over the recipe's Plan.")] = None,
    work: Annotated[Path, typer.Option(help="Kept: phantoms and results.")] = ROOT / "runs/rehearsal",
    out: Annotated[Path, typer.Option(help="Where the record goes.")] = RESULT,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure every stage anew.")] = False,
    show: Annotated[Path | None, typer.Option(help="Print an earlier record instead.")] = None,
) -> None:
    """Rehearse, and print the tables."""
    if show is None:
        folder = f"{cases}_wide" if wide else str(cases)
        options = Options(masks.resolve(), work.resolve() / folder, cases, steps, jobs, plan, wide)
        rehearsal = rehearse(options, out, fresh=fresh)
    else:
        rehearsal = Rehearsal.model_validate_json(show.read_text(encoding="utf-8"))
    typer.echo(report(rehearsal))


if __name__ == "__main__":
    typer.run(main)
