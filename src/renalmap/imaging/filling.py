"""Fill a canonical array piece by piece, so that a scan is in memory only once, in its smallest type."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from renalmap.errors import LabelError, NonFiniteVoxelsError
from renalmap.imaging.budget import check_budget
from renalmap.imaging.volume import Geometry, HuArray, LabelArray

_EXACT: Final = 2**30
"""Slopes and intercepts below this, times 32 bits, cannot overflow 64."""


class HuGrid:
    """A scan's canonical voxels while it is being read.

    The array is int16 as long as every value is a whole number that int16 holds, however the file
    stores it (KiTS19 stores whole numbers as float64), and turns into float32 at the first piece that
    is not. Neither is allocated beyond what a read may take.
    """

    def __init__(self, geometry: Geometry, where: Path | str) -> None:
        check_budget(2 * prod(geometry.shape), where)
        self._geometry = geometry
        self._where = where
        self._empty = True
        self.hu: HuArray = np.empty(geometry.shape, dtype=np.int16)

    def put(self, first: int, raw: NDArray[Any], slope: float = 1.0, intercept: float = 0.0) -> None:
        """Store planes of the last stored axis.

        Args:
            first: index of the first plane along the last stored axis.
            raw: (n0, n1, planes), axes as stored, before rescaling.
            slope: HU per raw unit.
            intercept: HU of raw zero.

        Raises:
            NonFiniteVoxelsError: a value is NaN or infinite.
        """
        values = _rescale(raw, slope, intercept)
        _check_finite(values, self._where)
        if self.hu.dtype == np.int16 and not _fits_int16(values):
            check_budget((4 if self._empty else 6) * self.hu.size, self._where)
            self.hu = (
                np.empty(self._geometry.shape, dtype=np.float32)
                if self._empty
                else self.hu.astype(np.float32)
            )
        stored = self._geometry.source.from_canonical(self.hu)
        stored[..., first : first + raw.shape[-1]] = values
        self._empty = False


class LabelGrid:
    """A label map's canonical voxels while it is being read; `labels` is uint8.

    It may be no larger than a scan: what is done with it next takes the memory of one.
    """

    def __init__(self, geometry: Geometry, where: Path | str) -> None:
        check_budget(2 * prod(geometry.shape), where)
        self._geometry = geometry
        self._where = where
        self.labels: LabelArray = np.empty(geometry.shape, dtype=np.uint8)

    def put(self, first: int, raw: NDArray[Any], slope: float = 1.0, intercept: float = 0.0) -> None:
        """Store planes of the last stored axis; arguments as for `HuGrid.put`.

        Raises:
            NonFiniteVoxelsError: a value is NaN or infinite.
            LabelError: a value is not a whole number from 0 to 255.
        """
        values = _rescale(raw, slope, intercept)
        _check_finite(values, self._where)
        with np.errstate(invalid="ignore"):
            labels = values.astype(np.uint8)
        wrong = values != labels
        if wrong.any():
            shown = ", ".join(f"{value:g}" for value in np.unique(values[wrong])[:5])
            raise LabelError(
                "the label map holds values that are not labels",
                where=self._where,
                got=shown,
                expected="whole numbers from 0 to 255",
                hint="Give a segmentation, not an image or a probability map",
            )
        stored = self._geometry.source.from_canonical(self.labels)
        stored[..., first : first + raw.shape[-1]] = labels


def _rescale(raw: NDArray[Any], slope: float, intercept: float) -> NDArray[Any]:
    if slope == 1.0 and intercept == 0.0:
        return raw
    whole = slope.is_integer() and intercept.is_integer() and max(abs(slope), abs(intercept)) < _EXACT
    if raw.dtype.kind in "iu" and raw.dtype.itemsize <= 4 and whole:
        return raw.astype(np.int64) * int(slope) + int(intercept)
    with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite is refused
        return raw.astype(np.float64) * slope + intercept


def _check_finite(values: NDArray[Any], where: Path | str) -> None:
    if values.dtype.kind != "f":
        return
    # A float64 beyond float32's range would turn infinite in the array, so it counts as infinite.
    bad = int(np.count_nonzero(~(np.abs(values) <= np.finfo(np.float32).max)))
    if bad:
        raise NonFiniteVoxelsError(
            "the image holds voxels that are NaN or infinite",
            where=where,
            got=f"at least {bad} of them",
            expected="a finite number in every voxel",
            hint="Replace them with air (-1024) if they are padding",
        )


def _fits_int16(values: NDArray[Any]) -> bool:
    if np.can_cast(values.dtype, np.int16):
        return True
    # A value that int16 cannot hold becomes some other one, which the comparison finds.
    with np.errstate(invalid="ignore"):
        return bool((values.astype(np.int16) == values).all())
