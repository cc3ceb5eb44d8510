"""Hounsfield units in one byte: finely where soft tissue is read, coarsely in air and bone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

FINE_FROM_HU: Final = -200
FINE_TO_HU: Final = 344
"""Fat, soft tissue, blood and kidneys with contrast agent lie between; every window but bone and lung too."""

LOWEST_HU: Final = -1024
HIGHEST_HU: Final = 1344

FINE_STEPS_HU: Final = (4, 6, 8)
"""From the finest that fits into one byte; each of the others makes a smaller file."""

_COARSE_PER_FINE: Final = 4


@dataclass(frozen=True)
class HuScale:
    """What a byte means: `step_hu` HU from -200 to 344 HU, four times that in air and dense bone.

    A value is shown as the middle of its step, so it is off by half a step at most; below -1024 and
    above 1344 HU it is shown as that end.

    Attributes:
        step_hu: width of a step in soft tissue, one of `FINE_STEPS_HU`.
    """

    step_hu: int

    @property
    def error_hu(self) -> float:
        """The largest error of a value from -200 to 344 HU."""
        return self.step_hu / 2

    @property
    def coarse_error_hu(self) -> float:
        """The same for the rest down to -1024 and up to 1344 HU."""
        return _COARSE_PER_FINE * self.step_hu / 2

    @cached_property
    def edges_hu(self) -> NDArray[np.int64]:
        """Lower edge of every step, ascending, and the last one's upper edge; at most 257."""
        coarse = _COARSE_PER_FINE * self.step_hu
        below = np.arange(FINE_FROM_HU, LOWEST_HU - coarse, -coarse)[:0:-1]
        fine = np.arange(FINE_FROM_HU, FINE_TO_HU, self.step_hu)
        above = np.arange(int(fine[-1]) + self.step_hu, HIGHEST_HU + coarse, coarse)
        return np.concatenate([below, fine, above])

    @cached_property
    def values_hu(self) -> NDArray[np.float64]:
        """What every byte is shown as."""
        middles: NDArray[np.float64] = (self.edges_hu[:-1] + self.edges_hu[1:]) / 2
        return middles

    def to_bytes(self, hu: NDArray[Any]) -> NDArray[np.uint8]:
        """The step that every value lies in; any shape, int or float HU."""
        whole = np.floor(hu).clip(self.edges_hu[0], self.edges_hu[-1] - 1).astype(np.intp)
        steps: NDArray[np.uint8] = self._table[whole - int(self.edges_hu[0])]
        return steps

    @cached_property
    def _table(self) -> NDArray[np.uint8]:
        """The step of every whole HU."""
        every = np.arange(self.edges_hu[0], self.edges_hu[-1])
        return (np.searchsorted(self.edges_hu, every, side="right") - 1).astype(np.uint8)
