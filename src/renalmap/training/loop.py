"""The training loop, on Lightning Fabric: any device, mixed precision, exact resume."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError

from renalmap.config import RunRecord
from renalmap.dataset.store import Store
from renalmap.errors import StoreError
from renalmap.imaging.files import locked_folder, make_folder, remove_left_overs, write_text_atomically
from renalmap.training.batches import Batch, BatchMaker, Draw, stream_ahead
from renalmap.training.checkpoint import (
    RunState,
    ScalerState,
    TrainingState,
    load_checkpoint,
    load_initial_weights,
    save_checkpoint,
)
from renalmap.training.devices import check_processes, restore_scaler, save_scaler
from renalmap.training.launch import Launch
from renalmap.training.log import Log
from renalmap.training.pooling import count_processes, share_buffers, sum_over_processes
from renalmap.training.settings import TrainSettings
from renalmap.training.stages import on_grid
from renalmap.training.synthesis import LesionShapes, Synthesiser
from renalmap.training.trainer import Trainer
from renalmap.training.validation import ValidationResult, validate

logger = logging.getLogger(__name__)

PACKAGES = ("torch", "lightning-fabric", "numpy")

BEST, LAST, SETTINGS = "best.safetensors", "last.safetensors", "settings.json"

OnStep = Callable[[int, float, ValidationResult | None], None]
"""Called with the number of steps done, the loss, and the validation if there was one."""


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    Attributes:
        best_score: of the best checkpoint.
        best: that checkpoint.
        last: the final one.
        log: the CSV of losses and validations.
        steps: trained in this run and before it was continued; fewer than requested if patience ran out.
        leads: whether this process is the one that wrote all that.
    """

    best_score: float
    best: Path
    last: Path
    log: Path
    steps: int
    leads: bool


def train(
    store: Store,
    settings: TrainSettings,
    run: Path,
    *,
    initial: Path | None = None,
    on_step: OnStep = lambda *_: None,
) -> TrainResult:
    """Train one stage, or continue the run in `run`.

    Under torchrun or srun every process calls this in the same way; the first one writes and reports. The
    processes stay together, so that another stage may follow, until each calls `pooling.leave_processes`.

    Args:
        store: prepared data; training and validation cases are read.
        settings: of the run; an existing run's must be the same.
        run: the run's folder; receives settings, record, log, checkpoints, TensorBoard events.
        initial: a checkpoint, of either stage, whose weights a new run starts from where they fit.
        on_step: called after every step.

    Raises:
        StoreError: the run exists with other settings, or there is nothing to train on.
        ConfigError: the processes cannot share the batch out.
        FolderInUseError: another process trains there.
        DatasetError: there are fewer patients than folds.
    """
    began = time.perf_counter()
    launch = Launch.from_environment()
    store = check_run(store, settings, run)
    record = RunRecord.start(packages=PACKAGES, seed=settings.seed, settings=settings)
    maker = BatchMaker(store, settings, make_synthesiser(store, settings), launch)
    trainer = Trainer(settings, maker, launch)
    progress = _restore(run / LAST, initial, trainer, store)
    _agree_on_step(run, progress, trainer)
    # Validation's single slices would have to be compiled again; the weights are the same.
    judged = on_grid(trainer.averaged, store.plan, settings.stage)
    with ExitStack() as stack:
        records = _Records(run, settings, progress.step, stack) if launch.leads else None
        for done, made in _batches(maker, settings, progress):
            rate = _learning_rate(settings, done - 1)
            loss = trainer.step(done - 1, made, rate)
            result = None
            if done % settings.validate_every == 0 or done == settings.steps:
                trainer.settle()
                for network in dict.fromkeys((trainer.network, trainer.averaged)):
                    share_buffers(network)
                stride = settings.validation_stride
                result = validate(judged.eval(), store, settings.stage, stride, trainer.device, launch)
                progress = _advance(progress, done, result.score, save_scaler(trainer.fabric))
            if records is not None:
                # Before `keep`: a checkpoint whose step the log lacks would leave a gap for good.
                records.log.write(done, loss, rate, result)
                if result is not None:
                    records.keep(trainer, progress)
                on_step(done, loss, result)
            if _out_of_patience(settings, progress):
                logger.info(
                    "no better score in %d validations: stopping at step %d", progress.stale, done
                )
                break
    if launch.leads:
        record.duration_s = round(time.perf_counter() - began, 1)
        record.settings = {**record.settings, "store": store.settings.model_dump(mode="json")}
        record.write(run / "run.json")
    return TrainResult(
        best_score=progress.best_score or 0.0,
        best=run / BEST,
        last=run / LAST,
        log=run / "log.csv",
        steps=progress.step,
        leads=launch.leads,
    )


def check_run(store: Store, settings: TrainSettings, run: Path) -> Store:
    """Refuse a run that could not be started or continued, as far as that can be known without training.

    Returns:
        The store as the run trains on it.

    Raises:
        InputError: as `train`.
    """
    if run.exists() and not run.is_dir():
        raise StoreError("a run needs a folder", where=run, got="a file")
    check_processes(settings, Launch.from_environment())
    _agree_on_settings(run, settings)
    return as_trained(store, settings)


def as_trained(store: Store, settings: TrainSettings) -> Store:
    """A store with the Plan and the split that a run asks for.

    Raises:
        DatasetError: there are fewer patients than folds.
    """
    store = store.with_plan(settings.plan(store.plan))
    if settings.fold is None:
        return store
    return store.with_split(store.split.fold(settings.fold, settings.folds))


def _batches(
    maker: BatchMaker, settings: TrainSettings, progress: RunState
) -> Iterator[tuple[int, Batch | Draw]]:
    """The steps still to do, from 1, with what the trainer takes."""
    make: Callable[[int], Batch | Draw] = maker.draw if settings.augment_on_device else maker.make
    stop = progress.step if _out_of_patience(settings, progress) else settings.steps
    ahead = stream_ahead(make, progress.step, stop, settings.prefetch)
    return enumerate(ahead, start=progress.step + 1)


def _advance(progress: RunState, done: int, score: float, scaler: ScalerState | None) -> RunState:
    """Where a run stands after a validation; `stale` is 0 if the score is the best so far."""
    improved = progress.best_score is None or score > progress.best_score
    changes = {
        "step": done,
        "best_score": score if improved else progress.best_score,
        "stale": 0 if improved else progress.stale + 1,
        "scaler": scaler,
    }
    return progress.model_copy(update=changes)


def _out_of_patience(settings: TrainSettings, progress: RunState) -> bool:
    return settings.patience is not None and progress.stale >= settings.patience


class _Records:
    """What a run leaves on disk step by step: its log and its checkpoints, in a folder that is locked."""

    def __init__(self, run: Path, settings: TrainSettings, step: int, stack: ExitStack) -> None:
        # Only after everything else was found in order: a refused run may be corrected in the same folder.
        make_folder(run)
        stack.enter_context(locked_folder(run, None, "train"))
        path = run / SETTINGS
        if not path.is_file():
            write_text_atomically(path, settings.model_dump_json(indent=2) + "\n")
        remove_left_overs(run)
        self._run = run
        self.log = stack.enter_context(closing(Log(run, step)))

    def keep(self, trainer: Trainer, progress: RunState) -> None:
        """The best before the last: killed between them, the run continues from the one before."""
        if progress.stale == 0:
            save_checkpoint(self._run / BEST, trainer.averaged, progress)
        training = TrainingState(trainer.network, trainer.optimizer)
        save_checkpoint(self._run / LAST, trainer.averaged, progress, training)


def make_synthesiser(store: Store, settings: TrainSettings) -> Synthesiser | None:
    """What puts synthetic lesions into a run's slices; None if the settings ask for none.

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


def _restore(last: Path, initial: Path | None, trainer: Trainer, store: Store) -> RunState:
    """Take a run up where it stopped, or start a new one from `initial`."""
    network = trainer.network
    if last.is_file():
        training = TrainingState(network, trainer.optimizer)
        progress = load_checkpoint(last, trainer.averaged, training)
        if progress.plan != store.plan:
            raise StoreError(
                "the run was started on a store with another Plan",
                where=last.parent,
                got=store.plan.model_dump_json(),
                expected=progress.plan.model_dump_json(),
                hint="Give another --out, or the same store as before",
            )
        restore_scaler(trainer.fabric, progress.scaler)
        logger.info("continuing %s at step %d", last.parent, progress.step)
        return progress
    if initial is not None:
        skipped = load_initial_weights(initial, network)
        trainer.averaged.load_state_dict(network.state_dict())
        logger.info("starting from %s, except for %s", initial, ", ".join(skipped) or "nothing")
    return RunState(
        step=0,
        best_score=None,
        in_channels=network.in_channels,
        out_channels=network.out_channels,
        plan=store.plan,
    )


def _learning_rate(settings: TrainSettings, step: int) -> float:
    if settings.schedule == "constant":
        return settings.learning_rate
    done = step / settings.steps
    return settings.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def _agree_on_step(run: Path, progress: RunState, trainer: Trainer) -> None:
    """Processes that read different checkpoints would silently continue from the weights of the first."""
    steps = torch.tensor(progress.step, device=trainer.device)
    if int(sum_over_processes(steps)) != progress.step * count_processes():
        raise StoreError(
            "the processes do not find the same checkpoint",
            where=run,
            got=f"step {progress.step} here",
            hint="Put the run's folder on a disk that all machines can see",
        )


def _agree_on_settings(run: Path, settings: TrainSettings) -> None:
    path = run / SETTINGS
    if not path.is_file():
        return
    try:
        # Read through the model, so that a setting added since then has its default.
        existing = TrainSettings.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise StoreError("the run's settings cannot be read", where=path, got=str(error)) from error
    values, known = (each.model_dump(mode="json") for each in (settings, existing))
    other = [name for name, value in values.items() if known[name] != value]
    if other:
        raise StoreError(
            "the run was started with other settings",
            where=run,
            got=", ".join(f"{name} {values[name]}" for name in other),
            expected=", ".join(f"{name} {known[name]}" for name in other),
            hint="Give another --out, or the same options as before",
        )
