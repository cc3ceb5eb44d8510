from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from tests.cli.doubts import without_doubt

from renalmap.imaging import read_label_map
from renalmap.inference.session import import_onnxruntime

NO_CUDA = "CUDAExecutionProvider" not in import_onnxruntime().get_available_providers()


@pytest.fixture
def empty_scan(tmp_path, write_scan, hu):
    return write_scan(tmp_path / "empty.nii.gz", np.minimum(hu, 40))


def test_the_real_command_segments_and_keeps_standard_output_clean(tmp_path, scan, model):
    command = [sys.executable, "-m", "renalmap.cli", "segment", scan, "--out", tmp_path / "out.nii.gz"]
    finished = subprocess.run([*command, "--model", model, "--json"], capture_output=True, check=False)
    assert finished.returncode == 0
    assert without_doubt(finished.stderr.decode()) == ""
    report = json.loads(finished.stdout)
    assert report["cases"][0]["status"] == "ok"
    assert report["bundle_sha256"]
    again = subprocess.run([*command, "--model", model], capture_output=True, check=False, text=True)
    assert again.returncode == 2
    assert again.stdout == ""
    assert again.stderr.startswith("error: ")
    assert "--overwrite" in again.stderr
    assert "Traceback" not in again.stderr


def test_the_tables_fit_80_columns(cli, tmp_path, scan, model):
    finished = cli("segment", scan, "--out", tmp_path / "out.nii.gz", "--model", model)
    assert (finished.code, without_doubt(finished.stderr)) == (0, "")
    lines = finished.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    words = finished.stdout.split()
    for word in ("scan", "ok", "kidney", "tumour", "read", "postprocess", "write", "total"):
        assert word in words


def test_quality_is_told_in_the_table_and_in_json(cli, tmp_path, write_scan, hu, model):
    scan = write_scan(tmp_path / "scan.nii.gz", hu[1:3])
    finished = cli("segment", scan, "--out", tmp_path / "out.nii.gz", "--model", model)
    assert finished.code == 0
    assert "Quality (confidences are not calibrated)" in finished.stdout
    assert max(map(len, finished.stdout.splitlines())) <= 80
    assert finished.stdout.count("ml, cut, ") == 2
    warning = " ".join(finished.stderr.split())
    assert f"{scan}: the left kidney is truncated (first slice, last slice)" in warning
    again = cli(
        "segment", scan, "--out", tmp_path / "out.nii.gz", "--model", model, "--overwrite", "--json"
    )
    quality = json.loads(again.stdout)["cases"][0]["quality"]
    assert quality["kidneys_found"] == {"left": True, "right": True}
    assert quality["flags"] == ["lesion_doubtful", "kidney_incomplete", "lesion_incomplete"]
    assert [kidney["side"] for kidney in quality["kidneys"]] == ["left", "right"]


def test_quiet_prints_nothing(cli, tmp_path, scan, model):
    finished = cli("segment", scan, "--out", tmp_path / "out.nii.gz", "--model", model, "-q")
    assert (finished.code, finished.stdout, without_doubt(finished.stderr)) == (0, "", "")
    assert read_label_map(tmp_path / "out.nii.gz").labels.any()


def test_an_existing_output_is_replaced_only_when_told(cli, tmp_path, scan, model):
    out = tmp_path / "out.nii.gz"
    out.write_bytes(b"kept")
    finished = cli("segment", scan, "--out", out, "--model", model)
    assert finished.code == 2
    assert "--overwrite" in finished.stderr
    assert out.read_bytes() == b"kept"
    assert cli("segment", scan, "--out", out, "--model", model, "--overwrite", "-q").code == 0
    assert read_label_map(out).labels.any()


def test_no_kidney_is_said_loudly(cli, tmp_path, empty_scan, model):
    out = tmp_path / "out.nii.gz"
    finished = cli("segment", empty_scan, "--out", out, "--model", model)
    assert finished.code == 0
    assert "no kidney found" in finished.stdout
    assert f"warning: {empty_scan}: no kidney was found" in finished.stderr
    quiet = cli("segment", empty_scan, "--out", out, "--model", model, "--overwrite", "-q")
    assert "no kidney was found" in quiet.stderr
    strict = cli(
        "segment", empty_scan, "--out", out, "--model", model, "--overwrite", "--strict", "--json"
    )
    assert strict.code == 1
    assert json.loads(strict.stdout)["cases"][0]["status"] == "no_kidney_found"


def test_strict_does_not_mind_a_kidney(cli, tmp_path, scan, model):
    assert cli("segment", scan, "--out", tmp_path / "o.nii", "--model", model, "--strict").code == 0


def test_one_broken_scan_of_several(cli, tmp_path, scan, model):
    broken, missing = tmp_path / "broken.nii.gz", tmp_path / "missing.nii.gz"
    broken.write_bytes(scan.read_bytes()[:100])
    command = ("segment", broken, scan, missing, "--out", tmp_path / "out", "--model", model)
    finished = cli(*command)
    assert finished.code == 1
    assert finished.stdout.count("failed") == 2
    assert f"error: {broken}: the file is truncated" in finished.stderr
    assert f"error: {missing}: the path does not exist" in finished.stderr
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["scan_seg.nii.gz", "scan_seg.sidecar.json"]

    finished = cli(*command, "--json", "--overwrite")
    assert finished.code == 1
    cases = json.loads(finished.stdout)["cases"]
    assert [case["status"] for case in cases] == ["failed", "ok", "failed"]
    assert "truncated" in cases[0]["error"]


def test_scans_of_one_name(cli, tmp_path, scan, model):
    (tmp_path / "other").mkdir()
    shutil.copy(scan, tmp_path / "other" / "scan.nii.gz")
    finished = cli(
        "segment", scan, tmp_path / "other/scan.nii.gz", "--out", tmp_path / "o", "--model", model
    )
    assert finished.code == 2
    assert "same name" in finished.stderr


def test_options_reach_the_cascade(cli, tmp_path, scan, model):
    plain, other = tmp_path / "plain.nii.gz", tmp_path / "other.nii.gz"
    cli("segment", scan, "--out", plain, "--model", model, "-q")
    options = ("--threads", 3, "--batch-size", 2, "--save-probabilities")
    cli("segment", scan, "--out", other, "--model", model, "-q", *options)
    assert plain.read_bytes() == other.read_bytes()
    assert (tmp_path / "other_kidney_probability.nii.gz").is_file()
    assert (tmp_path / "other_tumour_probability.nii.gz").is_file()
    stage1 = tmp_path / "stage1.nii.gz"
    cli("segment", scan, "--out", stage1, "--model", model, "-q", "--stage1-only")
    assert set(np.unique(read_label_map(stage1).labels)) == {0, 1}


def test_rules_of_the_bundle_can_be_changed(cli, tmp_path, write_scan, make_bundle, hu):
    """A bundle that keeps two kidneys and smooths; a third blob, and a tumour of one slice."""
    hu = np.minimum(hu, 40)
    hu[1:6, 50:80, 15:40], hu[1:6, 50:80, 90:115], hu[1:6, 10:30, 95:110] = 200, 200, 200
    hu[3, 55:65, 20:30] = 100
    scan = write_scan(tmp_path / "three.nii.gz", hu)
    strict = make_bundle(keep="two_kidneys", smoothing_sigma_mm=4.0)

    def labels(*flags):
        out = tmp_path / "out.nii.gz"
        finished = cli("segment", scan, "--out", out, "--model", strict, "-q", "--overwrite", *flags)
        assert finished.code == 0, finished.stderr  # it warns that the last slice cuts the kidneys
        found = read_label_map(out).labels
        return bool(found[3, 20, 100]), bool((found == 2).any())

    assert labels() == (False, False)
    assert labels("--keep-all") == (True, False)
    assert labels("--smoothing-sigma-mm", 0) == (False, True)
    assert labels("--keep-all", "--flip-averaging", "both") == (True, False)
    refused = cli("segment", scan, "--out", tmp_path / "x.nii", "--flip-averaging", "twice")
    assert refused.code == 2
    assert not (tmp_path / "x.nii").exists()


def test_values_that_cannot_be_hu(cli, tmp_path, write_scan, hu, model):
    scan = write_scan(tmp_path / "clipped.nii.gz", np.clip(hu, 0, 255))
    out = tmp_path / "out.nii.gz"
    finished = cli("segment", scan, "--out", out, "--model", model)
    assert finished.code == 0
    assert finished.stderr.startswith(f"warning: {scan}: the values run from 0 to 200")
    assert "--assume-hu" in finished.stderr
    silent = cli("segment", scan, "--out", out, "--model", model, "--overwrite", "--assume-hu")
    assert (silent.code, without_doubt(silent.stderr)) == (0, "")


@pytest.mark.skipif(not NO_CUDA, reason="this runtime has CUDA")
def test_a_device_that_is_not_there(cli, tmp_path, scan, model):
    out = tmp_path / "out.nii.gz"
    finished = cli("segment", scan, "--out", out, "--model", model, "--device", "cuda")
    assert finished.code == 2
    assert "the device cuda is not available" in finished.stderr
    assert not out.exists()


def test_an_engine_can_be_asked_for(cli, tmp_path, scan, model, monkeypatch):
    out = tmp_path / "out.nii.gz"
    command = ("segment", scan, "--out", out, "--model", model, "--overwrite", "-q", "--engine")
    assert cli(*command, "onnxruntime").code == 0
    monkeypatch.setitem(sys.modules, "openvino", None)
    missing = cli(*command, "openvino")
    assert missing.code == 2
    assert "the engine OpenVINO needs the package openvino" in missing.stderr
    assert "renalmap[openvino]" in missing.stderr
    assert cli(*command, "tensorrt").code == 2


def test_a_bundle_that_was_changed_or_is_none(cli, tmp_path, scan, make_bundle):
    root = make_bundle()
    with (root / "localizer.onnx").open("ab") as handle:
        handle.write(b"!")
    changed = cli("segment", scan, "--out", tmp_path / "out.nii.gz", "--model", root)
    assert changed.code == 2
    assert f"error: {root / 'localizer.onnx'}: a file of the bundle was changed" in changed.stderr
    none = cli("segment", scan, "--out", tmp_path / "out.nii.gz", "--model", tmp_path)
    assert none.code == 2
    assert "the bundle is incomplete" in none.stderr
    assert not (tmp_path / "out.nii.gz").exists()


def test_two_acquisitions_in_one_series(cli, tmp_path, shared_data, model):
    folder = shared_data / "dicom" / "HCC_002_two_acquisitions"
    finished = cli("segment", folder, "--out", tmp_path / "out.nii.gz", "--model", model)
    assert finished.code == 2
    for text in ("acquisition 1: 109 slices", "acquisition 2: 109 slices", "--acquisition"):
        assert text in finished.stderr
    absent = cli(
        "segment", folder, "--out", tmp_path / "out.nii.gz", "--model", model, "--acquisition", 7
    )
    assert absent.code == 2
    assert "no acquisition 7" in absent.stderr
