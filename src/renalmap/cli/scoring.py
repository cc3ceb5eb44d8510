"""Verbs that score: evaluate, test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from renalmap.cli.cohort import listening
from renalmap.cli.console import output, progress_bar, show_warning
from renalmap.cli.kits23 import kits23_tables
from renalmap.cli.scans import Device, Engine, Json, Quiet, Threads, show_troubles
from renalmap.cli.tables import score_tables

if TYPE_CHECKING:
    from rich.table import Table

    from renalmap.api.score import Pair
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
    from renalmap.api.score import check_scoring, find_pairs

    how = _How(protocol, csv, plot, surface, json, quiet)
    check_scoring(csv, plot, surface=surface)
    _score_and_show(find_pairs(predictions, reference), how)


def score_split(
    store: Annotated[Path, typer.Argument(help="The store the model was trained on: it has the split.")],
    dataset: Annotated[Path, typer.Argument(help="The data set it was prepared from.")],
    model: Annotated[Path, typer.Option(help="The bundle to be judged.")],
    out: Annotated[Path, typer.Option(help="A folder for the label maps.")],
    part: Annotated[
        Literal["test", "validation"],
        typer.Option(help="Whom to segment and score: the split's own part, not a fold's."),
    ] = "test",
    device: Device = "cpu",
    engine: Engine = "onnxruntime",
    threads: Threads = None,
    protocol: Protocol = "kits19",
    csv: Csv = None,
    plot: Plot = None,
    surface: Surface = True,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Make again what another bundle made; complete results are kept."
        ),
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Segment the patients a split keeps aside, and score them.

    Scans that are complete and made by the same bundle are kept: interrupted, the same command goes on. Exit
    code 1: a scan failed; the others are scored.
    """
    from renalmap.api.held_out import find_doubts, find_part, pairs_of, segment_part
    from renalmap.api.request import SegmentRequest
    from renalmap.api.score import check_scoring
    from renalmap.bundle import Bundle
    from renalmap.dataset.store import Store
    from renalmap.inference.cascade import SegmentOptions

    opened = Store.open(store)
    cases = find_part(opened, dataset, part)
    check_scoring(csv, plot, surface=surface, made=out)
    for doubt in find_doubts(opened, cases, Bundle.open(model)):
        show_warning(doubt)
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
    failed = {case.name: case.error or "nothing was written" for case in report.cases if not case.output}
    _score_and_show(pairs_of(cases, report), _How(protocol, csv, plot, surface, json, quiet), failed)
    if failed:
        show_warning(f"{len(failed)} of {len(cases)} cases failed and are not in these scores")
        raise typer.Exit(1)


@dataclass(frozen=True)
class _How:
    """What is scored, written and shown."""

    protocol: str
    csv: Path | None
    plot: Path | None
    surface: bool
    json: bool
    quiet: bool


def _score_and_show(pairs: Sequence[Pair], how: _How, failed: Mapping[str, str] | None = None) -> None:
    """Score, and print; `failed`, the cases without a prediction and why, goes into the JSON."""
    from renalmap.api.score import evaluate_kits23, evaluate_predictions
    from renalmap.evaluation import scores_to_json

    tables: Iterable[Table] = ()
    scores: Sequence[Score] = ()
    with progress_bar(quiet=how.quiet or how.json) as bar:
        outputs: dict[str, Path | None] = {"csv": how.csv, "plot": how.plot}
        if not pairs:
            pass
        elif how.protocol == "kits23":
            found = evaluate_kits23(pairs, surface=how.surface, **outputs, progress=bar.show)
            scores, tables = found, kits23_tables(found)
        else:
            plain = evaluate_predictions(pairs, surface=how.surface, **outputs, progress=bar.show)
            scores, tables = plain, score_tables(plain)
    if how.json:
        typer.echo(scores_to_json(scores, failed=failed), nl=False)
    elif not how.quiet:
        output.print(*tables)
