"""What a DICOM SEG calls what RenalMap finds: SNOMED CT codes of kidneys, tumours and cysts by side.

Codes are DICOM's: categories of CID 7150, lesions of CID 7159, sides of CID 244 (PS3.16).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from renalmap.labels import CYST, KIDNEY, TUMOUR, Side


@dataclass(frozen=True)
class SnomedCode:
    """A concept of SNOMED CT.

    Attributes:
        value: its identifier.
        meaning: its name in DICOM's tables.
    """

    value: str
    meaning: str


KIDNEY_CODE: Final = SnomedCode("64033007", "Kidney")
MASS_CODE: Final = SnomedCode("4147007", "Mass")
CYST_CODE: Final = SnomedCode("367643001", "Cyst")
ANATOMICAL_STRUCTURE: Final = SnomedCode("91723000", "Anatomical Structure")
ABNORMAL_STRUCTURE: Final = SnomedCode("49755003", "Morphologically Abnormal Structure")
SIDE_CODES: Final[Mapping[Side, SnomedCode]] = MappingProxyType(
    {"left": SnomedCode("7771000", "Left"), "right": SnomedCode("24028007", "Right")}
)

TYPE_CODES: Final[Mapping[int, SnomedCode]] = MappingProxyType(
    {KIDNEY: KIDNEY_CODE, TUMOUR: MASS_CODE, CYST: CYST_CODE}
)

LABEL_OF_TYPE: Final[Mapping[str, int]] = MappingProxyType(
    {
        KIDNEY_CODE.value: KIDNEY,
        MASS_CODE.value: TUMOUR,
        "108369006": TUMOUR,  # Neoplasm
        "372087000": TUMOUR,  # Neoplasm, Primary
        "86049000": TUMOUR,  # the same in editions of DICOM before 2023
        "14799000": TUMOUR,  # Neoplasm, Secondary
        "52988006": TUMOUR,  # Lesion
        CYST_CODE.value: CYST,
    }
)
"""Which of our labels a segment is read as; other programs code a tumour in other ways."""


@dataclass(frozen=True)
class Structure:
    """One thing that a segment of a DICOM SEG marks.

    Attributes:
        number: its value in a map of structures, and in a LABELMAP's pixels.
        label: KIDNEY, TUMOUR or CYST.
        side: the patient's.
        name: what a viewer lists it as.
        rgb: the colour it is recommended to be drawn in, 0..255.
    """

    number: int
    label: int
    side: Side
    name: str
    rgb: tuple[int, int, int]


STRUCTURES: Final = (
    Structure(1, KIDNEY, "left", "Left kidney", (86, 180, 233)),
    Structure(2, KIDNEY, "right", "Right kidney", (0, 114, 178)),
    Structure(3, TUMOUR, "left", "Left kidney tumour", (230, 159, 0)),
    Structure(4, TUMOUR, "right", "Right kidney tumour", (213, 94, 0)),
    Structure(5, CYST, "left", "Left kidney cyst", (0, 158, 115)),
    Structure(6, CYST, "right", "Right kidney cyst", (204, 121, 167)),
)
"""Kidneys are without their tumours and cysts, so that no two segments overlap. Colours of Okabe & Ito."""
