"""From a scan to what a network sees, and back: shared by training and inference, without torch."""

from renalmap.preprocess.intensity import Normalisation, SliceStatistics, SliceStatisticsAccumulator
from renalmap.preprocess.plan import Plan
from renalmap.preprocess.spatial import InPlaneFit, crop_boxes, cut_crop

__all__ = [
    "InPlaneFit",
    "Normalisation",
    "Plan",
    "SliceStatistics",
    "SliceStatisticsAccumulator",
    "crop_boxes",
    "cut_crop",
]
