"""KiTS19's labels and the regions that are scored."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

BACKGROUND: Final = 0
KIDNEY: Final = 1
TUMOUR: Final = 2

LABEL_NAMES: Final[Mapping[int, str]] = MappingProxyType(
    {BACKGROUND: "background", KIDNEY: "kidney", TUMOUR: "tumour"}
)

REGIONS: Final[Mapping[str, frozenset[int]]] = MappingProxyType(
    {
        "kidney": frozenset({KIDNEY, TUMOUR}),
        "tumour": frozenset({TUMOUR}),
        "kidney_only": frozenset({KIDNEY}),
    }
)
"""A region is a union of labels. KiTS scores "kidney" as kidney + tumour."""
