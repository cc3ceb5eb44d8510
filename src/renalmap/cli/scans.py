"""Verbs about scans: segment, overview, demo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from renalmap.cli.console import listening, output, say, show_error, show_json, show_warning
from renalmap.cli.measurements import measurement_tables
from renalmap.cli.nephrometry import nephrometry_tables, show_caveats
from renalmap.cli.options import (
    SCAN_HELP,
    Acquisition,
    AllowMissingSlices,
    AnonymizeReport,
    AssumeHu,
    Device,
    Engine,
    Json,
    Memory,
    Orientation,
    Overwrite,
    Quiet,
    Resample,
    Scan,
    Series,
    Threads,
    cohort_option,
    dicom_option,
    model_option,
    output_option,
    speed_option,
)
from renalmap.cli.tables import number, segment_tables, table
from renalmap.errors import ConfigError

if TYPE_CHECKING:
    from renalmap.api.cohort.connecting import ClusterRequest
    from renalmap.api.cohort.scan import CaseOutcome


def segment(
    scans: Annotated[list[Path], typer.Argument(help=f"{SCAN_HELP} Or folders of these: a cohort.")],
    out: Annotated[Path, output_option(help="The file to write; for several scans, a folder.")],
    model: Annotated[
        Path | None, model_option(help="A bundle; by default the one shipped with RenalMap.")
    ] = None,
    device: Device = "cpu",
    engine: Engine = "onnxruntime",
    threads: Threads = None,
    memory_gb: Memory = None,
    batch_size: Annotated[int, speed_option(min=1, help="Slices in one call of the runtime.")] = 1,
    series: Series = None,
    acquisition: Acquisition = None,
    resample: Resample = False,
    allow_missing_slices: AllowMissingSlices = False,
    orientation: Orientation = None,
    assume_hu: AssumeHu = False,
    save_probabilities: Annotated[
        bool,
        output_option("--save-probabilities", help="Also write maps of kidney and tumour probability."),
    ] = False,
    measure: Annotated[
        bool, output_option("--measure", help="Also measure kidneys and lesions.")
    ] = False,
    nephrometry: Annotated[
        bool, output_option("--nephrometry", help="Also score tumours by R.E.N.A.L. and PADUA.")
    ] = False,
    exhaustive: Annotated[
        bool, model_option("--exhaustive", help="Look at every slice, not only where kidneys may be.")
    ] = False,
    stage1_only: Annotated[
        bool, model_option("--stage1-only", help="Kidney and tumour as one label, without stage 2.")
    ] = False,
    flip_averaging: Annotated[
        Literal["none", "segmenter", "both"] | None,
        model_option(help="Also average over the mirror image; default: as in the bundle."),
    ] = None,
    smoothing_sigma_mm: Annotated[
        float | None,
        model_option(min=0, max=100, help="Smooth across slices; default: as in the bundle."),
    ] = None,
    keep_all: Annotated[
        bool, model_option("--keep-all", help="Keep more than two kidneys, even if the bundle does not.")
    ] = False,
    names: Annotated[
        Literal["scan", "kits-submission"],
        output_option(help="In a folder: SCAN_seg.nii.gz, or prediction_XXXXX.nii.gz."),
    ] = "scan",
    format: Annotated[
        Literal["nifti", "dicom-seg"] | None,
        output_option(help="What to write; default: by the suffix of --out; in a folder, NIfTI."),
    ] = None,
    segmentation_type: Annotated[
        Literal["binary", "labelmap"],
        dicom_option(help="Kind of DICOM SEG: binary, which every viewer reads, or labelmap."),
    ] = "binary",
    sr: Annotated[
        bool,
        dicom_option("--sr", help="Also write a DICOM structured report with the measurements."),
    ] = False,
    report_folder: Annotated[
        Path | None, output_option("--report", help="A folder for an HTML report of each scan.")
    ] = None,
    mesh: Annotated[
        Path | None, output_option(help="A folder for surfaces of each scan, as STL and GLB.")
    ] = None,
    anonymize_report: AnonymizeReport = False,
    overwrite: Overwrite = False,
    strict: Annotated[
        bool, output_option("--strict", help="Exit 1 if no kidney is found in a scan.")
    ] = False,
    resume: Annotated[
        bool,
        cohort_option("--resume", help="Keep complete scans made with the same bundle and options."),
    ] = False,
    table_file: Annotated[
        Path | None, cohort_option("--table", help="Write a row for each scan: a .csv or .parquet file.")
    ] = None,
    cluster: Annotated[
        str | None,
        cohort_option(help="Segment scans on Dask workers: local, slurm, or tcp://scheduler:8786."),
    ] = None,
    workers: Annotated[
        int | None, cohort_option(min=1, help="Processes of --cluster local, jobs of --cluster slurm.")
    ] = None,
    retries: Annotated[
        int, cohort_option(min=0, help="How often a scan is restarted after its worker died.")
    ] = 2,
    cluster_timeout: Annotated[
        float, cohort_option(min=0.1, help="Seconds to wait for the scheduler, and for workers.")
    ] = 30.0,
    slurm: Annotated[
        list[str] | None,
        cohort_option(help="KEY=VALUE for Slurm's jobs, such as queue=cpu; may be repeated."),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Segment kidneys and tumours on CT scans.

    Labels: 0 background, 1 kidney, 2 tumour, on the scan's own grid; in a DICOM SEG (--out NAME.dcm), left and
    right are separate. Exit code 0: all done; 1: one of several scans failed, or no kidney was found although
    --strict or a DICOM SEG was requested; 2: the input cannot be used.
    """
    from renalmap.api.beside import Beside
    from renalmap.api.request import SegmentRequest
    from renalmap.api.segment import CohortRequest
    from renalmap.api.segment import segment as segment_all
    from renalmap.imaging import DicomChoice
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
        dicom=DicomChoice(series, acquisition, resample, allow_missing_slices, orientation),
        assume_hu=assume_hu,
        measure=measure,
        nephrometry=nephrometry,
        overwrite=overwrite,
        names=names,
        format=format,
        segmentation_type=segmentation_type,
        sr=sr,
        beside=Beside(report_folder, mesh, anonymize_report),
    )
    how = CohortRequest(
        resume,
        table=table_file,
        cluster=_cluster_request(cluster, workers, retries, cluster_timeout, slurm or ()),
    )
    with listening(quiet=quiet or json) as listener:
        outcome = segment_all(scans, out, request, how, listener)
    if json:
        show_json(outcome)
    elif not quiet:
        output.print(*segment_tables(outcome.cases))
        for case in outcome.cases:
            if case.measurements is not None:
                output.print(*measurement_tables(case.measurements))
            if case.nephrometry is not None:
                output.print(*nephrometry_tables(case.nephrometry))
    show_troubles(outcome.cases)
    statuses = {case.status for case in outcome.cases}
    unwritten = any(case.output is None for case in outcome.cases)
    if unwritten or (strict and "no_kidney_found" in statuses):
        raise typer.Exit(1)


def _cluster_request(
    address: str | None, workers: int | None, retries: int, timeout_s: float, slurm: Sequence[str]
) -> ClusterRequest | None:
    """What the options request of a cluster; None without --cluster.

    Raises:
        ConfigError: an option needs --cluster, or a setting is not KEY=VALUE.
    """
    if address is None:
        if workers is not None or slurm:
            raise ConfigError("--workers and --slurm need --cluster")
        return None
    from renalmap.api.cohort.connecting import ClusterRequest

    pairs = []
    for text in slurm:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError("a setting for Slurm is not valid", got=text, expected="KEY=VALUE")
        pairs.append((key, value))
    return ClusterRequest(address, workers, retries, timeout_s, tuple(pairs))


def overview(
    scan: Scan,
    segmentation: Annotated[Path, typer.Argument(help="Its label map.")],
    out: Annotated[Path, output_option(help="The PNG to write.")],
    series: Series = None,
    acquisition: Acquisition = None,
    resample: Resample = False,
    allow_missing_slices: AllowMissingSlices = False,
    orientation: Orientation = None,
    memory_gb: Memory = None,
) -> None:
    """Draw three views of a scan with outlines and volumes."""
    from renalmap.api.overview import overview as draw_overview
    from renalmap.imaging import DicomChoice

    dicom = DicomChoice(series, acquisition, resample, allow_missing_slices, orientation)
    draw_overview(scan, segmentation, out, dicom=dicom)
    say(f"wrote {out}")


def demo(
    out: Annotated[Path, output_option(help="A folder for the files.")] = Path("demo"),
    quiet: Quiet = False,
) -> None:
    """Make a synthetic CT, segment it, score the result."""
    from renalmap.api.demo import demo as run_demo

    with listening(quiet=quiet) as listener:
        listener.progress("making a synthetic abdominal CT", 0, 0)
        result = run_demo(out, listener=listener)
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
    output.print(scored, *segment_tables([result.case]))
    for path in (result.scan, result.segmentation, result.overview):
        say(f"wrote {path}")


def show_troubles(cases: Sequence[CaseOutcome]) -> None:
    """Warnings, scans without a kidney and scans that failed, on standard error."""
    for case in cases:
        for text in case.warnings:
            show_warning(text)
        if case.nephrometry is not None:
            show_caveats(case.nephrometry, case.scan)
        if case.status == "no_kidney_found":
            what = f"{case.output} is all background" if case.output else "no DICOM SEG was written"
            show_warning(f"{case.scan}: no kidney was found; {what}")
        if case.error is not None:
            show_error(case.error)
