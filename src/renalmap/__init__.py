"""RenalMap: kidneys and kidney tumours on abdominal CT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from renalmap.api.compare import compare
    from renalmap.api.result import Result
    from renalmap.api.segmenter import Segmenter, segment
    from renalmap.errors import InputError, RenalMapError
    from renalmap.imaging.dicom.choice import DicomChoice
    from renalmap.inference.cascade import SegmentOptions

__version__ = "0.2.0"

__all__ = [
    "DicomChoice",
    "InputError",
    "RenalMapError",
    "Result",
    "SegmentOptions",
    "Segmenter",
    "__version__",
    "compare",
    "segment",
]

_HOMES = {
    "DicomChoice": "renalmap.imaging.dicom.choice",
    "InputError": "renalmap.errors",
    "RenalMapError": "renalmap.errors",
    "Result": "renalmap.api.result",
    "SegmentOptions": "renalmap.inference.cascade",
    "Segmenter": "renalmap.api.segmenter",
    "compare": "renalmap.api.compare",
    "segment": "renalmap.api.segmenter",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used (PEP 562): importing the package stays free."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
