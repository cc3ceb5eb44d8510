"""Which slices stage 1 examines: it need not look far from any kidney."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

PITCH_MM: Final = 10.0
"""A component this tall is never missed. Kidneys are ten times as tall, and what is thinner is nearly always
dropped for its size."""

SHORT_MM: Final = 100.0

HIT_SHARE: Final = 0.5
"""A slice with less foreground than this share of the Plan's `component_min_area_mm2` does not count as a hit:
specks are everywhere, and a component whose largest section is below that area is dropped."""


@dataclass
class SliceSearch:
    """Which slices are examined: every `pitch`-th, then all near foreground, until none is left.

    So every component that spans `pitch` slices is found, with all its slices and `near` more on each side.

    Attributes:
        depth: the scan's slices.
        pitch: 1 looks at all.
        near: in slices, at least `pitch` - 1.
    """

    depth: int
    pitch: int
    near: int
    _looked: NDArray[np.bool_] = field(init=False)
    _hits: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        if self.near < self.pitch - 1:
            raise ValueError(f"near {self.near} is less than pitch - 1, {self.pitch - 1}")
        self._looked = np.zeros(self.depth, np.bool_)
        self._hits = np.zeros(self.depth, np.bool_)

    def pending(self) -> tuple[int, ...]:
        """The slices to look at next, ascending; none once the search is over."""
        if not self._looked.any():
            coarse = np.zeros(self.depth, np.bool_)
            coarse[:: self.pitch] = True
            coarse[-1:] = True  # what the scan's end cuts may be thin
            return tuple(np.flatnonzero(coarse).tolist())
        reach = np.ones(2 * self.near + 1, np.intp)
        wanted = np.convolve(self._hits, reach)[self.near : self.near + self.depth] > 0
        return tuple(np.flatnonzero(wanted & ~self._looked).tolist())

    def note(self, z: int, *, found: bool) -> None:
        """What a slice showed."""
        self._looked[z] = True
        self._hits[z] = found


def search_pitch(depth: int, spacing_z_mm: float) -> int:
    """How many slices apart stage 1 looks first; 1 in a short scan, where little could be saved."""
    if depth * spacing_z_mm < SHORT_MM:
        return 1
    return max(1, int(PITCH_MM // spacing_z_mm))
