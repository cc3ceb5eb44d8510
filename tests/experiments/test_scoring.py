"""What a table's figures mean."""

from __future__ import annotations

import numpy as np
import pytest
from experiments.scoring import (
    FoldScores,
    ScanScore,
    SliceScore,
    _wide_tumours,
    arms_rows,
    slice_volume,
)

NAN = float("nan")


def slice_score(**changes: object) -> SliceScore:
    plain = {
        "patient": "a",
        "z": 0,
        "kidney_dice": 0.9,
        "tumour_dice": NAN,
        "kidney_pixels": 100,
        "tumour_pixels": 0,
        "called_kidney_pixels": 100,
        "called_tumour_pixels": 0,
        "wide_tumours": 0,
        "wide_tumours_detected": 0,
    }
    return SliceScore.model_validate(plain | changes)


def scan_score(case: str, dice: float, tumour_ml: float = 0.0) -> ScanScore:
    return ScanScore(
        case=case,
        kidney_dice=dice,
        kidney_ml=200.0,
        called_kidney_ml=180.0,
        called_tumour_ml=tumour_ml,
        components=2,
    )


def test_tumours_over_2_cm_are_counted_one_by_one():
    tumour = np.zeros((100, 100), bool)
    tumour[10:40, 10:15] = True  # 30 pixels of 0.78 mm
    tumour[60:80, 60:80] = True  # 20 pixels: 15.6 mm
    tumour[60:70, 10:37] = True
    found = list(_wide_tumours(tumour))
    assert sorted(int(one.sum()) for one in found) == [150, 270]


def test_a_row_is_the_mean_over_folds_with_its_deviation():
    folds = [
        FoldScores(
            fold=0,
            slices=(slice_score(kidney_dice=0.8), slice_score(kidney_dice=0.6, kidney_pixels=0)),
            scans=(scan_score("HCC_006", 0.9),),
        ),
        FoldScores(
            fold=1,
            slices=(
                slice_score(kidney_dice=1.0, tumour_pixels=50, tumour_dice=0.5, wide_tumours=2,
                            wide_tumours_detected=1),
                slice_score(kidney_dice=0.8, called_tumour_pixels=30),
            ),
            scans=(scan_score("HCC_002", 0.7, tumour_ml=4.0), scan_score("unenhanced_3mm", 0.0)),
        ),
    ]  # fmt: skip
    header, (row,) = arms_rows({"an arm": folds})
    cells = dict(zip(header, row, strict=True))
    assert cells["arm"] == "an arm"
    assert cells["scans: kidney Dice 3D"] == "0.800 ± 0.141", "the unenhanced scan is not in it"
    assert cells["scans: volume error"] == "0.100 ± 0.000"
    assert cells["scans: false tumour ml"] == "2.000 ± 2.828"
    assert cells["slices: kidney Dice"].startswith("0.850"), "slices without kidney are not in it"
    assert cells["slices: tumour Dice"].startswith("0.500")
    assert cells["tumours over 2 cm found"].startswith("0.500"), "folds without one are left out"
    assert cells["slices without: tumour called"] == "0.500 ± 0.707"


def test_scores_survive_their_file():
    fold = FoldScores(fold=0, slices=(slice_score(),), scans=(scan_score("a", 0.5),))
    again = FoldScores.model_validate_json(fold.model_dump_json())
    assert np.isnan(again.slices[0].tumour_dice)
    assert again.scans == fold.scans


def test_a_slice_becomes_a_scan_with_the_patient_upright():
    hu = np.arange(12, dtype=np.uint8).reshape(3, 4)
    volume = slice_volume(hu, "x")
    assert volume.hu.shape == (1, 3, 4)
    np.testing.assert_array_equal(volume.hu[0], hu)
    assert volume.geometry.spacing_mm == pytest.approx((5.0, 0.78, 0.78))
