"""Verbs about models: train, export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from renalmap.cli.console import ProgressBar, progress_bar
from renalmap.errors import ConfigError

if TYPE_CHECKING:
    from renalmap.training.loop import TrainResult
    from renalmap.training.settings import Stage, TrainSettings


def train(
    store: Annotated[Path, typer.Argument(help="A store made by prepare.")],
    out: Annotated[Path, typer.Option(help="The run's folder; an interrupted run continues.")],
    stage: Annotated[
        Literal["localize", "segment"] | None,
        typer.Option(help="One network alone; by default both, and a bundle of them."),
    ] = None,
    recipe: Annotated[
        Literal["paper", "renalmap"] | None,
        typer.Option(help="The paper's choices to the letter, or what the bundle is trained with."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A TOML file of training settings, over the recipe's.")
    ] = None,
    initial: Annotated[Path | None, typer.Option(help="A checkpoint to start from.")] = None,
    steps: Annotated[int | None, typer.Option(help="Batches to train on.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Slices, patches or crops a batch.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Adam's.")] = None,
    patch_size: Annotated[int | None, typer.Option(help="Stage 1 on patches of this edge.")] = None,
    crop: Annotated[Literal["blob", "slice"] | None, typer.Option(help="Stage 2's crops.")] = None,
    lesion_shapes: Annotated[
        Path | None,
        typer.Option(help="Masks in KiTS19's layout whose tumours lend synthetic ones their shape."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, batches and dropout.")] = None,
    accelerator: Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.")] = None,
    precision: Annotated[str | None, typer.Option(help="32-true, 16-mixed or bf16-mixed.")] = None,
    validate_every: Annotated[int | None, typer.Option(help="Steps between validations.")] = None,
    threads: Annotated[int | None, typer.Option(help="Torch threads on the CPU.")] = None,
    fold: Annotated[
        int | None, typer.Option(help="Validate on this fold, from 0, and train on the others.")
    ] = None,
    folds: Annotated[int | None, typer.Option(help="How many folds there are; 5 by default.")] = None,
    patience: Annotated[
        int | None, typer.Option(help="Stop after this many validations without a better score.")
    ] = None,
    augment_on_device: Annotated[
        bool | None,
        typer.Option("--augment-on-device/--augment-on-cpu", help="Where batches are warped."),
    ] = None,
    find_lr: Annotated[
        bool, typer.Option("--find-lr", help="Try learning rates out, draw a chart, train nothing.")
    ] = False,
) -> None:
    """Train both networks on a prepared store, or with --stage one.

    Both go to OUT/localize and OUT/segment, and the best of each into OUT/bundle. Interrupted, even by
    kill -9, the same command goes on from the last checkpoint to the same weights. Started by torchrun or
    srun, the processes share every batch out among them.
    """
    from renalmap.api.model import STAGES, load_train_settings

    flags = {
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "patch_size": patch_size,
        "crop": crop,
        "lesion_shapes": lesion_shapes,
        "seed": seed,
        "accelerator": accelerator,
        "precision": precision,
        "validate_every": validate_every,
        "threads": threads,
        "fold": fold,
        "folds": folds,
        "patience": patience,
        "augment_on_device": augment_on_device,
    }
    if out.is_file():
        raise ConfigError("--out needs a folder", where=out, got="a file")
    if stage is None:
        if find_lr or initial is not None:
            raise ConfigError(
                f"{'--find-lr' if find_lr else '--initial'} is about one network",
                got="both stages",
                hint="Give --stage localize or --stage segment",
            )
        both = {each: load_train_settings(each, config, flags, recipe) for each in STAGES}
        _train_both(store, both, out)
        return
    settings = load_train_settings(stage, config, flags, recipe)
    if find_lr:
        _find_learning_rate(store, settings, out, initial)
    else:
        _train_one(store, settings, out, initial)


def _train_both(store: Path, settings: Mapping[Stage, TrainSettings], out: Path) -> None:
    from renalmap.api.model import (
        ExportRequest,
        check_own_bundle,
        export_model,
        is_leading_process,
        train_stages,
    )

    check_own_bundle(out / "bundle")
    with progress_bar(quiet=not is_leading_process()) as bar:
        show = _Steps(bar, {stage: each.steps for stage, each in settings.items()})
        with _saying_how_to_go_on():
            results = train_stages(store, settings, out, show)
    if not all(result.leads for result in results.values()):
        return
    for stage, result in results.items():
        _tell(result, settings[stage])
    with progress_bar() as bar:
        bar.show("export", 0, 0, "making graphs and comparing them with the networks")
        best = {stage: [result.best] for stage, result in results.items()}
        bundle = export_model(
            store, best["localize"], best["segment"], out / "bundle", ExportRequest(overwrite=True)
        )
    typer.echo(f"wrote {bundle.root} ({bundle.digest[:16]})")


def _train_one(store: Path, settings: TrainSettings, out: Path, initial: Path | None) -> None:
    from renalmap.api.model import is_leading_process, train_stage

    with progress_bar(quiet=not is_leading_process()) as bar:
        show = partial(_Steps(bar, {settings.stage: settings.steps}), settings.stage)
        with _saying_how_to_go_on():
            result = train_stage(store, settings, out, initial=initial, report=show)
    if result.leads:
        _tell(result, settings)


@contextmanager
def _saying_how_to_go_on() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("Stopped: the same command goes on from the last checkpoint", err=True)
        raise


def _tell(result: TrainResult, settings: TrainSettings) -> None:
    if result.steps < settings.steps:
        typer.echo(f"stopped at step {result.steps}: no better score in {settings.patience} validations")
    typer.echo(f"best validation score {result.best_score:.4f}: {result.best}")


class _Steps:
    """A bar of training steps, with the last validation beside it."""

    def __init__(self, bar: ProgressBar, steps: Mapping[Stage, int]) -> None:
        self._bar = bar
        self._steps = steps
        self._latest = dict.fromkeys(steps, "not validated yet")
        first = next(iter(steps))
        bar.show(first, 0, steps[first], "starting")

    def __call__(self, stage: Stage, step: int, loss: float, validation: object) -> None:
        if validation is not None:
            self._latest[stage] = str(validation)
        self._bar.show(stage, step, self._steps[stage], f"loss {loss:.3f}  {self._latest[stage]}")


def _find_learning_rate(store: Path, settings: TrainSettings, out: Path, initial: Path | None) -> None:
    from renalmap.api.model import find_learning_rate

    with progress_bar() as bar:
        suggestion = find_learning_rate(
            store,
            settings,
            out,
            initial=initial,
            report=lambda done, total, loss: bar.show("rates", done, total, f"loss {loss:.3f}"),
        )
    found = "none: the loss never fell" if suggestion is None else f"{suggestion:.2g}"
    typer.echo(f"suggested learning rate {found} ({out / 'find_lr.png'})")


def export(
    store: Annotated[Path, typer.Argument(help="The store both stages were trained on.")],
    localizer: Annotated[
        list[Path], typer.Option(help="Stage 1's checkpoint or run; given again, they are averaged.")
    ],
    segmenter: Annotated[
        list[Path], typer.Option(help="Stage 2's checkpoint or run; given again, they are averaged.")
    ],
    out: Annotated[Path, typer.Option(help="The bundle's folder.")],
    card: Annotated[Path | None, typer.Option(help="A model card in Markdown.")] = None,
    rules: Annotated[
        Path | None, typer.Option(help="A TOML file of the Plan's rules for inference.")
    ] = None,
    calibration: Annotated[Path | None, typer.Option(help="Calibration of confidences.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a bundle.")] = False,
) -> None:
    """Make a bundle of trained checkpoints, one or several a stage.

    A bundle is a folder: two ONNX graphs, compared with the networks they come from; the Plan, the slice
    statistics, a model card and the hashes of all of these.
    """
    from renalmap.api.model import ExportRequest, export_model

    request = ExportRequest(card, rules, calibration, overwrite)
    bundle = export_model(store, localizer, segmenter, out, request)
    typer.echo(f"wrote {bundle.root} ({bundle.digest[:16]})")
