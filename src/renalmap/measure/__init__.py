"""Numbers a surgeon reads: volumes, diameters, intensities, sides."""

from __future__ import annotations

import warnings
from typing import Any

from renalmap.anatomy import Flag
from renalmap.measure.label_map import measure_anatomy, measure_label_map, relate
from renalmap.measure.measurements import (
    Diameter,
    KidneyMeasurement,
    KidneyRelation,
    LesionMeasurement,
    Measurements,
    Point,
    Speck,
)

__all__ = [
    "Diameter",
    "KidneyMeasurement",
    "KidneyRelation",
    "LesionMeasurement",
    "Measurements",
    "Point",
    "Speck",
    "measure_anatomy",
    "measure_label_map",
    "relate",
]


def __getattr__(name: str) -> Any:
    if name != "MeasurementFlag":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    text = "renalmap.measure.MeasurementFlag is renalmap.anatomy.Flag now; the old name goes in 0.3.0"
    warnings.warn(text, DeprecationWarning, stacklevel=2)
    return Flag
