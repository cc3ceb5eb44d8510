"""Whole cases: regions, volumes, and what must not be compared."""

from __future__ import annotations

import sys
from math import inf, isnan

import numpy as np
import pytest

from renalmap.errors import GeometryMismatchError, LabelError, MissingDependencyError
from renalmap.evaluation import evaluate_case

VOXEL_ML = 2.5 * 0.8 * 0.7 / 1000


def kidney_with_tumour() -> np.ndarray:
    labels = np.zeros((10, 20, 20), dtype=np.uint8)
    labels[2:8, 4:14, 4:14] = 1
    labels[4:6, 6:10, 6:10] = 2
    return labels


def test_a_perfect_prediction(make_labels):
    labels = make_labels(kidney_with_tumour())
    score = evaluate_case(labels, labels)
    assert score.case == "case_00000"
    assert (score.kidney_dice, score.tumour_dice, score.composite_dice) == (1.0, 1.0, 1.0)
    assert (score.kidney_hd95_mm, score.tumour_surface_dice) == (0.0, 1.0)
    assert score.kidney_reference_ml == pytest.approx(600 * VOXEL_ML)
    assert score.tumour_predicted_ml == pytest.approx(32 * VOXEL_ML)
    assert score.kidney_only_reference_ml == pytest.approx(568 * VOXEL_ML)


def test_a_tumour_called_kidney_costs_the_tumour_but_not_the_kidney(make_labels):
    reference = kidney_with_tumour()
    score = evaluate_case(make_labels(np.minimum(reference, 1)), make_labels(reference))
    assert score.kidney_dice == 1.0
    assert score.kidney_only_dice == pytest.approx(2 * 568 / (600 + 568))
    assert (score.tumour_dice, score.composite_dice) == (0.0, 0.5)
    assert (score.tumour_hd95_mm, score.tumour_surface_dice) == (inf, 0.0)


def test_no_tumour_on_either_side_is_undefined_and_zero_by_kits19(make_labels):
    labels = make_labels(np.minimum(kidney_with_tumour(), 1))
    score = evaluate_case(labels, labels)
    assert isnan(score.tumour_dice)
    assert isnan(score.composite_dice)
    assert score.tumour_hd95_mm is not None
    assert isnan(score.tumour_hd95_mm)
    assert (score.kits19_kidney_dice, score.kits19_tumour_dice) == (1.0, 0.0)
    assert score.kits19_composite_dice == 0.5


def test_surfaces_can_be_left_out_without_the_package(make_labels, monkeypatch):
    monkeypatch.setitem(sys.modules, "surface_distance", None)
    labels = make_labels(kidney_with_tumour())
    assert evaluate_case(labels, labels, surface=False, case="mine").kidney_hd95_mm is None
    with pytest.raises(MissingDependencyError):
        evaluate_case(labels, labels)


@pytest.mark.parametrize(
    ("change", "named"),
    [({"origin_mm": (0.0, 0.0, 40.0)}, "40.00"), ({"spacing_mm": (3.0, 0.8, 0.7)}, "3 x 0.8 x 0.7")],
)
def test_different_grids_are_refused_and_both_named(make_labels, change, named):
    reference = make_labels(kidney_with_tumour(), name="case_00007")
    prediction = make_labels(kidney_with_tumour(), name="case_00007_seg", **change)
    with pytest.raises(GeometryMismatchError) as caught:
        evaluate_case(prediction, reference)
    message = str(caught.value)
    assert "'case_00007_seg'" in message
    assert "'case_00007'" in message
    assert named in message


def test_different_shapes_are_refused(make_labels):
    labels = kidney_with_tumour()
    with pytest.raises(GeometryMismatchError, match=r"\(9, 20, 20\)"):
        evaluate_case(make_labels(labels[:9]), make_labels(labels))


def test_a_cyst_label_is_refused_with_advice(make_labels):
    labels = kidney_with_tumour()
    with_cyst = labels.copy()
    with_cyst[0, 0, 0] = 3
    with pytest.raises(LabelError, match="write 1 in place of 3"):
        evaluate_case(make_labels(labels), make_labels(with_cyst))


def test_a_real_mask_shifted_by_one_voxel(make_labels, shared_data):
    from nibabel.nifti1 import Nifti1Image

    image = Nifti1Image.from_filename(shared_data / "scans" / "unenhanced_3mm_kidney.nii.gz")
    array = np.asarray(image.dataobj).astype(np.uint8)
    reference = make_labels(array, spacing_mm=(3.0, 3.0, 3.0))
    prediction = make_labels(np.roll(array, 1, axis=0), spacing_mm=(3.0, 3.0, 3.0))
    score = evaluate_case(prediction, reference)
    assert 0.85 < score.kidney_dice < 0.98
    assert score.kidney_hd95_mm == pytest.approx(3.0)
    assert score.kidney_predicted_ml == pytest.approx(array.sum() * 27 / 1000)
