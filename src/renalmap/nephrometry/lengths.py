"""The lengths of one tumour in its kidney on which both scores rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from renalmap.anatomy import Anatomy, KidneyShape, Lesion
from renalmap.measure.diameters import Chord
from renalmap.measure.exophytic import bare_share, beyond_outline_mm
from renalmap.measure.gap import shortest_line
from renalmap.measure.lines import axial_lines

FloatArray = NDArray[np.float64]

END_SHARE: Final = 0.01


@dataclass(frozen=True, eq=False)
class Lengths:
    """What is measured of a tumour in a whole kidney. All lengths are mm.

    Attributes:
        shape: the kidney's axes, sinus and polar lines.
        beyond: (n,) of some of its voxels: how far outside the kidney's outline; negative inside.
        bare_share: of its border, beyond which neither kidney nor sinus nor another lesion lies.
        local: (n, 3) of all its voxels: along the kidney's axes, from its centre.
        to_sinus: the shortest line to the sinus.
        into_sinus: how deep it reaches into the sinus' convex outline; negative if it does not.
        spacing_mm: of the voxels along (z, y, x).
    """

    shape: KidneyShape
    beyond: FloatArray = field(repr=False)
    bare_share: float
    local: FloatArray = field(repr=False)
    to_sinus: Chord
    into_sinus: float
    spacing_mm: tuple[float, float, float]

    @classmethod
    def of(cls, lesion: Lesion, shape: KidneyShape, anatomy: Anatomy) -> Lengths:
        """Measure a tumour."""
        spacing_mm, voxels = anatomy.label_map.geometry.spacing_mm, lesion.voxels
        places = (np.argwhere(voxels.inside) + np.array(voxels.box.start)) * np.array(spacing_mm)
        others = [one.voxels for one in anatomy.lesions if one is not lesion]
        return cls(
            shape,
            beyond_outline_mm(voxels, shape.kidney.body, spacing_mm),
            bare_share(voxels, [*shape.kidney.own, shape.sinus, *others], spacing_mm),
            shape.frame.local(places),
            shortest_line(voxels, shape.sinus, spacing_mm),
            -float(beyond_outline_mm(voxels, [shape.sinus], spacing_mm).min()),
            spacing_mm,
        )

    def exophytic_share(self, moved_mm: float = 0.0) -> float:
        """The share of its voxels outside the outline, if that lay some mm farther out."""
        return float((self.beyond > moved_mm).mean())

    def share_between_lines(self, lower: float, upper: float) -> float:
        """The share of its voxels between two heights."""
        heights = self.local[:, 0]
        return float(((heights > lower) & (heights < upper)).mean())

    def share_in_front(self, moved_mm: float = 0.0) -> float:
        """The share of its voxels in front of the coronal plane, if that lay some mm farther to the front."""
        return float((self.local[:, 2] > moved_mm).mean())

    def voxel_along(self, direction: FloatArray) -> float:
        """The length of one voxel along a unit vector; in a slice, for one without a direction."""
        if not direction.any():
            return max(self.spacing_mm[1:])
        return float(np.linalg.norm(direction * np.array(self.spacing_mm)))

    @cached_property
    def span(self) -> tuple[float, float]:
        """Its lower and upper end on the long axis; a hundredth of it beyond either is taken for roughness."""
        low, high = np.quantile(self.local[:, 0], (END_SHARE, 1.0 - END_SHARE))
        return float(low), float(high)

    @property
    def voxel_mm(self) -> float:
        """One voxel, averaged over all directions."""
        return float(np.sqrt(np.mean(np.square(self.spacing_mm))))


def largest_diameter(lesion: Lesion, spacing_mm: tuple[float, float, float]) -> Chord:
    """The longest line in any axial slice, in space: what radiologists measure (docs/decisions/0040-nephrometry.md)."""
    lines = axial_lines(lesion.voxels, spacing_mm)
    return Chord(np.insert(lines.longest.ends, 0, lines.slice * spacing_mm[0], axis=1))
