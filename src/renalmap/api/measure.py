"""From label maps to measurements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from renalmap import __version__
from renalmap.anatomy import Anatomy
from renalmap.api.dicom_sr import check_sr_request, write_sr_beside_seg
from renalmap.api.evaluate import case_name, find_label_maps
from renalmap.dataset.cases import Case, read_mask
from renalmap.errors import ConfigError, DatasetError, LabelError, PathMissingError, describe_failure
from renalmap.imaging import DicomChoice, LabelMap, Volume, read_volume
from renalmap.imaging.files import check_writable, write_text_atomically
from renalmap.measure import Measurements, measure_anatomy
from renalmap.measure.table import measurements_to_csv
from renalmap.progress import Progress

Done = TypeVar("Done")


class MeasuredCase(BaseModel):
    """What became of one label map."""

    model_config = ConfigDict(extra="forbid")

    case: str
    label_map: str
    scan: str | None = None
    status: Literal["ok", "failed"]
    measurements: Measurements | None = None
    structured_report: str | None = None
    """The DICOM structured report, if requested."""
    error: str | None = None


class MeasureOutcome(BaseModel):
    """What `renalmap measure` found."""

    model_config = ConfigDict(extra="forbid")

    renalmap_version: str
    cases: list[MeasuredCase]


def measure(  # noqa: PLR0913 -- what it reads, and what it writes
    label_maps: Sequence[Path],
    *,
    scan: Path | None = None,
    dicom: DicomChoice = DicomChoice(),
    csv: Path | None = None,
    sr: Path | None = None,
    overwrite: bool = False,
    progress: Progress = lambda *_: None,
) -> MeasureOutcome:
    """Measure label maps one by one.

    Args:
        label_maps: files, or folders of them: named after their cases as for `evaluate`, or in
            the layout of KiTS19, KiTS21, KiTS23 or nnU-Net.
        scan: the scan of a single label map: gives HU, and the body, which tells left from right.
        dicom: what to take of a path that holds several DICOM series or acquisitions; `orientation` also of
            the label maps.
        csv: write one row per kidney and lesion here.
        sr: write a DICOM structured report of a single DICOM SEG, with its scan, here.
        overwrite: replace the CSV and the structured report if they exist.
        progress: called after every label map.

    Returns:
        The outcome of every label map. One that fails does not stop the others.

    Raises:
        RenalMapError: before the first label map if the request is wrong; for a single label map, its own
            error, `LabelError` if it holds no label at all.
    """
    for output in (csv, sr):
        if output is not None:
            check_writable(output, overwrite=overwrite)
    cases = collect_label_maps(label_maps, scan)
    if sr is not None:
        if len(cases) != 1:
            raise ConfigError("a structured report is of one label map", got=f"{len(cases)} label maps")
        check_sr_request(cases[0].mask or label_maps[0], scan)

    def work(case: Case) -> MeasuredCase:
        return _measure(case, scan, dicom, sr, overwrite=overwrite)

    measured = each_label_map(cases, work, MeasuredCase, ("measured", progress))
    if csv is not None:
        rows = [(one.case, one.measurements, one.error) for one in measured]
        write_text_atomically(csv, measurements_to_csv(rows))
    return MeasureOutcome(renalmap_version=__version__, cases=measured)


def collect_label_maps(paths: Sequence[Path], scan: Path | None) -> list[Case]:
    """Every label map in the order given, a folder's by name; a scan belongs to a single one."""
    cases: list[Case] = []
    for path in paths:
        if not path.exists():
            raise PathMissingError("there is nothing to measure", where=path)
        if path.is_dir():
            found = find_label_maps(path)
            if not found:
                raise DatasetError(
                    "the folder holds no label map",
                    where=path,
                    expected=".nii or .nii.gz files, or KiTS's case_XXXXX/segmentation.nii.gz",
                )
            cases += [found[case] for case in sorted(found)]
        else:
            name = case_name(path)
            cases.append(Case(name, name, mask=path))
    if scan is not None and len(cases) != 1:
        raise ConfigError(
            "a scan belongs to one label map",
            where=scan,
            got=f"{len(cases)} label maps",
            hint="Give them one by one, each with its scan",
        )
    return cases


def each_label_map(
    cases: Sequence[Case],
    work: Callable[[Case], Done],
    failed: Callable[..., Done],
    told: tuple[str, Progress],
) -> list[Done]:
    """Work on label maps one by one. Of several, one that fails does not stop the others; a single one's error is raised.

    Args:
        cases: at least one.
        work: what to do with each.
        failed: makes what stands for one that failed, of the fields `case`, `label_map`, `status` and `error`.
        told: what has been done, as "measured", and whom to tell after each.
    """
    verb, progress = told
    done = []
    for number, case in enumerate(cases, start=1):
        try:
            done.append(work(case))
        except Exception as error:
            if (
                len(cases) == 1
            ):  # whatever is wrong with one of several, the others still have to be done
                raise
            path = str(case.mask)
            message = describe_failure(path, error)
            done.append(failed(case=case.case_id, label_map=path, status="failed", error=message))
        progress(f"{verb} {case.case_id}", number, len(cases))
    return done


def read_case(case: Case, scan: Path | None, dicom: DicomChoice) -> tuple[LabelMap, Volume | None]:
    """A label map that holds something, named by its path, and its scan if there is one."""
    label_map = replace(read_mask(replace(case, orientation=dicom.orientation)), name=str(case.mask))
    _check_not_empty(label_map)
    return label_map, None if scan is None else read_volume(scan, dicom)


def _check_not_empty(label_map: LabelMap) -> None:
    if not label_map.labels.any():
        raise LabelError(
            "the label map is empty: there is no kidney, tumour or cyst to measure",
            where=label_map.name,
            got="only background",
            hint="See the warnings of the segmentation",
        )


def _measure(
    case: Case, scan: Path | None, dicom: DicomChoice, sr: Path | None, *, overwrite: bool
) -> MeasuredCase:
    label_map, volume = read_case(case, scan, dicom)
    anatomy = Anatomy.of(label_map, volume)
    measurements = measure_anatomy(anatomy).model_copy(update={"name": case.case_id})
    if sr is not None and scan is not None and case.mask is not None:
        write_sr_beside_seg(sr, (case.mask, anatomy), measurements, scan, overwrite=overwrite)
    return MeasuredCase(
        case=case.case_id,
        label_map=str(case.mask),
        scan=None if scan is None else str(scan),
        status="ok",
        measurements=measurements,
        structured_report=None if sr is None else str(sr),
    )
