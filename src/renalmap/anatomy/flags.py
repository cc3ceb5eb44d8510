"""What a reader of an anatomy should know first, one sentence each: the one vocabulary of flags."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from renalmap.anatomy.kidneys import SPECK_BELOW_ML
from renalmap.anatomy.reading import Anatomy
from renalmap.anatomy.voxels import Border
from renalmap.imaging import doubt_hounsfield

FlagCode = Literal[
    "grid_doubtful",
    "no_contrast_phase_recognised",
    "no_kidney_found",
    "only_one_kidney_found",
    "more_than_two_kidneys",
    "crosses_midline",
    "lesion_crosses_midline",
    "side_uncertain",
    "side_from_field_of_view",
    "kidney_incomplete",
    "lesion_incomplete",
    "lesion_without_kidney",
    "lesion_like_fluid",
    "lesion_doubtful",
    "candidate_left_out",
    "thick_slices",
    "specks_left_out",
]
"""`no_contrast_phase_recognised`, `lesion_doubtful` and `candidate_left_out` belong to the quality report, which
knows the scan and the networks' probabilities; all others are raised here."""

NOTES: Final = frozenset({"specks_left_out", "side_from_field_of_view"})
"""Flags that deserve a note, not a warning."""

NOTHING_LABELLED: Final = "no kidney was found: nothing is labelled in this scan"
THICK_SLICES_MM: Final = 5.0
FLUID_BELOW_HU: Final = 20.0
"""A homogeneous mass that is not brighter is a simple cyst in the Bosniak classification of 2019."""

_BORDER_NAMES: Final = {"feet": "first slice", "head": "last slice"}
_Raised = Iterator[tuple[FlagCode, str]]


class Flag(BaseModel):
    """What a reader should know first."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    code: FlagCode
    text: str

    @property
    def is_note(self) -> bool:
        """Whether it deserves a note, not a warning."""
        return self.code in NOTES


def raise_flags(anatomy: Anatomy) -> list[Flag]:
    """The flags of an anatomy, the most serious first."""
    kinds = (_grid_flags, _kidney_flags, _side_flags, _cut_flags, _other_flags)
    return [Flag(code=code, text=text) for raised in kinds for code, text in raised(anatomy)]


def _grid_flags(anatomy: Anatomy) -> _Raised:
    doubts = list(anatomy.label_map.geometry.source.doubts)
    if anatomy.scan is not None:
        doubts += anatomy.scan.geometry.source.doubts
    for text in dict.fromkeys(doubts):
        yield "grid_doubtful", text


def _kidney_flags(anatomy: Anatomy) -> _Raised:
    count = len(anatomy.kidneys)
    if count == 0:
        yield "no_kidney_found", "no kidney was found" if anatomy.components else NOTHING_LABELLED
    if count == 1:
        side = anatomy.kidneys[0].side
        other = "right" if side == "left" else "left"
        known = f"only the {side} kidney was found, none on the {other}"
        yield "only_one_kidney_found", "only one kidney was found" if side is None else known
    if count > 2:
        text = f"{count} kidneys were found: a transplant, or pieces of one far apart"
        yield "more_than_two_kidneys", text


def _side_flags(anatomy: Anatomy) -> _Raised:
    if any(kidney.crosses_midline for kidney in anatomy.kidneys):
        text = "kidney tissue crosses the midline (a horseshoe kidney, or a mistake), where it is divided into left and right"
        yield "crosses_midline", text
    for lesion in anatomy.lesions:
        if lesion.crosses_midline:
            owner = f"{'on' if lesion.kidney is None else 'with'} the {lesion.side}"
            owner += "" if lesion.kidney is None else " kidney"
            text = f"{lesion.name} reaches across the midline: all of it is counted {owner}"
            yield "lesion_crosses_midline", text
    if anatomy.midline.basis != "field_of_view":
        return
    if any(kidney.side is None for kidney in anatomy.kidneys):
        why = "without the scan" if anatomy.scan is None else "the scan shows no body, so"
        text = (
            f"the kidney lies near the middle of the field of view: {why} its side cannot be determined"
        )
        yield "side_uncertain", text
    elif anatomy.kidneys:
        advice = "; give the scan to make sure" if anatomy.scan is None else ""
        text = f"left and right were determined by the middle of the field of view alone{advice}"
        yield "side_from_field_of_view", text


def _cut_flags(anatomy: Anatomy) -> _Raised:
    for kidney in anatomy.kidneys:
        name = "a kidney" if kidney.side is None else f"the {kidney.side} kidney"
        if borders := anatomy.borders_of(kidney):
            yield "kidney_incomplete", _cut_off(name, borders)
    for lesion in anatomy.lesions:
        if lesion.borders:
            yield "lesion_incomplete", _cut_off(lesion.name, lesion.borders)


def _cut_off(name: str, borders: Sequence[Border]) -> str:
    where = ", ".join(_BORDER_NAMES.get(border, f"{border} edge") for border in borders)
    return f"{name} is truncated ({where}): its measurements are lower bounds"


def _other_flags(anatomy: Anatomy) -> _Raised:
    for lesion in anatomy.lesions:
        if lesion.kidney is None and anatomy.kidneys:
            yield "lesion_without_kidney", f"{lesion.name} is not near any kidney"
    yield from _like_fluid(anatomy)
    pitch_mm = anatomy.label_map.geometry.spacing_mm[0]
    if pitch_mm > THICK_SLICES_MM:
        text = f"slices are {pitch_mm:.1f} mm apart: small lesions and lengths across slices are measured only coarsely"
        yield "thick_slices", text
    if anatomy.specks:
        total_ml = anatomy.ml([speck.voxels for speck in anatomy.specks])
        number = f"{len(anatomy.specks)} specks below {SPECK_BELOW_ML:g} ml"
        yield (
            "specks_left_out",
            f"{number} ({total_ml:.3f} ml in all) are not included in any measurement",
        )


def _like_fluid(anatomy: Anatomy) -> _Raised:
    """Tumours that are as dark as a cyst, where the scan's values can be HU."""
    if anatomy.scan is None:
        return
    means_hu = [float(anatomy.hu_of([tumour.voxels]).mean()) for tumour in anatomy.tumours]
    dark = [mean_hu < FLUID_BELOW_HU for mean_hu in means_hu]
    if not any(dark) or doubt_hounsfield(anatomy.scan) is not None:
        return
    for tumour, mean_hu, is_dark in zip(anatomy.tumours, means_hu, dark, strict=True):
        if is_dark:
            yield (
                "lesion_like_fluid",
                f"{tumour.name} is as dark as fluid ({mean_hu:.0f} HU): it may be a cyst",
            )
