"""What a report is about."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

from renalmap.anatomy import Voxels
from renalmap.imaging.dicom_files.source import DicomSource
from renalmap.imaging.volume import LabelMap, SliceNames, Volume
from renalmap.inference.phase import ContrastReport
from renalmap.inference.quality import DroppedEntry, QualityReport
from renalmap.measure.measurements import Measurements
from renalmap.nephrometry import Nephrometry


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
    """By local time, not Greenwich's."""
    return datetime.now(UTC).astimezone().date()


@dataclass(frozen=True, eq=False)
class ReportContents:
    """One scan, its labels and what is known about them.

    Attributes:
        scan: HU, axes (z, y, x).
        labels: on the scan's grid.
        measurements: of these labels on this scan.
        names: names and paths, the only ones shown; None for a report without any.
        quality: of the segmentation; None if the labels existed before.
        contrast: the scan's contrast phase, where there is no quality report that holds it.
        nephrometry: the tumours' scores; None if they were not scored.
        exophytic: the parts of tumours outside their kidney's outline, which are hatched.
        cautions: what to know before trusting the labels, in addition to quality and measurements.
        bundle_sha256: names the model that made the labels; None if that is not known.
        made_on: the day the report is made.
    """

    scan: Volume
    labels: LabelMap
    measurements: Measurements
    names: Names | None = None
    quality: QualityReport | None = None
    contrast: ContrastReport | None = None
    nephrometry: Nephrometry | None = None
    exophytic: tuple[Voxels, ...] = ()
    cautions: tuple[str, ...] = ()
    bundle_sha256: str | None = None
    made_on: date = field(default_factory=_today)

    @property
    def phase(self) -> ContrastReport | None:
        """The scan's contrast phase; None if nobody looked for it."""
        return self.contrast if self.quality is None else self.quality.contrast

    @property
    def dicom(self) -> DicomSource | None:
        """The DICOM objects behind the scan; None for other files, and in a report without names: they identify."""
        return None if self.names is None else self.scan.source

    @property
    def candidates(self) -> list[DroppedEntry]:
        """What the model found and the rules left out; empty if that is not known."""
        return [] if self.quality is None else self.quality.candidates

    @property
    def doubtful(self) -> set[int]:
        """The `id` of every tumour that may be none."""
        judged = [] if self.quality is None else self.quality.tumours
        return {tumour.id for tumour in judged if tumour.doubtful}

    def slice_names(self, z: int) -> SliceNames:
        """The names of a slice, DICOM's only where they may be told."""
        return SliceNames.of(z, None if self.dicom is None else self.scan)
