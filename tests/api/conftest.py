"""A scan with two kidneys and a tumour, and what the hand-made bundle finds in it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray


@pytest.fixture(scope="session")
def labels() -> NDArray[np.uint8]:
    """Axes (z, y, x), without any symmetry."""
    labels = np.zeros((7, 128, 128), np.uint8)
    labels[1:6, 50:80, 15:40] = 1
    labels[2:4, 45:60, 10:25] = 2
    labels[2:7, 48:75, 90:117] = 1
    return labels


@pytest.fixture(scope="session")
def hu(labels: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Body 40 HU, kidney 200, tumour 100, air at the front and the back."""
    hu = np.choose(labels, (40, 200, 100)).astype(np.int16)
    hu[:, :4], hu[:, -4:] = -1000, -1000
    return hu
