"""What the viewer draws over its slices beside outlines: lines, flat rings and boxes in the scan's voxels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from renalmap.inference.quality import QualityReport
from renalmap.measure.measurements import Diameter, LesionMeasurement
from renalmap.nephrometry import Nephrometry, Plane
from renalmap.report.html.packing import Packing
from renalmap.report.palette import ALARM_COLOUR

_RADIUS_MM: Final = 40.0
_CORNERS: Final = 32

FloatArray = NDArray[np.float64]
Place = tuple[float, float, float]


@dataclass(frozen=True)
class Mark:
    """Something drawn over the slices, in all three planes.

    Attributes:
        kind: a line, drawn in slices that it meets; a flat ring, of which slices show the line where they cut
            it; or a box given by its lowest and highest voxel.
        points_zyx: in voxels of the scan, whole numbers at their centres.
        text: written beside it.
        colour: "#rrggbb".
    """

    kind: Literal["line", "ring", "box"]
    points_zyx: Sequence[Place]
    text: str
    colour: str = "#ffffff"


def measured_marks(lesions: Sequence[LesionMeasurement]) -> Iterator[Mark]:
    """The longest axial diameter of every lesion, whose numbers stand in the tables."""
    for lesion in lesions:
        yield line_mark(lesion.longest_axial_diameter, f"{lesion.longest_axial_diameter_mm:.1f} mm")


def nephrometry_marks(found: Nephrometry, spacing_mm: Sequence[float]) -> Iterator[Mark]:
    """R's and N's line of every tumour, and the polar lines of their kidneys."""
    for lesion in found.lesions:
        line = lesion.largest_diameter
        yield line_mark(line, f"R {line.length_mm:.1f} mm")
        if lesion.to_sinus is not None:
            yield line_mark(lesion.to_sinus, f"N {lesion.to_sinus.length_mm:.1f} mm", "#ff9d9d")
    for kidney in found.kidneys:
        for plane in kidney.planes:
            if plane.name in {"upper polar line", "lower polar line"}:
                yield Mark("ring", _ring(plane, np.array(spacing_mm)), plane.name, "#ffe08a")


def _ring(plane: Plane, spacing_mm: FloatArray) -> list[Place]:
    """A circle in a plane about its point, wide enough to reach beyond a kidney on every side."""
    normal = np.array(plane.normal_zyx)
    first = np.cross(normal, np.eye(3)[np.argmin(np.abs(normal))])
    first /= np.linalg.norm(first)
    second = np.cross(normal, first)
    angles = np.linspace(0.0, 2.0 * np.pi, _CORNERS, endpoint=False)[:, None]
    around_mm = _RADIUS_MM * (np.cos(angles) * first + np.sin(angles) * second)
    places = np.array(plane.point.voxel_zyx) + around_mm / spacing_mm
    return [(z, y, x) for z, y, x in places.tolist()]


def candidate_marks(quality: QualityReport | None) -> Iterator[Mark]:
    """A box around each candidate that was left out."""
    for number, candidate in enumerate([] if quality is None else quality.candidates, start=1):
        if candidate.box_zyx is not None:
            yield Mark("box", candidate.box_zyx, f"left out {number}", ALARM_COLOUR)


def line_mark(line: Diameter, text: str, colour: str = "#ffffff") -> Mark:
    """A measured line."""
    return Mark("line", (line.start.voxel_zyx, line.end.voxel_zyx), text, colour)


def packed_mark(mark: Mark, packing: Packing) -> dict[str, Any]:
    """As the viewer's script takes it: points as (x, y, z) of the packed voxels."""
    points = [[round(at, 2) for at in packing.seen(point)] for point in mark.points_zyx]
    return {"kind": mark.kind, "points": points, "text": mark.text, "colour": mark.colour}
