"""Scores by which surgeons judge a kidney tumour: R.E.N.A.L. and PADUA, with every length behind them."""

from renalmap.nephrometry.nephrometry import score_anatomy, score_label_map
from renalmap.nephrometry.results import (
    Component,
    KidneyLandmarks,
    LesionNephrometry,
    Nephrometry,
    Plane,
    Score,
)

__all__ = [
    "Component",
    "KidneyLandmarks",
    "LesionNephrometry",
    "Nephrometry",
    "Plane",
    "Score",
    "score_anatomy",
    "score_label_map",
]
