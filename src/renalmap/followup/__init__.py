"""Two scans of one patient: the same kidneys and lesions found in both, and what has changed."""

from renalmap.followup.alignment import Alignment
from renalmap.followup.changes import BORDER_MM, Change, DoublingTime
from renalmap.followup.compare import compare_anatomies
from renalmap.followup.comparison import (
    AlignmentReport,
    Caution,
    Comparison,
    KidneyComparison,
    LesionComparison,
)
from renalmap.followup.timepoint import Timepoint

__all__ = [
    "BORDER_MM",
    "Alignment",
    "AlignmentReport",
    "Caution",
    "Change",
    "Comparison",
    "DoublingTime",
    "KidneyComparison",
    "LesionComparison",
    "Timepoint",
    "compare_anatomies",
]
