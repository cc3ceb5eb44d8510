"""Verbs that score: evaluate, test."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from renalmap.cli.cohort import listening
from renalmap.cli.console import output, progress_bar
from renalmap.cli.kits23 import kits23_tables
from renalmap.cli.scans import Device, Engine, Json, Overwrite, Quiet, Threads, show_troubles
from renalmap.cli.tables import score_tables

if TYPE_CHECKING:
    from rich.table import Table

    from renalmap.dataset.layouts import Case
    from renalmap.evaluation import Score

Protocol = Annotated[
    Literal["kits19", "kits23"],
    typer.Option(help="kits23: kidney and masses, masses, tumour; label 3 is a cyst."),
]
Csv = Annotated[Path | None, typer.Option(help="Write the cases as CSV.")]
Plot = Annotated[Path | None, typer.Option(help="Draw Dice against tumour volume as PNG.")]
Surface = Annotated[bool, typer.Option(help="Surface distances; they take most of the time.")]


def evaluate(
    predictions: Annotated[Path, typer.Argument(help="A label map, or a folder of them.")],
    reference: Annotated[
        Path, typer.Argument(help="The same, or a folder in the layout of KiTS or nnU-Net.")
    ],
    protocol: Protocol = "kits19",
    csv: Csv = None,
    plot: Plot = None,
    surface: Surface = True,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score label maps per case in 3D.

    By KiTS19's rules and plainly; or with --protocol kits23 by KiTS23's: Dice and surface Dice of its
    three nested classes, where both empty is 1 and one empty 0.
    """
    _score_and_show(predictions, reference, protocol, csv, plot, surface=surface, json=json, quiet=quiet)


def judge(
    store: Annotated[Path, typer.Argument(help="The store the model was trained on: it has the split.")],
    dataset: Annotated[Path, typer.Argument(help="The data set it was prepared from.")],
    model: Annotated[Path, typer.Option(help="The bundle to be judged.")],
    out: Annotated[Path, typer.Option(help="A folder for the label maps.")],
    part: Annotated[
        Literal["test", "validation"], typer.Option(help="Whom to segment and score.")
    ] = "test",
    device: Device = "cpu",
    engine: Engine = "onnxruntime",
    threads: Threads = None,
    protocol: Protocol = "kits19",
    csv: Csv = None,
    plot: Plot = None,
    surface: Surface = True,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Segment the patients a split keeps aside, and score them.

    Scans that are complete and made by the same bundle are kept: interrupted, the same command goes on. Exit
    code 1: a scan failed; the others are scored.
    """
    from renalmap.api.held_out import find_part, segment_part
    from renalmap.api.request import SegmentRequest
    from renalmap.api.score import check_score_outputs
    from renalmap.inference.cascade import SegmentOptions

    check_score_outputs(csv, plot)
    cases = find_part(store, dataset, part)
    request = SegmentRequest(
        model=model,
        device=device,
        engine=engine,
        options=SegmentOptions(threads),
        overwrite=overwrite,
    )
    with listening(quiet=quiet or json) as listener:
        report = segment_part(dataset, cases, out, request, listener)
    show_troubles(report.cases)
    failed = {case.name for case in report.cases if case.output is None}
    scored = [case for case in cases if case.case_id not in failed]
    if scored:
        _score_and_show(out, scored, protocol, csv, plot, surface=surface, json=json, quiet=quiet)
    if failed:
        raise typer.Exit(1)


def _score_and_show(
    predictions: Path,
    reference: Path | Sequence[Case],
    protocol: str,
    csv: Path | None,
    plot: Path | None,
    *,
    surface: bool,
    json: bool,
    quiet: bool,
) -> None:
    from renalmap.api.score import evaluate_kits23, evaluate_predictions
    from renalmap.evaluation import scores_to_json

    tables: Iterable[Table]
    scores: Sequence[Score]
    with progress_bar(quiet=quiet or json) as bar:

        def told(done: int, total: int, case: str) -> None:
            bar.show("evaluating", done, total, f"scored {case}")

        paths = predictions, reference
        if protocol == "kits23":
            found = evaluate_kits23(*paths, surface=surface, csv=csv, plot=plot, progress=told)
            scores, tables = found, kits23_tables(found)
        else:
            plain = evaluate_predictions(*paths, surface=surface, csv=csv, plot=plot, progress=told)
            scores, tables = plain, score_tables(plain)
    if json:
        typer.echo(scores_to_json(scores), nl=False)
    elif not quiet:
        output.print(*tables)
