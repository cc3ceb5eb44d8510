"""Where the files of a segmentation go, and what they are called."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from renalmap.api.dicom_seg import DICOM_SEG_SUFFIX
from renalmap.api.dicom_sr import sr_path
from renalmap.api.request import OutputFormat, OutputNames, SegmentRequest
from renalmap.dataset.cohort import Cohort, CohortScan, short_name
from renalmap.errors import ConfigError, InputError
from renalmap.imaging import DicomChoice
from renalmap.imaging.dicom_seg.writing import DICOM_SUFFIX
from renalmap.imaging.nifti import is_nifti_name, scan_name

SEGMENTATION_SUFFIX: Final = "_seg.nii.gz"

_KITS_NUMBER: Final = re.compile(r"(?:case|master|prediction)_(\d{5})(?:_0000)?")
"""What KiTS and nnU-Net call the scan of a case; `master_XXXXX` is how KiTS serves it."""

_ENDINGS: Final[dict[OutputFormat, str]] = {
    "nifti": ".nii.gz or .nii (.dcm for a DICOM SEG)",
    "dicom-seg": ".dcm",
}


@dataclass(frozen=True)
class Target:
    """A scan and its outputs.

    Attributes:
        name: what the scan is called.
        scan: its file or folder.
        output: where its labels go.
        stem: prefix of the files in other folders.
        dicom: what to take of a path that holds several DICOM series or acquisitions.
    """

    name: str
    scan: Path
    output: Path
    stem: str
    dicom: DicomChoice = DicomChoice()

    @property
    def absolute(self) -> Target:
        """With paths that mean the same in another working directory."""
        return replace(self, scan=self.scan.absolute(), output=self.output.absolute())


def plan_targets(cohort: Cohort, out: Path, request: SegmentRequest) -> list[Target]:
    """The outputs of each scan; refuses what would fail after the work is done.

    Args:
        cohort: the scans; outputs of several, and of those that have names, go into a folder.
        out: as in `segment`.
        request: says what is written, in which format, and what outputs in a folder are called.

    Raises:
        ConfigError: two outputs would have one name, one would replace its scan, or they would lie among the
            scans.
        InputError: an output's name does not give a format.
        MissingDependencyError: what would write it is not installed.
    """
    scans = [scan.path for scan in cohort.scans]
    target, *folders = (Path(os.path.realpath(each)) for each in (out, *cohort.folders))
    inside = any(target.is_relative_to(folder) for folder in folders)
    if target in folders or (inside and holds_any(out, scans)):
        raise ConfigError(
            "the results would be among the scans", where=out, hint="Give another folder as --out"
        )
    request.beside.check()
    names, form = request.names, request.format_of(out)
    if not scans:
        raise ConfigError("no scan was given")
    if form == "dicom-seg" and names != "scan":
        raise ConfigError("KiTS takes submissions as NIfTI", got="the format dicom-seg")
    if form == "nifti" and request.segmentation_type != "binary":
        raise ConfigError(
            "a segmentation type applies only to DICOM SEG",
            got=f"{request.segmentation_type} for NIfTI",
            hint="Give --format dicom-seg, or an --out that ends in .dcm",
        )
    if form == "nifti" and request.sr:
        raise ConfigError(
            "a structured report refers to the segments of a DICOM SEG",
            got="--sr for NIfTI",
            hint="Give --format dicom-seg, or an --out that ends in .dcm",
        )
    own = [scan.name or short_name(scan.path) for scan in cohort.scans]
    if not cohort.is_several and not out.is_dir() and names == "scan":
        outputs = [out]
    else:
        named_as_file = is_nifti_name(out) or out.name.lower().endswith(DICOM_SUFFIX)
        if (out.exists() or named_as_file) and not out.is_dir():
            raise ConfigError(
                "several scans, or KiTS's names, need a folder as --out",
                where=out,
                got="a file" if out.exists() else f"{len(scans)} scans and the name of a file",
            )
        files = [_output_name(*pair, names, form) for pair in zip(scans, own, strict=True)]
        repeated = sorted({name for name in files if files.count(name) > 1})
        if repeated:
            raise ConfigError(
                "scans of the same name would overwrite each other",
                got=", ".join(repeated[:5]),
                hint="Segment them in separate calls, with another --out",
            )
        outputs = [out / name for name in files]
    for output in outputs:
        _check_output(output, scans, request, form)
    return [
        Target(name, scan.path, output, request.beside.stem(name, number), _choice(request.dicom, scan))
        for number, (name, scan, output) in enumerate(zip(own, cohort.scans, outputs, strict=True), 1)
    ]


def _choice(dicom: DicomChoice, scan: CohortScan) -> DicomChoice:
    return dicom if scan.acquisition is None else replace(dicom, acquisition=scan.acquisition)


def holds_any(folder: Path, paths: Sequence[Path]) -> bool:
    """Whether any of some files lies in a folder or below it, by its own name or where links lead."""
    here, there = folder.absolute(), Path(os.path.realpath(folder))
    return any(
        path.absolute().is_relative_to(here) or Path(os.path.realpath(path)).is_relative_to(there)
        for path in paths
    )


def _check_output(
    output: Path, scans: Sequence[Path], request: SegmentRequest, form: OutputFormat
) -> None:
    fits = output.name.lower().endswith(DICOM_SUFFIX) if form == "dicom-seg" else is_nifti_name(output)
    if not fits:
        raise InputError(
            "the suffix of the output decides its format, and this one is unknown"
            if request.format is None
            else f"the output's name is not that of a {form} file",
            where=output,
            got=output.suffix or "no suffix",
            expected=f"a name that ends in {_ENDINGS[form]}, or a folder that exists",
        )
    if output.exists() and any(scan.exists() and output.samefile(scan) for scan in scans):
        raise ConfigError("the labels would replace the scan", where=output, hint="Give another --out")


def planned_files(target: Target, request: SegmentRequest) -> tuple[Path, ...]:
    """Every file that a scan's segmentation will write, its labels first; those of surfaces are not known."""
    maps = probability_paths(target.output) if request.save_probabilities else {}
    report = request.beside.report_path(target.stem)
    sr = (sr_path(target.output),) if request.sr else ()
    return (target.output, *maps.values(), *sr, *(() if report is None else (report,)))


def probability_paths(output: Path) -> dict[str, Path]:
    """Where maps of the regions' probability go, beside the labels."""
    stem = scan_name(output)
    if stem.lower().endswith(DICOM_SUFFIX):
        stem = stem[: -len(DICOM_SUFFIX)]
    return {
        region: output.with_name(f"{stem}_{region}_probability.nii.gz")
        for region in ("kidney", "tumour")
    }


def _output_name(scan: Path, name: str, names: OutputNames, form: OutputFormat) -> str:
    if names == "scan":
        return f"{name}{DICOM_SEG_SUFFIX if form == 'dicom-seg' else SEGMENTATION_SUFFIX}"
    number = _KITS_NUMBER.fullmatch(name)
    if number is None:
        raise ConfigError(
            "a scan without a case number cannot be named for a submission to KiTS",
            where=scan,
            got=name,
            expected="case_XXXXX, such as case_00210/imaging.nii.gz or case_00210.nii.gz",
        )
    return f"prediction_{number[1]}.nii.gz"
