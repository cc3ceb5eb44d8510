"""Where a training step's time goes, what warping in batches gains, and what an H100 would need.

    python -m benchmarks.training_step [--steps 8] [--slices 100] [--json FILE]

One thread, CPU time (the machine is shared), a blosc2 store of phantom slices of 512x512, batches of 8. The
parts of every step are timed in turn. The H100's row is calculated: no GPU was measured.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from renalmap.api.prepare import PrepareRequest, SplitRequest, prepare
from renalmap.api.train import load_train_settings
from renalmap.dataset.store import Store
from renalmap.phantom import PhantomConfig, write_kits_layout
from renalmap.preprocess import Plan
from renalmap.recipes import RecipeName, read_recipe
from renalmap.training.batches import BatchMaker, Draw
from renalmap.training.launch import ALONE
from renalmap.training.loop import as_trained, make_synthesiser
from renalmap.training.settings import Stage
from renalmap.training.trainer import Trainer

CASES: tuple[tuple[RecipeName, Stage], ...] = (
    ("paper", "localize"),
    ("paper", "segment"),
    ("renalmap", "localize"),
    ("renalmap", "segment"),
)
PARTS = ("read", "draw", "warp", "network")
DEPTH = 50

LAUNCH_US = 5.0
"""From one eager PyTorch operation to the next on the host: 4 to 10 are usual."""
MEMORY_GB_PER_S = 2500.0
"""Three quarters of the H100 SXM's 3,350 GB/s (NVIDIA's data sheet)."""


class Work(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operations that would be kernels on a GPU, and the bytes of their tensors."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kernels = 0
        self.traffic = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        result = function(*args, **(kwargs or {}))
        if not function.is_view:
            tensors = [*_tensors(args), *_tensors(result)]
            self.kernels += bool(tensors)
            self.traffic += sum(tensor.nbytes for tensor in tensors)
        return result

    def h100_ms(self) -> float:
        """The longer of launching everything and moving everything."""
        return max(self.kernels * LAUNCH_US / 1e3, self.traffic / MEMORY_GB_PER_S / 1e6)


def _tensors(values: Any) -> list[Tensor]:
    if isinstance(values, Tensor):
        return [values]
    if isinstance(values, list | tuple):
        return [tensor for value in values for tensor in _tensors(value)]
    return []


@dataclass
class Measured:
    """CPU milliseconds of a step's parts, a value a step; and what was counted."""

    parts: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in PARTS})
    one_by_one: list[float] = field(default_factory=list)
    kernels: int = 0
    traffic_gb: float = 0.0
    h100_ms: float = 0.0

    def median(self, part: str) -> float:
        """Of one part."""
        return float(np.median(self.parts[part]))


def clock(into: list[float], work: Callable[..., Any], *arguments: Any) -> Any:
    """Do something, and note its CPU milliseconds."""
    start = time.process_time()
    result = work(*arguments)
    into.append(1000 * (time.process_time() - start))
    return result


def measure(store: Store, recipe: RecipeName, stage: Stage, steps: int) -> Measured:
    """Time a recipe's steps part by part."""
    flags = {"accelerator": "cpu", "threads": 1, "whole_slice_steps": 0}
    settings = load_train_settings(stage, None, flags, recipe)
    store = as_trained(store, settings)
    maker = BatchMaker(store, settings, make_synthesiser(store, settings))
    trainer = Trainer(settings, maker, ALONE)
    trainer.step(0, maker.make(0), 1e-3)
    found = Measured()
    cpu = torch.device("cpu")
    for step in range(1, steps + 1):
        drawing: list[float] = []
        draw = clock(drawing, maker.draw, step)
        clock(found.parts["read"], read_again, store, draw)
        found.parts["draw"].append(drawing[0] - found.parts["read"][-1])
        batch = clock(found.parts["warp"], maker.finish, draw, cpu)
        clock(found.one_by_one, finish_one_by_one, maker, draw)
        clock(found.parts["network"], trainer.step, step, batch, 1e-3)
    for group in trainer.optimizer.param_groups:
        group["foreach"] = True  # as Adam does by itself on CUDA: one operation for all weights
    with Work() as work:
        trainer.step(steps + 1, batch, 1e-3)
    found.kernels, found.traffic_gb = work.kernels, work.traffic / 1e9
    found.h100_ms = work.h100_ms()
    return found


def read_again(store: Store, draw: Draw) -> None:
    """As many slices as a draw has, from the same cases."""
    for entry in draw.entries:
        store.slices.read(entry.case_id, len(entry.z_indices) // 2)


def finish_one_by_one(maker: BatchMaker, draw: Draw) -> None:
    """A draw's samples as draws of one."""
    for number in range(len(draw.boxes)):
        one = slice(number, number + 1)
        maker.finish(
            Draw(draw.slices[one], draw.masks[one], draw.boxes[one], draw.warps[one], draw.entries[one]),
            torch.device("cpu"),
        )


def make_store(root: Path, recipe: RecipeName, cases: int) -> Store:
    """Phantoms of 50 slices on the recipe's Plan."""
    if not (root / "set").is_dir():
        config = PhantomConfig(shape_zyx=(DEPTH, 512, 512), spacing_mm_zyx=(4.0, 0.78, 0.78))
        write_kits_layout(root / "set", cases, (config,), np.random.default_rng(0))
    plan = Plan.model_validate(read_recipe(recipe, "plan"))
    split = SplitRequest(n_test=0, n_validation=1)
    request = PrepareRequest(store_format="blosc2", split=split)
    return Store.open(Path(prepare([root / "set"], root / recipe, plan, request).store))


def main(
    steps: Annotated[int, typer.Option(min=3)] = 8,
    slices: Annotated[int, typer.Option(min=2 * DEPTH)] = 2 * DEPTH,
    json_file: Annotated[Path | None, typer.Option("--json")] = None,
) -> None:
    """Print two tables, and keep the figures as JSON if asked."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        stores = {
            name: make_store(Path(folder), name, slices // DEPTH) for name in ("paper", "renalmap")
        }
        results = {case: measure(stores[case[0]], *case, steps) for case in CASES}
    cpu = Table(title=f"CPU ms of a step, batch of 8, one thread, median of {steps}")
    gpu = Table(title="H100, calculated")
    for column in ("recipe", "stage", *PARTS, "input's share", "one by one / batched"):
        cpu.add_column(column, justify="right")
    for column in (
        "recipe",
        "stage",
        "kernels",
        "GB",
        "ms a step",
        "cores that draw and warp",
        "that draw",
    ):
        gpu.add_column(column, justify="right")
    for (recipe, stage), found in results.items():
        medians = {part: found.median(part) for part in PARTS}
        made = medians["read"] + medians["draw"] + medians["warp"]
        ratio = np.median(np.divide(found.one_by_one, found.parts["warp"]))
        share = made / (made + medians["network"])
        cpu.add_row(
            recipe,
            stage,
            *[f"{value:.1f}" for value in medians.values()],
            f"{share:.0%}",
            f"{ratio:.2f}",
        )
        drawn = made - medians["warp"]
        needs = [f"{value / found.h100_ms:.1f}" for value in (made, drawn)]
        numbers = (f"{found.kernels}", f"{found.traffic_gb:.1f}", f"{found.h100_ms:.1f}")
        gpu.add_row(recipe, stage, *numbers, *needs)
    Console(width=110).print(cpu, gpu)
    if json_file is not None:
        plain = {" ".join(case): vars(found) for case, found in results.items()}
        json_file.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
