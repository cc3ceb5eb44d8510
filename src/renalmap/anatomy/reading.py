"""One reading of a label map: its kidneys and lesions, numbered, with sides and borders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np

from renalmap.anatomy.body import BodyTrack, track_body
from renalmap.anatomy.kidneys import SPECK_BELOW_ML, Assembled, assemble_kidneys, gap_mm
from renalmap.anatomy.midline import Midline, locate_midline
from renalmap.anatomy.organs import Kidney, Lesion, LesionKind, Speck
from renalmap.anatomy.voxels import Voxels, borders_of, find_components, in_order, joined
from renalmap.errors import GeometryMismatchError, LabelError
from renalmap.imaging import LabelMap, Volume
from renalmap.labels import CYST, KIDNEY, LABEL_NAMES, TUMOUR, Side

BELONGS_WITHIN_MM: Final = 10.0
"""A lesion that touches no kidney tissue belongs to the kidney whose box it comes this near to."""

GRID_TOLERANCE_MM: Final = 0.1
"""Headers round; voxels that lie this near to each other are the same."""

_KINDS: Final[tuple[tuple[int, LesionKind], ...]] = ((TUMOUR, "tumour"), (CYST, "cyst"))


@dataclass(frozen=True, eq=False)
class Anatomy:
    """What a label map shows, read once and read by every output.

    A tumour belongs to its kidney, whole, also where it reaches across the midline; that it does is a fact
    about the tumour (docs/decisions/0037-one-reading-of-the-anatomy.md).

    Attributes:
        label_map: labels 0 background, 1 kidney, 2 tumour, 3 cyst, on the scan's canonical grid.
        scan: on the same grid; None where there is none.
        body: where the scan shows the trunk; None without a scan.
        midline: the mid-sagittal plane, and how it was found.
        pieces: the connected components of kidney, tumour and cyst together, largest first.
        kidneys: left before right, largest first.
        lesions: tumours before cysts, largest first.
        specks: components below `SPECK_BELOW_ML`, largest first: in no volume, neither here nor elsewhere.
    """

    label_map: LabelMap
    scan: Volume | None = field(repr=False)
    body: BodyTrack | None = field(repr=False)
    midline: Midline = field(repr=False)
    pieces: tuple[Voxels, ...] = field(repr=False)
    kidneys: tuple[Kidney, ...]
    lesions: tuple[Lesion, ...]
    specks: tuple[Speck, ...] = field(repr=False)

    @classmethod
    def of(
        cls, label_map: LabelMap, scan: Volume | None = None, *, body: BodyTrack | None = None
    ) -> Anatomy:
        """Read a label map.

        Args:
            label_map: on the scan's canonical grid; it may be empty.
            scan: gives the body, by which left is told from right more surely.
            body: where the scan's body lies, if that was found before: finding it takes a while.

        Raises:
            LabelError: the map holds a value that is no label.
            GeometryMismatchError: the scan lies on another grid.
        """
        _check(label_map, scan)
        if body is None and scan is not None:
            body = track_body(scan)
        pieces = find_components(label_map, (KIDNEY, TUMOUR, CYST))
        own = [piece.only(label_map, KIDNEY) for piece in pieces]
        midline = locate_midline(own, label_map.geometry, body)
        assembled = assemble_kidneys(own, label_map.geometry, midline)
        reading = _Reading(label_map, midline, pieces, own, assembled, _kidney_ids(assembled))
        lesions, specks = reading.lesions_and_specks()
        kidneys = tuple(reading.kidney(index, lesions) for index in range(len(assembled)))
        found = tuple(one for one, _ in lesions)
        return cls(label_map, scan, body, midline, tuple(pieces), kidneys, found, specks)

    @property
    def tumours(self) -> tuple[Lesion, ...]:
        """The lesions that are tumours, largest first."""
        return tuple(lesion for lesion in self.lesions if lesion.kind == "tumour")

    def kidney_of(self, lesion: Lesion) -> Kidney | None:
        """The kidney that a lesion belongs to."""
        return next((kidney for kidney in self.kidneys if kidney.id == lesion.kidney), None)

    def ml(self, parts: Sequence[Voxels]) -> float:
        """The volume of some parts that do not overlap."""
        return sum(part.size for part in parts) * self.label_map.geometry.voxel_ml


def _kidney_ids(assembled: Sequence[Assembled]) -> list[str]:
    """As "left"; a second one of a side is "left_2"."""
    names = [kidney.side or "unknown" for kidney in assembled]
    ranks = [names[: index + 1].count(name) for index, name in enumerate(names)]
    return [f"{name}_{rank}" if rank > 1 else name for name, rank in zip(names, ranks, strict=True)]


@dataclass(frozen=True, eq=False)
class _Reading:
    """What a label map was taken apart into, before it is put together as an `Anatomy`.

    Attributes:
        own: the kidney tissue of each piece.
        assembled, ids: the kidneys.
    """

    label_map: LabelMap
    midline: Midline
    pieces: Sequence[Voxels]
    own: Sequence[Voxels]
    assembled: Sequence[Assembled]
    ids: Sequence[str]

    @cached_property
    def owners(self) -> dict[int, int]:
        """Of each piece that belongs to one kidney, whole, that kidney's index."""
        return {
            share.piece: index
            for index, kidney in enumerate(self.assembled)
            for share in kidney.shares
            if not share.is_half
        }

    def lesions_and_specks(self) -> tuple[list[tuple[Lesion, int]], tuple[Speck, ...]]:
        """Every lesion with the index of its piece; and every component that is too small."""
        voxel_ml = self.label_map.geometry.voxel_ml
        lesions: list[tuple[Lesion, int]] = []
        specks = list(self._kidney_specks())
        for label, kind in _KINDS:
            for voxels in find_components(self.label_map, (label,)):
                piece = next(index for index, each in enumerate(self.pieces) if each.holds(voxels))
                if voxels.size * voxel_ml < SPECK_BELOW_ML:
                    specks.append(Speck(kind, voxels, self._owner(voxels, piece)[1]))
                else:
                    lesions.append((self._lesion(len(lesions) + 1, kind, voxels, piece), piece))
        return lesions, tuple(sorted(specks, key=lambda speck: -speck.voxels.size))

    def _kidney_specks(self) -> Iterator[Speck]:
        for tissue in self.own:
            if 0 < tissue.size * self.label_map.geometry.voxel_ml < SPECK_BELOW_ML:
                yield Speck("kidney", tissue, tissue.side(self.midline.track))

    def _lesion(self, number: int, kind: LesionKind, voxels: Voxels, piece: int) -> Lesion:
        geometry = self.label_map.geometry
        owner, side = self._owner(voxels, piece)
        known = self.midline.basis != "field_of_view"
        return Lesion(
            number=number,
            kind=kind,
            voxels=voxels,
            kidney=None if owner is None else self.ids[owner],
            side=side,
            crosses_midline=known and self.midline.crossed_by(voxels, geometry.voxel_ml),
            borders=borders_of([voxels], geometry.shape),
        )

    def _owner(self, voxels: Voxels, piece: int) -> tuple[int | None, Side | None]:
        """The index of the kidney that a component belongs to, and its side.

        That of the kidney it is joined to; otherwise of the nearest one, of two as near that on its own side.
        """
        if piece in self.owners:
            return self.owners[piece], self.assembled[self.owners[piece]].side
        own_side = voxels.side(self.midline.track)
        geometry = self.label_map.geometry
        gaps = [
            min(gap_mm(voxels.box, share.own.box, geometry) for share in kidney.shares)
            for kidney in self.assembled
        ]
        near = [
            (gap, kidney.side not in {own_side, None}, index)
            for index, (gap, kidney) in enumerate(zip(gaps, self.assembled, strict=True))
            if gap <= BELONGS_WITHIN_MM
        ]
        if near:
            _, _, index = min(near)
            return index, self.assembled[index].side
        doubtful = any(kidney.side is None for kidney in self.assembled)
        return None, None if doubtful else own_side

    def kidney(self, index: int, lesions: Sequence[tuple[Lesion, int]]) -> Kidney:
        """A kidney with its lesions."""
        shape, kidney = self.label_map.geometry.shape, self.assembled[index]
        mine = [(lesion, piece) for lesion, piece in lesions if lesion.kidney == self.ids[index]]
        own = tuple(share.own for share in kidney.shares)
        joined_to = {share.piece for share in kidney.shares}
        with_lesions = [
            joined([share.own, *(one.voxels for one, piece in mine if piece == share.piece)])
            if share.is_half
            else self.pieces[share.piece]
            for share in kidney.shares
        ]
        with_lesions += [lesion.voxels for lesion, piece in mine if piece not in joined_to]
        own_borders = borders_of(own, shape)
        return Kidney(
            number=index + 1,
            id=self.ids[index],
            side=kidney.side,
            pieces=own,
            with_lesions=tuple(with_lesions),
            lesions=tuple(lesion for lesion, _ in mine),
            crosses_midline=any(share.is_half for share in kidney.shares),
            own_borders=own_borders,
            borders=in_order([*own_borders, *(each for one, _ in mine for each in one.borders)]),
        )


def _check(label_map: LabelMap, scan: Volume | None) -> None:
    if int(label_map.labels.max(initial=0)) > max(LABEL_NAMES):
        strange = [value for value in np.unique(label_map.labels).tolist() if value not in LABEL_NAMES]
        raise LabelError(
            "the map holds values that are no labels",
            where=label_map.name,
            got=", ".join(map(str, strange[:5])),
            expected="0 background, 1 kidney, 2 tumour, 3 cyst",
            hint="Give a label map of kidneys, not the scan or another organ's map",
        )
    if scan is not None and not scan.geometry.matches(
        label_map.geometry, tolerance_mm=GRID_TOLERANCE_MM
    ):
        raise GeometryMismatchError(
            "the scan and the label map lie on different grids",
            where=label_map.name,
            got=f"a scan of shape {scan.geometry.shape}, spacing {_spacing(scan)} mm",
            expected=f"shape {label_map.geometry.shape}, spacing {_spacing(label_map)} mm, the same place",
            hint="Give the scan that the labels were drawn on",
        )


def _spacing(image: Volume | LabelMap) -> str:
    return " x ".join(f"{value:.3g}" for value in image.geometry.spacing_mm)
