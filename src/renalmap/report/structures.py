"""Which voxels belong to which solid: the left and the right kidney, each tumour and each cyst."""

from __future__ import annotations

from dataclasses import dataclass

from renalmap.anatomy import LESION_LABELS, SPECK_BELOW_ML, Anatomy, Kidney, Voxels
from renalmap.anatomy.voxels import joined
from renalmap.labels import KIDNEY
from renalmap.report.palette import LABEL_COLOURS


@dataclass(frozen=True, eq=False)
class Structure:
    """One solid.

    Attributes:
        name: for file names: "left_kidney", "tumour_1".
        label: of its voxels.
        voxels: all of it.
    """

    name: str
    label: int
    voxels: Voxels

    @property
    def title(self) -> str:
        """Its name for people: "left kidney", "tumour 1"."""
        return self.name.replace("_", " ")

    @property
    def colour(self) -> str:
        """Its colour in every picture, "#rrggbb"."""
        return LABEL_COLOURS[self.label]


@dataclass(frozen=True, eq=False)
class Structures:
    """The solids of a label map and what was left out of them.

    Attributes:
        found: kidneys, left before right, then lesions, largest first, numbered as `measure` numbers them.
        left_out: how many components are too small.
        left_out_ml: their volume together.
    """

    found: tuple[Structure, ...]
    left_out: int
    left_out_ml: float


def find_structures(anatomy: Anatomy) -> Structures:
    """The solids of an anatomy.

    A kidney is its own tissue (label 1) without tumours and labelled cysts, which are separate solids that
    fit into it. Specks are left out, also islands of that size that lie within a lesion.
    """
    least = SPECK_BELOW_ML / anatomy.label_map.geometry.voxel_ml
    found, left_out = [], [speck.voxels for speck in anatomy.specks]
    for kidney in anatomy.kidneys:
        parts = [part for tissue in kidney.own for part in tissue.connected()]
        kept = [part for part in parts if part.size >= least]
        left_out += [part for part in parts if part.size < least]
        if kept:
            found.append(Structure(_name(kidney), KIDNEY, joined(kept)))
    found += [
        Structure(lesion.name.replace(" ", "_"), LESION_LABELS[lesion.kind], lesion.voxels)
        for lesion in anatomy.lesions
    ]
    return Structures(tuple(found), len(left_out), anatomy.ml(left_out))


def _name(kidney: Kidney) -> str:
    """As "left_kidney"; a second one of a side is "left_kidney_2"."""
    side, _, rank = kidney.id.partition("_")
    name = "kidney" if kidney.side is None else f"{side}_kidney"
    return f"{name}_{rank}" if rank else name
