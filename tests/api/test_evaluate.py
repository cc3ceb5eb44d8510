from __future__ import annotations

import csv
import json
import shutil
import sys

import numpy as np
import pytest

from renalmap.api.evaluate import Scoring, evaluate
from renalmap.api.overview import overview
from renalmap.errors import (
    DatasetError,
    GeometryMismatchError,
    InputError,
    MissingDependencyError,
    OutputExistsError,
    PathMissingError,
)
from renalmap.evaluation import CaseScore

PNG = b"\x89PNG"


def scored(predictions, reference, *, progress=lambda *_: None, **outputs) -> list[CaseScore]:
    """Scores by KiTS19's rules, without surface distances."""
    scores = evaluate(predictions, reference, Scoring(surface=False, **outputs), progress)
    return [score for score in scores if isinstance(score, CaseScore)]


@pytest.fixture(scope="module")
def pair(tmp_path_factory, write_scan, labels):
    """A prediction that misses the left kidney, and its reference."""
    folder = tmp_path_factory.mktemp("pair")
    predicted = labels.copy()
    predicted[:, :, 64:] = 0
    return (
        write_scan(folder / "predicted.nii.gz", predicted),
        write_scan(folder / "reference.nii.gz", labels),
    )


def put(source, *targets):
    for target in targets:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def expected_dice(labels):
    kidney = labels > 0
    found = kidney[:, :, :64].sum()
    return 2 * found / (found + kidney.sum())


def test_two_files_make_one_case(pair, labels):
    told = []
    (score,) = scored(*pair, progress=lambda *step: told.append(step))
    assert score.case == "predicted"
    assert score.kidney_dice == pytest.approx(expected_dice(labels))
    assert score.tumour_dice == 1.0
    assert told == [("scored predicted", 1, 1)]


@pytest.mark.parametrize(
    "name", ["case_00000_seg.nii.gz", "case_00000.nii.gz", "prediction_00000.nii.gz", "case_00000.nii"]
)
@pytest.mark.parametrize(
    "layout", ["data/{}/segmentation.nii.gz", "{}/segmentation.nii.gz", "{}.nii.gz"]
)
def test_predictions_find_their_references(tmp_path, pair, write_scan, labels, name, layout):
    if name.endswith(".nii"):
        write_scan(tmp_path / "p" / name, labels)
    else:
        put(pair[0], tmp_path / "p" / name)
    put(pair[1], *(tmp_path / "r" / layout.format(f"case_0000{n}") for n in range(3)))
    (score,) = scored(tmp_path / "p", tmp_path / "r")
    assert score.case == "case_00000"
    assert score.kidney_reference_ml > score.tumour_reference_ml > 0


@pytest.mark.parametrize(
    "layout",
    [
        "dataset/{}/segmentation.nii.gz",
        "data/{}/aggregated_MAJ_seg.nii.gz",
        "kits21/data/{}/aggregated_MAJ_seg.nii.gz",
    ],
)
def test_references_are_found_in_every_kits(tmp_path, pair, labels, layout):
    put(pair[0], tmp_path / "p" / "prediction_00001.nii.gz")
    put(pair[1], *(tmp_path / "r" / layout.format(f"case_0000{n}") for n in range(3)))
    (score,) = scored(tmp_path / "p", tmp_path / "r")
    assert score.case == "case_00001"
    assert score.kidney_dice == pytest.approx(expected_dice(labels))


@pytest.mark.parametrize("below", ["", "labelsTr"])
def test_references_are_found_in_nnunets_folder_and_translated(
    tmp_path, pair, write_scan, labels, below
):
    put(pair[1], tmp_path / "p" / "KiTS-00001.nii.gz")
    stored = np.array([0, 2, 1], np.uint8)[labels]
    write_scan(tmp_path / "r" / "labelsTr" / "KiTS-00001.nii.gz", stored)
    names = {"background": 0, "tumor": 1, "kidney": 2}
    content = {"channel_names": {"0": "CT"}, "labels": names}
    (tmp_path / "r" / "dataset.json").write_text(json.dumps(content))
    (score,) = scored(tmp_path / "p", tmp_path / "r" / below)
    assert (score.case, score.composite_dice) == ("KiTS-00001", 1.0)


def test_cases_come_in_the_order_of_their_names(tmp_path, pair):
    put(pair[0], *(tmp_path / "p" / f"{name}_seg.nii.gz" for name in "cab"))
    put(pair[1], *(tmp_path / "r" / f"{name}.nii.gz" for name in "abcd"))
    scores = scored(tmp_path / "p", tmp_path / "r")
    assert [score.case for score in scores] == ["a", "b", "c"]


def test_scans_and_probability_maps_beside_label_maps_are_passed_over(tmp_path, pair, write_scan, hu):
    put(pair[0], tmp_path / "p" / "a_seg.nii.gz")
    write_scan(tmp_path / "p" / "a.nii.gz", hu)
    write_scan(tmp_path / "p" / "a_seg_kidney_probability.nii.gz", hu)
    put(pair[1], tmp_path / "r" / "a_kidney.nii.gz")
    write_scan(tmp_path / "r" / "a.nii.gz", hu)
    (score,) = scored(tmp_path / "p", tmp_path / "r")
    assert score.tumour_dice == 1.0


def test_two_label_maps_of_a_case_are_refused(tmp_path, pair):
    put(pair[0], tmp_path / "p" / "a_seg.nii.gz", tmp_path / "p" / "a_kidney.nii.gz")
    with pytest.raises(DatasetError, match=r"a_kidney\.nii\.gz and a_seg\.nii\.gz"):
        evaluate(tmp_path / "p", pair[1].parent)


def test_a_prediction_without_a_reference_is_named(tmp_path, pair):
    put(pair[0], tmp_path / "p" / "a_seg.nii.gz", tmp_path / "p" / "b_seg.nii.gz")
    put(pair[1], tmp_path / "r" / "a.nii.gz")
    with pytest.raises(DatasetError, match=r"without a reference.*got b;"):
        scored(tmp_path / "p", tmp_path / "r")


def test_nothing_to_evaluate_is_said(tmp_path, pair):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no predictions"):
        evaluate(tmp_path / "empty", pair[1].parent)
    with pytest.raises(PathMissingError, match="nowhere"):
        evaluate(pair[0], tmp_path / "nowhere")
    with pytest.raises(InputError, match="two files or two folders"):
        evaluate(pair[0], tmp_path)


@pytest.mark.parametrize("change", [{"spacing_mm": (3.0, 0.8, 0.8)}, {"axcodes": "LAS", "cut": True}])
def test_another_grid_is_an_error(tmp_path, pair, write_scan, labels, change):
    other = labels[1:] if change.pop("cut", False) else labels
    moved = write_scan(tmp_path / "moved.nii.gz", other, **change)
    with pytest.raises(GeometryMismatchError, match="different grids") as caught:
        evaluate(moved, pair[1])
    assert caught.value.exit_code == 2


def test_an_orientation_of_the_file_makes_no_other_grid(tmp_path, pair, write_scan, labels):
    turned = write_scan(tmp_path / "turned.nii.gz", labels, axcodes="IPL")
    (score,) = scored(turned, pair[1])
    assert score.composite_dice == 1.0


def test_csv_and_plot_are_written(tmp_path, pair, labels):
    table, plot = tmp_path / "scores.csv", tmp_path / "plot.png"
    plot.write_text("an older plot")
    evaluate(pair[0], pair[1], Scoring(csv=table, plot=plot))
    (row,) = csv.DictReader(table.read_text().splitlines())
    assert float(row["kidney_dice"]) == pytest.approx(expected_dice(labels))
    assert float(row["kidney_hd95_mm"]) > 10
    assert float(row["tumour_hd95_mm"]) == 0
    assert plot.read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    ("output", "error"),
    [
        ({"csv": "nowhere/a.csv"}, PathMissingError),
        ({"csv": "."}, OutputExistsError),
        ({"plot": "a.pdf"}, InputError),
    ],
)
def test_outputs_are_checked_before_the_work(tmp_path, output, error):
    paths = {name: tmp_path / path for name, path in output.items()}
    with pytest.raises(error):
        evaluate(tmp_path / "not looked at", tmp_path / "nor this", Scoring(**paths))


def test_a_plot_without_matplotlib_is_refused_before_the_work(tmp_path, pair, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    told = []
    with pytest.raises(MissingDependencyError, match=r"renalmap\[charts\]"):
        scored(*pair, plot=tmp_path / "dice.png", progress=lambda *step: told.append(step))
    assert told == []


def test_an_overview_is_drawn(tmp_path, pair, write_scan, hu):
    scan = write_scan(tmp_path / "scan.nii.gz", hu, axcodes="IPL")
    overview(scan, pair[1], tmp_path / "overview.png")
    assert (tmp_path / "overview.png").read_bytes().startswith(PNG)


def test_an_overview_of_nothing_is_drawn_too(tmp_path, write_scan, hu):
    scan = write_scan(tmp_path / "scan.nii.gz", hu)
    empty = write_scan(tmp_path / "empty.nii.gz", np.zeros_like(hu, np.uint8))
    overview(scan, empty, tmp_path / "overview.png")
    assert (tmp_path / "overview.png").read_bytes().startswith(PNG)


def test_an_overview_needs_one_grid_and_a_png(tmp_path, pair, write_scan, hu):
    scan = write_scan(tmp_path / "scan.nii.gz", hu[1:])
    with pytest.raises(GeometryMismatchError, match=r"different grids.*of the same scan"):
        overview(scan, pair[1], tmp_path / "overview.png")
    with pytest.raises(InputError, match=r"ends in \.png"):
        overview(scan, pair[1], tmp_path / "overview.jpg")
    assert not list(tmp_path.glob("overview*"))
