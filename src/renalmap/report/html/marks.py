"""What the viewer draws over its slices beside outlines: lines, flat rings and boxes in the scan's voxels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from renalmap.inference.quality import QualityReport
from renalmap.measure.measurements import Diameter, Measurements
from renalmap.report.html.packing import Packing
from renalmap.report.palette import ALARM_COLOUR

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


def measured_marks(measured: Measurements) -> Iterator[Mark]:
    """The longest axial diameter of every lesion, whose numbers stand in the tables."""
    for lesion in measured.lesions:
        yield line_mark(lesion.longest_axial_diameter, f"{lesion.longest_axial_diameter_mm:.1f} mm")


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
