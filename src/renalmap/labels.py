"""The labels of KiTS, the regions that are scored, the patient's sides."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

BACKGROUND: Final = 0
KIDNEY: Final = 1
TUMOUR: Final = 2
CYST: Final = 3
"""KiTS21's and KiTS23's; KiTS19 marks cysts as kidney, and so do the networks."""

UNKNOWN: Final = 255
"""Nobody labelled these voxels: training, statistics and scores leave them out. nnU-Net calls it the ignore
label. Only references have it; no network gives it."""

LABEL_NAMES: Final[Mapping[int, str]] = MappingProxyType(
    {BACKGROUND: "background", KIDNEY: "kidney", TUMOUR: "tumour", CYST: "cyst"}
)

Side = Literal["left", "right"]
"""The patient's."""

LesionKind = Literal["tumour", "cyst"]

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


def is_foreground(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Where a label map shows kidney, tumour or cyst: neither background nor unknown."""
    shown: NDArray[np.bool_] = (labels != BACKGROUND) & (labels != UNKNOWN)
    return shown


def is_known(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Where a label map says what there is, background included."""
    known: NDArray[np.bool_] = labels != UNKNOWN
    return known
