"""The verbs report and mesh, and what segment writes beside labels, as a user runs them."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def seg(cli, tmp_path, scan, model):
    out = tmp_path / "seg.nii.gz"
    assert cli("segment", scan, "--out", out, "--model", model).code == 0
    return out


def test_report_and_mesh_from_the_command_line(cli, tmp_path, scan, seg):
    page = tmp_path / "report.html"
    finished = cli("report", seg, "--scan", scan, "--out", page)
    assert (finished.code, finished.stdout) == (0, f"wrote {page}\n")
    assert str(scan) in page.read_text()
    again = cli("report", seg, "--scan", scan, "--out", page, "--anonymize-report")
    assert again.code == 2
    assert "--overwrite" in again.stderr
    assert (
        cli("report", seg, "--scan", scan, "--out", page, "--anonymize-report", "--overwrite").code == 0
    )
    assert str(tmp_path) not in page.read_text()

    finished = cli("mesh", seg, "--scan", scan, "--out", tmp_path / "meshes", "--format", "stl")
    assert finished.code == 0
    assert max(map(len, finished.stdout.splitlines())) <= max(80, len(f"wrote {tmp_path}/meshes"))
    assert (tmp_path / "meshes" / "right_kidney.stl").exists()
    finished = cli("mesh", seg, "--out", tmp_path / "more", "--json")
    made = json.loads(finished.stdout)
    assert made["all_together"] == str(tmp_path / "more" / "all.glb")


def test_segment_writes_both_beside_the_labels(cli, tmp_path, scan, model):
    finished = cli(
        "segment", scan, "--out", tmp_path / "o.nii.gz", "--model", model, "--json",
        "--report", tmp_path / "reports", "--mesh", tmp_path / "meshes", "--anonymize-report",
    )  # fmt: skip
    assert finished.code == 0
    (case,) = json.loads(finished.stdout)["cases"]
    assert case["report"] == str(tmp_path / "reports" / "scan_1_report.html")
    assert {one["structure"] for one in case["meshes"]["structures"]} >= {"left_kidney", "right_kidney"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mesh", "{seg}", "--out", "{tmp}", "--format", "obj"), "expected stl or glb"),
        (("mesh", "{tmp}/nothing.nii.gz", "--out", "{tmp}"), "does not exist"),
        (
            ("report", "{seg}", "--scan", "{tmp}/nothing.nii.gz", "--out", "{tmp}/r.html"),
            "does not exist",
        ),
        (("segment", "{scan}", "--out", "{tmp}/o.nii.gz", "--anonymize-report"), "Give --report DIR"),
    ],
)
def test_bad_input_ends_with_code_2_and_a_message(cli, tmp_path, scan, seg, arguments, message):
    finished = cli(*(text.format(seg=seg, tmp=tmp_path, scan=scan) for text in arguments))
    assert finished.code == 2
    assert message in " ".join(finished.stderr.split())
    assert "Traceback" not in finished.stderr
