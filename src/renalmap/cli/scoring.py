"""Verbs that score: evaluate, test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from renalmap.cli.console import listening, output, progress_bar, show_warning
from renalmap.cli.options import (
    AssumeHu,
    Csv,
    Device,
    Engine,
    Json,
    Memory,
    Orientation,
    Plot,
    Protocol,
    Quiet,
    Surface,
    Threads,
    model_option,
    output_option,
)
from renalmap.cli.scans import show_troubles
from renalmap.cli.scores import score_tables

if TYPE_CHECKING:
    from renalmap.evaluation import Score


def evaluate(
    predictions: Annotated[Path, typer.Argument(help="A label map, or a folder of them.")],
    reference: Annotated[
        Path, typer.Argument(help="The same, or a folder in the layout of KiTS or nnU-Net.")
    ],
    protocol: Protocol = "kits19",
    csv: Csv = None,
    plot: Plot = None,
    surface: Surface = True,
    orientation: Orientation = None,
    memory_gb: Memory = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score label maps per case in 3D.

    By KiTS19's rules, and by plain Dice; or, with --protocol kits23, by KiTS23's: Dice and
    surface Dice of its three nested classes, where a class that is empty in both scores 1, and in only one 0.
    """
    from renalmap.api.evaluate import Scoring
    from renalmap.api.evaluate import evaluate as evaluate_all

    with progress_bar(quiet=quiet or json) as bar:
        scoring = Scoring(protocol, surface, csv, plot, orientation)
        scores = evaluate_all(predictions, reference, scoring, bar.show)
    _show(scores, json=json, quiet=quiet)


def test(
    store: Annotated[Path, typer.Argument(help="The store the model was trained on: it has the split.")],
    dataset: Annotated[Path, typer.Argument(help="The data set it was prepared from.")],
    model: Annotated[Path, model_option(help="The bundle to evaluate.")],
    out: Annotated[Path, output_option(help="A folder for the label maps.")],
    part: Annotated[
        Literal["test", "validation"],
        typer.Option(help="Which patients: a part of the split itself, not of a fold."),
    ] = "test",
    device: Device = "cpu",
    engine: Engine = "onnxruntime",
    threads: Threads = None,
    protocol: Protocol = "kits19",
    csv: Csv = None,
    plot: Plot = None,
    surface: Surface = True,
    orientation: Orientation = None,
    assume_hu: AssumeHu = False,
    overwrite: Annotated[
        bool,
        output_option("--overwrite", help="Redo what another bundle made; complete results are kept."),
    ] = False,
    memory_gb: Memory = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Segment and score the patients that a split sets aside.

    Complete scans from the same bundle are kept, so after an interruption the same command continues. Exit code
    1: a scan failed; the others are scored.
    """
    from renalmap.api.evaluate import Scoring
    from renalmap.api.request import SegmentRequest
    from renalmap.api.test import HeldOut
    from renalmap.api.test import test as test_bundle
    from renalmap.imaging import DicomChoice
    from renalmap.inference.cascade import SegmentOptions

    request = SegmentRequest(
        model,
        device,
        engine,
        options=SegmentOptions(threads),
        dicom=DicomChoice(orientation=orientation),
        assume_hu=assume_hu,
        overwrite=overwrite,
    )
    scoring = Scoring(protocol, surface, csv, plot, orientation)
    with listening(quiet=quiet or json) as listener:
        outcome = test_bundle(HeldOut(store, dataset, part), out, request, scoring, listener)
    cases, failed = outcome.segmented.cases, outcome.failed
    show_troubles(cases)
    _show(outcome.scores, failed, json=json, quiet=quiet)
    if failed:
        show_warning(f"{len(failed)} of {len(cases)} cases failed and are not in these scores")
        raise typer.Exit(1)


def _show(
    scores: Sequence[Score], failed: Mapping[str, str] | None = None, *, json: bool, quiet: bool
) -> None:
    """Print scores; `failed`, the cases without a prediction and why, goes into the JSON."""
    from renalmap.evaluation import scores_to_json

    if json:
        typer.echo(scores_to_json(scores, failed=failed), nl=False)
    elif not quiet and scores:
        output.print(*score_tables(scores))
