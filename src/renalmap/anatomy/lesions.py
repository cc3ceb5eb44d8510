"""Tumours and cysts, each with the kidney it belongs to, and what is too small to be measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from renalmap.anatomy.kidneys import SPECK_BELOW_ML, Kidney, gap_mm
from renalmap.anatomy.midline import Midline
from renalmap.anatomy.voxels import Border, Voxels, borders_of, find_components
from renalmap.imaging import LabelMap
from renalmap.labels import CYST, TUMOUR, LesionKind, Side

SpeckKind = Literal["kidney", "tumour", "cyst"]
LESION_LABELS: Final[dict[LesionKind, int]] = {"tumour": TUMOUR, "cyst": CYST}

BELONGS_WITHIN_MM: Final = 10.0
"""A lesion that does not touch kidney tissue belongs to the kidney whose box is within this distance."""


@dataclass(frozen=True, eq=False)
class Lesion:
    """A connected tumour (label 2) or cyst (label 3).

    Attributes:
        number: from 1; tumours before cysts, largest first.
        kind: which of the two.
        voxels: all of it; it is never divided at the midline.
        component: index of the connected component of the foreground that it is part of.
        kidney: `id` of the kidney it belongs to; None if no kidney is near it.
        side: that of its kidney; without one, the side of most of its voxels. None if it cannot be
            determined.
        crosses_midline: whether at least 5 ml and a tenth of it lie on either side of the midline.
        borders: of the scan that it touches.
    """

    number: int
    kind: LesionKind
    voxels: Voxels
    component: int
    kidney: str | None
    side: Side | None
    crosses_midline: bool
    borders: list[Border]

    @property
    def name(self) -> str:
        """As "tumour 1"."""
        return f"{self.kind} {self.number}"


@dataclass(frozen=True, eq=False)
class Speck:
    """A component too small to be measured; its side is that of the kidney it touches, or that of most of its voxels."""

    kind: SpeckKind
    voxels: Voxels
    side: Side | None


def find_lesions(
    label_map: LabelMap, components: Sequence[Voxels], kidneys: Sequence[Kidney], midline: Midline
) -> tuple[list[Lesion], list[Speck]]:
    """Lesions, tumours before cysts and largest first; and what is too small to be one.

    The components are those of kidney, tumour and cyst together, of which the kidneys were made.
    """
    geometry = label_map.geometry
    found: list[Lesion] = []
    specks: list[Speck] = []
    for kind, label in LESION_LABELS.items():
        for voxels in find_components(label_map, (label,)):
            component = next(index for index, each in enumerate(components) if each.holds(voxels))
            kidney, side = _owner(voxels, component, kidneys, (label_map, midline))
            if voxels.size * geometry.voxel_ml < SPECK_BELOW_ML:
                specks.append(Speck(kind, voxels, side))
                continue
            known = midline.basis != "field_of_view"
            lesion = Lesion(
                number=len(found) + 1,
                kind=kind,
                voxels=voxels,
                component=component,
                kidney=kidney,
                side=side,
                crosses_midline=known and midline.crossed_by(voxels, geometry.voxel_ml),
                borders=borders_of([voxels], geometry.shape),
            )
            found.append(lesion)
    return found, specks


def _owner(
    voxels: Voxels, component: int, kidneys: Sequence[Kidney], where: tuple[LabelMap, Midline]
) -> tuple[str | None, Side | None]:
    """The kidney that a lesion belongs to, and its side.

    The kidney it is connected to, or else the nearest one; of two equally near, the one on its own side.
    """
    label_map, midline = where
    for kidney in kidneys:
        if any(piece.component == component and not piece.is_half for piece in kidney.pieces):
            return kidney.id, kidney.side
    own_side = voxels.side(midline.track)
    near = [
        (gap_mm(voxels, kidney.own, label_map.geometry), kidney.side not in {own_side, None}, index)
        for index, kidney in enumerate(kidneys)
    ]
    gap, _, index = min(near, default=(float("inf"), False, 0))
    if gap <= BELONGS_WITHIN_MM:
        return kidneys[index].id, kidneys[index].side
    return None, None if any(kidney.side is None for kidney in kidneys) else own_side
