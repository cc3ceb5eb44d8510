"""Everything, in one run.

    make bench
    python -m benchmarks.suite [--quick] [--name NAME] [--also "--engine onnxruntime"]
    python -m benchmarks.suite --show benchmarks/results/quick.json

Writes benchmarks/results/NAME.json after every part and docs/images/bench_NAME.png at the end.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from benchmarks.commands import ROOT
from benchmarks.end_to_end import Plan, make_phantoms, measure_segment, measure_starts
from benchmarks.machine import describe_machine
from benchmarks.network_rounds import Entry, count_work, measure_networks
from benchmarks.networks import NETWORKS
from benchmarks.results import Lane, Results, Runtime
from benchmarks.rounds import Progress
from benchmarks.runtimes import RUNTIMES
from benchmarks.sizes import EXTRAS, folder_size, packages_size
from benchmarks.tables import result_tables
from renalmap.cli.console import output, progress_bar

RESULTS: Final = ROOT / "benchmarks" / "results"
IMAGES: Final = ROOT / "docs" / "images"
WIDTH: Final = 160
"""Of tables that go into a file."""
WORK: Final = ROOT / "runs" / "bench"
DEMO_PYTHON: Final = ROOT / ".venv-demo" / "bin" / "python"


class Part(StrEnum):
    """What a run consists of."""

    SEGMENT = "segment"
    STARTS = "starts"
    NETWORKS = "networks"
    SIZES = "sizes"


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    rounds: int
    turn_s: float
    lengths: tuple[int, ...]
    eager_slices: int
    eager_threads: tuple[int, ...]
    entries: tuple[Entry, ...]


def full_effort(cores: int) -> Effort:
    """Every network in every runtime on one thread, on all, and on a stream a core."""
    lanes = (Lane(), Lane(threads=cores), Lane(streams=cores))
    entries = [
        Entry(network, runtime, lane)
        for network, runtime, lane in product(NETWORKS, RUNTIMES, lanes)
        if lane.streams == 1 or (runtime != "eager" and network.startswith("enet"))
    ]
    return Effort(
        5, 3.0, (50, 100, 300, 1059), 100, tuple(sorted({1, cores})), tuple(dict.fromkeys(entries))
    )


def quick_effort(cores: int) -> Effort:
    """A few minutes: short scans, one thread, where a machine that is shared disturbs ratios least."""
    ours = [Entry("enet", "eager", Lane())]
    fast: tuple[Runtime, ...] = ("onnxruntime", "openvino")
    ours += [
        Entry(network, runtime, lane)
        for network, runtime in product(("enet", "enet_half", "enet_crop"), fast)
        for lane in (Lane(), Lane(streams=cores))
    ]
    peers = [Entry("monai_unet", runtime, Lane()) for runtime in RUNTIMES]
    peers += [Entry(network, "eager", Lane()) for network in ("monai_basicunet", "nnunet_2d")]
    peers += [Entry("nnunet_3d", runtime, Lane()) for runtime in ("eager", "openvino")]
    return Effort(2, 0.5, (50, 100), 50, (1,), tuple(dict.fromkeys([*ours, *peers])))


def main(
    *,
    quick: Annotated[bool, typer.Option("--quick", help="A few minutes instead of an hour.")] = False,
    name: Annotated[str | None, typer.Option(help="Of the files; default: quick or full.")] = None,
    part: Annotated[list[Part] | None, typer.Option(help="Only these parts.")] = None,
    also: Annotated[list[str] | None, typer.Option(help="Further flags of segment to compare.")] = None,
    python: Annotated[Path | None, typer.Option(help="Runs segment; default: .venv-demo's.")] = None,
    show: Annotated[Path | None, typer.Option(help="Print and draw an earlier run instead.")] = None,
) -> None:
    """Measure, print the tables, keep them as JSON and draw the chart."""
    if show is None:
        cores = len(os.sched_getaffinity(0))
        effort = quick_effort(cores) if quick else full_effort(cores)
        interpreter = python or (DEMO_PYTHON if DEMO_PYTHON.exists() else Path(sys.executable))
        plan = Plan(
            lengths=effort.lengths,
            eager_slices=effort.eager_slices,
            eager_threads=effort.eager_threads,
            also=tuple(also or ()),
            python=interpreter,
            work=WORK,
            cores=cores,
        )
        show = RESULTS / f"{name or ('quick' if quick else 'full')}.json"
        with progress_bar() as bar:
            measure(effort, plan, tuple(part or Part), show, bar.show)
    results = Results.model_validate_json(show.read_text(encoding="utf-8"))
    if not output.is_terminal:
        output.width = WIDTH
    output.print(*result_tables(results))
    # matplotlib would have been in every measured process's parent.
    from benchmarks.chart import draw_results  # noqa: PLC0415

    chart = IMAGES / f"bench_{results.name}.png"
    draw_results(results, chart)
    typer.echo(f"{show}\n{chart}")


def measure(
    effort: Effort, plan: Plan, parts: tuple[Part, ...], path: Path, progress: Progress
) -> Results:
    """Measure the parts one after the other; what is done is on disk.

    Parts that are not asked for stay as an earlier run on the same machine left them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    results = Results(name=path.stem, rounds=effort.rounds, machine=describe_machine())
    if len(parts) < len(Part) and path.exists():
        results = results.completed_by(Results.model_validate_json(path.read_text(encoding="utf-8")))
    for part in parts:
        results = results.model_copy(update=_MEASURES[part](effort, plan, progress))
        path.write_text(results.model_dump_json(indent=1, exclude_none=True) + "\n", encoding="utf-8")
    return results


def _segment(effort: Effort, plan: Plan, progress: Progress) -> dict[str, Any]:
    make_phantoms(plan, progress)
    return {"segment": measure_segment(plan, effort.rounds, progress)}


def _starts(effort: Effort, plan: Plan, progress: Progress) -> dict[str, Any]:
    return {"starts": measure_starts(plan.python, 2 * effort.rounds + 1, progress)}


def _networks(effort: Effort, plan: Plan, progress: Progress) -> dict[str, Any]:
    networks, floor = measure_networks(effort.entries, plan.work, effort.rounds, effort.turn_s, progress)
    names = tuple(dict.fromkeys(entry.network for entry in effort.entries))
    return {"networks": networks, "floor": floor, "work": count_work(names)}


def _sizes(_effort: Effort, _plan: Plan, _progress: Progress) -> dict[str, Any]:
    folders = {"make demo's environment": ".venv-demo", "make test's environment": ".venv"}
    found = [folder_size(title, ROOT / folder) for title, folder in folders.items()]
    packages = [packages_size(title, extra) for title, extra in EXTRAS.items()]
    return {"sizes": (*packages, *[size for size in found if size is not None])}


_MEASURES: Final[dict[Part, Callable[[Effort, Plan, Progress], dict[str, Any]]]] = {
    Part.SEGMENT: _segment,
    Part.STARTS: _starts,
    Part.NETWORKS: _networks,
    Part.SIZES: _sizes,
}


if __name__ == "__main__":
    typer.run(main)
