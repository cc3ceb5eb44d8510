"""DICOM series of any orientation, with balls whose place in the patient is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from renalmap.imaging import DicomFile, DicomSource, LabelMap, SourceInstance, build_geometry

ROWS, COLUMNS, SLICES = 35, 33, 17
"""Odd, so that a slice of single bits ends within a byte."""
SPACING_MM, GAP_MM = (2.0, 3.0), 4.0

LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])

ORIENTATIONS = {
    "axial": ([1, 0, 0], [0, 1, 0]),
    "seen from the head": ([-1, 0, 0], [0, 1, 0]),
    "prone": ([-1, 0, 0], [0, -1, 0]),
    "rows and columns swapped": ([0, 1, 0], [1, 0, 0]),
    "sagittal": ([0, 1, 0], [0, 0, -1]),
    "coronal": ([1, 0, 0], [0, 0, -1]),
}


def oblique() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """17 degrees about the body's long axis, then 11 about its left-right axis."""
    turn, lean = np.radians(17.0), np.radians(11.0)
    about_z = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1.0]])
    about_x = np.array([[1.0, 0, 0], [0, np.cos(lean), -np.sin(lean)], [0, np.sin(lean), np.cos(lean)]])
    rotation = about_x @ about_z
    return rotation[:, 0], rotation[:, 1]


def structures_at(ras_mm: NDArray[np.float64], centre_mm: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The structure at each place: two kidneys and a tumour in the left one, nothing symmetric.

    Args:
        ras_mm: (..., 3) places, RAS.
        centre_mm: (3,) the middle of it all.
    """
    found = np.zeros(ras_mm.shape[:-1], np.uint8)
    for number, offset, radius_mm in (
        (1, (-17.3, -3.1, 4.7), 12.9),
        (2, (16.1, 2.9, -6.3), 11.7),
        (3, (-20.9, -8.3, 11.3), 6.1),
    ):
        found[np.linalg.norm(ras_mm - centre_mm - np.array(offset), axis=-1) <= radius_mm] = number
    return found


@dataclass(frozen=True, eq=False)
class PlacedSeries:
    """A series on disk.

    Attributes:
        source: as a reader would give it.
        structures: the balls on the series' grid.
        centre_mm: the grid's middle, RAS.
    """

    source: DicomSource
    structures: LabelMap
    centre_mm: NDArray[np.float64]


def place_series(
    folder: Path, write_slice: Callable[..., Path], row: Any, column: Any, **tags: Any
) -> PlacedSeries:
    """Write a series whose slices have these directions (LPS), and paint the balls on its grid."""
    orientation = np.array([row, column], dtype=np.float64)
    normal = np.cross(orientation[0], orientation[1])
    corner_mm = np.array([31.7, -211.3, 403.9])
    instances = []
    for index in range(SLICES):
        position = (corner_mm + index * GAP_MM * normal).round(9)
        # Neither names nor instance numbers tell the order.
        path = folder / f"{(index * 7) % SLICES:03}.dcm"
        write_slice(
            path,
            0.0,
            np.zeros((ROWS, COLUMNS), np.int16),
            PixelSpacing=list(SPACING_MM),
            ImagePositionPatient=[float(f"{value:.9f}") for value in position],
            ImageOrientationPatient=[float(f"{value:.9f}") for value in orientation.ravel()],
            **tags,
        )
        header = dcmread(path, stop_before_pixels=True)
        instances.append(
            SourceInstance(
                DicomFile(path),
                None,
                str(header.SOPClassUID),
                str(header.SOPInstanceUID),
                (float(position[0]), float(position[1]), float(position[2])),
            )
        )
    source = DicomSource(
        str(header.StudyInstanceUID),
        str(header.SeriesInstanceUID),
        str(header.FrameOfReferenceUID),
        tuple(instances),
        (ROWS, COLUMNS),
        SPACING_MM,
        orientation,
    )
    lps = np.eye(4)
    lps[:3, 0] = orientation[0] * SPACING_MM[1]
    lps[:3, 1] = orientation[1] * SPACING_MM[0]
    lps[:3, 2] = normal * GAP_MM
    lps[:3, 3] = corner_mm
    geometry = build_geometry((COLUMNS, ROWS, SLICES), np.diag([*LPS_TO_RAS, 1.0]) @ lps)
    grid = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), axis=-1)
    places_mm = grid @ geometry.affine[:3, :3].T + geometry.affine[:3, 3]
    centre_mm = places_mm.reshape(-1, 3).mean(axis=0)
    structures = LabelMap(structures_at(places_mm, centre_mm), geometry, "balls")
    return PlacedSeries(source, structures, centre_mm)


def frame_places(seg: Dataset, frame: int) -> NDArray[np.float64]:
    """(rows, columns, 3) where a SEG's frame's pixels lie, RAS: PS3.3 C.7.6.2.1.1 to the letter."""
    shared, own = seg.SharedFunctionalGroupsSequence[0], seg.PerFrameFunctionalGroupsSequence[frame]
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=np.float64)
    down_mm, along_mm = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    corner = np.array(own.PlanePositionSequence[0].ImagePositionPatient, dtype=np.float64)
    rows, columns = np.meshgrid(np.arange(seg.Rows), np.arange(seg.Columns), indexing="ij")
    lps = corner + columns[..., None] * along_mm * cosines[:3] + rows[..., None] * down_mm * cosines[3:]
    places_mm: NDArray[np.float64] = lps * LPS_TO_RAS
    return places_mm
