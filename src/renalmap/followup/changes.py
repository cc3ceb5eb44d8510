"""How much a number has changed, and how much it must change before that means anything."""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot, log
from typing import Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from renalmap.anatomy import Voxels

BORDER_MM: Final = 0.5
"""By how much an outline as a whole lies too far out or in, one standard deviation: an assumption, see docs/follow-up.md."""

LEAST_INTERVAL_DAYS: Final = 30
"""Over less, a yearly figure would be mostly error."""

_YEAR_DAYS: Final = 365.25
_TWO_SIDED_95: Final = 1.96
_FACES_PER_AREA: Final = 1.5
"""The faces of voxels are larger than the smooth surface by this, on average over its directions (Cauchy)."""

Verdict = Literal["larger", "smaller", "within error"]


class Change(BaseModel):
    """One number of two scans.

    Attributes:
        before, after: the number itself.
        change: by how much it is larger now.
        percent: the same in percent of what it was; None if it was 0.
        least: a smaller change cannot be told from none, with 95 % certainty.
        verdict: whether the change exceeds that.
        per_year: the change over the years between the scans; None without dates and under `LEAST_INTERVAL_DAYS`.
        least_per_year: `least` over the same years.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    before: float
    after: float
    change: float
    percent: float | None
    least: float
    verdict: Verdict
    per_year: float | None = None
    least_per_year: float | None = None


class DoublingTime(BaseModel):
    """In how many days a volume doubles if it goes on growing exponentially; the range is that of the change's error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    days: float
    from_days: float
    to_days: float


@dataclass(frozen=True)
class Grid:
    """What a scan's voxels do to a measurement.

    Attributes:
        spacing_mm: along (z, y, x).
        border_mm: see `BORDER_MM`.
    """

    spacing_mm: tuple[float, float, float]
    border_mm: float

    def volume_sd_ml(self, parts: list[Voxels]) -> float:
        """Of a volume, if its whole surface lies too far out or in."""
        return (
            surface_mm2(parts, self.spacing_mm)
            * self._border_sd_mm(float(np.prod(self.spacing_mm)) ** (1 / 3))
            / 1000
        )

    def axial_sd_mm(self) -> float:
        """Of a line within a slice, both of whose ends move."""
        return 2.0 * self._border_sd_mm((self.spacing_mm[1] * self.spacing_mm[2]) ** 0.5)

    def space_sd_mm(self) -> float:
        """The same of a line in any direction."""
        return 2.0 * self._border_sd_mm(float(np.prod(self.spacing_mm)) ** (1 / 3))

    def _border_sd_mm(self, voxel_mm: float) -> float:
        """A border is known to a voxel: the standard deviation of a length evenly spread over it is 0.29 of it."""
        return hypot(self.border_mm, voxel_mm / 12**0.5)


def surface_mm2(parts: list[Voxels], spacing_mm: tuple[float, float, float]) -> float:
    """The surface of some voxels, from the faces between them and what is not they."""
    total_mm2 = 0.0
    for part in parts:
        filled = np.pad(part.inside, 1).view(np.int8)
        for axis, step_mm in enumerate(spacing_mm):
            face_mm2 = float(np.prod(spacing_mm)) / step_mm
            total_mm2 += face_mm2 * np.count_nonzero(np.diff(filled, axis=axis))
    return total_mm2 / _FACES_PER_AREA


def change_of(
    numbers: tuple[float, float],
    deviations: tuple[float, float],
    interval_days: int | None,
    *,
    digits: int,
) -> Change:
    """The change of a number.

    Args:
        numbers: before and after.
        deviations: their standard deviations.
        interval_days: between the scans; None if that is not known.
        digits: to which the results are rounded.
    """
    before, after = numbers
    change, least = after - before, _TWO_SIDED_95 * hypot(*deviations)
    years = yearly(interval_days)
    return Change(
        before=before,
        after=after,
        change=round(change, digits),
        percent=None if before == 0 else round(100.0 * change / before, 1),
        least=round(least, digits),
        verdict="within error" if abs(change) <= least else "larger" if change > 0 else "smaller",
        per_year=None if years is None else round(change / years, digits),
        least_per_year=None if years is None else round(least / years, digits),
    )


def yearly(interval_days: int | None) -> float | None:
    """The years between two scans; None if they are not known, or too few for a yearly figure."""
    if interval_days is None or interval_days < LEAST_INTERVAL_DAYS:
        return None
    return interval_days / _YEAR_DAYS


def doubling_time(volume_ml: Change, interval_days: int | None) -> DoublingTime | None:
    """Of a volume that has grown by more than its error over a known time; None for any other (Schwartz 1961)."""
    if (
        yearly(interval_days) is None
        or interval_days is None
        or volume_ml.verdict != "larger"
        or volume_ml.before <= 0
    ):
        return None
    days = [
        round(interval_days * log(2.0) / log(1.0 + gained / volume_ml.before), 1)
        for gained in (
            volume_ml.change,
            volume_ml.change + volume_ml.least,
            volume_ml.change - volume_ml.least,
        )
        if gained > 0
    ]
    return DoublingTime(days=days[0], from_days=days[1], to_days=days[-1]) if len(days) == 3 else None
