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
    kidneys = table(
        measured.name, "kidney", "parenchyma\nml", "tumour\nml", "cyst\nml", "length\nmm", *hu
    )
    for kidney in measured.kidneys:
        numbers = (kidney.parenchyma_ml, kidney.tumour_ml, kidney.cyst_ml, kidney.length_mm)
        kidneys.add_row(
            (kidney.side or "side unknown") + (", truncated" if kidney.incomplete else ""),
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
            "" if lesion.exophytic_share is None else f"{lesion.exophytic_share:.0%}",
            _SHORT_SIZE_CLASSES.get(lesion.size_class or "", ""),
            *_hu(lesion),
        )
    if measured.tumours:
        lesions.caption = "Size is only the class of the axial diameter, not a T stage."
        lesions.caption_justify = "left"
    yield lesions


def _hu(one: KidneyMeasurement | LesionMeasurement) -> list[str]:
    """A cell of mean and standard deviation; none without a scan."""
    return [] if one.mean_hu is None or one.sd_hu is None else [f"{one.mean_hu:.0f} ± {one.sd_hu:.0f}"]
