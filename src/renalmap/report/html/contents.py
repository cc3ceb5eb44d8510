"""What a report tells of."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

from renalmap.imaging.volume import LabelMap, Volume
from renalmap.inference.quality import QualityReport
from renalmap.measure.measurements import Measurements


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


def _today() -> date:
    """By the clock on the wall, not in Greenwich."""
    return datetime.now(UTC).astimezone().date()


@dataclass(frozen=True, eq=False)
class ReportContents:
    """One scan, its labels and what is known of them.

    Attributes:
        scan: HU, axes (z, y, x).
        labels: on the scan's grid.
        measurements: of these labels on this scan.
        names: names and paths, the only ones that are shown; None for a report without any.
        quality: of the segmentation; None where the labels were there already.
        cautions: what to know before trusting the labels, beside what quality and measurements say.
        bundle_sha256: names the model that made the labels; None where that is not known.
        made_on: the day the report is made.
    """

    scan: Volume
    labels: LabelMap
    measurements: Measurements
    names: Names | None = None
    quality: QualityReport | None = None
    cautions: tuple[str, ...] = ()
    bundle_sha256: str | None = None
    made_on: date = field(default_factory=_today)
