"""Measurements as tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from renalmap.cli.tables import number, table

if TYPE_CHECKING:
    from rich.table import Table

    from renalmap.measure import KidneyMeasurement, LesionMeasurement, Measurements

_SHORT_SIZE_CLASSES: Final = {
    "up to 4 cm": "<=4 cm",
    "over 4 to 7 cm": "4-7 cm",
    "over 7 to 10 cm": "7-10 cm",
    "over 10 cm": ">10 cm",
}


def measurement_tables(measured: Measurements) -> Iterator[Table]:
    """The kidneys; and the lesions, if there are any."""
    hu = ("HU",) if measured.with_scan else ()
    columns = ("kidney", "parenchyma\nml", "of both", "tumour\nml", "cyst\nml", "length\nmm", *hu)
    kidneys = table(measured.name, *columns)
    for kidney in measured.kidneys:
        numbers = (kidney.tumour_ml, kidney.cyst_ml, kidney.length_mm)
        kidneys.add_row(
            (kidney.side or "side unknown") + (", truncated" if kidney.incomplete else ""),
            number(kidney.parenchyma_ml, 1),
            _percent(kidney.share_of_both),
            *[number(value, 1) for value in numbers],
            *_hu(kidney),
        )
    yield kidneys
    if not measured.lesions:
        return
    lesions = table(None, "lesion", "", "ml", "axial\nmm", "short\nmm", "3D\nmm", "outside", "size", *hu)
    lesions.columns[1].justify = "left"
    for lesion in measured.lesions:
        lines_mm = (
            lesion.longest_axial_diameter_mm,
            lesion.short_axis_mm,
            lesion.largest_3d_diameter_mm,
        )
        place = [lesion.side, lesion.polar_position, "truncated" if lesion.incomplete else None]
        lesions.add_row(
            f"{lesion.id} {lesion.kind}",
            " ".join(word for word in place if word) or "unknown",
            *[number(value, 1) for value in (lesion.volume_ml, *lines_mm)],
            _percent(lesion.exophytic_share),
            _SHORT_SIZE_CLASSES.get(lesion.size_class or "", ""),
            *_hu(lesion),
        )
    if measured.tumours:
        lesions.caption = "Size is only the class of the axial diameter, not a T stage."
        lesions.caption_justify = "left"
    yield lesions
    if any(tumour.kidney for tumour in measured.tumours):
        yield _in_kidneys(measured)


def _in_kidneys(measured: Measurements) -> Table:
    """How the tumours lie in their kidneys."""
    found = table(
        None,
        "in its kidney",
        "contact\nmm²",
        "2πrd\nmm²",
        "depth\nmm",
        "within 5 mm\nml",
        "within 10 mm\nml",
        "C-index",
    )
    for tumour in measured.tumours:
        found.add_row(
            f"{tumour.id} {tumour.kind}",
            number(tumour.contact_mm2, 0),
            number(tumour.hsieh_contact_mm2, 0),
            number(tumour.depth_mm, 1),
            number(tumour.kidney_within_5_mm_ml, 1),
            number(tumour.kidney_within_10_mm_ml, 1),
            number(tumour.c_index, 2),
        )
    return found


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _hu(one: KidneyMeasurement | LesionMeasurement) -> list[str]:
    """A cell of mean and standard deviation; none without a scan."""
    return [] if one.mean_hu is None or one.sd_hu is None else [f"{one.mean_hu:.0f} ± {one.sd_hu:.0f}"]
