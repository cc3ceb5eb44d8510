"""Intensities: slice statistics of the training data, and normalisation by them or their rivals.

All normalisations are one formula, (clip(HU) - mean) / deviation, with a mean and a deviation
that are either one number or one number per pixel of the grid.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from renalmap.errors import StoreError, named_errors
from renalmap.imaging.arrays import read_npz
from renalmap.imaging.files import replace_atomically
from renalmap.preprocess.plan import LARGEST_GRID, Plan

FloatArray = NDArray[np.float32]

_LARGEST_ARRAY_BYTES: Final = LARGEST_GRID**2 * np.dtype(np.float32).itemsize + 1024
"""A slice on the largest grid that a Plan may have, and NumPy's header."""


def clip_hu(hu: NDArray[Any], plan: Plan) -> FloatArray:
    """HU as float32, clipped to the Plan's range; a new array."""
    return _clipped(hu, plan.clip_hu)


def _clipped(hu: NDArray[Any], range_hu: tuple[float, float] | None) -> FloatArray:
    values = hu.astype(np.float32)
    if range_hu is not None:
        np.clip(values, *range_hu, out=values)
    return values


@dataclass(frozen=True, eq=False)
class SliceStatistics:
    """The training data's intensity after clipping.

    Attributes:
        mean_hu: mean slice, float32 (grid, grid).
        deviation_hu: standard-deviation slice, float32 (grid, grid), before the Plan's floor.
        global_mean_hu: mean over all pixels of all training slices.
        global_deviation_hu: standard deviation over the same.
    """

    mean_hu: FloatArray
    deviation_hu: FloatArray
    global_mean_hu: float
    global_deviation_hu: float

    def save(self, path: Path) -> None:
        """Write as a compressed NumPy file, atomically."""
        with replace_atomically(path) as temporary, temporary.open("wb") as handle:
            np.savez_compressed(
                handle,
                mean_hu=self.mean_hu,
                deviation_hu=self.deviation_hu,
                global_mean_hu=np.float64(self.global_mean_hu),
                global_deviation_hu=np.float64(self.global_deviation_hu),
            )

    @classmethod
    def load(cls, path: Path) -> SliceStatistics:
        """Read what `save` wrote.

        Raises:
            StoreError: the file is missing, of another kind, or larger than statistics can be.
        """

        def unreadable(got: str) -> StoreError:
            return StoreError("the slice statistics cannot be read", where=path, got=got)

        names = ("mean_hu", "deviation_hu", "global_mean_hu", "global_deviation_hu")
        with named_errors(unreadable):
            arrays = read_npz(path, names, unreadable, most_bytes=_LARGEST_ARRAY_BYTES)
            if any(each.dtype.kind != "f" for each in arrays):
                raise ValueError("an array that is not of floats")
            mean, deviation, global_mean, global_deviation = arrays
            return cls(mean, deviation, float(global_mean), float(global_deviation))


class SliceStatisticsAccumulator:
    """Weighted running mean and variance per pixel, in float64.

    West's update (1979, doi:10.1145/359146.359153), Welford's generalised to weights: stable where
    the textbook sum of squares cancels. One slice in memory at a time. Every pixel has a weight of its
    own: what a slice leaves unknown weighs nothing.
    """

    def __init__(self, grid_size: int) -> None:
        self._weight = np.zeros((grid_size, grid_size))
        self._mean = np.zeros((grid_size, grid_size))
        self._squares = np.zeros((grid_size, grid_size))

    def add(self, clipped_hu: NDArray[Any], weight: float | NDArray[Any] = 1.0) -> None:
        """Take in one slice, (grid, grid), already clipped; its weight, of all or of every pixel."""
        self._weight += weight
        delta = clipped_hu - self._mean
        self._mean += delta * _share(np.broadcast_to(weight, delta.shape), self._weight)
        self._squares += weight * delta * (clipped_hu - self._mean)

    def merge(self, other: SliceStatisticsAccumulator) -> None:
        """Take in what another one took in.

        Chan, Golub and LeVeque's update (1979, Stanford STAN-CS-79-773), with weights for counts. Rounding
        depends on the order of merges, so equal orders give equal bits.
        """
        weight = self._weight + other._weight
        share = _share(other._weight, weight)
        delta = other._mean - self._mean
        self._mean += delta * share
        self._squares += other._squares + delta**2 * (self._weight * share)
        self._weight = weight

    def finish(self) -> SliceStatistics:
        """The statistics of what was added (population variance).

        Raises:
            StoreError: nothing was added, or nothing of it was known.
        """
        if not self._weight.any():
            raise StoreError("slice statistics need at least one training slice with a known pixel")
        variance = np.maximum(_share(self._squares, self._weight), 0.0)
        counts = self._weight / self._weight.mean()
        mean = (self._mean * counts).mean()
        total_variance = (variance * counts).mean() + ((self._mean - mean) ** 2 * counts).mean()
        never = self._weight == 0  # of no case known: as everywhere else
        return SliceStatistics(
            mean_hu=np.where(never, mean, self._mean).astype(np.float32),
            deviation_hu=np.sqrt(np.where(never, total_variance, variance)).astype(np.float32),
            global_mean_hu=float(mean),
            global_deviation_hu=float(np.sqrt(total_variance)),
        )


def _share(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[Any]:
    """Part / whole, and 0 where there is nothing."""
    share: NDArray[Any] = np.divide(part, whole, out=np.zeros(whole.shape), where=whole > 0)
    return share


@dataclass(frozen=True, eq=False)
class Normalisation:
    """HU to what a network sees, on the Plan's grid.

    Attributes:
        mean_hu: float32, (grid, grid) or ().
        deviation_hu: float32 of the same shape, floored, never zero.
        clip_range_hu: the Plan's range, or None.
    """

    mean_hu: FloatArray
    deviation_hu: FloatArray
    clip_range_hu: tuple[float, float] | None

    @classmethod
    def from_plan(
        cls,
        plan: Plan,
        statistics: SliceStatistics,
        volume_mean_deviation_hu: tuple[float, float] | None = None,
    ) -> Normalisation:
        """The normalisation a Plan asks for.

        Args:
            plan: what to do.
            statistics: of the training data.
            volume_mean_deviation_hu: of this scan's clipped HU; only `volume_zscore` reads it.

        Raises:
            ValueError: `volume_zscore` without the scan's own mean and deviation.
        """
        mean: Any
        deviation: Any
        if plan.normalisation == "slice_statistics":
            mean, deviation = statistics.mean_hu, statistics.deviation_hu
        elif plan.normalisation == "global_zscore":
            mean, deviation = statistics.global_mean_hu, statistics.global_deviation_hu
        elif plan.normalisation == "none":
            mean, deviation = 0.0, 1.0
        elif volume_mean_deviation_hu is not None:
            mean, deviation = volume_mean_deviation_hu
        else:
            raise ValueError("volume_zscore needs the scan's own mean and deviation")
        floor = 1.0 if plan.normalisation == "none" else plan.deviation_floor_hu
        floored = np.maximum(np.asarray(deviation, np.float32), np.float32(floor))
        return cls(np.asarray(mean, np.float32), floored, plan.clip_hu)

    def reduced(self, factor: int) -> Normalisation:
        """The same normalisation for slices averaged over squares of this edge."""
        if factor == 1 or self.mean_hu.ndim == 0:
            return self
        return replace(
            self,
            mean_hu=average_squares(self.mean_hu, factor),
            deviation_hu=average_squares(self.deviation_hu, factor),
        )

    def __call__(self, hu: NDArray[Any]) -> FloatArray:
        """Normalise slices (..., grid, grid) of HU; returns float32, a new array."""
        values = _clipped(hu, self.clip_range_hu)
        values -= self.mean_hu
        values /= self.deviation_hu
        return values


def average_squares(values: NDArray[Any], factor: int) -> FloatArray:
    """Means over squares of `factor` x `factor` pixels: (H, W) to (H / factor, W / factor), float32."""
    # Strided sums: NumPy's mean over two inner axes takes ten times as long.
    summed = np.zeros((values.shape[0] // factor, values.shape[1] // factor), np.float32)
    for row in range(factor):
        for column in range(factor):
            summed += values[row::factor, column::factor]
    summed /= factor**2
    return summed


def volume_mean_deviation_hu(slices: Iterable[NDArray[Any]], plan: Plan) -> tuple[float, float]:
    """Mean and standard deviation of a scan's clipped HU, slice by slice in float64."""
    count, mean, squares = 0, 0.0, 0.0
    for hu in slices:
        values = clip_hu(hu, plan).astype(np.float64)
        slice_mean = float(values.mean())
        delta = slice_mean - mean
        total = count + values.size
        squares += float(((values - slice_mean) ** 2).sum()) + delta**2 * count * values.size / total
        mean += delta * values.size / total
        count = total
    if count == 0:
        raise ValueError("a scan without slices has no mean")
    return mean, float(np.sqrt(squares / count))
