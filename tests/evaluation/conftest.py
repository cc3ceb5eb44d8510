"""Label maps made by hand on a grid with unequal spacing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from renalmap.imaging.volume import Geometry, LabelMap, SourceGrid

SPACING_MM = (2.5, 0.8, 0.7)

MakeLabels = Callable[..., LabelMap]


@pytest.fixture
def make_labels() -> MakeLabels:
    """Wrap an array as a LabelMap: axes (z, y, x) pointing S, P and L from a given origin."""

    def make(
        array: NDArray[np.integer],
        *,
        name: str = "case_00000",
        spacing_mm: tuple[float, float, float] = SPACING_MM,
        origin_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
    ) -> LabelMap:
        affine = np.eye(4)
        affine[:3, :3] = np.diag(spacing_mm)[::-1] * [[-1], [-1], [1]]
        affine[:3, 3] = origin_mm
        shape = (array.shape[0], array.shape[1], array.shape[2])
        source = SourceGrid(shape=shape, affine=affine)
        return LabelMap(array.astype(np.uint8), Geometry(shape, spacing_mm, affine, source), name)

    return make
