"""Numbers a surgeon reads: volumes, diameters, intensities, sides."""

from renalmap.measure.label_map import measure_anatomy, measure_label_map
from renalmap.measure.measurements import (
    Diameter,
    KidneyMeasurement,
    LesionMeasurement,
    Measurements,
    Point,
    Speck,
)

__all__ = [
    "Diameter",
    "KidneyMeasurement",
    "LesionMeasurement",
    "Measurements",
    "Point",
    "Speck",
    "measure_anatomy",
    "measure_label_map",
]
