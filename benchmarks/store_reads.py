"""From the store to training batches: slices a second, and who can eat them.

    nice python -m benchmarks.store_reads [--cases 3] [--rounds 3]
    python -m benchmarks.store_reads --show benchmarks/results/store_reads.json

Both formats hold the same phantoms. Contestants take turns; what is compared is CPU seconds of one core,
because the machine is shared. Files are in the page cache: this measures decompression and arithmetic.
What an H100 eats is calculated, not measured; the assumptions are the constants below.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
import typer
from pydantic import BaseModel, ConfigDict

from benchmarks.commands import ROOT
from benchmarks.machine import describe_machine
from benchmarks.results import Machine

if TYPE_CHECKING:
    from renalmap.dataset.store import Store
    from renalmap.training.batches import BatchMaker

WORK: Final = ROOT / "runs" / "bench" / "reads"
RESULT: Final = ROOT / "benchmarks" / "results" / "store_reads.json"
FORMATS: Final = ("npz", "blosc2")
BATCH: Final = 8
DEPTH: Final = 40

H100_FLOP_PER_S: Final = 989.4e12
"""Dense bfloat16, SXM5 (NVIDIA's data sheet: 1,979 with sparsity)."""
H100_BYTES_PER_S: Final = 3.35e12
"""HBM3, SXM5 (the same)."""
H100_UTILISATIONS: Final = (0.01, 0.1)
"""Assumed: ENet's many small layers reach a small share of any peak, in small batches a very small one."""
PASSES: Final = 3
"""Work of a training step over that of a forward pass: backward computes two gradients a layer."""
BYTES_IN_BFLOAT16: Final = 0.5
"""Of the float32 bytes that `benchmarks.macs` counts."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rate(_Record):
    """One contestant: CPU seconds per slice, round by round, and its size on disk."""

    name: str
    kind: str
    cpu_s_per_slice: tuple[float, ...]

    @property
    def slices_per_s(self) -> float:
        """Of one core that nobody else uses."""
        return 1.0 / median(self.cpu_s_per_slice)


class Demand(_Record):
    """What a network eats on an H100, by calculation.

    Attributes:
        gmac: of a forward pass on one slice or crop.
        traffic_mb: float32 bytes that its convolutions read and write in one.
    """

    network: str
    gmac: float
    traffic_mb: float

    def by_arithmetic(self, utilisation: float) -> float:
        """Slices a second at that share of the peak."""
        return utilisation * H100_FLOP_PER_S / (2e9 * self.gmac * PASSES)

    @property
    def by_memory(self) -> float:
        """Slices a second if convolutions alone moved bytes, at the full rate: it cannot be more."""
        return H100_BYTES_PER_S / (1e6 * self.traffic_mb * BYTES_IN_BFLOAT16 * PASSES)

    def slices_per_s(self, utilisation: float) -> float:
        """The lesser of the two."""
        return min(self.by_arithmetic(utilisation), self.by_memory)


class StoreReads(_Record):
    """A run."""

    machine: Machine
    kb_per_slice: dict[str, float]
    supply: tuple[Rate, ...]
    training: tuple[Rate, ...]
    demand: tuple[Demand, ...]


Contestant = tuple[str, str, Callable[[int], int]]
"""Name, kind, and what does one turn: told its round, returns how many slices it made or ate."""


def measure(work: Path, cases: int, rounds: int) -> StoreReads:
    """Make the stores if they are not there, then let all contestants take turns."""
    import torch  # noqa: PLC0415 -- `--show` does without

    torch.set_num_threads(1)
    supply = [*_suppliers(_stores(work, cases))]
    training = [*_trainers()]
    seconds: dict[tuple[str, str], list[float]] = {}
    for number in range(rounds + 1):
        for name, kind, turn in (*supply, *training):
            start = time.process_time()
            slices = turn(number)
            if number:  # the first warms caches
                spent = (time.process_time() - start) / slices
                seconds.setdefault((name, kind), []).append(spent)

    def rates(contestants: list[Contestant]) -> tuple[Rate, ...]:
        return tuple(
            Rate(name=name, kind=kind, cpu_s_per_slice=tuple(seconds[name, kind]))
            for name, kind, _ in contestants
        )

    return StoreReads(
        machine=describe_machine(),
        kb_per_slice={name: _kb_per_slice(work / f"{name}_{cases}") for name in FORMATS},
        supply=rates(supply),
        training=rates(training),
        demand=tuple(_demands()),
    )


def _stores(work: Path, cases: int) -> dict[str, Path]:
    from renalmap.dataset.cases import find_cases  # noqa: PLC0415
    from renalmap.dataset.prepare import prepare  # noqa: PLC0415
    from renalmap.dataset.split import Split  # noqa: PLC0415
    from renalmap.dataset.store import StoreSettings  # noqa: PLC0415
    from renalmap.phantom import PhantomConfig, write_kits_layout  # noqa: PLC0415
    from renalmap.preprocess import Plan  # noqa: PLC0415
    from renalmap.recipes import read_recipe  # noqa: PLC0415

    data = work / f"phantoms_{cases}"
    if not (data / "data" / "kits.json").exists():
        config = PhantomConfig(shape_zyx=(DEPTH, 512, 512), spacing_mm_zyx=(5.0, 0.78, 0.78))
        write_kits_layout(data, cases, config, np.random.default_rng(0))
    found = find_cases(data)
    split = Split(seed=0, train=tuple(case.patient for case in found), validation=(), test=())
    plan = Plan.model_validate(read_recipe("renalmap", "plan"))
    stores = {name: work / f"{name}_{cases}" for name in FORMATS}
    for name, root in stores.items():
        prepare(found, root, StoreSettings.model_validate({"format": name, "plan": plan}), split)
    return stores


def _suppliers(stores: dict[str, Path]) -> Iterator[Contestant]:
    from renalmap.dataset.store import Store  # noqa: PLC0415
    from renalmap.recipes import read_recipe  # noqa: PLC0415
    from renalmap.training.batches import BatchMaker  # noqa: PLC0415
    from renalmap.training.loop import make_synthesiser  # noqa: PLC0415
    from renalmap.training.settings import AugmentSettings, TrainSettings  # noqa: PLC0415

    still = dict.fromkeys(AugmentSettings.model_fields, 0.0)
    for name, root in stores.items():
        store = Store.open(root)
        yield name, "read at random", _reader(store)
        for stage in ("localize", "segment"):
            whole = {"patch_size": None, "whole_slice_steps": 0, "batch_size": BATCH, "stage": stage}
            recipe: dict[str, Any] = {**(read_recipe("renalmap", stage) or {}), **whole}
            plain = {**recipe, "augment": still, "synthesis": {}}
            augmented = {**recipe, "synthesis": {}}
            for title, chosen in (
                ("not augmented", plain),
                ("augmented", augmented),
                ("and synthesis", recipe),
            ):
                settings = TrainSettings.model_validate(chosen)
                maker = BatchMaker(store, settings, make_synthesiser(store, settings))
                yield name, f"batch of {stage}, {title}", _batcher(maker)


def _reader(store: Store) -> Callable[[int], int]:
    entries, generator = store.entries, np.random.default_rng(0)

    def turn(_: int) -> int:
        for _ in range(4 * BATCH):
            entry = entries[int(generator.integers(len(entries)))]
            store.slices.read(entry.case_id, int(generator.integers(len(entry.z_indices))))
        return 4 * BATCH

    return turn


def _batcher(maker: BatchMaker) -> Callable[[int], int]:
    def turn(number: int) -> int:
        for step in (2 * number, 2 * number + 1):
            maker.make(step)
        return 2 * BATCH

    return turn


def _trainers() -> Iterator[Contestant]:
    for name, (classes, edge) in _NETWORKS.items():
        yield name, "forward, backward, Adam", _trainer(classes, edge)


_NETWORKS: Final = {
    "stage 1, whole slices (the paper's)": (2, 512),
    "stage 1, slices at half resolution": (2, 256),
    "stage 2, crops": (3, 256),
}
"""Classes and the edge of what the network sees."""


def _trainer(classes: int, edge: int) -> Callable[[int], int]:
    import torch  # noqa: PLC0415
    from torch.nn import functional  # noqa: PLC0415

    from renalmap.networks.enet import ENet  # noqa: PLC0415

    network: Any = ENet(1, classes).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(network.parameters())
    images = torch.randn(BATCH, 1, edge, edge).to(memory_format=torch.channels_last)
    targets = torch.randint(0, classes, (BATCH, edge, edge))

    def turn(_: int) -> int:
        optimizer.zero_grad()
        loss: Any = functional.cross_entropy(network(images), targets)
        loss.backward()
        optimizer.step()
        return BATCH

    return turn


def _demands() -> Iterator[Demand]:
    from benchmarks.macs import count_work  # noqa: PLC0415
    from renalmap.networks.enet import ENet  # noqa: PLC0415

    for name, (classes, edge) in _NETWORKS.items():
        macs, traffic = count_work(ENet(1, classes), (1, 1, edge, edge))
        yield Demand(network=name, gmac=round(macs / 1e9, 3), traffic_mb=round(traffic / 1e6, 1))


def _kb_per_slice(root: Path) -> float:
    from renalmap.dataset.store import read_entries  # noqa: PLC0415

    size = sum(path.stat().st_size for path in (root / "slices").rglob("*") if path.is_file())
    return round(size / 1000 / sum(len(entry.z_indices) for entry in read_entries(root)), 1)


def report(found: StoreReads) -> str:
    """The tables, in Markdown."""
    lines = [
        "| store | kB per slice | what is made | slices per second and core (range) |",
        "|---|---|---|---|",
    ]
    for rate in found.supply:
        cells = (rate.name, f"{found.kb_per_slice[rate.name]:.0f}", rate.kind, _spread(rate))
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "| consumer | slices per second | MB/s of npz, blosc2 | cores that feed it from npz | from blosc2 |",
    ]
    lines.append("|---|---|---|---|---|")
    eaters = [
        (f"{rate.name}: one core of this CPU", rate.name, rate.slices_per_s) for rate in found.training
    ]
    eaters += [
        (f"{one.network}: an H100 at {share:.0%}", one.network, one.slices_per_s(share))
        for share in H100_UTILISATIONS
        for one in found.demand
    ]
    for title, network, wanted in eaters:
        stage = "segment" if "crops" in network else "localize"
        bytes_per_s = [f"{wanted * found.kb_per_slice[name] / 1000:.0f}" for name in FORMATS]
        row = [title, f"{wanted:.0f}" if wanted > 100 else f"{wanted:.1f}", ", ".join(bytes_per_s)]
        row += [_cores(found, name, stage, wanted) for name in FORMATS]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def _spread(rate: Rate) -> str:
    fast, slow = 1 / min(rate.cpu_s_per_slice), 1 / max(rate.cpu_s_per_slice)
    return f"{rate.slices_per_s:.0f} ({slow:.0f} to {fast:.0f})"


def _cores(found: StoreReads, name: str, stage: str, wanted: float) -> str:
    """Reading alone; with whole batches made on the CPU, as the recipe has them."""

    def needed(kind: str) -> int:
        rate = next(rate for rate in found.supply if (rate.name, rate.kind) == (name, kind))
        return math.ceil(wanted / rate.slices_per_s)

    return f"{needed('read at random')} to read, {needed(f'batch of {stage}, and synthesis')} for whole batches"


def main(
    cases: Annotated[int, typer.Option(min=1, help=f"Phantoms of {DEPTH} slices.")] = 3,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    work: Annotated[Path, typer.Option(help="Kept: the stores.")] = WORK,
    out: Annotated[Path, typer.Option(help="Where the record goes.")] = RESULT,
    show: Annotated[Path | None, typer.Option(help="Print an earlier record instead.")] = None,
) -> None:
    """Measure, and print the tables."""
    if show is None:
        found = measure(work, cases, rounds)
        out.write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
    else:
        found = StoreReads.model_validate_json(show.read_text(encoding="utf-8"))
    typer.echo(report(found))


if __name__ == "__main__":
    typer.run(main)
