"""What a follow-up page is about."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np

from renalmap.followup import Comparison
from renalmap.imaging.volume import LabelMap, Volume
from renalmap.measure.measurements import Measurements

_AIR_HU = -1000


def _today() -> date:
    """By local time, not Greenwich's."""
    return datetime.now(UTC).astimezone().date()


@dataclass(frozen=True, eq=False)
class FollowUpScan:
    """One of the two scans.

    Attributes:
        labels: its label map.
        scan: on the same grid; None if it was not given: then outlines are drawn on black.
        measurements: of the labels.
        cautions: what to know before trusting them, in addition to the measurements' flags.
        taken_on: its day; None if it is not known, or not to be shown.
        files: the paths that are shown; none on a page without names.
    """

    labels: LabelMap
    scan: Volume | None
    measurements: Measurements
    cautions: tuple[str, ...] = ()
    taken_on: date | None = None
    files: tuple[Path, ...] = ()

    @property
    def background(self) -> Volume:
        """What its outlines are drawn on."""
        if self.scan is not None:
            return self.scan
        geometry = self.labels.geometry
        black = np.broadcast_to(np.array(_AIR_HU, np.int16), geometry.shape)
        return Volume(black, geometry)


@dataclass(frozen=True, eq=False)
class FollowUpContents:
    """Both scans and what has changed between them; `made_on` is the day the page is made."""

    before: FollowUpScan
    after: FollowUpScan
    comparison: Comparison
    made_on: date = field(default_factory=_today)
