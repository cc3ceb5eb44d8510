"""Verbs about scans: segment, overview, demo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from renalmap.cli import cohort
from renalmap.cli.console import output, progress_bar, show_error, show_warning
from renalmap.cli.measurements import measurement_tables
from renalmap.cli.tables import number, segment_tables, table

if TYPE_CHECKING:
    from renalmap.api.segment import CaseReport

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar and no table.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Acquisition = Annotated[
    int | None, typer.Option(help="Which acquisition of a DICOM series that holds several.")
]
AnonymizeReport = Annotated[
    bool, typer.Option("--anonymize-report", help="No names and no paths in the report.")
]

Series = Annotated[
    str | None, typer.Option(help="Which DICOM series: its UID or number, as info shows it.")
]
Resample = Annotated[
    bool, typer.Option("--resample", help="Correct a gantry tilt or a varying slice distance.")
]
Device = Annotated[Literal["cpu", "cuda"], typer.Option(help="Where to run.")]
Engine = Annotated[
    Literal["onnxruntime", "openvino"],
    typer.Option(help="What runs the networks; OpenVINO is an extra."),
]
Threads = Annotated[int | None, typer.Option(min=1, help="Slices in work at once; default: cores.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]
SCAN_HELP = "NIfTI file; or DICOM: a folder, a .zip, a DICOMDIR, an enhanced CT."


def segment(
    scans: Annotated[list[Path], typer.Argument(help=f"{SCAN_HELP} Or folders of these: a cohort.")],
    out: Annotated[Path, typer.Option(help="The file to write; for several scans, a folder.")],
    model: Annotated[Path | None, typer.Option(help="A bundle; by default the one shipped.")] = None,
    device: Device = "cpu",
    engine: Engine = "onnxruntime",
    threads: Threads = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Slices in one call of the runtime.")] = 1,
    series: Series = None,
    acquisition: Acquisition = None,
    resample: Resample = False,
    assume_hu: Annotated[
        bool, typer.Option("--assume-hu", help="The values are HU: do not warn.")
    ] = False,
    save_probabilities: Annotated[
        bool,
        typer.Option("--save-probabilities", help="Also write maps of kidney and tumour probability."),
    ] = False,
    measure: Annotated[
        bool, typer.Option("--measure", help="Also measure kidneys and lesions.")
    ] = False,
    exhaustive: Annotated[
        bool,
        typer.Option("--exhaustive", help="Look at every slice, not only where kidneys may be."),
    ] = False,
    stage1_only: Annotated[
        bool, typer.Option("--stage1-only", help="Kidney with tumour, no stage 2.")
    ] = False,
    flip_averaging: Annotated[
        Literal["none", "segmenter", "both"] | None,
        typer.Option(help="Average networks over the mirror image too; default: the bundle's."),
    ] = None,
    smoothing_sigma_mm: Annotated[
        float | None, typer.Option(min=0, help="Smooth across slices; default: the bundle's.")
    ] = None,
    keep_all: Annotated[
        bool, typer.Option("--keep-all", help="Keep more than two kidneys, even if the bundle does not.")
    ] = False,
    names: Annotated[
        Literal["scan", "kits-submission"],
        typer.Option(help="In a folder: SCAN_seg.nii.gz, or prediction_XXXXX.nii.gz."),
    ] = "scan",
    format: Annotated[
        Literal["nifti", "dicom-seg"] | None,
        typer.Option(help="What to write; default: by the name of --out, in a folder NIfTI."),
    ] = None,
    segmentation_type: Annotated[
        Literal["binary", "labelmap"],
        typer.Option(help="Of a DICOM SEG: binary, which every viewer reads, or labelmap."),
    ] = "binary",
    report_folder: Annotated[
        Path | None, typer.Option("--report", help="A folder for an HTML report of each scan.")
    ] = None,
    mesh: Annotated[
        Path | None, typer.Option(help="A folder for surfaces of each scan, as STL and GLB.")
    ] = None,
    anonymize_report: AnonymizeReport = False,
    overwrite: Overwrite = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 1 if no kidney is found in a scan.")
    ] = False,
    resume: cohort.Resume = False,
    table_file: cohort.TableFile = None,
    cluster: cohort.ClusterAddress = None,
    workers: cohort.Workers = None,
    retries: cohort.Retries = 2,
    cluster_timeout: cohort.ClusterTimeout = 30.0,
    slurm: cohort.Slurm = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Segment kidneys and tumours on CT scans.

    Labels: 0 background, 1 kidney, 2 tumour, on the scan's own grid; in a DICOM SEG (--out NAME.dcm) left and
    right apart. Exit code 0: all done; 1: a scan of several failed, or shows no kidney with --strict or
    where a DICOM SEG was to be written; 2: the input cannot be used.
    """
    from renalmap.api.beside import Beside
    from renalmap.api.cohort import CohortRequest
    from renalmap.api.request import SegmentRequest
    from renalmap.inference.cascade import SegmentOptions

    request = SegmentRequest(
        model=model,
        device=device,
        engine=engine,
        options=SegmentOptions(
            threads,
            batch_size,
            stage1_only,
            exhaustive,
            flip_averaging=flip_averaging,
            smoothing_sigma_mm=smoothing_sigma_mm,
            keep="all" if keep_all else None,
        ),
        save_probabilities=save_probabilities,
        series=series,
        acquisition=acquisition,
        resample=resample,
        assume_hu=assume_hu,
        measure=measure,
        overwrite=overwrite,
        names=names,
        format=format,
        segmentation_type=segmentation_type,
        beside=Beside(report_folder, mesh, anonymize_report),
    )
    how = CohortRequest(
        resume,
        table=table_file,
        cluster=cohort.cluster_request(cluster, workers, retries, cluster_timeout, slurm or ()),
    )
    report = cohort.segment_showing_progress(scans, out, request, how, quiet=quiet or json)
    if json:
        typer.echo(report.model_dump_json(indent=2))
    elif not quiet:
        output.print(*segment_tables(report.cases))
        for case in report.cases:
            if case.measurements is not None:
                output.print(*measurement_tables(case.measurements))
    show_troubles(report.cases)
    statuses = {case.status for case in report.cases}
    unwritten = any(case.output is None for case in report.cases)
    if unwritten or (strict and "no_kidney_found" in statuses):
        raise typer.Exit(1)


def overview(
    scan: Annotated[Path, typer.Argument(help=SCAN_HELP)],
    segmentation: Annotated[Path, typer.Argument(help="Its label map.")],
    out: Annotated[Path, typer.Option(help="The PNG to write.")],
    series: Series = None,
    acquisition: Acquisition = None,
    resample: Resample = False,
) -> None:
    """Draw a scan's three views with outlines and volumes."""
    from renalmap.api.score import draw_scan_overview
    from renalmap.imaging import DicomChoice

    draw_scan_overview(scan, segmentation, out, choice=DicomChoice(series, acquisition, resample))
    typer.echo(f"wrote {out}")


def demo(
    out: Annotated[Path, typer.Option(help="A folder for the files.")] = Path("demo"),
    quiet: Quiet = False,
) -> None:
    """Make a synthetic CT, segment it, score the result."""
    from renalmap.api.demo import run_demo

    with progress_bar(quiet=quiet) as bar:
        bar.show("making a synthetic abdominal CT", 0, 0)
        result = run_demo(out, progress=lambda _, what, done, total: bar.show(what, done, total))
    if quiet:
        return
    score = result.score
    scored = table("Against the phantom's truth", "region", "Dice", "predicted ml", "true ml")
    for name, dice, predicted, true in (
        ("kidney + tumour", score.kidney_dice, score.kidney_predicted_ml, score.kidney_reference_ml),
        (
            "kidney only",
            score.kidney_only_dice,
            score.kidney_only_predicted_ml,
            score.kidney_only_reference_ml,
        ),
        ("tumour", score.tumour_dice, score.tumour_predicted_ml, score.tumour_reference_ml),
    ):
        scored.add_row(name, number(dice, 3), number(predicted, 1), number(true, 1))
    output.print(scored, *segment_tables([result.report]))
    for path in (result.scan, result.segmentation, result.overview):
        typer.echo(f"wrote {path}")


def show_troubles(cases: Sequence[CaseReport]) -> None:
    """Warnings, scans without a kidney and scans that failed, on standard error."""
    for case in cases:
        for text in case.warnings:
            show_warning(text)
        if case.status == "no_kidney_found":
            what = f"{case.output} is all background" if case.output else "no DICOM SEG was written"
            show_warning(f"{case.scan}: no kidney was found; {what}")
        if case.error is not None:
            show_error(case.error)
