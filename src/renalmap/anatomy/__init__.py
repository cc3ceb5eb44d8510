"""One reading of a label map, shared by every output: kidneys, lesions, sides, borders, flags."""

from renalmap.anatomy.body import BodyTrack, track_body
from renalmap.anatomy.flags import Flag, FlagCode, raise_flags
from renalmap.anatomy.frame import AxisBasis
from renalmap.anatomy.kidneys import SPECK_BELOW_ML, Kidney
from renalmap.anatomy.lesions import LESION_LABELS, Lesion, Speck, SpeckKind
from renalmap.anatomy.midline import Midline, SideBasis
from renalmap.anatomy.reading import Anatomy
from renalmap.anatomy.sinus import KidneyShape, PolarBasis, SinusBasis, shape_of
from renalmap.anatomy.voxels import Border, Voxels

__all__ = [
    "LESION_LABELS",
    "SPECK_BELOW_ML",
    "Anatomy",
    "AxisBasis",
    "BodyTrack",
    "Border",
    "Flag",
    "FlagCode",
    "Kidney",
    "KidneyShape",
    "Lesion",
    "Midline",
    "PolarBasis",
    "SideBasis",
    "SinusBasis",
    "Speck",
    "SpeckKind",
    "Voxels",
    "raise_flags",
    "shape_of",
    "track_body",
]
