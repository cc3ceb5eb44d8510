from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest


@pytest.fixture
def folders(tmp_path, write_scan):
    """Three predictions and a reference in KiTS19's layout: one right, one half, one without tumour."""
    truth = np.zeros((6, 64, 64), np.uint8)
    truth[1:5, 10:30, 10:30] = 1
    truth[2:4, 15:20, 15:20] = 2
    half = truth.copy()
    half[:, 20:] = 0
    for number, predicted in enumerate((truth, half, np.minimum(truth, 1))):
        case = f"case_{number:05d}"
        write_scan(tmp_path / "references" / "data" / case / "segmentation.nii.gz", truth)
        write_scan(tmp_path / "predictions" / f"{case}_seg.nii.gz", predicted)
    return tmp_path / "predictions", tmp_path / "references"


def test_json_is_all_there_is_on_standard_output(cli, folders):
    finished = cli("evaluate", *folders, "--json")
    assert (finished.code, finished.stderr) == (0, "")
    result = json.loads(finished.stdout)
    assert [case["kidney_dice"] for case in result["cases"]] == [1.0, pytest.approx(2 / 3), 1.0]
    assert [case["tumour_dice"] for case in result["cases"]] == [1.0, 1.0, 0.0]
    assert result["cases"][2]["tumour_hd95_mm"] is None
    assert result["summary"]["n_cases"] == 3
    assert result["summary"]["metrics"]["tumour_dice"]["mean"] == pytest.approx(2 / 3)


def test_tables_of_several_cases_fit_80_columns(cli, folders):
    finished = cli("evaluate", *folders)
    assert (finished.code, finished.stderr) == (0, "")
    assert max(map(len, finished.stdout.splitlines())) <= 80
    for text in ("case_00001", "0.667", "HD95", "3 cases", "median", "0 to 8 ml", "inf"):
        assert text in finished.stdout


def test_what_was_not_computed_is_not_shown(cli, folders):
    finished = cli("evaluate", *folders, "--no-surface")
    assert "HD95" not in finished.stdout
    assert "surface" not in finished.stdout


def test_one_case_has_no_mean(cli, folders):
    predictions, references = folders
    finished = cli(
        "evaluate",
        predictions / "case_00001_seg.nii.gz",
        references / "data/case_00001/segmentation.nii.gz",
    )
    assert finished.code == 0
    assert max(map(len, finished.stdout.splitlines())) <= 80
    assert "0.667" in finished.stdout
    for word in ("mean", "sd", "median"):
        assert word not in finished.stdout.split()


def test_files_are_written_and_quiet_is_quiet(cli, tmp_path, folders):
    files = {"--csv": tmp_path / "scores.csv", "--plot": tmp_path / "plot.png"}
    options = [text for item in files.items() for text in item]
    finished = cli("evaluate", *folders, "--no-surface", "-q", *options)
    assert (finished.code, finished.stdout, finished.stderr) == (0, "", "")
    rows = list(csv.DictReader(files["--csv"].read_text().splitlines()))
    assert [row["case"] for row in rows] == ["case_00000", "case_00001", "case_00002"]
    assert rows[0]["kidney_hd95_mm"] == ""
    assert files["--plot"].read_bytes().startswith(b"\x89PNG")


def test_a_missing_reference_ends_with_code_2(cli, folders):
    shutil.rmtree(folders[1] / "data" / "case_00001")
    finished = cli("evaluate", *folders)
    assert finished.code == 2
    assert "case_00001" in finished.stderr


def test_another_grid_ends_with_code_2(cli, tmp_path, write_scan, folders):
    small = write_scan(tmp_path / "small.nii.gz", np.zeros((5, 64, 64), np.uint8))
    finished = cli("evaluate", small, folders[1] / "data/case_00000/segmentation.nii.gz", "--json")
    assert finished.code == 2
    assert finished.stdout == ""
    assert "different grids" in finished.stderr
    assert "(5, 64, 64)" in finished.stderr


def test_a_label_that_is_not_scored_ends_with_code_2(cli, tmp_path, write_scan, folders):
    cyst = write_scan(tmp_path / "cyst.nii.gz", np.full((6, 64, 64), 3, np.uint8))
    finished = cli("evaluate", cyst, folders[1] / "data/case_00000/segmentation.nii.gz")
    assert finished.code == 2
    assert "KiTS21" in finished.stderr


@pytest.fixture
def with_cysts(tmp_path, write_scan):
    """Two KiTS23 cases with a cyst; the second prediction calls it tumour."""
    truth = np.zeros((8, 64, 64), np.uint8)
    truth[1:7, 10:40, 10:40] = 1
    truth[2:4, 15:20, 15:20] = 2
    truth[4:6, 25:35, 25:35] = 3
    for number, predicted in enumerate((truth, np.where(truth == 3, 2, truth).astype(np.uint8))):
        write_scan(tmp_path / "kits23" / "dataset" / f"case_{number:05d}" / "segmentation.nii.gz", truth)
        write_scan(tmp_path / "predictions" / f"prediction_{number:05d}.nii.gz", predicted)
    return tmp_path / "predictions", tmp_path / "kits23"


def test_kits23s_protocol_keeps_the_cyst(cli, with_cysts):
    finished = cli("evaluate", *with_cysts, "--protocol", "kits23", "--json")
    assert (finished.code, finished.stderr) == (0, "")
    first, second = json.loads(finished.stdout)["cases"]
    assert (first["case"], first["mean_dice"], first["mean_surface_dice"]) == ("case_00000", 1.0, 1.0)
    assert (second["kidney_and_masses_dice"], second["masses_dice"]) == (1.0, 1.0)
    assert second["tumour_dice"] == pytest.approx(2 * 50 / (50 + 250))


def test_kits23s_tables_fit_80_columns(cli, with_cysts):
    several = cli("evaluate", *with_cysts, "--protocol", "kits23")
    files = (
        with_cysts[0] / "prediction_00001.nii.gz",
        with_cysts[1] / "dataset/case_00001/segmentation.nii.gz",
    )
    single = cli("evaluate", *files, "--protocol", "kits23", "--no-surface")
    for finished in (several, single):
        assert (finished.code, finished.stderr) == (0, "")
        assert max(map(len, finished.stdout.splitlines())) <= 80
        assert "0.333" in finished.stdout
    assert "masses" in several.stdout
    assert "tumour, cyst" in single.stdout
    assert "surface" not in single.stdout
