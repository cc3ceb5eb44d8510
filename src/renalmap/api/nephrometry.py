"""From label maps to the scores by which surgeons judge a kidney tumour."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from renalmap import __version__
from renalmap.api.measure import collect_label_maps, each_label_map, read_case
from renalmap.dataset.cases import Case
from renalmap.imaging import DicomChoice
from renalmap.imaging.files import check_writable, write_text_atomically
from renalmap.nephrometry import Nephrometry, score_label_map
from renalmap.nephrometry.table import nephrometry_to_csv
from renalmap.progress import Progress


class ScoredCase(BaseModel):
    """What became of one label map."""

    model_config = ConfigDict(extra="forbid")

    case: str
    label_map: str
    scan: str | None = None
    status: Literal["ok", "failed"]
    nephrometry: Nephrometry | None = None
    error: str | None = None


class NephrometryOutcome(BaseModel):
    """What `renalmap nephrometry` found."""

    model_config = ConfigDict(extra="forbid")

    renalmap_version: str
    cases: list[ScoredCase]


def nephrometry(
    label_maps: Sequence[Path],
    *,
    scan: Path | None = None,
    dicom: DicomChoice = DicomChoice(),
    csv: Path | None = None,
    overwrite: bool = False,
    progress: Progress = lambda *_: None,
) -> NephrometryOutcome:
    """Score the tumours of label maps, one map at a time.

    Args:
        label_maps: as for `measure`.
        scan: the scan of a single label map: its HU show the fat of the sinus, and its body tells left from right.
        dicom: what to take of a path that holds several DICOM series or acquisitions.
        csv: write one row per tumour here.
        overwrite: replace the CSV if it exists.
        progress: called after every label map.

    Returns:
        The outcome of every label map. One that fails does not stop the others.

    Raises:
        RenalMapError: before the first label map if the request is wrong; for a single label map, its own
            error, `LabelError` if it holds no label at all.
    """
    if csv is not None:
        check_writable(csv, overwrite=overwrite)
    cases = collect_label_maps(label_maps, scan)

    def work(case: Case) -> ScoredCase:
        return _score(case, scan, dicom)

    scored = each_label_map(cases, work, ScoredCase, ("scored", progress))
    if csv is not None:
        rows = [(one.case, one.nephrometry, one.error) for one in scored]
        write_text_atomically(csv, nephrometry_to_csv(rows))
    return NephrometryOutcome(renalmap_version=__version__, cases=scored)


def _score(case: Case, scan: Path | None, dicom: DicomChoice) -> ScoredCase:
    found = score_label_map(*read_case(case, scan, dicom)).model_copy(update={"name": case.case_id})
    return ScoredCase(
        case=case.case_id,
        label_map=str(case.mask),
        scan=None if scan is None else str(scan),
        status="ok",
        nephrometry=found,
    )
