"""`renalmap nephrometry`, as users run it."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from tests.nephrometry.scene import KidneyScene

SPACING_MM = (3.0, 2.0, 2.0)


@pytest.fixture(scope="module")
def labels():
    """A left kidney with a tumour of 18 mm at its lateral rim."""
    return KidneyScene(SPACING_MM).tumour((0.0, -27.0, 0.0), 9.0).labels


@pytest.fixture
def label_map(labels, write_scan, tmp_path):
    return write_scan(tmp_path / "patient_seg.nii.gz", labels, SPACING_MM)


def test_json_gives_components_totals_and_landmarks(cli, label_map):
    done = cli("nephrometry", label_map, "--json")
    assert done.code == 0
    (case,) = json.loads(done.stdout)["cases"]
    assert (case["case"], case["status"], case["scan"]) == ("patient", "ok", None)
    (lesion,) = case["nephrometry"]["lesions"]
    assert [one["code"] for one in lesion["renal"]["components"]] == ["R", "E", "N", "A", "L"]
    assert lesion["renal"]["text"] == f"{lesion['renal']['total']}x"
    assert lesion["to_sinus"]["length_mm"] == pytest.approx(14.0, abs=2.0)
    (kidney,) = case["nephrometry"]["kidneys"]
    assert (kidney["side"], kidney["sinus_basis"], kidney["polar_basis"]) == (
        "left",
        "mask",
        "medial lip",
    )
    assert "without the scan" in done.stderr


def test_the_table_is_for_people(cli, label_map):
    done = cli("nephrometry", label_map)
    assert done.code == 0
    assert "patient: tumour 1, left" in done.stdout
    assert "R.E.N.A.L." in done.stdout
    assert "PADUA" in done.stdout
    assert "<= 40 mm" in done.stdout
    assert "C-index" in done.stdout
    assert "10 mm margin" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert cli("nephrometry", label_map, "--quiet").stdout == ""


def test_csv_has_a_row_a_tumour(cli, label_map, tmp_path):
    path = tmp_path / "scores.csv"
    assert cli("nephrometry", label_map, "--csv", path, "-q").code == 0
    (row,) = csv.DictReader(path.read_text().splitlines())
    assert (row["case"], row["lesion"], row["side"], row["renal_R_points"]) == (
        "patient",
        "1",
        "left",
        "1",
    )
    assert row["renal_A_points"] == "x"
    assert int(row["renal_least"]) <= int(row["renal_total"]) <= int(row["renal_most"])
    again = cli("nephrometry", label_map, "--csv", path, "-q")
    assert again.code == 2
    assert "would be overwritten" in again.stderr


def test_a_scan_is_looked_at(cli, labels, label_map, write_scan, tmp_path):
    hu = np.full(labels.shape, 50, np.int16)
    scan = write_scan(tmp_path / "patient.nii.gz", hu, SPACING_MM, axcodes="PIR")
    done = cli("nephrometry", label_map, "--scan", scan, "--json")
    (case,) = json.loads(done.stdout)["cases"]
    assert case["nephrometry"]["with_scan"] is True
    assert case["nephrometry"]["kidneys"][0]["sinus_basis"] == "scan"


def test_bad_input_ends_with_2_and_one_clear_line(cli, labels, label_map, write_scan, tmp_path):
    empty = write_scan(tmp_path / "empty_seg.nii.gz", np.zeros_like(labels), SPACING_MM)
    done = cli("nephrometry", empty)
    assert done.code == 2
    assert "the label map is empty" in done.stderr
    assert "Traceback" not in done.stderr
    other = write_scan(tmp_path / "other.nii.gz", np.zeros((9, 9, 9), np.int16), SPACING_MM)
    done = cli("nephrometry", label_map, "--scan", other)
    assert done.code == 2
    assert "different grids" in done.stderr
    done = cli("nephrometry", label_map, empty, "--scan", other)
    assert done.code == 2
    assert "a scan belongs to one label map" in done.stderr
    several = cli("nephrometry", label_map, empty, "--json")
    assert several.code == 1
    assert [case["status"] for case in json.loads(several.stdout)["cases"]] == ["ok", "failed"]
