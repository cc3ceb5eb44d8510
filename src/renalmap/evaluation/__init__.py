"""Predictions compared with references: metrics on masks, scored cases, tables."""

from renalmap.evaluation.cases import CaseScore, evaluate_case
from renalmap.evaluation.kits23 import KITS23_REGIONS, Kits23Score, score_kits23
from renalmap.evaluation.metrics import Kits19Score, dice, kits19_score, region_mask, volume_ml
from renalmap.evaluation.surface import (
    KITS_TOLERANCE_MM,
    SurfaceDistances,
    check_surfaces_available,
    hd95_mm,
    surface_dice,
    surface_distances,
)
from renalmap.evaluation.table import (
    MetricSummary,
    Score,
    Summary,
    VolumeBin,
    dice_by_tumour_volume,
    scores_to_csv,
    scores_to_json,
    summarise,
)

__all__ = [
    "KITS23_REGIONS",
    "KITS_TOLERANCE_MM",
    "CaseScore",
    "Kits19Score",
    "Kits23Score",
    "MetricSummary",
    "Score",
    "Summary",
    "SurfaceDistances",
    "VolumeBin",
    "check_surfaces_available",
    "dice",
    "dice_by_tumour_volume",
    "evaluate_case",
    "hd95_mm",
    "kits19_score",
    "region_mask",
    "score_kits23",
    "scores_to_csv",
    "scores_to_json",
    "summarise",
    "surface_dice",
    "surface_distances",
    "volume_ml",
]
