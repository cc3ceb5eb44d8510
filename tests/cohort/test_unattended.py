"""Cohorts that nobody watches: names that are no UTF-8, kills at bad moments, results edited by hand."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from tests.processes import segment

from renalmap.api.beside import Beside
from renalmap.api.request import SegmentRequest
from renalmap.api.segment import CohortRequest
from renalmap.api.segment import segment as segment_files
from renalmap.errors import InputError, OutputExistsError

LATIN = os.fsdecode(b"caf\xe9")


@pytest.fixture
def run(cohort, model, tmp_path):
    def run(out=tmp_path / "out", paths=(cohort,), table=None, resume=True, **request):
        settings = SegmentRequest(**{"model": model, "engine": "onnxruntime"} | request)
        return segment_files(paths, out, settings, CohortRequest(resume=resume, table=table))

    return run


def by_name(report):
    return {case.name: case for case in report.cases}


def test_names_that_are_no_utf8_are_scans_like_any_other(tmp_path, run, cohort):
    try:
        shutil.copy(cohort / "a.nii.gz", cohort / f"{LATIN}.nii.gz")
    except OSError:
        pytest.skip("the file system takes no such names")
    folder = tmp_path / LATIN
    for suffix in ("csv", "parquet"):
        pytest.importorskip("pyarrow", reason="needs the extra cluster")
        report = run(folder, table=tmp_path / f"t.{suffix}", beside=Beside(report=folder))
        assert {case.status for case in report.cases} == {"ok"}
    assert all(case.skipped for case in report.cases)
    assert (folder / f"{LATIN}_seg.nii.gz").read_bytes() == (folder / "a_seg.nii.gz").read_bytes()
    assert "caf\\udce9" in (folder / f"{LATIN}_report.html").read_text()
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as handle:
        names = [row["name"] for row in csv.DictReader(handle)]
    assert names == ["a", "b", "c", "caf\\xe9"]


def test_the_command_shows_names_that_are_no_utf8(tmp_path, cohort, model):
    try:
        shutil.copy(cohort / "a.nii.gz", cohort / f"{LATIN}.nii.gz")
    except OSError:
        pytest.skip("the file system takes no such names")
    (cohort / "\x1b]0;owned.nii.gz").write_bytes(b"no scan")
    ended = segment(cohort, "--out", tmp_path / "out", "--model", model, "--table", tmp_path / "t.csv")
    assert ended.code == 1
    assert "Traceback" not in ended.stderr
    assert "\x1b" not in ended.stdout + ended.stderr
    assert "caf\\xe9" in ended.stdout
    assert "\\x1b]0;owned.nii.gz" in ended.stderr
    again = segment(cohort, "--out", tmp_path / "out", "--model", model, "--resume", "--json")
    assert {case["name"]: case["skipped"] for case in json.loads(again.stdout)["cases"]} == {
        "\x1b]0;owned": False,
        "a": True,
        "b": True,
        "c": True,
        LATIN: True,
    }


def leave_marker(out, name, of_run):
    """As a kill leaves it."""
    marker = {"run": of_run, "attempt": 1, "host": "here", "pid": 1}
    (out / f".{name}_seg.in-work.json").write_text(json.dumps(marker))


def run_of(out, name):
    return json.loads((out / f"{name}_seg.sidecar.json").read_text())["run"]


def test_a_result_edited_by_hand_after_a_kill_is_never_redone(tmp_path, run):
    out = tmp_path / "out"
    run()
    leave_marker(out, "b", run_of(out, "b"))  # killed between sidecar and marker
    (out / "b_seg.nii.gz").write_bytes(b"corrected by a radiologist")
    with pytest.raises(OutputExistsError, match=r"b_seg\.nii\.gz has been changed or damaged since"):
        run()
    assert (out / "b_seg.nii.gz").read_bytes() == b"corrected by a radiologist"


def test_a_marker_beside_complete_work_goes_when_it_is_seen(tmp_path, run):
    out = tmp_path / "out"
    run()
    leave_marker(out, "a", run_of(out, "a"))
    leave_marker(out, "b", "a run that was killed before it wrote anything")
    assert all(case.skipped for case in run().cases)
    assert not list(out.glob(".*"))


@pytest.mark.parametrize("report", [{}, {"name": 5}, "nonsense", None, [], {"quality": {"kidneys": 1}}])
def test_a_damaged_report_costs_its_own_scan_a_second_time_and_stops_nothing(tmp_path, run, report):
    out = tmp_path / "out"
    run()
    path = out / "b_seg.sidecar.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"report": report}))
    assert {name: case.skipped for name, case in by_name(run()).items()} == {
        "a": True,
        "b": False,
        "c": True,
    }


@pytest.mark.parametrize("content", ["", "{", "[" * 100_000, "5", '{"format_version": 2}', "\udcff"])
def test_a_sidecar_that_is_none_is_refused_by_name(tmp_path, run, content):
    out = tmp_path / "out"
    run()
    (out / "b_seg.sidecar.json").write_text(content, errors="surrogateescape")
    (out / ".c_seg.in-work.json").write_text(content, errors="surrogateescape")
    with pytest.raises(
        OutputExistsError, match=r"b_seg\.nii\.gz: it has no sidecar that this version reads"
    ):
        run()
    run(overwrite=True)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a folder in which not even root may write")
@pytest.mark.parametrize("out", ["/sys/out", "/sys/out.nii.gz"])
def test_a_place_that_cannot_be_written_is_found_before_the_work(tmp_path, run, cohort, out):
    several = not out.endswith(".gz")
    paths = (cohort,) if several else (cohort / "a.nii.gz",)
    for resume in (True, False):
        with pytest.raises(InputError, match=rf"^{out}: the output cannot be written") as caught:
            run(Path(out), paths, resume=resume)
        assert caught.value.exit_code == 2


def test_what_a_killed_run_over_one_scan_left_goes_with_the_next(tmp_path, run, cohort):
    out = tmp_path / "out.nii.gz"
    (tmp_path / ".0123abcd.tmp.out.nii.gz").write_bytes(b"half")
    run(out, (cohort / "a.nii.gz",), resume=False)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_cohorts_output_that_is_no_file_fails_alone(tmp_path, run, kind):
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "precious").write_text("kept")
    if kind == "link":
        (out / "b_seg.nii.gz").symlink_to(tmp_path / "precious")
    else:
        os.mkfifo(out / "b_seg.nii.gz")
    cases = by_name(run(overwrite=True))
    assert {name: case.status for name, case in cases.items()} == {"a": "ok", "b": "failed", "c": "ok"}
    assert "a link, a pipe or a device" in str(cases["b"].error)
    assert (tmp_path / "precious").read_text() == "kept"
