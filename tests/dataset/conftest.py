"""Small data sets in the three layouts, written as real files."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from renalmap.imaging import LabelMap, Volume, build_geometry, write_label_map, write_volume

Pixels = tuple[np.ndarray, np.ndarray]
"""HU and labels, (slices, rows, columns) each."""

WriteSlices = Callable[[Path, Mapping[str, Pixels]], Path]
WriteScan = Callable[..., None]


def _write_slices(root: Path, cases: Mapping[str, Pixels]) -> Path:
    root.mkdir()
    with (root / "index.csv").open("w", newline="", encoding="utf-8") as handle:
        table = csv.writer(handle)
        table.writerow(("name", "case", "z"))
        for case, (hu, labels) in cases.items():
            for z in range(len(hu)):
                name = f"{case}_z{z:04d}"
                np.savez_compressed(root / f"{name}.npz", hu=hu[z], label=labels[z])
                table.writerow((name, case, z))
    return root


def _write_scan(
    image: Path,
    mask: Path,
    pixels: Pixels,
    *,
    spacing_mm: tuple[float, float, float] = (3.0, 0.8, 0.8),
    mask_shift_mm: float = 0.0,
) -> None:
    """A scan and its mask as NIfTI, the first array axis the slice as in KiTS19."""
    hu, labels = pixels
    for path in (image, mask):
        path.parent.mkdir(parents=True, exist_ok=True)
    affines = [np.zeros((4, 4)), np.zeros((4, 4))]
    for affine in affines:
        affine[[2, 1, 0], [0, 1, 2]] = np.array(spacing_mm) * [1, -1, -1]
        affine[3, 3] = 1
    affines[1][0, 3] = mask_shift_mm
    write_volume(Volume(hu.astype(np.int16), build_geometry(hu.shape, affines[0])), image)
    geometry = build_geometry(labels.shape, affines[1])
    write_label_map(LabelMap(labels.astype(np.uint8), geometry), mask)


@pytest.fixture(scope="session")
def write_slices() -> WriteSlices:
    """Write a folder of single slices: case names to pixels."""
    return _write_slices


@pytest.fixture(scope="session")
def write_scan() -> WriteScan:
    """Write one scan and its mask as NIfTI files."""
    return _write_scan


@pytest.fixture(scope="session")
def draw_pixels() -> Callable[..., Pixels]:
    """Random HU with a square kidney and, in every other slice, a square tumour beside it."""

    def draw(seed: int, slices: int = 4, rows: int = 64, columns: int = 64) -> Pixels:
        hu = np.random.default_rng(seed).integers(-1000, 1200, (slices, rows, columns), np.int16)
        labels = np.zeros((slices, rows, columns), np.uint8)
        labels[1:, 10:30, 12:28] = 1
        labels[1::2, 30:36, 12:28] = 2
        return hu, labels

    return draw
