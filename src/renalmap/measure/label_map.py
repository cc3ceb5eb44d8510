"""From a label map to `Measurements`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

import numpy as np

from renalmap.errors import GeometryMismatchError, LabelError
from renalmap.imaging import LabelMap, Volume
from renalmap.labels import CYST, KIDNEY, LABEL_NAMES, TUMOUR
from renalmap.measure.anatomy import BORDERS, MINOR_SHARE, Part, Side, borders_of
from renalmap.measure.diameters import Chord
from renalmap.measure.exophytic import exophytic_share
from renalmap.measure.flags import raise_flags
from renalmap.measure.lines import axial_lines, centroid_mm, longest_line
from renalmap.measure.place import Placer
from renalmap.measure.results import (
    KidneyMeasurement,
    LesionKind,
    LesionMeasurement,
    Measurements,
    PolarPosition,
    SizeClass,
    Speck,
    SpeckKind,
)
from renalmap.measure.sides import (
    SPECK_BELOW_ML,
    KidneyPieces,
    Midline,
    assemble_kidneys,
    foreground_parts,
    gap_mm,
    locate_midline,
)

SIZE_LIMITS_MM: Final[tuple[tuple[float, SizeClass], ...]] = (
    (40.0, "up to 4 cm"),
    (70.0, "over 4 to 7 cm"),
    (100.0, "over 7 to 10 cm"),
    (float("inf"), "over 10 cm"),
)
"""The limits of T1a, T1b and T2a of the TNM classification of renal cell carcinoma (UICC, 8th edition)."""

BELONGS_WITHIN_MM: Final = 10.0
"""A lesion that touches no kidney tissue belongs to the kidney whose box it comes this near to."""

GRID_TOLERANCE_MM: Final = 0.1
"""Headers round; voxels that lie this near to each other are the same."""

_KINDS: Final[tuple[tuple[int, LesionKind], ...]] = ((TUMOUR, "tumour"), (CYST, "cyst"))
_ML_DIGITS: Final = 3


@dataclass(frozen=True, eq=False)
class _Lesion:
    """A lesion and where it belongs: the index of its kidney, and its side."""

    kind: LesionKind
    part: Part
    kidney: int | None
    side: Side | None


@dataclass(frozen=True, eq=False)
class _Scene:
    """What is measured, and with what.

    Attributes:
        own: of each kidney the parts of its own tissue.
        body: the same without parts below a twentieth of it: stray islands would make it longer.
    """

    label_map: LabelMap
    volume: Volume | None
    midline: Midline
    kidneys: tuple[KidneyPieces, ...]
    own: tuple[list[Part], ...]
    body: tuple[list[Part], ...]
    place: Placer

    @property
    def voxel_ml(self) -> float:
        return self.label_map.geometry.voxel_ml

    def ml(self, parts: Sequence[Part]) -> float:
        return round(sum(part.size for part in parts) * self.voxel_ml, _ML_DIGITS)

    def hu(self, parts: Sequence[Part]) -> tuple[float | None, float | None]:
        """Mean and standard deviation over all voxels of some parts."""
        if self.volume is None:
            return None, None
        values = np.concatenate([self.volume.hu[part.box.slices][part.inside] for part in parts])
        return round(float(values.mean(dtype=np.float64)), 1), round(
            float(values.std(dtype=np.float64)), 1
        )


def measure_label_map(label_map: LabelMap, volume: Volume | None = None) -> Measurements:
    """Measure kidneys and lesions.

    Args:
        label_map: labels 0 background, 1 kidney, 2 tumour, 3 cyst, on the scan's canonical grid.
        volume: the scan, on the same grid: gives HU, and the body by which left is told from right.

    Returns:
        The measurements. For a map without any label they are empty, with the flag `no_kidney_found`.

    Raises:
        LabelError: the map holds a value that is no label.
        GeometryMismatchError: the scan lies on another grid.
    """
    _check(label_map, volume)
    parts = foreground_parts(label_map)
    midline = locate_midline(label_map, parts, volume)
    kidneys = assemble_kidneys(label_map, parts, midline)
    own = tuple([part.only(label_map, KIDNEY) for part in kidney.parts] for kidney in kidneys)
    body = tuple(_without_islands(parts) for parts in own)
    scene = _Scene(label_map, volume, midline, kidneys, own, body, Placer(label_map.geometry))
    found, specks = _find_lesions(scene, parts)
    lesions = [
        _measure_lesion(number, lesion, scene) for number, lesion in zip(count(1), found, strict=False)
    ]
    measured = Measurements(
        name=label_map.name,
        shape_zyx=label_map.geometry.shape,
        spacing_mm=label_map.geometry.spacing_mm,
        side_basis=midline.basis,
        with_scan=volume is not None,
        flags=[],
        kidneys=[_measure_kidney(index, found, lesions, scene) for index in range(len(kidneys))],
        lesions=lesions,
        specks=specks,
        specks_below_ml=SPECK_BELOW_ML,
    )
    return measured.model_copy(update={"flags": raise_flags(measured)})


def _without_islands(own: list[Part]) -> list[Part]:
    least = MINOR_SHARE * sum(part.size for part in own)
    return [part for part in own if part.size >= least]


def _check(label_map: LabelMap, volume: Volume | None) -> None:
    if int(label_map.labels.max()) > max(LABEL_NAMES):
        strange = [value for value in np.unique(label_map.labels).tolist() if value not in LABEL_NAMES]
        raise LabelError(
            "the map holds values that are no labels",
            where=label_map.name,
            got=", ".join(map(str, strange[:5])),
            expected="0 background, 1 kidney, 2 tumour, 3 cyst",
            hint="Give a label map of kidneys, not the scan or another organ's map",
        )
    if volume is not None and not volume.geometry.matches(
        label_map.geometry, tolerance_mm=GRID_TOLERANCE_MM
    ):
        raise GeometryMismatchError(
            "the scan and the label map lie on different grids",
            where=label_map.name,
            got=f"a scan of shape {volume.geometry.shape}, spacing {_spacing(volume)} mm",
            expected=f"shape {label_map.geometry.shape}, spacing {_spacing(label_map)} mm, the same place",
            hint="Give the scan that the labels were drawn on",
        )


def _spacing(image: Volume | LabelMap) -> str:
    return " x ".join(f"{value:.3g}" for value in image.geometry.spacing_mm)


def _find_lesions(scene: _Scene, parts: Sequence[Part]) -> tuple[list[_Lesion], list[Speck]]:
    """Lesions, tumours before cysts, largest first; and every component that is too small."""
    lesions, specks = [], []
    for part in parts:
        for label, kind in _KINDS:
            for found in part.only(scene.label_map, label).connected():
                if found.size * scene.voxel_ml < SPECK_BELOW_ML:
                    specks.append(_speck(kind, found, scene))
                else:
                    lesions.append(_Lesion(kind, found, *_owner(found, part, scene)))
        own = part.only(scene.label_map, KIDNEY)
        if 0 < own.size * scene.voxel_ml < SPECK_BELOW_ML:
            specks.append(_speck("kidney", own, scene))
    lesions.sort(key=lambda lesion: (lesion.kind != "tumour", -lesion.part.size))
    return lesions, sorted(specks, key=lambda speck: -speck.volume_ml)


def _speck(kind: SpeckKind, part: Part, scene: _Scene) -> Speck:
    centroid = centroid_mm([part], scene.label_map.geometry.spacing_mm)
    return Speck(
        kind=kind, volume_ml=round(part.size * scene.voxel_ml, 5), centroid=scene.place.point(centroid)
    )


def _owner(lesion: Part, part: Part, scene: _Scene) -> tuple[int | None, Side | None]:
    """The kidney that a lesion of a foreground part belongs to, and its side."""
    for index, kidney in enumerate(scene.kidneys):
        if any(piece is part for piece in kidney.parts):
            return index, kidney.side
    sides = {kidney.side for kidney in scene.kidneys}
    side = None if None in sides else lesion.side(scene.midline.track)
    near = [
        (min(gap_mm(lesion.box, piece.box, scene.label_map.geometry) for piece in kidney.parts), index)
        for index, kidney in enumerate(scene.kidneys)
        if kidney.side == side
    ]
    gap, index = min(near, default=(np.inf, 0))
    return (index if gap <= BELONGS_WITHIN_MM else None), side


def _measure_lesion(number: int, lesion: _Lesion, scene: _Scene) -> LesionMeasurement:
    part, geometry = lesion.part, scene.label_map.geometry
    lines = axial_lines(part, geometry.spacing_mm)
    height_mm = lines.slice * geometry.spacing_mm[0]
    centroid = centroid_mm([part], geometry.spacing_mm)
    in_space = longest_line([part], geometry.spacing_mm)
    if (
        lines.longest.length_mm > in_space.length_mm
    ):  # of a flat lesion, whose borders are placed otherwise
        in_space = Chord(np.insert(lines.longest.ends, 0, height_mm, axis=1))
    mean_hu, sd_hu = scene.hu([part])
    borders = borders_of([part], geometry.shape)
    own = None if lesion.kidney is None else _whole_kidney(lesion.kidney, scene)
    fraction = None if own is None else _polar_fraction(float(centroid[0]), own, geometry.spacing_mm[0])
    longest_mm = round(lines.longest.length_mm, 2)
    return LesionMeasurement(
        id=number,
        kind=lesion.kind,
        kidney=None if lesion.kidney is None else lesion.kidney + 1,
        side=lesion.side,
        volume_ml=scene.ml([part]),
        longest_axial_diameter_mm=longest_mm,
        short_axis_mm=round(lines.short.length_mm, 2),
        slice=lines.slice,
        largest_3d_diameter_mm=round(in_space.length_mm, 2),
        longest_axial_diameter=scene.place.diameter(lines.longest, height_mm),
        short_axis=scene.place.diameter(lines.short, height_mm),
        largest_3d_diameter=scene.place.diameter(in_space),
        centroid=scene.place.point(centroid),
        polar_position=None if fraction is None else _third(fraction),
        polar_fraction=None if fraction is None else round(fraction, 3),
        exophytic_share=None
        if own is None
        else round(exophytic_share(part, own, geometry.spacing_mm), 3),
        mean_hu=mean_hu,
        sd_hu=sd_hu,
        size_class=size_class(longest_mm) if lesion.kind == "tumour" else None,
        borders=borders,
        incomplete=bool(borders),
    )


def _whole_kidney(index: int, scene: _Scene) -> list[Part] | None:
    """A kidney's own tissue; None where the scan cuts it off, for its outline is not known then."""
    body = scene.body[index]
    return None if borders_of(body, scene.label_map.geometry.shape) else body


def _polar_fraction(height_mm: float, own: Sequence[Part], z_mm: float) -> float:
    low = min(part.box.start[0] + _span(part).start for part in own) - 0.5
    high = max(part.box.start[0] + _span(part).stop for part in own) - 0.5
    return float((height_mm / z_mm - low) / (high - low))


def _span(part: Part) -> slice:
    """The slices of a part's box that it has voxels in."""
    filled = np.flatnonzero(part.inside.any(axis=(1, 2)))
    return slice(int(filled[0]), int(filled[-1]) + 1)


def _third(fraction: float) -> PolarPosition:
    return "lower" if fraction < 1 / 3 else "middle" if fraction <= 2 / 3 else "upper"


def size_class(diameter_mm: float) -> SizeClass:
    """The class of a diameter; a limit belongs to the class below it, as in the TNM."""
    return next(name for limit_mm, name in SIZE_LIMITS_MM if diameter_mm <= limit_mm)


def _measure_kidney(
    index: int, found: Sequence[_Lesion], lesions: Sequence[LesionMeasurement], scene: _Scene
) -> KidneyMeasurement:
    kidney, own, geometry = scene.kidneys[index], scene.own[index], scene.label_map.geometry
    mine = [lesion for lesion in found if lesion.kidney == index]
    length = longest_line(scene.body[index], geometry.spacing_mm)
    mean_hu, sd_hu = scene.hu(own)
    touched = set(_borders(own, mine, geometry.shape))
    borders = [border for border in BORDERS if border in touched]
    return KidneyMeasurement(
        id=index + 1,
        side=kidney.side,
        parenchyma_ml=scene.ml(own),
        tumour_ml=scene.ml([lesion.part for lesion in mine if lesion.kind == "tumour"]),
        cyst_ml=scene.ml([lesion.part for lesion in mine if lesion.kind == "cyst"]),
        length_mm=round(length.length_mm, 2),
        length=scene.place.diameter(length),
        centroid=scene.place.point(centroid_mm(own, geometry.spacing_mm)),
        mean_hu=mean_hu,
        sd_hu=sd_hu,
        pieces=len(kidney.parts),
        lesions=[lesion.id for lesion in lesions if lesion.kidney == index + 1],
        crosses_midline=kidney.crosses_midline,
        borders=borders,
        incomplete=bool(borders),
    )


def _borders(
    own: Sequence[Part], lesions: Sequence[_Lesion], shape: tuple[int, int, int]
) -> Iterator[str]:
    yield from borders_of(own, shape)
    for lesion in lesions:
        yield from borders_of([lesion.part], shape)
