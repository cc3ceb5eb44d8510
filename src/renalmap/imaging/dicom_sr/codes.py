"""What a structured report calls what RenalMap measures: SNOMED CT, DICOM, IBSI and UCUM; else a scheme of our own.

Names are of CID 7469 and 7470, derivations of CID 7464, methods of CID 7474, units of CID 7181 (PS3.16).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

PRIVATE_SCHEME: Final = "99RENALMAP"
"""Of this program, as PS3.16 chapter 8 wants it for codes that no standard has; docs/dicom_sr.md lists them."""


@dataclass(frozen=True)
class Code:
    """A concept of a coding scheme.

    Attributes:
        value: its identifier.
        scheme: the scheme's designator, as "SCT".
        meaning: its name.
    """

    value: str
    scheme: str
    meaning: str


MILLILITRE: Final = Code("ml", "UCUM", "milliliter")
MILLIMETRE: Final = Code("mm", "UCUM", "mm")
SQUARE_MILLIMETRE: Final = Code("mm2", "UCUM", "square millimeter")
HOUNSFIELD: Final = Code("[hnsf'U]", "UCUM", "Hounsfield unit")
PERCENT: Final = Code("%", "UCUM", "Percent")
NO_UNITS: Final = Code("1", "UCUM", "no units")

VOLUME: Final = Code("118565006", "SCT", "Volume")
LENGTH: Final = Code("410668003", "SCT", "Length")
LONG_AXIS: Final = Code("103339001", "SCT", "Long axis")
SHORT_AXIS: Final = Code("103340004", "SCT", "Short axis")
DIAMETER_IN_SPACE: Final = Code("L0JK", "IBSI", "Maximum 3D Diameter of a Mesh")
ATTENUATION: Final = Code("112031", "DCM", "Attenuation Coefficient")

MEAN: Final = Code("373098007", "SCT", "Mean")
DEVIATION: Final = Code("386136009", "SCT", "Standard Deviation")
VOXEL_SUM: Final = Code("126030", "DCM", "Sum of segmented voxel method for volume")

CT: Final = Code("25045-6", "LN", "CT unspecified body region")
LOW: Final = Code("62482003", "SCT", "Low")
MODERATE: Final = Code("6736007", "SCT", "Moderate")
HIGH: Final = Code("75540009", "SCT", "High")
ANTERIOR: Final = Code("255549009", "SCT", "Anterior")
POSTERIOR: Final = Code("255551008", "SCT", "Posterior")


def _own(value: str, meaning: str) -> Code:
    return Code(value, PRIVATE_SCHEME, meaning)


SHARE_OF_BOTH: Final = _own("share-of-both", "Share of the tissue of both kidneys")
EXOPHYTIC_SHARE: Final = _own("exophytic-share", "Share outside the kidney's outline")
CONTACT: Final = _own("contact-area", "Contact surface area with kidney tissue")
HSIEH: Final = _own("contact-hsieh", "Contact surface area by Hsieh's formula")
DEPTH: Final = _own("depth", "Depth below the kidney's outline")
C_INDEX: Final = _own("c-index", "C-index")
AXIAL_OFFSET: Final = _own("c-axial", "Axial distance of the middles")
CRANIOCAUDAL_OFFSET: Final = _own("c-craniocaudal", "Craniocaudal distance of the middles")
WITHIN_5_MM: Final = _own("within-5-mm", "Kidney tissue within 5 mm")
WITHIN_10_MM: Final = _own("within-10-mm", "Kidney tissue within 10 mm")
NEITHER: Final = _own("x", "Neither anterior nor posterior")
NOT_ASSESSABLE: Final = _own("not-assessable", "Not assessable")

_ITEMS: Final[Mapping[str, tuple[str, Mapping[str, tuple[str, str]]]]] = MappingProxyType(
    {
        "R.E.N.A.L.": (
            "renal",
            {
                "R": ("R", "largest axial diameter"),
                "E": ("E", "share outside the kidney's outline"),
                "N": ("N", "distance to the sinus"),
                "A": ("A", "share in front of the coronal plane"),
                "L": ("L", "share between the polar lines"),
            },
        ),
        "PADUA": (
            "padua",
            {
                "polar": ("polar", "share between the polar lines"),
                "exophytic": ("exo", "share outside the kidney's outline"),
                "rim": ("rim", "centre towards the hilum"),
                "sinus": ("sinus", "distance to the sinus"),
                "collecting_system": ("system", "depth into the sinus' outline"),
                "size": ("size", "largest axial diameter"),
                "face": ("face", "share in front of the coronal plane"),
            },
        ),
    }
)
"""Of each score the beginning of its codes; of each component its part of them, and what is measured."""


@dataclass(frozen=True)
class ScoreCodes:
    """The codes of a score."""

    name: str
    prefix: str
    items: Mapping[str, tuple[str, str]]

    @classmethod
    def of(cls, name: str) -> ScoreCodes:
        """Those of "R.E.N.A.L." or "PADUA"."""
        return cls(name, *_ITEMS[name])

    def value(self, component: str) -> Code:
        """What is measured for a component."""
        short, what = self.items[component]
        return _own(f"{self.prefix}-{short}", f"{self.name} {short}: {what}")

    def points(self, component: str) -> Code:
        """A component's points."""
        short, _ = self.items[component]
        return _own(f"{self.prefix}-{short}-pts", f"{self.name} {short}: points")

    @property
    def total(self) -> Code:
        """The sum of all points."""
        return _own(f"{self.prefix}-total", f"{self.name} total")

    @property
    def least(self) -> Code:
        """The lowest possible total where there is none."""
        return _own(f"{self.prefix}-least", f"{self.name} total at least")

    @property
    def most(self) -> Code:
        """The highest possible total where there is none."""
        return _own(f"{self.prefix}-most", f"{self.name} total at most")

    @property
    def letter(self) -> Code:
        """On which face of the kidney the tumour lies."""
        return _own(f"{self.prefix}-letter", f"{self.name} suffix")

    @property
    def risk(self) -> Code:
        """The total's class."""
        return _own(f"{self.prefix}-risk", f"{self.name} complexity")
