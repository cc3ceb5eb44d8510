"""The training loop, on Lightning Fabric: any device, mixed precision, exact resume."""

from __future__ import annotations

import csv
import logging
import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from renalmap.config import RunRecord
from renalmap.dataset.store import Store
from renalmap.errors import StoreError
from renalmap.imaging.files import write_text_atomically
from renalmap.networks.enet import ENet
from renalmap.training.batches import Batch, BatchMaker, stream_batches
from renalmap.training.checkpoint import (
    Progress,
    load_checkpoint,
    load_initial_weights,
    save_checkpoint,
)
from renalmap.training.losses import make_loss
from renalmap.training.settings import TrainSettings
from renalmap.training.stages import on_grid
from renalmap.training.synthesis import LesionShapes, Synthesiser
from renalmap.training.validation import ValidationResult, validate

logger = logging.getLogger(__name__)

LOG_COLUMNS = ("step", "loss", "learning_rate", "kidney_dice", "tumour_dice", "score")
PACKAGES = ("torch", "monai", "lightning-fabric", "numpy")

StepReport = Callable[[int, float, ValidationResult | None], None]
"""Told (steps done, loss, the validation if there was one)."""


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    Attributes:
        best_score: of the best checkpoint.
        best: that checkpoint.
        last: the final one.
        log: the CSV of losses and validations.
    """

    best_score: float
    best: Path
    last: Path
    log: Path


def train(
    store: Store,
    settings: TrainSettings,
    run: Path,
    *,
    initial: Path | None = None,
    report: StepReport = lambda *_: None,
) -> TrainResult:
    """Train one stage, or continue the run in `run`.

    Args:
        store: prepared data; training and validation cases are read.
        settings: of the run; an existing run's must be the same.
        run: the run's folder; receives settings, record, log, checkpoints, TensorBoard events.
        initial: a checkpoint, of either stage, whose weights a new run starts from where they fit.
        report: called after every step.

    Raises:
        StoreError: the run exists with other settings, or there is nothing to train on.
    """
    began = time.perf_counter()
    _agree_on_settings(run, settings)
    store = store.with_plan(settings.plan(store.plan))
    record = RunRecord.start(packages=PACKAGES, seed=settings.seed, settings=settings)
    maker = BatchMaker(store, settings, make_synthesiser(store, settings))
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    fabric = Fabric(accelerator=settings.accelerator, devices=1, precision=settings.precision)
    torch.manual_seed(settings.seed)
    # On its device before the optimizer: loaded optimizer state follows its weights there.
    raw = ENet(1, settings.out_channels, "selects" if settings.compile else "indices")
    raw = raw.to(fabric.device)
    optimizer = torch.optim.Adam(raw.parameters(), lr=settings.learning_rate)
    best, last = run / "best.safetensors", run / "last.safetensors"
    progress = _restore(last, initial, raw, optimizer, store)
    raw.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    trained: Any = torch.compile(raw, dynamic=False) if settings.compile else raw
    network, wrapped = fabric.setup(trained, optimizer)
    # Validation's single slices would have to be compiled again; the weights are the same.
    judged = on_grid(raw, store.plan, settings.stage)
    loop = _Loop(fabric, network, wrapped, settings)
    best_score = progress.best_score
    batches = stream_batches(maker, progress.step, settings.steps, settings.prefetch)
    with closing(_Log(run, progress.step)) as log:
        for done, batch in enumerate(batches, start=progress.step + 1):
            loss = loop.step(done - 1, batch)
            result = None
            if done % settings.validate_every == 0 or done == settings.steps:
                result = validate(
                    judged.eval(), store, settings.stage, settings.validation_stride, fabric.device
                )
                improved = best_score is None or result.score > best_score
                best_score = result.score if improved else best_score
                state = _progress(raw, store, done, best_score)
                if improved:
                    save_checkpoint(best, raw, None, state)
                save_checkpoint(last, raw, optimizer, state)
            log.write(done, loss, loop.learning_rate, result)
            report(done, loss, result)
    record.duration_s = round(time.perf_counter() - began, 1)
    record.settings = {**record.settings, "store": store.settings.model_dump(mode="json")}
    record.write(run / "run.json")
    return TrainResult(best_score or 0.0, best, last, log.path)


def make_synthesiser(store: Store, settings: TrainSettings) -> Synthesiser | None:
    """What puts synthetic lesions into a run's slices; None where the settings ask for none.

    Shapes of the store's validation and test patients are left out: a network must not learn the
    outline of a tumour it will be judged on.

    Raises:
        InputError: the bank or the masks cannot be read, or nothing is left of them.
    """
    if not settings.synthesis.any:
        return None
    if settings.lesion_shapes is None:
        return Synthesiser(settings.synthesis, LesionShapes.analytic())
    kept_aside = {*store.split.validation, *store.split.test}
    if settings.lesion_shapes.is_dir():
        shapes = LesionShapes.from_masks(settings.lesion_shapes, frozenset(kept_aside))
    else:
        shapes = LesionShapes.load(settings.lesion_shapes).without(kept_aside)
    return Synthesiser(settings.synthesis, shapes)


def _restore(
    last: Path, initial: Path | None, network: ENet, optimizer: torch.optim.Optimizer, store: Store
) -> Progress:
    """Put a run where it stopped, or a new one where `initial` says."""
    if last.is_file():
        progress = load_checkpoint(last, network, optimizer)
        if progress.plan != store.plan:
            raise StoreError(
                "the run was started on a store with another Plan",
                where=last.parent,
                got=store.plan.model_dump_json(),
                expected=progress.plan.model_dump_json(),
                hint="Give another --out, or the same store as before",
            )
        logger.info("continuing %s at step %d", last.parent, progress.step)
        return progress
    if initial is not None:
        skipped = load_initial_weights(initial, network)
        logger.info("starting from %s, but for %s", initial, ", ".join(skipped) or "nothing")
    return _progress(network, store, 0, None)


def _progress(network: ENet, store: Store, step: int, best_score: float | None) -> Progress:
    return Progress(
        step=step,
        best_score=best_score,
        in_channels=network.in_channels,
        out_channels=network.out_channels,
        plan=store.plan,
    )


class _Loop:
    """One optimisation step; randomness depends on the seed and the step's number only."""

    def __init__(self, fabric: Fabric, network: Any, optimizer: Any, settings: TrainSettings) -> None:
        self._fabric, self._network, self._optimizer = fabric, network, optimizer
        self._settings = settings
        self._loss = make_loss(settings)
        self.learning_rate = settings.learning_rate

    def step(self, step: int, batch: Batch) -> float:
        # Dropout draws from torch's global generator: reseeding it makes a resumed run exact.
        torch.manual_seed(self._settings.seed * 1_000_003 + step)
        self.learning_rate = _learning_rate(self._settings, step)
        for group in self._optimizer.param_groups:
            group["lr"] = self.learning_rate
        self._network.train()
        device = self._fabric.device
        images = batch.images.to(device, memory_format=torch.channels_last)
        self._optimizer.zero_grad()
        loss = self._loss(self._network(images), batch.targets.to(device))
        self._fabric.backward(loss)
        self._optimizer.step()
        return float(loss.detach())


def _learning_rate(settings: TrainSettings, step: int) -> float:
    if settings.schedule == "constant":
        return settings.learning_rate
    done = step / settings.steps
    return settings.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def _agree_on_settings(run: Path, settings: TrainSettings) -> None:
    run.mkdir(parents=True, exist_ok=True)
    path = run / "settings.json"
    text = settings.model_dump_json(indent=2) + "\n"
    if path.is_file() and path.read_text(encoding="utf-8") != text:
        raise StoreError(
            "the run was started with other settings",
            where=run,
            hint="Give another --out, or the same options as before",
        )
    write_text_atomically(path, text)


class _Log:
    """A CSV row a step, and TensorBoard's curves; rows after the last checkpoint are dropped on resume."""

    def __init__(self, run: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 -- slow, only training needs it

        self.path = run / "log.csv"
        kept: list[list[str]] = []
        if self.path.is_file():
            with self.path.open(newline="", encoding="utf-8") as handle:
                kept = [row for row in list(csv.reader(handle))[1:] if row and int(row[0]) <= step]
        self._handle = self.path.open("w", newline="", encoding="utf-8", buffering=1)
        self._writer = csv.writer(self._handle, lineterminator="\n")
        self._writer.writerows([LOG_COLUMNS, *kept])
        self._board = SummaryWriter(run / "tensorboard", purge_step=step)

    def write(
        self, step: int, loss: float, learning_rate: float, result: ValidationResult | None
    ) -> None:
        row: dict[str, float] = {"loss": loss, "learning_rate": learning_rate}
        if result is not None:
            row |= {f"{name}_dice": value for name, value in result.dice.items()}
            row["score"] = result.score
        for name, value in row.items():
            self._board.add_scalar(name, value, step)
        self._writer.writerow(
            [step, *[f"{row[name]:.6g}" if name in row else "" for name in LOG_COLUMNS[1:]]]
        )
        if result is not None:
            self._handle.flush()

    def close(self) -> None:
        self._handle.close()
        self._board.close()


def read_log(path: Path) -> list[dict[str, str]]:
    """The rows of a run's log, as text by column."""
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))
