"""KiTS23's scores against its formulas, on boxes made by hand on a grid with unequal spacing."""

from __future__ import annotations

import sys
from itertools import product

import numpy as np
import pytest

from renalmap.errors import GeometryMismatchError, LabelError, MissingDependencyError
from renalmap.evaluation import score_kits23, scores_to_csv, summarise
from renalmap.evaluation.surface import KITS_TOLERANCE_MM

CLASSES = {"kidney_and_masses": {1, 2, 3}, "masses": {2, 3}, "tumour": {2}}
SPACING_MM = (2.5, 0.8, 0.7)


def kidney_with_masses() -> np.ndarray:
    """A kidney of 10 by 30 by 20 voxels with a tumour and a cyst in it."""
    labels = np.zeros((20, 60, 50), np.uint8)
    labels[4:14, 10:40, 10:30] = 1
    labels[5:9, 15:25, 12:20] = 2
    labels[10:13, 28:36, 20:28] = 3
    return labels


def dice_by_sets(prediction: np.ndarray, reference: np.ndarray, labels: set[int]) -> float:
    """2 |A and B| / (|A| + |B|), counted voxel by voxel."""
    ours = {tuple(place) for place in np.argwhere(np.isin(prediction, list(labels)))}
    theirs = {tuple(place) for place in np.argwhere(np.isin(reference, list(labels)))}
    return 2 * len(ours & theirs) / (len(ours) + len(theirs))


def test_the_published_tolerances():
    assert {region: round(KITS_TOLERANCE_MM[region], 4) for region in CLASSES} == {
        "kidney_and_masses": 1.0331,
        "masses": 1.1329,
        "tumour": 1.1498,
    }


def test_dice_of_the_three_nested_classes(make_labels):
    reference = kidney_with_masses()
    prediction = np.roll(reference, (1, 3, -2), axis=(0, 1, 2))
    prediction[prediction == 3] = 2  # the cyst is called tumour
    score = score_kits23(make_labels(prediction), make_labels(reference), surface=False)
    for region, labels in CLASSES.items():
        expected = dice_by_sets(prediction, reference, labels)
        assert getattr(score, f"{region}_dice") == pytest.approx(expected)
    assert score.mean_dice == pytest.approx(
        (score.kidney_and_masses_dice + score.masses_dice + score.tumour_dice) / 3
    )
    assert score.masses_dice > score.tumour_dice > 0
    assert score.kidney_and_masses_reference_ml == pytest.approx(6000 * np.prod(SPACING_MM) / 1000)
    assert score.masses_predicted_ml == score.tumour_predicted_ml > score.tumour_reference_ml
    assert score.mean_surface_dice is None


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(
    ("shift_mm", "passes"),
    [
        (1.03, {"kidney_and_masses", "masses", "tumour"}),
        (1.05, {"masses", "tumour"}),
        (1.14, {"tumour"}),
        (1.16, set()),
    ],
)
def test_each_class_has_its_own_tolerance(make_labels, axis, shift_mm, passes):
    spacing_mm = tuple(shift_mm if at == axis else step for at, step in enumerate(SPACING_MM))
    reference = kidney_with_masses()
    score = score_kits23(
        make_labels(np.roll(reference, 1, axis=axis), spacing_mm=spacing_mm),
        make_labels(reference, spacing_mm=spacing_mm),
    )
    full = {region for region in CLASSES if getattr(score, f"{region}_surface_dice") == 1.0}
    assert full == passes


def test_surface_dice_of_a_shifted_box_is_its_share_of_surface(make_labels):
    labels = np.zeros((24, 80, 90), np.uint8)
    labels[4:18, 10:50, 10:50] = 2
    score = score_kits23(make_labels(np.roll(labels, 20, axis=2)), make_labels(labels))
    # Moved 14 mm along x: both end faces and half of the other four lie far off, but for a strip as wide
    # as the tolerance: on those four beside the overlap, and on the end face inside it around its rim.
    z, y, x = 14 * 2.5, 40 * 0.8, 40 * 0.7
    tolerance = KITS_TOLERANCE_MM["tumour"]
    around = 2 * (z + y)
    near = around * (x - 20 * 0.7 + 2 * tolerance) - 4 * tolerance**2
    assert score.tumour_surface_dice == pytest.approx(near / (around * x + 2 * z * y), abs=0.01)
    assert score.masses_surface_dice == pytest.approx(score.tumour_surface_dice, abs=0.01)


@pytest.mark.parametrize(("ours", "theirs"), [*product([True, False], repeat=2)])
def test_empty_classes(make_labels, ours, theirs):
    """A kidney on both sides; a cyst or not on either."""
    cyst, plain = kidney_with_masses(), np.minimum(kidney_with_masses(), 1)
    cyst[cyst == 2] = 1
    score = score_kits23(make_labels(cyst if ours else plain), make_labels(cyst if theirs else plain))
    expected = 1.0 if ours == theirs else 0.0
    assert (score.masses_dice, score.masses_surface_dice) == (expected, expected)
    assert (score.tumour_dice, score.tumour_surface_dice) == (1.0, 1.0)
    assert (score.kidney_and_masses_dice, score.kidney_and_masses_surface_dice) == (1.0, 1.0)
    assert score.mean_dice == pytest.approx((2 + expected) / 3)


def test_nothing_at_all_on_both_sides_is_agreement(make_labels):
    nothing = make_labels(np.zeros((4, 5, 6)))
    score = score_kits23(nothing, nothing)
    assert (score.mean_dice, score.mean_surface_dice) == (1.0, 1.0)


def test_what_cannot_be_compared(make_labels):
    labels = kidney_with_masses()
    with pytest.raises(GeometryMismatchError):
        score_kits23(make_labels(labels[1:]), make_labels(labels))
    with pytest.raises(LabelError, match="3 cyst"):
        score_kits23(make_labels(labels + 1), make_labels(labels))


def test_the_package_is_needed_for_surfaces_alone(make_labels, monkeypatch):
    monkeypatch.setitem(sys.modules, "surface_distance", None)
    labels = make_labels(kidney_with_masses())
    assert score_kits23(labels, labels, surface=False).mean_dice == 1.0
    with pytest.raises(MissingDependencyError):
        score_kits23(labels, labels)


def test_a_table_of_them_has_their_columns(make_labels):
    labels = make_labels(kidney_with_masses())
    scores = [score_kits23(labels, labels, surface=False, case=name) for name in "ab"]
    header, first, _ = scores_to_csv(scores).splitlines()
    assert header.startswith("case,kidney_and_masses_dice,masses_dice,tumour_dice,mean_dice,")
    assert first.startswith("a,1.0,1.0,1.0,1.0,,")
    metrics = summarise(scores).metrics
    assert metrics["masses_dice"].mean == 1.0
    assert "masses_surface_dice" not in metrics
