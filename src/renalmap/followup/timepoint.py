"""The two scans of a comparison, and what has to be known to compare their numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from renalmap.anatomy import Anatomy, Kidney, Lesion
from renalmap.followup.changes import Change, Grid, change_of
from renalmap.measure import LesionMeasurement, Measurements, measure_anatomy

_MM_DIGITS: Final = 2


@dataclass(frozen=True, eq=False)
class Timepoint:
    """One of the two scans: its anatomy, and its measurements if they are there already."""

    anatomy: Anatomy
    measurements: Measurements

    @classmethod
    def of(cls, anatomy: Anatomy) -> Timepoint:
        """Measure an anatomy."""
        return cls(anatomy, measure_anatomy(anatomy))

    @cached_property
    def kidneys(self) -> dict[str, Kidney]:
        """By their ids."""
        return {kidney.id: kidney for kidney in self.anatomy.kidneys}

    def lesions_of(self, kidney: str) -> list[Lesion]:
        """A kidney's, and those near no kidney on its side; largest first."""
        return [one for one in self.anatomy.lesions if (one.kidney or one.side or "unknown") == kidney]

    def measured(self, lesion: Lesion) -> LesionMeasurement:
        """A lesion's measurements."""
        return self.measurements.lesions[lesion.number - 1]


@dataclass(frozen=True, eq=False)
class Scans:
    """Both scans, and what has to be known to compare numbers of theirs."""

    before: Timepoint
    after: Timepoint
    interval_days: int | None
    same_phase: bool
    border_mm: float

    @cached_property
    def grids(self) -> tuple[Grid, Grid]:
        """Of the two."""
        first, second = (
            Grid(each.anatomy.label_map.geometry.spacing_mm, self.border_mm)
            for each in (self.before, self.after)
        )
        return first, second

    def change(
        self, numbers: Iterable[float], deviations: Iterable[float], digits: int = _MM_DIGITS
    ) -> Change:
        """Of one number, from both scans' numbers and standard deviations."""
        (before, after), (first, second) = numbers, deviations
        return change_of((before, after), (first, second), self.interval_days, digits=digits)

    def hu_change(self, before_hu: float | None, after_hu: float | None) -> float | None:
        """Of two mean HU; None if they cannot be compared."""
        if not self.same_phase or before_hu is None or after_hu is None:
            return None
        return round(after_hu - before_hu, 1)
