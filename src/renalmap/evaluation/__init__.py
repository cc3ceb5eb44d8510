"""Predictions compared with references: metrics on masks, scored cases, tables."""

from renalmap.evaluation.cases import CaseScore, evaluate_case
from renalmap.evaluation.kits23 import Kits23Score, score_kits23
from renalmap.evaluation.metrics import dice, region_mask
from renalmap.evaluation.surface import check_surfaces_available
from renalmap.evaluation.table import (
    MetricSummary,
    Score,
    Summary,
    dice_by_tumour_volume,
    scores_to_csv,
    scores_to_json,
    summarise,
)

__all__ = [
    "CaseScore",
    "Kits23Score",
    "MetricSummary",
    "Score",
    "Summary",
    "check_surfaces_available",
    "dice",
    "dice_by_tumour_volume",
    "evaluate_case",
    "region_mask",
    "score_kits23",
    "scores_to_csv",
    "scores_to_json",
    "summarise",
]
