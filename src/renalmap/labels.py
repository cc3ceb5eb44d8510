"""The labels of KiTS, the regions that are scored, the patient's sides."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, get_args

BACKGROUND: Final = 0
KIDNEY: Final = 1
TUMOUR: Final = 2
CYST: Final = 3
"""KiTS21's and KiTS23's; KiTS19 marks cysts as kidney, and so do the networks."""

LABEL_NAMES: Final[Mapping[int, str]] = MappingProxyType(
    {BACKGROUND: "background", KIDNEY: "kidney", TUMOUR: "tumour", CYST: "cyst"}
)

Side = Literal["left", "right"]
"""The patient's."""

SIDES: Final[tuple[Side, ...]] = get_args(Side)

REGIONS: Final[Mapping[str, frozenset[int]]] = MappingProxyType(
    {
        "kidney": frozenset({KIDNEY, TUMOUR}),
        "tumour": frozenset({TUMOUR}),
        "kidney_only": frozenset({KIDNEY}),
        "kidney_and_masses": frozenset({KIDNEY, TUMOUR, CYST}),
        "masses": frozenset({TUMOUR, CYST}),
    }
)
"""A region is a union of labels. KiTS19 scores "kidney" as kidney + tumour; the last two and the tumour
are the hierarchical classes of KiTS21 and KiTS23."""
