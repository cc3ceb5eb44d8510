"""Pictures made from scans, label maps and tables."""

from renalmap.report.canvas import check_charts_available
from renalmap.report.figures import (
    draw_dice_against_volume,
    draw_intensity_table,
    draw_learning_rates,
    draw_slice_statistics,
    draw_training_curve,
)
from renalmap.report.overview import draw_overview

__all__ = [
    "check_charts_available",
    "draw_dice_against_volume",
    "draw_intensity_table",
    "draw_learning_rates",
    "draw_overview",
    "draw_slice_statistics",
    "draw_training_curve",
]
