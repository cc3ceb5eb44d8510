"""`renalmap measure`, and `segment --measure`, as users run them."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from tests.measure.scene import Scene

from renalmap.imaging import read_label_map

SPACING_MM = (2.5, 1.6, 1.6)


@pytest.fixture
def labels(two_kidneys_with_a_tumour):
    return two_kidneys_with_a_tumour.labels


@pytest.fixture
def two_kidneys_with_a_tumour() -> Scene:
    """Right kidney, left kidney with a tumour of 24 mm."""
    return Scene().kidney(80.0).kidney(240.0).draw(2, (100.0, 80.0, 255.0), 12.0)


@pytest.fixture
def label_map(labels, write_scan, tmp_path):
    return write_scan(tmp_path / "patient_seg.nii.gz", labels, SPACING_MM)


def test_json_gives_kidneys_and_lesions(cli, label_map):
    done = cli("measure", label_map, "--json")
    assert done.code == 0
    (case,) = json.loads(done.stdout)["cases"]
    measured = case["measurements"]
    assert (case["case"], case["status"], case["scan"]) == ("patient", "ok", None)
    assert [kidney["side"] for kidney in measured["kidneys"]] == ["left", "right"]
    (lesion,) = measured["lesions"]
    assert lesion["longest_axial_diameter_mm"] == pytest.approx(24.0, abs=0.8)
    assert (lesion["side"], lesion["size_class"], lesion["mean_hu"]) == ("left", "up to 4 cm", None)


def test_tables_are_for_people(cli, label_map):
    done = cli("measure", label_map)
    assert done.code == 0
    assert "patient" in done.stdout
    assert "parenchyma" in done.stdout
    assert "1 tumour" in done.stdout
    assert "not a T stage" in done.stdout
    assert cli("measure", label_map, "--quiet").stdout == ""


def test_csv_has_a_row_a_kidney_and_a_lesion(cli, label_map, tmp_path):
    path = tmp_path / "measures.csv"
    assert cli("measure", label_map, "--csv", path, "-q").code == 0
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [(row["structure"], row["side"]) for row in rows] == [
        ("kidney", "left"),
        ("kidney", "right"),
        ("tumour", "left"),
    ]
    assert {row["case"] for row in rows} == {"patient"}
    assert rows[2]["incomplete"] == "no"
    assert float(rows[2]["longest_axial_diameter_mm"]) == pytest.approx(24.0, abs=0.8)
    assert rows[0]["mean_hu"] == rows[2]["length_mm"] == rows[0]["flags"] == ""
    assert int(rows[2]["slice_number"]) == int(rows[2]["slice"]) + 1
    again = cli("measure", label_map, "--csv", path, "-q")
    assert again.code == 2
    assert "would be overwritten" in again.stderr
    assert cli("measure", label_map, "--csv", path, "-q", "--overwrite").code == 0


def test_a_scan_gives_hu(cli, two_kidneys_with_a_tumour, label_map, write_scan, tmp_path):
    hu = two_kidneys_with_a_tumour.scan().hu
    scan = write_scan(tmp_path / "patient.nii.gz", hu, SPACING_MM, axcodes="PIR")
    done = cli("measure", label_map, "--scan", scan, "--json")
    measured = json.loads(done.stdout)["cases"][0]["measurements"]
    assert (measured["side_basis"], measured["with_scan"]) == ("scan", True)
    assert measured["lesions"][0]["mean_hu"] == 90.0
    shown = cli("measure", label_map, "--scan", scan).stdout
    assert "90 ± 0" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_a_folder_goes_on_after_a_broken_label_map(cli, labels, write_scan, tmp_path):
    folder = tmp_path / "maps"
    write_scan(folder / "case_00001" / "segmentation.nii.gz", labels, SPACING_MM)
    write_scan(folder / "c_seg.nii.gz", np.zeros_like(labels), SPACING_MM)
    write_scan(folder / "d_seg.nii.gz", labels, SPACING_MM)
    write_scan(folder / "d.nii.gz", labels.astype(np.int16) * 100, SPACING_MM)  # taken for its scan
    (folder / "b_seg.nii.gz").write_bytes(b"no image")
    path = tmp_path / "all.csv"
    done = cli("measure", folder, "--csv", path, "--json")
    assert done.code == 1
    cases = json.loads(done.stdout)["cases"]
    assert [(case["case"], case["status"]) for case in cases] == [
        ("b", "failed"),
        ("c", "failed"),
        ("case_00001", "ok"),
        ("d", "ok"),
    ]
    assert "error: " in done.stderr
    assert "the label map is empty" in done.stderr
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [row["case"] for row in rows] == ["b", "c", *["case_00001"] * 3, *["d"] * 3]
    assert "label map is empty" in rows[1]["error"]


def test_a_label_map_is_cut_off_and_it_is_said(cli, labels, write_scan, tmp_path):
    path = write_scan(tmp_path / "cut.nii.gz", labels[30:], SPACING_MM)
    done = cli("measure", path)
    assert done.code == 0
    assert "truncated" in done.stdout
    assert "the left kidney is truncated (first slice): its measurements are lower bounds" in done.stderr


def test_bad_inputs_end_with_2_and_one_clear_line(cli, labels, label_map, write_scan, tmp_path):
    other = write_scan(tmp_path / "other.nii.gz", labels.astype(np.int16), (2.5, 1.6, 1.5))
    strange = write_scan(tmp_path / "strange.nii.gz", labels * 5, SPACING_MM)
    empty = write_scan(tmp_path / "empty.nii.gz", np.zeros_like(labels), SPACING_MM)
    folder = tmp_path / "folder"
    folder.mkdir()
    for arguments, text in (
        ((label_map, "--scan", other), "the scan and the label map are on different grids"),
        ((strange,), "labels that are not allowed (got uint8 from 0 to 10"),
        ((empty,), "the label map is empty"),
        ((tmp_path / "none.nii.gz",), "nothing to measure"),
        ((folder,), "the folder holds no label map"),
        ((label_map, label_map, "--scan", other), "a scan belongs to one label map"),
        ((label_map, "--csv", tmp_path / "no" / "x.csv"), "the output's folder does not exist"),
    ):
        done = cli("measure", *arguments)
        assert (done.code, done.stdout) == (2, "")
        assert done.stderr.startswith("error: ")
        assert text in done.stderr


def test_segment_can_measure(cli, write_scan, hu, model, tmp_path):
    scan = write_scan(tmp_path / "ct.nii.gz", hu)
    out = tmp_path / "labels.nii.gz"
    done = cli("segment", scan, "--out", out, "--model", model, "--measure", "--nephrometry", "--json")
    assert done.code == 0
    case = json.loads(done.stdout)["cases"][0]
    measured = case["measurements"]
    assert case["seconds"]["measure"] >= 0.0
    assert case["seconds"]["nephrometry"] >= 0.0
    assert (case["nephrometry"]["name"], case["nephrometry"]["with_scan"]) == ("ct", True)
    scored = [lesion["lesion"] for lesion in case["nephrometry"]["lesions"]]
    assert scored == [lesion["id"] for lesion in measured["lesions"] if lesion["kind"] == "tumour"]
    assert (measured["name"], measured["with_scan"]) == ("ct", True)
    parenchyma_ml = sum(kidney["parenchyma_ml"] for kidney in measured["kidneys"])
    assert parenchyma_ml == pytest.approx(read_label_map(out).volume_ml(1), abs=0.01)
    shown = cli("segment", scan, "--out", out, "--model", model, "--measure", "--overwrite")
    assert "parenchyma" in shown.stdout
    plain = cli("segment", scan, "--out", out, "--model", model, "--overwrite", "--json")
    assert json.loads(plain.stdout)["cases"][0]["measurements"] is None
    assert json.loads(plain.stdout)["cases"][0]["nephrometry"] is None
