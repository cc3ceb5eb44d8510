"""Summaries and files made of scored cases."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from math import inf, isnan, nan

import numpy as np
import pytest

from renalmap.evaluation import (
    CaseScore,
    dice_by_tumour_volume,
    evaluate_case,
    scores_to_csv,
    scores_to_json,
    summarise,
)
from renalmap.evaluation.table import COLUMNS


@pytest.fixture
def score(make_labels) -> CaseScore:
    labels = np.zeros((2, 2, 2), dtype=np.uint8)
    labels[0], labels[1, 0, 0] = 1, 2
    return evaluate_case(make_labels(labels), make_labels(labels), surface=False)


def with_tumours(score: CaseScore, *pairs: tuple[float, float]) -> list[CaseScore]:
    """Cases of given tumour volume (ml) and tumour Dice."""
    return [
        replace(score, case=f"case_{n:05d}", tumour_reference_ml=volume, tumour_dice=value)
        for n, (volume, value) in enumerate(pairs)
    ]


def test_summary_of_hand_worked_values(score):
    summary = summarise(with_tumours(score, (1, 0.2), (1, 0.4), (1, 0.9)))
    tumour = summary.metrics["tumour_dice"]
    assert summary.n_cases == 3
    assert (tumour.n, tumour.n_undefined, tumour.n_infinite) == (3, 0, 0)
    assert tumour.mean == pytest.approx(0.5)
    assert tumour.sd == pytest.approx(0.13**0.5)
    assert (tumour.min, tumour.median, tumour.max) == (0.2, 0.4, 0.9)


def test_undefined_values_are_left_out_and_counted(score):
    tumour = summarise(with_tumours(score, (1, 0.6), (0, nan))).metrics["tumour_dice"]
    assert (tumour.n, tumour.n_undefined) == (1, 1)
    assert (tumour.mean, tumour.median) == (0.6, 0.6)
    assert isnan(tumour.sd)


def test_an_infinite_distance_keeps_its_place_in_the_median(score):
    cases = [replace(score, tumour_hd95_mm=value) for value in (2.0, 4.0, inf, inf, inf)]
    hd95 = summarise(cases).metrics["tumour_hd95_mm"]
    assert (hd95.n, hd95.n_infinite, hd95.mean) == (2, 3, 3.0)
    assert (hd95.min, hd95.median, hd95.max) == (2.0, inf, inf)


def test_a_metric_that_is_undefined_everywhere(score):
    tumour = summarise(with_tumours(score, (0, nan))).metrics["tumour_dice"]
    assert (tumour.n, tumour.n_undefined) == (0, 1)
    assert all(isnan(value) for value in (tumour.mean, tumour.sd, tumour.median, tumour.max))


def test_what_was_not_computed_is_not_summarised(score):
    assert "kidney_hd95_mm" not in summarise([score]).metrics
    empty = summarise([])
    assert (empty.n_cases, dict(empty.metrics)) == (0, {})


def test_dice_by_volume_bins_are_half_open(score):
    cases = with_tumours(
        score, (2, 0.0), (8, 0.5), (29.9, 0.7), (30, 0.8), (500, 0.9), (0, nan), (0, 0.0)
    )
    small, medium, large, huge = dice_by_tumour_volume(cases, (8, 30, 100))
    assert (small.n, small.n_missed, small.mean) == (1, 1, 0.0)
    assert isnan(small.sd)
    assert medium.n == 2
    assert medium.mean == pytest.approx(0.6)
    assert medium.sd == pytest.approx(0.02**0.5)
    assert (large.from_ml, large.to_ml, large.n) == (30, 100, 1)
    assert (huge.to_ml, huge.n) == (inf, 1)


@pytest.mark.parametrize("edges", [(8, 8), (30, 8), (0, 8), (8, inf)])
def test_edges_that_do_not_ascend_are_refused(score, edges):
    with pytest.raises(ValueError, match="must ascend"):
        dice_by_tumour_volume([score], edges)


def test_csv_round_trip(score):
    cases = with_tumours(score, (1.25, 0.5), (0, nan))
    rows = list(csv.DictReader(io.StringIO(scores_to_csv(cases))))
    assert tuple(rows[0]) == COLUMNS
    assert [row["case"] for row in rows] == ["case_00000", "case_00001"]
    assert float(rows[0]["tumour_reference_ml"]) == 1.25
    assert isnan(float(rows[1]["tumour_dice"]))
    assert rows[0]["kidney_hd95_mm"] == ""


def test_columns_with_a_unit_name_it():
    for column in COLUMNS:
        assert column == "case" or column.endswith(("_dice", "_mm", "_ml"))


def test_json_is_strict(score):
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    cases = [replace(score, tumour_dice=nan, tumour_hd95_mm=inf, tumour_reference_ml=0.0), score]
    document = json.loads(scores_to_json(cases), parse_constant=refuse)
    assert document["cases"][0]["tumour_dice"] is None
    assert document["cases"][1]["tumour_dice"] == 1.0
    assert document["summary"]["n_cases"] == 2
    assert document["summary"]["metrics"]["tumour_dice"]["n_undefined"] == 1
    assert document["summary"]["metrics"]["tumour_hd95_mm"]["n_infinite"] == 1
    assert document["tumour_dice_by_volume"][-1]["to_ml"] is None
    assert json.loads(scores_to_json([]))["cases"] == []
