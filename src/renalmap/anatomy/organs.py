"""What an anatomy consists of: kidneys, lesions and specks, each with its voxels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from renalmap.anatomy.voxels import Border, Voxels, without_islands
from renalmap.labels import CYST, TUMOUR, Side

LesionKind = Literal["tumour", "cyst"]
SpeckKind = Literal["kidney", "tumour", "cyst"]


@dataclass(frozen=True, eq=False)
class Lesion:
    """A connected tumour or cyst that is large enough to be measured.

    Attributes:
        number: from 1; tumours before cysts, largest first.
        kind: tumour (label 2) or cyst (label 3).
        voxels: all of it; no midline ever parts it.
        kidney: `id` of the kidney it belongs to; None where no kidney is near it.
        side: that kidney's; without one the side of most of its voxels. None where it cannot be told.
        crosses_midline: whether at least 5 ml and a tenth of it lie on either side of the midline.
        borders: of the scan that it touches.
    """

    number: int
    kind: LesionKind
    voxels: Voxels
    kidney: str | None
    side: Side | None
    crosses_midline: bool
    borders: tuple[Border, ...]

    @property
    def label(self) -> int:
        """Of its voxels."""
        return TUMOUR if self.kind == "tumour" else CYST


@dataclass(frozen=True, eq=False)
class Kidney:
    """One kidney.

    Attributes:
        number: from 1; left before right, largest first.
        id: "left", "right" or, where the side cannot be told, "unknown"; a second one is "left_2".
        side: the patient's; None where it cannot be told.
        pieces: its own tissue (label 1) in each connected piece of the foreground, that with most first.
        with_lesions: its own tissue and its lesions together; what touches is one.
        lesions: that belong to it.
        crosses_midline: whether its tissue goes on across the midline, by which it was parted from the other.
        own_borders: of the scan that its own tissue touches; islands of it are not asked.
        borders: that its own tissue or its lesions touch.
    """

    number: int
    id: str
    side: Side | None
    pieces: tuple[Voxels, ...]
    with_lesions: tuple[Voxels, ...]
    lesions: tuple[Lesion, ...]
    crosses_midline: bool
    own_borders: tuple[Border, ...]
    borders: tuple[Border, ...]

    @property
    def body(self) -> tuple[Voxels, ...]:
        """Its own tissue without pieces below a twentieth of it: stray islands would make it longer."""
        return without_islands(self.pieces)

    @property
    def lesion_voxels(self) -> dict[LesionKind, list[Voxels]]:
        """Of its lesions, by kind."""
        return {
            "tumour": [one.voxels for one in self.lesions if one.kind == "tumour"],
            "cyst": [one.voxels for one in self.lesions if one.kind == "cyst"],
        }


@dataclass(frozen=True, eq=False)
class Speck:
    """A component too small to be measured; it is in no volume.

    Attributes:
        kind: of its label.
        voxels: all of it.
        side: that of the kidney it touches; otherwise that of most of its voxels.
    """

    kind: SpeckKind
    voxels: Voxels
    side: Side | None
