"""Verbs about scans: segment, overview, evaluate, demo."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from renalmap.cli.console import output, progress_bar, show_warning, table

if TYPE_CHECKING:
    from rich.table import Table

    from renalmap.api.segment import SegmentReport
    from renalmap.evaluation import CaseScore, Summary

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar and no table.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Acquisition = Annotated[
    int | None, typer.Option(help="Which acquisition of a DICOM series that holds several.")
]


def segment(
    scans: Annotated[list[Path], typer.Argument(help="NIfTI files or DICOM folders.")],
    out: Annotated[Path, typer.Option(help="The file to write; for several scans, a folder.")],
    model: Annotated[Path | None, typer.Option(help="A bundle; by default the one shipped.")] = None,
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="Where to run.")] = "cpu",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Slices in work at once; default: cores.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Slices in one call of the runtime.")] = 1,
    acquisition: Acquisition = None,
    assume_hu: Annotated[
        bool, typer.Option("--assume-hu", help="The values are HU: do not warn.")
    ] = False,
    save_probabilities: Annotated[
        bool,
        typer.Option("--save-probabilities", help="Also write maps of kidney and tumour probability."),
    ] = False,
    stage1_only: Annotated[
        bool, typer.Option("--stage1-only", help="Kidney with tumour, no stage 2.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 if a scan shows no kidney.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Segment kidneys and tumours on CT scans.

    Labels: 0 background, 1 kidney, 2 tumour, on the scan's own grid. Exit code 0: all done; 1: a scan of
    several failed, or with --strict none was found; 2: the input cannot be used.
    """
    from renalmap.api.segment import SegmentRequest, segment_scans, short_name
    from renalmap.inference.cascade import SegmentOptions

    request = SegmentRequest(
        model=model,
        device=device,
        options=SegmentOptions(threads, batch_size, stage1_only, save_probabilities),
        acquisition=acquisition,
        assume_hu=assume_hu,
        overwrite=overwrite,
    )
    with progress_bar(quiet=quiet or json) as bar:
        report = segment_scans(
            scans,
            out,
            request,
            lambda scan, what, done, total: bar.show(f"{short_name(scan)}: {what}", done, total),
        )
    if json:
        typer.echo(report.model_dump_json(indent=2))
    elif not quiet:
        output.print(_segment_table(report))
    for case in report.cases:
        for text in case.warnings:
            show_warning(f"{case.scan}: {text}")
        if case.status == "no_kidney_found":
            show_warning(f"{case.scan}: no kidney was found; {case.output} is all background")
    statuses = {case.status for case in report.cases}
    if "failed" in statuses or (strict and "no_kidney_found" in statuses):
        raise typer.Exit(1)


def overview(
    scan: Annotated[Path, typer.Argument(help="NIfTI file or DICOM folder.")],
    segmentation: Annotated[Path, typer.Argument(help="Its label map.")],
    out: Annotated[Path, typer.Option(help="The PNG to write.")],
    acquisition: Acquisition = None,
) -> None:
    """Draw axial, coronal and sagittal views with outlines and volumes."""
    from renalmap.api.score import draw_scan_overview

    draw_scan_overview(scan, segmentation, out, acquisition=acquisition)


def evaluate(
    predictions: Annotated[Path, typer.Argument(help="A label map, or a folder of them.")],
    reference: Annotated[Path, typer.Argument(help="The same, or a folder in KiTS19's layout.")],
    csv: Annotated[Path | None, typer.Option(help="Write the cases as CSV.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw Dice against tumour volume as PNG.")] = None,
    surface: Annotated[bool, typer.Option(help="Surface distances; they take most of the time.")] = True,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score label maps per case in 3D, by KiTS19's rules and plainly."""
    from renalmap.api.score import evaluate_predictions, write_csv, write_plot
    from renalmap.evaluation import scores_to_json, summarise

    with progress_bar(quiet=quiet or json) as bar:
        scores = evaluate_predictions(
            predictions,
            reference,
            surface=surface,
            progress=lambda done, total, case: bar.show("evaluating", done, total, f"scored {case}"),
        )
    if csv is not None:
        write_csv(scores, csv)
    if plot is not None:
        write_plot(scores, plot)
    if json:
        typer.echo(scores_to_json(scores), nl=False)
    elif not quiet:
        output.print(_score_table(scores))
        output.print(_summary_table(summarise(scores)))
        output.print(_volume_table(scores))


def demo(
    out: Annotated[Path, typer.Option(help="A folder for the files.")] = Path("demo"),
    quiet: Quiet = False,
) -> None:
    """Make a synthetic CT, segment it with the bundled model, score it against the truth."""
    from renalmap.api.demo import run_demo
    from renalmap.api.segment import SegmentReport

    with progress_bar(quiet=quiet) as bar:
        bar.show("making a synthetic abdominal CT", 0, 0)
        result = run_demo(out, progress=lambda _, what, done, total: bar.show(what, done, total))
    score, report = result.score, result.report
    scored = table("Against the phantom's truth", "region", "Dice", "predicted ml", "true ml")
    for name, dice, predicted, true in (
        ("kidney with tumour", score.kidney_dice, score.kidney_predicted_ml, score.kidney_reference_ml),
        (
            "kidney",
            score.kidney_only_dice,
            score.kidney_only_predicted_ml,
            score.kidney_only_reference_ml,
        ),
        ("tumour", score.tumour_dice, score.tumour_predicted_ml, score.tumour_reference_ml),
    ):
        scored.add_row(name, _number(dice, 3), _number(predicted, 1), _number(true, 1))
    output.print(scored)
    output.print(_segment_table(SegmentReport(renalmap_version="", bundle_sha256="", cases=[report])))
    for path in (result.scan, result.segmentation, result.overview):
        typer.echo(f"wrote {path}")


def _segment_table(report: SegmentReport) -> Table:
    parts = list(dict.fromkeys(part for case in report.cases for part in case.seconds))
    made = table(
        None, "scan", "status", "kidney ml", "tumour ml", "slices", *[f"{part} s" for part in parts]
    )
    for case in report.cases:
        made.add_row(
            Path(case.scan).name,
            case.status.replace("_", " ") if case.error is None else f"failed: {case.error}",
            _number(case.kidney_ml, 1),
            _number(case.tumour_ml, 1),
            "" if case.slices is None else str(case.slices),
            *[_number(case.seconds.get(part), 2) for part in parts],
        )
    return made


def _score_table(scores: list[CaseScore]) -> Table:
    made = table(
        None, "case", "kidney Dice", "tumour Dice", "composite", "kidney HD95 mm", "tumour ml", "true ml"
    )
    for score in scores:
        made.add_row(
            score.case,
            _number(score.kidney_dice, 3),
            _number(score.tumour_dice, 3),
            _number(score.composite_dice, 3),
            _number(score.kidney_hd95_mm, 1),
            _number(score.tumour_predicted_ml, 1),
            _number(score.tumour_reference_ml, 1),
        )
    return made


def _summary_table(summary: Summary) -> Table:
    made = table(f"{summary.n_cases} cases", "metric", "n", "mean", "sd", "median", "min", "max")
    for name, metric in summary.metrics.items():
        values = (metric.mean, metric.sd, metric.median, metric.min, metric.max)
        made.add_row(name, str(metric.n), *[_number(value, 3) for value in values])
    return made


def _volume_table(scores: list[CaseScore]) -> Table:
    from renalmap.evaluation import dice_by_tumour_volume

    made = table("Tumour Dice by tumour volume", "volume", "n", "missed", "mean", "sd")
    for row in dice_by_tumour_volume(scores):
        limits = (
            f"{row.from_ml:g} to {row.to_ml:g} ml"
            if math.isfinite(row.to_ml)
            else f"over {row.from_ml:g} ml"
        )
        made.add_row(limits, str(row.n), str(row.n_missed), _number(row.mean, 3), _number(row.sd, 3))
    return made


def _number(value: float | None, digits: int) -> str:
    if value is None or math.isnan(value):
        return "n/a"
    return f"{value:.{digits}f}"
