"""Verbs about models: train, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from renalmap.cli.console import progress_bar, say
from renalmap.cli.options import Crop, Memory, output_option


def train(
    context: typer.Context,
    store: Annotated[Path, typer.Argument(help="A store made by prepare.")],
    out: Annotated[Path, output_option(help="The run's folder; an interrupted run continues.")],
    stage: Annotated[
        Literal["localize", "segment"] | None,
        typer.Option(help="Train only one network; by default both, and make a bundle."),
    ] = None,
    recipe: Annotated[
        Literal["paper", "renalmap"] | None,
        typer.Option(help="The paper's choices to the letter, or those behind the bundle."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A TOML file of training settings, which override the recipe's.")
    ] = None,
    initial: Annotated[Path | None, typer.Option(help="A checkpoint to start from.")] = None,
    steps: Annotated[int | None, typer.Option(help="Batches to train on.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Slices, patches or crops per batch.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Learning rate of Adam.")] = None,
    patch_size: Annotated[int | None, typer.Option(help="Stage 1 on patches of this edge.")] = None,
    crop: Crop = None,
    lesion_shapes: Annotated[
        Path | None,
        typer.Option(help="Masks in KiTS19's layout, whose tumours give synthetic ones their shape."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed for weights, batches and dropout.")] = None,
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
        bool,
        typer.Option("--find-lr", help="Try out learning rates and draw a chart, without training."),
    ] = False,
    memory_gb: Memory = None,
) -> None:
    """Train both networks on a prepared store, or one with --stage.

    They go to OUT/localize and OUT/segment, and the best of each into OUT/bundle. After an interruption,
    even by kill -9, the same command continues from the last checkpoint to the same weights. If started by torchrun
    or srun, the processes share every batch.
    """
    from renalmap.api.listener import Listener
    from renalmap.api.train import TrainRequest, find_learning_rate, is_leading_process
    from renalmap.api.train import train as train_networks

    no_settings = {"store", "out", "stage", "recipe", "config", "initial", "find_lr", "memory_gb"}
    flags = {name: value for name, value in context.params.items() if name not in no_settings}
    request = TrainRequest(stage, config, flags, recipe, initial)
    said: list[str] = []  # printed only when the bar, which would send it to standard error, is gone
    try:
        with progress_bar(quiet=not is_leading_process()) as bar:
            listener = Listener(bar.show, said.append)
            if find_lr:
                rate = find_learning_rate(store, out, request, listener)
                found = "none: the loss never fell" if rate is None else f"{rate:.2g}"
                said.append(f"suggested learning rate {found} ({out / 'find_lr.png'})")
                return
            bundle = train_networks(store, out, request, listener).bundle
            if bundle is not None:
                said.append(f"wrote {bundle.root} ({bundle.digest[:16]})")
    except KeyboardInterrupt:
        if not find_lr:
            typer.echo("Stopped: the same command continues from the last checkpoint", err=True)
        raise
    finally:
        for text in said:
            say(text)


def export(
    store: Annotated[Path, typer.Argument(help="The store both stages were trained on.")],
    localizer: Annotated[
        list[Path], typer.Option(help="Stage 1's checkpoint or run; several are averaged.")
    ],
    segmenter: Annotated[
        list[Path], typer.Option(help="Stage 2's checkpoint or run; several are averaged.")
    ],
    out: Annotated[Path, output_option(help="The bundle's folder.")],
    card: Annotated[Path | None, typer.Option(help="A model card in Markdown.")] = None,
    rules: Annotated[
        Path | None, typer.Option(help="A TOML file of the Plan's rules for inference.")
    ] = None,
    calibration: Annotated[Path | None, typer.Option(help="A file that calibrates confidences.")] = None,
    overwrite: Annotated[bool, output_option("--overwrite", help="Replace an existing bundle.")] = False,
    memory_gb: Memory = None,
) -> None:
    """Make a bundle from trained checkpoints.

    A bundle is a folder: two ONNX graphs, compared with the networks they come from; the Plan, the slice
    statistics, a model card and the hashes of all of these.
    """
    from renalmap.api.export import ExportRequest
    from renalmap.api.export import export as export_bundle

    request = ExportRequest(card, rules, calibration, overwrite)
    bundle = export_bundle(store, localizer, segmenter, out, request)
    say(f"wrote {bundle.root} ({bundle.digest[:16]})")
