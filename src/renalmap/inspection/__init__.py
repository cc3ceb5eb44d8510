"""Inspecting a data set before hours are spent on it."""

from renalmap.inspection.case import inspect_case
from renalmap.inspection.findings import (
    SEVERITIES,
    CaseInspection,
    Finding,
    IntensityRange,
    Severity,
    worst,
)
from renalmap.inspection.whole import inspect_dataset

__all__ = [
    "SEVERITIES",
    "CaseInspection",
    "Finding",
    "IntensityRange",
    "Severity",
    "inspect_case",
    "inspect_dataset",
    "worst",
]
