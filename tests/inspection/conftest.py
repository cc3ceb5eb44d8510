"""A data set in KiTS19's layout of whole scans with two kidneys and a tumour, as real files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

WriteScan = Callable[..., Path]

SPACING_MM = (3.0, 0.8, 0.7)
CLINICAL = {"age_at_nephrectomy": 50, "gender": "female", "body_mass_index": 25.0}


def body_hu(seed: int = 0, depth: int = 40) -> NDArray[np.int16]:
    """A body that widens towards the head, with a gas bubble that wanders, and noise."""
    rows, columns = np.indices((128, 128)) - 64
    noise = np.random.default_rng(seed).integers(-20, 20, (depth, 128, 128))
    hu = np.full((depth, 128, 128), -1000, np.int64)
    for z in range(depth):
        body = (rows / (40 + z / 2)) ** 2 + (columns / (48 + z / 4)) ** 2 < 1
        hu[z][body] = 40
        hu[z][(rows + 20) ** 2 + (columns - 20 + z) ** 2 < 64] = -900
    hu[labels_of(depth) > 0] = 150
    return (hu + noise).astype(np.int16)


def labels_of(depth: int = 40) -> NDArray[np.uint8]:
    """Two kidneys of 23 ml, the right one with a tumour of 8 mm."""
    labels = np.zeros((depth, 128, 128), np.uint8)
    labels[8:32, 60:84, 26:50] = 1
    labels[8:32, 60:84, 78:102] = 1
    labels[16:22, 60:70, 30:40] = 2
    return labels


@dataclass
class KitsFolder:
    """A data set under construction."""

    root: Path
    write_scan: WriteScan
    records: list[dict[str, Any]] = field(default_factory=list)

    def add(
        self,
        number: int,
        hu: NDArray[Any] | None,
        labels: NDArray[Any] | None,
        *,
        spacing_mm: tuple[float, float, float] = SPACING_MM,
        **record: Any,
    ) -> Path:
        """Write a case and its line in the table; returns its folder."""
        folder = self.root / "data" / f"case_{number:05d}"
        folder.mkdir(parents=True, exist_ok=True)
        for name, voxels in (("imaging", hu), ("segmentation", labels)):
            if voxels is not None:
                self.write_scan(folder / f"{name}.nii.gz", voxels, spacing_mm, axcodes="IPL")
        z, y, x = SPACING_MM
        spacing = {"voxel_spacing": {"x_spacing": x, "y_spacing": y, "z_spacing": z}}
        self.records.append({"case_id": folder.name, **CLINICAL, **spacing, **record})
        (self.root / "data" / "kits.json").write_text(json.dumps(self.records))
        return folder


@pytest.fixture
def kits(tmp_path: Path, write_scan: WriteScan) -> KitsFolder:
    """An empty data set, to be filled."""
    return KitsFolder(tmp_path / "kits", write_scan)


@pytest.fixture
def hu() -> NDArray[np.int16]:
    """A scan."""
    return body_hu()


@pytest.fixture
def labels() -> NDArray[np.uint8]:
    """Its mask."""
    return labels_of()


@pytest.fixture
def make_hu() -> Callable[..., NDArray[np.int16]]:
    """Scans of several patients."""
    return body_hu
