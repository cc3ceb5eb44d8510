"""What a report tells of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from renalmap.imaging.volume import LabelMap, Volume
from renalmap.inference.quality import QualityReport
from renalmap.measure.results import Measurements


@dataclass(frozen=True)
class Names:
    """What a report calls its scan.

    Attributes:
        title: the scan's short name.
        scan: the scan's path, as the user gave it.
        labels: the label map's.
    """

    title: str
    scan: Path
    labels: Path


@dataclass(frozen=True, eq=False)
class ReportContents:
    """One scan, its labels and what is known of them.

    Attributes:
        scan: HU, axes (z, y, x).
        labels: on the scan's grid.
        measurements: of these labels on this scan.
        made_on: the day the report is made.
        names: names and paths, the only ones that are shown; None for a report without any.
        quality: of the segmentation; None where the labels were there already.
        cautions: what to know before trusting the labels, beside what quality and measurements say.
        bundle_sha256: names the model that made the labels; None where that is not known.
    """

    scan: Volume
    labels: LabelMap
    measurements: Measurements
    made_on: date
    names: Names | None = None
    quality: QualityReport | None = None
    cautions: tuple[str, ...] = ()
    bundle_sha256: str | None = None
