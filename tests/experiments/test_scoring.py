"""What a table's figures mean."""

from __future__ import annotations

import numpy as np
import pytest
from experiments.scoring import (
    CaseScore,
    FoldScores,
    HeldOut,
    _wide_tumours,
    arms_rows,
    score_case,
    stacked_volume,
)
from experiments.summary import calls_text, scans_table, slabs_table

from renalmap.labels import UNKNOWN

NAN = float("nan")


def score(kind: str, **changes: object) -> CaseScore:
    plain = {
        "kind": kind,
        "case": "x",
        "patient": "a",
        "z": None,
        "kidney_dice": 0.9,
        "tumour_dice": NAN,
        "kidney_ml": 200.0,
        "called_kidney_ml": 180.0,
        "tumour_ml": 0.0,
        "called_tumour_ml": 0.0,
        "hit_tumour_ml": 0.0,
        "components": 2,
    }
    return CaseScore.model_validate(plain | changes)


def test_tumours_over_2_cm_are_counted_one_by_one():
    tumour = np.zeros((100, 100), bool)
    tumour[10:40, 10:15] = True  # 30 pixels of 0.78 mm
    tumour[60:80, 60:80] = True  # 20 pixels: 15.6 mm
    tumour[60:70, 10:37] = True
    found = list(_wide_tumours(tumour))
    assert sorted(int(one.sum()) for one in found) == [150, 270]


def test_beyond_a_slab_nothing_is_counted():
    reference = np.full((2, 20, 20), UNKNOWN, np.uint8)
    reference[:, 5:15, 5:15] = 0
    reference[:, 5:10, 5:10] = 1
    reference[0, 5:7, 5:10] = 2
    called = np.ones((2, 20, 20), np.uint8)  # kidney everywhere, a half of the tumour
    called[0, 5, 5:10] = 2
    volume = stacked_volume(np.zeros((2, 20, 20)), "slab_a", (3.0, 1.0, 1.0))
    got = score_case(HeldOut("slab", "slab_a", "a", None, volume, reference), called)
    assert got.kidney_dice == pytest.approx(2 * 50 / (200 + 50))
    assert got.tumour_dice == pytest.approx(2 * 5 / (5 + 10))
    assert (got.kidney_ml, got.called_kidney_ml) == pytest.approx((0.15, 0.6))
    assert (got.tumour_ml, got.hit_tumour_ml) == pytest.approx((0.03, 0.015))
    assert got.touched


def test_a_row_is_over_all_held_out_patients():
    folds = [
        FoldScores(
            fold=0,
            cases=(
                score("scan", case="HCC_006", called_tumour_ml=3.0),
                score("slab", kidney_dice=0.8, tumour_ml=5.0, tumour_dice=0.2, hit_tumour_ml=0.4),
                score("slice", kidney_dice=0.6, kidney_ml=0.0),
            ),
        ),
        FoldScores(
            fold=1,
            cases=(
                score("scan", case="HCC_002", kidney_dice=0.7),
                score("scan", case="unenhanced_3mm", kidney_dice=0.0),
                score("scan", case="with tumour", kidney_dice=0.8, tumour_ml=9.0, called_tumour_ml=7.0),
                score("slab", kidney_dice=1.0, tumour_ml=50.0, tumour_dice=0.6, hit_tumour_ml=30.0),
                score("slice", tumour_ml=1.0, tumour_dice=0.5, wide_tumours=2, wide_tumours_touched=1),
            ),
        ),
    ]
    header, (row,) = arms_rows({"an arm": folds})
    cells = dict(zip(header, row, strict=True))
    assert cells["arm"] == "an arm"
    assert cells["scans: kidney + tumour"] == "0.800 ± 0.100 (3)", "the unenhanced scan is not in it"
    assert cells["scans: volume error"] == "0.100 ± 0.000 (3)"
    assert cells["scans: false tumour ml"] == "3.0 in 2", "a scan with tumour has no false volume"
    assert cells["slabs: tumour"] == "0.400 ± 0.283 (2)"
    assert cells["median"] == "0.400"
    assert cells["< 8 / 8-30 / 30-100 / > 100 ml"] == "0.20 (1) / none / 0.60 (1) / none"
    assert cells["touched"] == "1 of 2", "less than a tenth of a tumour does not touch it"
    assert cells["slices: kidney + tumour"] == "0.900 ± nan (1)", "slices without kidney are not in it"
    assert cells["over 2 cm touched"] == "1 of 2"


def test_the_summary_names_every_scan_and_bin():
    cases = [
        score("scan", case="HCC_006"),
        score("slab", tumour_ml=5.0, tumour_dice=0.2),
        score("slab", tumour_ml=500.0, tumour_dice=0.9, hit_tumour_ml=450.0),
        score("slice", called_tumour_ml=1.0),
        score("slice", kidney_ml=0.0, called_kidney_ml=2.0),
    ]
    assert "| HCC_006 | 0.900 | 180 / 200 | -10.0% | 2 | 0.0 / 0.0 |" in scans_table(cases)
    lines = slabs_table(cases).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["all", "< 8 ml", "> 100 ml"]
    assert lines[-1].endswith("| 1 of 1 |")
    assert "Tumour called on 1 of 1 slices" in calls_text(cases)
    assert "Kidney called on 1 of 1 slices without" in calls_text(cases)


def test_scores_survive_their_file():
    fold = FoldScores(fold=0, cases=(score("slice"), score("scan", kidney_dice=0.5)))
    again = FoldScores.model_validate_json(fold.model_dump_json())
    assert np.isnan(again.cases[0].tumour_dice)
    assert again.cases[1] == fold.cases[1] or np.isnan(again.cases[1].tumour_dice)


def test_slices_become_a_scan_with_the_patient_upright():
    hu = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    volume = stacked_volume(hu, "x")
    np.testing.assert_array_equal(volume.hu, hu)
    assert volume.geometry.spacing_mm == pytest.approx((5.0, 0.78, 0.78))
