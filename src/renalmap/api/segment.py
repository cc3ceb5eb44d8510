"""Scans to segmentations."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from renalmap import __version__
from renalmap.api.beside import Beside
from renalmap.api.dicom_seg import DICOM_SEG_SUFFIX, check_can_be_dicom_seg, dicom_source_of
from renalmap.api.mesh import MeshReport
from renalmap.api.report import Segmented
from renalmap.api.result import Result
from renalmap.api.segmenter import Segmenter
from renalmap.errors import ConfigError, InputError, RenalMapError
from renalmap.imaging import (
    describe_hounsfield_doubt,
    read_volume,
    write_label_map,
    write_probability_map,
)
from renalmap.imaging.dicom_seg.writing import DICOM_SUFFIX, SegmentationType
from renalmap.imaging.files import check_writable
from renalmap.imaging.nifti import is_nifti_name, scan_name
from renalmap.inference.cascade import SegmentOptions
from renalmap.inference.components import DroppedComponent
from renalmap.inference.quality import QualityReport, describe_flags
from renalmap.inference.session import Device, Engine
from renalmap.labels import KIDNEY, TUMOUR
from renalmap.measure import Measurements, measure_label_map
from renalmap.report.html import Names

logger = logging.getLogger(__name__)

KITS_IMAGE_NAME = "imaging"
SEGMENTATION_SUFFIX = "_seg.nii.gz"

REPORTED_FROM_ML = 0.5
"""Dropped components from this volume are listed; smaller ones are counted."""

OutputNames = Literal["scan", "kits-submission"]
OutputFormat = Literal["nifti", "dicom-seg"]

_KITS_NUMBER = re.compile(r"(?:case|master|prediction)_(\d{5})(?:_0000)?")
"""What KiTS and nnU-Net call the scan of a case; `master_XXXXX` is how KiTS serves it."""

_ENDINGS: dict[OutputFormat, str] = {
    "nifti": ".nii.gz or .nii (.dcm for a DICOM SEG)",
    "dicom-seg": ".dcm",
}

Status = Literal["ok", "no_kidney_found", "failed"]


class DroppedReport(BaseModel):
    """A component of the network's foreground that was taken for a mistake."""

    model_config = ConfigDict(extra="forbid")

    volume_ml: float
    slice: int
    reason: str

    @classmethod
    def of(cls, component: DroppedComponent) -> DroppedReport:
        """What is told of a component."""
        return cls(
            volume_ml=round(component.volume_ml, 2),
            slice=round(component.centre_zyx[0]),
            reason=component.reason,
        )


class CaseReport(BaseModel):
    """What became of one scan. Volumes are on the scan's own grid; seconds by part."""

    model_config = ConfigDict(extra="forbid")

    scan: str
    status: Status
    output: str | None = None
    """None if it failed, or if nothing was found and the format cannot hold nothing (DICOM SEG)."""
    probability_maps: dict[str, str] = {}
    kidney_ml: float | None = None
    """Kidney without tumour."""
    tumour_ml: float | None = None
    slices: int | None = None
    seconds: dict[str, float] = {}
    warnings: list[str] = []
    dropped_components: list[DroppedReport] = []
    dropped_specks: int = 0
    """Dropped components too small to be listed one by one."""
    quality: QualityReport | None = None
    """What to know before trusting it; None where the scan failed."""
    report: str | None = None
    """The HTML report, if one was asked for."""
    meshes: MeshReport | None = None
    """The surfaces, if they were asked for."""
    measurements: Measurements | None = None
    """Kidneys and lesions measured, if that was asked for."""
    error: str | None = None


class SegmentReport(BaseModel):
    """What `renalmap segment` did."""

    model_config = ConfigDict(extra="forbid")

    renalmap_version: str
    bundle_sha256: str
    cases: list[CaseReport]


@dataclass(frozen=True)
class SegmentRequest:
    """What to segment with, and what to write.

    Attributes:
        model: the bundle's folder; None takes the one that ships with the package.
        device: `cpu` or `cuda`.
        engine: `onnxruntime` or `openvino`; `auto` takes the faster one that is installed.
        options: how to run.
        save_probabilities: write maps of kidney and tumour probability beside the labels.
        series: which series of a DICOM study: its SeriesInstanceUID or SeriesNumber.
        acquisition: which acquisition of a DICOM series.
        resample: correct a tilted gantry or a varying slice distance instead of refusing it.
        assume_hu: do not warn of values that cannot be HU.
        measure: also measure kidneys and lesions.
        overwrite: replace outputs that exist.
        names: what outputs in a folder are called: `<scan's name>_seg.nii.gz`, or as KiTS wants
            submissions, `prediction_XXXXX.nii.gz`.
        format: `nifti` or `dicom-seg`; None goes by the output's name, and in a folder takes NIfTI.
        segmentation_type: of a DICOM SEG: `binary` or `labelmap`.
        beside: a report and surfaces to write beside the labels.
    """

    model: Path | None = None
    device: Device = "cpu"
    engine: Engine = "auto"
    options: SegmentOptions = field(default_factory=SegmentOptions)
    save_probabilities: bool = False
    series: str | None = None
    acquisition: int | None = None
    resample: bool = False
    assume_hu: bool = False
    measure: bool = False
    overwrite: bool = False
    names: OutputNames = "scan"
    format: OutputFormat | None = None
    segmentation_type: SegmentationType = "binary"
    beside: Beside = field(default_factory=Beside)

    def format_of(self, out: Path) -> OutputFormat:
        """The format of what is written to a path."""
        dicom = out.name.lower().endswith(DICOM_SUFFIX) and not out.is_dir()
        return self.format or ("dicom-seg" if dicom else "nifti")


ScanProgress = Callable[[Path, str, int, int], None]
"""Told (scan, what is being done, slices done, slices in all)."""


def segment_scans(
    scans: Sequence[Path],
    out: Path,
    request: SegmentRequest = SegmentRequest(),
    progress: ScanProgress = lambda *_: None,
) -> SegmentReport:
    """Segment scans, one after the other.

    Args:
        scans: NIfTI files; DICOM folders, `.zip` archives, DICOMDIRs, enhanced CT files.
        out: for one scan the file to write, or a folder that exists; for several a folder, made if it
            is missing, that receives `<scan's name>_seg.nii.gz` or `_seg.dcm`. The name of KiTS19's
            `case_XXXXX/imaging.nii.gz` is its folder's. For KiTS's names always a folder.
        request: bundle, device, options.
        progress: called after every slice.

    Returns:
        A report with every scan. One that fails does not stop the others.

    Raises:
        RenalMapError: before the first scan for a fault of the request; for a single scan, its own.
    """
    outputs = _outputs(scans, out, request)
    request.beside.check()
    stems = [request.beside.stem(short_name(scan), number) for number, scan in enumerate(scans, 1)]
    segmenter = Segmenter(
        request.model, engine=request.engine, device=request.device, options=request.options
    )
    if outputs != [out]:
        out.mkdir(parents=True, exist_ok=True)
    reports = []
    for scan, output, stem in zip(scans, outputs, stems, strict=True):
        try:
            reports.append(_segment_scan(segmenter, (scan, output, stem), request, progress))
        except Exception as error:  # whatever broke one scan, the others are still to be done
            if len(scans) == 1:
                raise
            known = isinstance(error, RenalMapError)
            logger.log(logging.INFO if known else logging.ERROR, "%s failed", scan, exc_info=True)
            text = str(error) if known else f"{scan}: {type(error).__name__}: {error}"
            reports.append(CaseReport(scan=str(scan), status="failed", error=text))
    return SegmentReport(
        renalmap_version=__version__, bundle_sha256=segmenter.bundle.digest, cases=reports
    )


def short_name(scan: Path) -> str:
    """A scan's name: the file's without suffix, the DICOM folder's, or a KiTS19 case's."""
    name = scan_name(scan)
    return scan.absolute().parent.name if name == KITS_IMAGE_NAME else name


def _outputs(scans: Sequence[Path], out: Path, request: SegmentRequest) -> list[Path]:
    """Where each scan's labels go; refuses what would fail after the work is done."""
    names, form = request.names, request.format_of(out)
    if not scans:
        raise ConfigError("no scan was given")
    if form == "dicom-seg" and names != "scan":
        raise ConfigError("KiTS takes submissions as NIfTI", got="the format dicom-seg")
    if form == "nifti" and request.segmentation_type != "binary":
        raise ConfigError(
            "a segmentation type is a DICOM SEG's",
            got=f"{request.segmentation_type} for NIfTI",
            hint="Give --format dicom-seg, or an --out that ends in .dcm",
        )
    if len(scans) == 1 and not out.is_dir() and names == "scan":
        outputs = [out]
    else:
        if out.exists() and not out.is_dir():
            raise ConfigError(
                "several scans, and KiTS's names, need a folder as --out", where=out, got="a file"
            )
        files = [_output_name(scan, names, form) for scan in scans]
        repeated = sorted({name for name in files if files.count(name) > 1})
        if repeated:
            raise ConfigError(
                "scans of the same name would overwrite each other",
                got=", ".join(repeated[:5]),
                hint="Segment them in separate calls, with another --out",
            )
        outputs = [out / name for name in files]
    for output in outputs:
        if not (
            output.name.lower().endswith(DICOM_SUFFIX) if form == "dicom-seg" else is_nifti_name(output)
        ):
            raise InputError(
                "the output's name decides its format and this one is unknown"
                if request.format is None
                else f"the output's name is none of a {form} file",
                where=output,
                got=output.suffix or "no suffix",
                expected=f"a name that ends in {_ENDINGS[form]}, or a folder that exists",
            )
        if output.exists() and any(scan.exists() and output.samefile(scan) for scan in scans):
            raise ConfigError(
                "the labels would replace the scan", where=output, hint="Give another --out"
            )
    return outputs


def _output_name(scan: Path, names: OutputNames, form: OutputFormat) -> str:
    name = short_name(scan)
    if names == "scan":
        return f"{name}{DICOM_SEG_SUFFIX if form == 'dicom-seg' else SEGMENTATION_SUFFIX}"
    number = _KITS_NUMBER.fullmatch(name)
    if number is None:
        raise ConfigError(
            "a scan without a case number has no name in a submission to KiTS",
            where=scan,
            got=name,
            expected="case_XXXXX, as case_00210/imaging.nii.gz or case_00210.nii.gz",
        )
    return f"prediction_{number[1]}.nii.gz"


def _segment_scan(
    segmenter: Segmenter,
    names: tuple[Path, Path, str],
    request: SegmentRequest,
    progress: ScanProgress,
) -> CaseReport:
    scan, output, stem = names
    maps = _probability_paths(output) if request.save_probabilities else {}
    for path in (output, *maps.values()):
        check_writable(path, overwrite=request.overwrite)
    request.beside.prepare(stem, overwrite=request.overwrite)
    dicom_seg = request.format_of(output) == "dicom-seg"
    if dicom_seg:
        check_can_be_dicom_seg(scan)
    start = time.perf_counter()
    volume = read_volume(
        scan, series=request.series, acquisition=request.acquisition, resample=request.resample
    )
    read_s = time.perf_counter() - start
    if dicom_seg:
        dicom_source_of(volume, scan)  # found out before the work is done
    result = segmenter.segment_volume(
        volume, lambda what, done, total: progress(scan, what, done, total)
    )
    found, quality = result.segmentation, result.quality
    start = time.perf_counter()
    written = _write_labels(result, output, request)
    for region, path in maps.items():
        values = found.probabilities[region].full(volume.geometry.shape)
        write_probability_map(values, volume.geometry, path, overwrite=request.overwrite)
    seconds = {"read": read_s, **result.seconds, "write": time.perf_counter() - start}
    measurements = None
    if request.measure or request.beside.report is not None:
        start = time.perf_counter()
        named_labels = replace(found.label_map, name=short_name(scan))
        measurements = measure_label_map(named_labels, volume)
        seconds["measure"] = time.perf_counter() - start
    start = time.perf_counter()
    report, meshes = request.beside.write(
        Segmented(volume, found.label_map, quality, result.bundle_sha256, measurements),
        Names(short_name(scan), scan, output),
        stem,
        overwrite=request.overwrite,
    )
    if report is not None or meshes is not None:
        seconds["report"] = time.perf_counter() - start
    return CaseReport(
        scan=str(scan),
        status="ok" if found.kidney_found else "no_kidney_found",
        output=str(output) if written else None,
        probability_maps={region: str(path) for region, path in maps.items()},
        kidney_ml=round(found.label_map.volume_ml(KIDNEY), 2),
        tumour_ml=round(found.label_map.volume_ml(TUMOUR), 2),
        slices=volume.geometry.shape[0],
        seconds={part: round(value, 3) for part, value in seconds.items()},
        warnings=_warnings(scan, result, assume_hu=request.assume_hu),
        dropped_components=[
            DroppedReport.of(component)
            for component in found.dropped
            if component.volume_ml >= REPORTED_FROM_ML
        ],
        dropped_specks=sum(component.volume_ml < REPORTED_FROM_ML for component in found.dropped),
        quality=quality,
        report=None if report is None else str(report),
        meshes=meshes,
        measurements=measurements if request.measure else None,
    )


def _write_labels(result: Result, output: Path, request: SegmentRequest) -> bool:
    """Write the labels; a DICOM SEG of nothing is none, and is not written."""
    if request.format_of(output) == "nifti":
        write_label_map(result.label_map, output, overwrite=request.overwrite)
        return True
    if result.kidney_found:
        result.save_dicom_seg(
            output, segmentation_type=request.segmentation_type, overwrite=request.overwrite
        )
    return result.kidney_found


def _warnings(scan: Path, result: Result, *, assume_hu: bool) -> list[str]:
    doubt = None
    if not assume_hu:
        doubt = describe_hounsfield_doubt(replace(result.volume, name=str(scan)))
    cautions = [*result.volume.notes, *(f"{scan}: {text}" for text in describe_flags(result.quality))]
    return cautions if doubt is None else [f"{doubt}, or --assume-hu to silence this warning", *cautions]


def _probability_paths(output: Path) -> dict[str, Path]:
    stem = scan_name(output)
    if stem.lower().endswith(DICOM_SUFFIX):
        stem = stem[: -len(DICOM_SUFFIX)]
    return {
        region: output.with_name(f"{stem}_{region}_probability.nii.gz")
        for region in ("kidney", "tumour")
    }
