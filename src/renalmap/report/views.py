"""Three orthogonal planes of a scan, cut out and oriented as a radiologist views them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from renalmap.imaging.volume import LabelMap, Volume
from renalmap.report.planes import Planes, visible_window

DOT: Final = "\N{MIDDLE DOT}"


@dataclass(frozen=True)
class View:
    """One plane, cut out and ready to draw.

    Attributes:
        name: "Axial", "Coronal" or "Sagittal".
        caption: which slice, and where in the patient.
        hu: (row, column) pixels, row 0 on top.
        labels: labels of the same shape.
        spacing_mm: pixel size along (row, column).
        letters: patient directions at the left, right, top and bottom edge.
    """

    name: str
    caption: str
    hu: NDArray[Any]
    labels: NDArray[np.uint8]
    spacing_mm: tuple[float, float]
    letters: tuple[str, str, str, str]

    @property
    def size_mm(self) -> tuple[float, float]:
        """Extent along (row, column)."""
        rows, columns = self.hu.shape
        return rows * self.spacing_mm[0], columns * self.spacing_mm[1]


def cut_views(scan: Volume, labels: LabelMap, planes: Planes) -> tuple[View, ...]:
    """The axial, coronal and sagittal view of a scan and its labels, cut to what `visible_window` keeps."""
    windows = [slice(*ends) for ends in visible_window(scan, labels, planes)]
    named = (
        ("Axial", ("R", "L", "A", "P")),
        ("Coronal", ("R", "L", "S", "I")),
        ("Sagittal", ("A", "P", "S", "I")),
    )
    captions = _captions(scan, planes)
    views = []
    for axis, (name, letters) in enumerate(named):
        cut: list[slice | int] = [*windows]
        cut[axis] = planes.indices_zyx[axis]
        hu, marked = scan.hu[tuple(cut)], labels.labels[tuple(cut)]
        if axis != 0:
            # z runs to the head, which belongs on top.
            hu, marked = hu[::-1], marked[::-1]
        row_mm, column_mm = (step for at, step in enumerate(scan.geometry.spacing_mm) if at != axis)
        views.append(View(name, captions[axis], hu, marked, (row_mm, column_mm), letters))
    return tuple(views)


def _captions(scan: Volume, planes: Planes) -> list[str]:
    """For each plane its number and its world coordinate, as "S 34 mm" and not as a signed number."""
    world_mm = scan.geometry.affine @ (*planes.indices_zyx, 1)
    captions = []
    for axis, (world_axis, ends) in enumerate(((2, "SI"), (1, "AP"), (0, "RL"))):
        position_mm = world_mm[world_axis]
        end = ends[0] if position_mm >= 0 else ends[1]
        number, count = planes.indices_zyx[axis] + 1, scan.geometry.shape[axis]
        captions.append(f"slice {number} of {count}  {DOT}  {end} {abs(position_mm):.0f} mm")
    return captions
