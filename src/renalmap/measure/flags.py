"""What a reader of measurements should know first, each in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from renalmap.measure.anatomy import Border
from renalmap.measure.results import FlagCode, MeasurementFlag, Measurements

THICK_SLICES_MM: Final = 5.0

_BORDER_NAMES: Final = {"feet": "first slice", "head": "last slice"}


def raise_flags(measured: Measurements) -> list[MeasurementFlag]:
    """The flags of measurements, the gravest first."""
    flags = (*_kidney_flags(measured), *_side_flags(measured), *_cut_flags(measured))
    return [MeasurementFlag(code=code, text=text) for code, text in (*flags, *_other_flags(measured))]


def _kidney_flags(measured: Measurements) -> Iterator[tuple[FlagCode, str]]:
    kidneys = measured.kidneys
    if not kidneys:
        yield "no_kidney_found", "no kidney was found"
    if len(kidneys) == 1:
        side = "" if kidneys[0].side is None else f", the {kidneys[0].side} one"
        yield "only_one_kidney_found", f"only one kidney was found{side}"
    if len(kidneys) > 2:
        yield (
            "more_than_two_kidneys",
            f"{len(kidneys)} kidneys were found: a transplant, or pieces of one far apart",
        )


def _side_flags(measured: Measurements) -> Iterator[tuple[FlagCode, str]]:
    if any(kidney.crosses_midline for kidney in measured.kidneys):
        yield (
            "crosses_midline",
            (
                "kidney tissue reaches across the midline (a horseshoe kidney, or a mistake): it is parted into "
                "left and right by the midline"
            ),
        )
    if measured.kidneys and measured.side_basis == "field_of_view":
        if any(kidney.side is None for kidney in measured.kidneys):
            yield (
                "side_uncertain",
                (
                    "the kidney lies near the middle of the field of view: without the scan its side cannot be "
                    "told"
                ),
            )
        else:
            yield (
                "side_from_field_of_view",
                (
                    "left and right were told by the middle of the field of view alone; give the scan to make "
                    "sure"
                ),
            )


def _cut_flags(measured: Measurements) -> Iterator[tuple[FlagCode, str]]:
    for kidney in measured.kidneys:
        if kidney.incomplete:
            name = "a kidney" if kidney.side is None else f"the {kidney.side} kidney"
            yield (
                "kidney_incomplete",
                f"{name} is cut off ({_where(kidney.borders)}): its measures are lower bounds",
            )
    for lesion in measured.lesions:
        if lesion.incomplete:
            yield (
                "lesion_incomplete",
                (
                    f"{lesion.kind} {lesion.id} is cut off ({_where(lesion.borders)}): its measures are lower "
                    "bounds"
                ),
            )


def _other_flags(measured: Measurements) -> Iterator[tuple[FlagCode, str]]:
    for lesion in measured.lesions:
        if lesion.kidney is None and measured.kidneys:
            yield "lesion_without_kidney", f"{lesion.kind} {lesion.id} is near no kidney"
    if measured.spacing_mm[0] > THICK_SLICES_MM:
        yield (
            "thick_slices",
            (
                f"slices are {measured.spacing_mm[0]:.1f} mm apart: small lesions and lengths across slices are "
                "coarse"
            ),
        )
    if measured.specks:
        total_ml = sum(speck.volume_ml for speck in measured.specks)
        yield (
            "specks_left_out",
            (
                f"{len(measured.specks)} specks below {measured.specks_below_ml:g} ml each ({total_ml:.3f} ml in "
                "all) are in no measure"
            ),
        )


def _where(borders: list[Border]) -> str:
    return ", ".join(_BORDER_NAMES.get(border, f"{border} edge") for border in borders)
