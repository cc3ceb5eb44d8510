"""From one scan to its segmentation and everything written beside it; nothing here knows of other scans."""

from __future__ import annotations

import logging
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from renalmap.api.dicom_seg import check_can_be_dicom_seg, dicom_source_of
from renalmap.api.dicom_sr import sr_path
from renalmap.api.mesh import MeshOutcome
from renalmap.api.outputs import Target, planned_files, probability_paths
from renalmap.api.request import SegmentRequest
from renalmap.api.result import Result
from renalmap.api.segmenter import Segmenter
from renalmap.imaging import (
    doubt_hounsfield,
    read_volume,
    write_label_map,
    write_probability_map,
)
from renalmap.imaging.dicom_seg.writing import check_can_be_written
from renalmap.imaging.dicom_sr.writing import check_sr_can_be_written
from renalmap.imaging.files import check_writable
from renalmap.inference.quality import DroppedEntry, QualityReport
from renalmap.labels import KIDNEY, TUMOUR
from renalmap.measure import Measurements
from renalmap.nephrometry import Nephrometry
from renalmap.progress import Progress
from renalmap.report.html import Names

logger = logging.getLogger(__name__)

REPORTED_FROM_ML = 0.5
"""Dropped components from this volume are listed; smaller ones are counted."""

Status = Literal["ok", "no_kidney_found", "failed"]


class CaseOutcome(BaseModel):
    """What became of one scan. Volumes are on the scan's own grid; seconds for each step."""

    model_config = ConfigDict(extra="forbid")

    scan: str
    status: Status
    output: str | None = None
    """None if it failed, or if nothing was found and the format cannot be empty (DICOM SEG)."""
    structured_report: str | None = None
    """The DICOM structured report, if requested and a DICOM SEG was written."""
    probability_maps: dict[str, str] = {}
    kidney_ml: float | None = None
    """Kidney without tumour."""
    tumour_ml: float | None = None
    slices: int | None = None
    seconds: dict[str, float] = {}
    warnings: list[str] = []
    dropped_components: list[DroppedEntry] = []
    dropped_specks: int = 0
    """Dropped components too small to be listed one by one."""
    quality: QualityReport | None = None
    """What to know before trusting it; None if the scan failed."""
    report: str | None = None
    """The HTML report, if requested."""
    meshes: MeshOutcome | None = None
    """The surfaces, if requested."""
    measurements: Measurements | None = None
    """Measured kidneys and lesions, if requested."""
    nephrometry: Nephrometry | None = None
    """The tumours' scores, if requested."""
    error: str | None = None
    name: str
    """Its name in the cohort; its short name if it is alone."""
    skipped: bool = False
    """It was complete before; its outcome comes from its sidecar."""
    attempts: int = 1
    """How often it was started in the run that made it: more than once if a worker died."""
    worker: str | None = None
    """The process that did it, as host:pid; None for a scan that was never started."""
    load_s: float = 0.0
    """How long the process took to load the model for it; 0 if it was already loaded."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that was written."""
        alone = [each for each in (self.output, self.structured_report, self.report) if each is not None]
        meshes = () if self.meshes is None else self.meshes.files
        return tuple(Path(name) for name in (*alone, *self.probability_maps.values(), *meshes))


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model ready to run.

    Attributes:
        segmenter: with the request's options.
        seconds: how long loading took just now; 0 if it was done before.
    """

    segmenter: Segmenter
    seconds: float = 0.0

    @property
    def told(self) -> dict[str, Any]:
        """What a scan's outcome says about the process that did it."""
        return {"worker": f"{platform.node()}:{os.getpid()}", "load_s": round(self.seconds, 3)}


def load_model(request: SegmentRequest) -> Loaded:
    """Load the model for a request."""
    began = time.perf_counter()
    segmenter = Segmenter(
        request.model, engine=request.engine, device=request.device, options=request.options
    )
    return Loaded(segmenter, time.perf_counter() - began)


def segment_scan(
    load: Callable[[], Loaded],
    target: Target,
    request: SegmentRequest,
    progress: Progress = lambda *_: None,
) -> CaseOutcome:
    """Segment one scan.

    Args:
        load: gives what `load_model` loaded; called once the scan is read.
        target: the scan and where its labels go; that folder exists.
        request: what to write.
        progress: called after every slice.

    Raises:
        InputError: the scan cannot be read, or an output exists and may not be replaced.
    """
    _check_before(target, request)
    start = time.perf_counter()
    volume = read_volume(target.scan, target.dicom)
    read_s = time.perf_counter() - start
    left_out: tuple[str, ...] = ()
    if request.format_of(target.output) == "dicom-seg":  # checked before the work is done
        source = dicom_source_of(volume, target.scan)
        left_out = check_can_be_written(source, target.scan, request.segmentation_type)
        if request.sr:
            check_sr_can_be_written(source, target.scan)
    loaded = load()
    result = loaded.segmenter.segment_volume(volume, progress)
    result = replace(result, seconds={"read": read_s, **result.seconds})
    case = _write_case(result, target, request)
    return case.model_copy(update={**loaded.told, "warnings": [*case.warnings, *left_out]})


def _check_before(target: Target, request: SegmentRequest) -> None:
    """Refuse, before the scan is read, what could not be written."""
    request.beside.make_folders()
    for path in planned_files(target, request):
        check_writable(path, overwrite=request.overwrite)
    if request.format_of(target.output) == "dicom-seg":
        check_can_be_dicom_seg(target.scan)


def _write_case(result: Result, target: Target, request: SegmentRequest) -> CaseOutcome:
    """Write everything requested for a scan, and say what was found and written."""
    found, seconds = result.segmentation, dict(result.seconds)
    start = time.perf_counter()
    labels_written = _write_labels(result, target.output, request)
    maps = probability_paths(target.output) if request.save_probabilities else {}
    geometry = result.volume.geometry
    for region, path in maps.items():
        values = found.probabilities[region].full(geometry.shape)
        write_probability_map(values, geometry, path, overwrite=request.overwrite)
    seconds["write"] = time.perf_counter() - start
    start, measurements = time.perf_counter(), None
    if request.measure or request.beside.report is not None:
        measurements = result.measurements.model_copy(update={"name": target.name})
        seconds["measure"] = time.perf_counter() - start
    start, nephrometry = time.perf_counter(), None
    if request.nephrometry:
        nephrometry = result.nephrometry.model_copy(update={"name": target.name})
        seconds["nephrometry"] = time.perf_counter() - start
    start = time.perf_counter()
    names = Names(target.name, target.scan, target.output)
    report, meshes = request.beside.write(result, names, target.stem, overwrite=request.overwrite)
    if report is not None or meshes is not None:
        seconds["report"] = time.perf_counter() - start
    listed = [each for each in found.dropped if each.volume_ml >= REPORTED_FROM_ML]
    return CaseOutcome(
        name=target.name,
        scan=str(target.scan),
        status="ok" if found.kidney_found else "no_kidney_found",
        output=str(target.output) if labels_written else None,
        structured_report=str(sr_path(target.output)) if request.sr and labels_written else None,
        probability_maps={region: str(path) for region, path in maps.items()},
        kidney_ml=round(found.label_map.volume_ml(KIDNEY), 2),
        tumour_ml=round(found.label_map.volume_ml(TUMOUR), 2),
        slices=geometry.shape[0],
        seconds={part: round(value, 3) for part, value in seconds.items()},
        warnings=_warnings(target.scan, result, assume_hu=request.assume_hu),
        dropped_components=[DroppedEntry.of(component, result.anatomy) for component in listed],
        dropped_specks=len(found.dropped) - len(listed),
        quality=result.quality,
        report=None if report is None else str(report),
        meshes=meshes,
        measurements=measurements if request.measure else None,
        nephrometry=nephrometry,
    )


def _write_labels(result: Result, output: Path, request: SegmentRequest) -> bool:
    """Write the labels; an empty DICOM SEG is not allowed, and is not written."""
    if request.format_of(output) == "nifti":
        write_label_map(result.label_map, output, overwrite=request.overwrite)
        return True
    if result.kidney_found:
        result.save_dicom_seg(
            output,
            segmentation_type=request.segmentation_type,
            sr=sr_path(output) if request.sr else None,
            overwrite=request.overwrite,
        )
    return result.kidney_found


def _warnings(scan: Path, result: Result, *, assume_hu: bool) -> list[str]:
    told = list(result.warnings_about(scan))
    if doubt_hounsfield(result.volume) is None:
        return told
    return told[1:] if assume_hu else [f"{told[0]}, or --assume-hu to silence this warning", *told[1:]]
