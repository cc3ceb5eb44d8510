"""What an inspection finds: a finding, a case, a data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from renalmap.dataset.layouts import Case

Severity = Literal["error", "warning", "note"]

SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "note")
"""Worst first. An error: training or scoring on the case would fail or be wrong. A warning: it may be, so somebody
should look. A note: good to know."""

Check = Literal[
    "not_inspected",
    "unreadable",
    "missing",
    "grid",
    "spacing",
    "labels",
    "empty",
    "region_missing",
    "holes",
    "islands",
    "kidneys",
    "border",
    "apart",
    "size",
    "stored",
    "intensity",
    "kidney_hu",
    "second_phase",
    "duplicate",
    "known_issue",
    "table",
]
"""What was checked; docs/inspect.md explains each."""


class Finding(BaseModel):
    """One thing that was found.

    Attributes:
        check: which check found it.
        severity: how much it matters.
        text: what was found, a clause with its numbers.
        source: where it was published, for a known issue.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    check: Check
    severity: Severity
    text: str
    source: str | None = None


class IntensityRange(BaseModel):
    """A scan's intensities in HU; percentiles are rounded to whole HU and lie within int16."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_hu: float
    p01_hu: float
    p50_hu: float
    p99_hu: float
    max_hu: float
    kidney_p50_hu: float | None = None
    """Median where the mask says kidney; None without a kidney."""


class CaseInspection(BaseModel):
    """What was found in one case. Measurements are None if there was nothing to measure.

    Attributes:
        shape_zyx: voxels along (z, y, x).
        spacing_mm: voxel spacing (z, y, x).
        kidney_ml: label 1 by itself.
        labelled_slices: first and last slice with a label, from 0 at the feet.
        components: 26-connected components of everything labelled.
        holes_ml: background that is enclosed in 3D.
        tumour_diameter_mm: longest axial diameter of the largest tumour, as it is measured.
        image_sha256: of the canonical voxels and their shape: two files with the same voxels agree.
        mask_sha256: of the canonical labels; None for an empty mask.
    """

    model_config = ConfigDict(extra="forbid")

    case_id: str
    patient: str
    image: str | None = None
    mask: str | None = None
    shape_zyx: tuple[int, int, int] | None = None
    spacing_mm: tuple[float, float, float] | None = None
    kidney_ml: float | None = None
    tumour_ml: float | None = None
    cyst_ml: float | None = None
    labelled_slices: tuple[int, int] | None = None
    components: int | None = None
    holes_ml: float | None = None
    tumour_diameter_mm: float | None = None
    intensity: IntensityRange | None = None
    image_sha256: str | None = None
    mask_sha256: str | None = None
    findings: list[Finding] = []

    @classmethod
    def of(cls, case: Case) -> CaseInspection:
        """Of a case about which nothing is known yet."""
        return cls(
            case_id=case.case_id,
            patient=case.patient,
            image=None if case.image is None else str(case.image),
            mask=None if case.mask is None else str(case.mask),
        )

    def add(self, check: Check, severity: Severity, text: str, source: str | None = None) -> None:
        """Note a finding."""
        self.findings.append(Finding(check=check, severity=severity, text=text, source=source))

    @property
    def worst(self) -> Severity | None:
        """The worst severity among the findings; None without any."""
        return worst(self.findings)


def worst(findings: Sequence[Finding]) -> Severity | None:
    """The worst severity there is; None without findings."""
    present = {finding.severity for finding in findings}
    return next((severity for severity in SEVERITIES if severity in present), None)
