"""How near a tumour is to the middle of its kidney.

Simmons MN, Ching CB, Samplaski MK, Park CH, Gill IS. Kidney tumor location measurement using the C index method.
J Urol 2010;183:1708-1713.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renalmap.anatomy import Voxels
from renalmap.anatomy.voxels import joined
from renalmap.measure.diameters import convex_hull
from renalmap.measure.lines import Spacing, centroid_mm
from renalmap.measure.outline import BORDER_VOXELS, border_points

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class CentreOffset:
    """How far a tumour's middle is from its kidney's, mm.

    Attributes:
        axial_mm: in the plane of the slices.
        craniocaudal_mm: along z.
    """

    axial_mm: float
    craniocaudal_mm: float

    @property
    def length_mm(self) -> float:
        """In space; in radii of the tumour it is the C-index: 0 in the middle, 1 if the tumour's border is there."""
        return float(np.hypot(self.axial_mm, self.craniocaudal_mm))


def centre_offset(lesion: Voxels, kidney: Sequence[Voxels], spacing_mm: Spacing) -> CentreOffset:
    """From a lesion's centre of gravity to its kidney's middle.

    The kidney's middle is, as Simmons draws it, half-way between the poles and there in the middle of the outline; the
    outline closes a crater, which the centre of gravity of what is left would flee.

    Args:
        lesion: the lesion.
        kidney: the pieces of its kidney's own tissue, at least one.
        spacing_mm: along (z, y, x).
    """
    body = joined(kidney)
    filled = np.flatnonzero(body.inside.any(axis=(1, 2)))
    middle = (filled[0] + filled[-1]) / 2.0
    plane = body.inside[filled[np.abs(filled - middle).argmin()]]
    hull = convex_hull((border_points(plane, BORDER_VOXELS) + body.box.start[1:]) * spacing_mm[1:])
    centre_mm = centroid_mm([lesion], spacing_mm)
    return CentreOffset(
        float(np.linalg.norm(centre_mm[1:] - _middle_of(hull))),
        abs(float(centre_mm[0] - (body.box.start[0] + middle) * spacing_mm[0])),
    )


def _middle_of(corners: FloatArray) -> FloatArray:
    """The centre of gravity of a convex outline's area."""
    first = corners[0]
    one, other = corners[1:-1] - first, corners[2:] - first
    doubled = one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]
    middle: FloatArray = first + doubled @ (one + other) / (3.0 * doubled.sum())
    return middle
