"""One reading of a label map: its kidneys and lesions, numbered, with sides and borders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalmap.anatomy.body import BodyTrack, track_body
from renalmap.anatomy.kidneys import SPECK_BELOW_ML, Kidney, assemble_kidneys
from renalmap.anatomy.lesions import Lesion, Speck, find_lesions
from renalmap.anatomy.midline import Midline, locate_midline
from renalmap.anatomy.voxels import Border, Voxels, find_components, in_order, joined
from renalmap.errors import LabelError
from renalmap.imaging import LabelMap, Volume, check_same_grid
from renalmap.labels import CYST, KIDNEY, LABEL_NAMES, TUMOUR, UNKNOWN, LesionKind


@dataclass(frozen=True, eq=False)
class Anatomy:
    """What a label map shows, read once and used by every output.

    A tumour belongs whole to its kidney, even if it reaches across the midline; that it does is a fact about
    the tumour (docs/decisions/0037-one-reading-of-the-anatomy.md).

    Attributes:
        label_map: labels 0 background, 1 kidney, 2 tumour, 3 cyst, on the scan's canonical grid;
            `UNKNOWN` shows nothing.
        scan: on the same grid; None if there is none.
        body: where the scan shows the trunk; None without a scan.
        midline: the mid-sagittal plane, and how it was found.
        components: the connected components of kidney, tumour and cyst together, largest first.
        kidneys: left before right, largest first.
        lesions: tumours before cysts, largest first.
        specks: what is smaller than `SPECK_BELOW_ML`, largest first: not included in any volume, here or elsewhere.
    """

    label_map: LabelMap
    scan: Volume | None
    body: BodyTrack | None
    midline: Midline
    components: tuple[Voxels, ...] = field(repr=False)
    kidneys: tuple[Kidney, ...]
    lesions: tuple[Lesion, ...]
    specks: tuple[Speck, ...]

    @classmethod
    def of(
        cls, label_map: LabelMap, scan: Volume | None = None, *, body: BodyTrack | None = None
    ) -> Anatomy:
        """Read a label map.

        Args:
            label_map: on the scan's canonical grid; it may be empty.
            scan: gives the body, which makes left and right more certain.
            body: where the body lies in the scan, if that is already known: finding it takes a while.

        Raises:
            LabelError: the map holds a value that is not a label.
            GeometryMismatchError: the scan lies on another grid.
        """
        _check_labels(label_map)
        if scan is not None:
            check_same_grid(scan, label_map, where=label_map.name)
        if body is None and scan is not None:
            body = track_body(scan)
        geometry = label_map.geometry
        components = find_components(label_map, (KIDNEY, TUMOUR, CYST))
        own = [component.only(label_map, KIDNEY) for component in components]
        midline = locate_midline(own, geometry, body)
        kidneys = assemble_kidneys(own, geometry, midline)
        lesions, specks = find_lesions(label_map, components, kidneys, midline)
        specks += [
            Speck("kidney", tissue, tissue.side(midline.track))
            for tissue in own
            if 0 < tissue.size * geometry.voxel_ml < SPECK_BELOW_ML
        ]
        specks.sort(key=lambda speck: -speck.voxels.size)
        read = (tuple(components), kidneys, tuple(lesions), tuple(specks))
        return cls(label_map, scan, body, midline, *read)

    @property
    def tumours(self) -> tuple[Lesion, ...]:
        """The lesions that are tumours, largest first."""
        return tuple(lesion for lesion in self.lesions if lesion.kind == "tumour")

    def kidney_of(self, lesion: Lesion) -> Kidney | None:
        """The kidney that a lesion belongs to."""
        return next((kidney for kidney in self.kidneys if kidney.id == lesion.kidney), None)

    def lesions_of(self, kidney: Kidney) -> list[Lesion]:
        """The lesions that belong to a kidney."""
        return [lesion for lesion in self.lesions if lesion.kidney == kidney.id]

    def borders_of(self, kidney: Kidney) -> list[Border]:
        """Borders of the scan that a kidney or a lesion of it touches."""
        lesions = self.lesions_of(kidney)
        return in_order([*kidney.borders, *(border for one in lesions for border in one.borders)])

    def with_lesions(self, kidney: Kidney) -> list[Voxels]:
        """A kidney's own tissue with its lesions; parts that touch are joined."""
        lesions = self.lesions_of(kidney)
        parts = [
            joined([piece.own, *(one.voxels for one in lesions if one.component == piece.component)])
            if piece.is_half
            else self.components[piece.component]
            for piece in kidney.pieces
        ]
        own = {piece.component for piece in kidney.pieces}
        return [*parts, *(lesion.voxels for lesion in lesions if lesion.component not in own)]

    def hu_of(self, parts: Sequence[Voxels]) -> NDArray[Any]:
        """HU of all voxels of some parts, one axis; there must be a scan.

        Raises:
            ValueError: the anatomy was read without a scan.
        """
        if self.scan is None:
            raise ValueError("the anatomy was read without a scan, which alone has HU")
        return np.concatenate([self.scan.hu[part.box.slices][part.inside] for part in parts])

    def ml(self, parts: Sequence[Voxels]) -> float:
        """The volume of some parts that do not overlap."""
        return sum(part.size for part in parts) * self.label_map.geometry.voxel_ml

    def lesions_ml(self, kidney: Kidney, kind: LesionKind) -> float:
        """The volume of a kidney's tumours or cysts."""
        return self.ml([one.voxels for one in self.lesions_of(kidney) if one.kind == kind])


def _check_labels(label_map: LabelMap) -> None:
    if int(label_map.labels.max(initial=0)) <= max(LABEL_NAMES):
        return
    legal = {*LABEL_NAMES, UNKNOWN}
    if strange := [value for value in np.unique(label_map.labels).tolist() if value not in legal]:
        raise LabelError(
            "the map holds values that are not labels",
            where=label_map.name,
            got=", ".join(map(str, strange[:5])),
            expected="0 background, 1 kidney, 2 tumour, 3 cyst",
            hint="Give a label map of kidneys, not the scan or another organ's map",
        )
