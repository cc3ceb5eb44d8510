"""Measurements as a table: one row per kidney, one row per lesion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from renalmap.imaging.files import csv_text
from renalmap.measure.measurements import KidneyMeasurement, LesionMeasurement, Measurements, Point

COLUMNS: Final = (
    "case",
    "structure",
    "id",
    "side",
    "kidney",
    "volume_ml",
    "longest_axial_diameter_mm",
    "short_axis_mm",
    "largest_3d_diameter_mm",
    "length_mm",
    "size_class",
    "polar_position",
    "polar_fraction",
    "exophytic_share",
    "share_of_both",
    "contact_mm2",
    "hsieh_contact_mm2",
    "kidney_within_5_mm_ml",
    "kidney_within_10_mm_ml",
    "depth_mm",
    "c_index",
    "axial_offset_mm",
    "craniocaudal_offset_mm",
    "mean_hu",
    "sd_hu",
    "slice",
    "slice_number",
    "instance_number",
    "sop_instance_uid",
    "centroid_x_mm",
    "centroid_y_mm",
    "centroid_z_mm",
    "incomplete",
    "borders",
    "flags",
    "error",
)
"""`volume_ml` of a kidney is that of its own tissue. `slice` counts from 0, `slice_number` from 1. Centroids are world coordinates, RAS+. Empty means not known."""


def measurements_to_csv(cases: Iterable[tuple[str, Measurements | None, str | None]]) -> str:
    """A CSV text of all cases.

    Args:
        cases: each case's name; its measurements, or None and the error that there are none. A case that
            failed, and one in which nothing was found, has one row with an empty structure.
    """
    return csv_text(
        COLUMNS,
        (
            {"case": case, "error": error or "", **_cells(row)}
            for case, measured, error in cases
            for row in (() if measured is None else tuple(_rows(measured))) or ({},)
        ),
    )


def _rows(measured: Measurements) -> Iterator[dict[str, Any]]:
    flags = " ".join(dict.fromkeys(flag.code for flag in measured.flags))
    for kidney in measured.kidneys:
        own = {"structure": "kidney", "volume_ml": kidney.parenchyma_ml}
        yield {**_values(kidney), **_shared(kidney), **own, "flags": flags}
    for lesion in measured.lesions:
        names = lesion.slice_names
        numbers: dict[str, Any] = {
            "slice_number": names.number,
            "instance_number": names.instance_number,
            "sop_instance_uid": names.sop_instance_uid,
        }
        yield {**_values(lesion), **numbers, **_shared(lesion), "structure": lesion.kind, "flags": flags}


def _values(one: KidneyMeasurement | LesionMeasurement) -> dict[str, Any]:
    return {name: getattr(one, name) for name in COLUMNS if hasattr(one, name)}


def _shared(one: KidneyMeasurement | LesionMeasurement) -> dict[str, Any]:
    names = ("id", "side", "mean_hu", "sd_hu", "incomplete")
    centroid: Point = one.centroid
    places = {f"centroid_{axis}_mm": value for axis, value in zip("xyz", centroid.world_mm, strict=True)}
    return {name: getattr(one, name) for name in names} | places | {"borders": " ".join(one.borders)}


def _cells(row: dict[str, Any]) -> dict[str, Any]:
    """Python's words for nothing and for truth do not belong in a table."""
    words = {None: "", True: "yes", False: "no"}
    return {
        name: words[value] if value is None or isinstance(value, bool) else value
        for name, value in row.items()
    }
