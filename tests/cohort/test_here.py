"""Cohorts in this process: what is kept, what is made again, what is refused, and the table."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import signal

import nibabel as nib
import numpy as np
import pytest
from tests.processes import finish, segment, start_segment, wait_until

from renalmap.api.listener import Listener
from renalmap.api.request import SegmentRequest
from renalmap.api.segment import CohortRequest
from renalmap.api.segment import segment as segment_files
from renalmap.errors import (
    ConfigError,
    FolderInUseError,
    InputError,
    OutputExistsError,
)
from renalmap.imaging import read_label_map
from renalmap.imaging.files import hold_lock
from renalmap.inference.cascade import SegmentOptions

SILENT = Listener()


@pytest.fixture
def run(cohort, model, tmp_path):
    """Segment the cohort; keywords go to the request, but for those of CohortRequest."""

    def run(resume=False, table=None, paths=(cohort,), listener=SILENT, **request):
        settings = SegmentRequest(**{"model": model, "engine": "onnxruntime"} | request)
        how = CohortRequest(resume=resume, table=table)
        return segment_files(paths, tmp_path / "out", settings, how, listener)

    return run


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def skipped(report):
    return {case.name: case.skipped for case in report.cases}


def sidecar(folder, name):
    return json.loads((folder / f"{name}_seg.sidecar.json").read_text())


def test_outputs_are_those_of_single_scans_and_have_sidecars(tmp_path, run, cohort, model):
    report = run()
    assert [(case.name, case.status) for case in report.cases] == [("a", "ok"), ("b", "ok"), ("c", "ok")]
    out = tmp_path / "out"
    assert names(out) == [f"{n}_seg.{end}" for n in "abc" for end in ("nii.gz", "sidecar.json")]
    alone = tmp_path / "alone.nii.gz"
    segment_files([cohort / "a.nii.gz"], alone, SegmentRequest(model, engine="onnxruntime"))
    assert (out / "a_seg.nii.gz").read_bytes() == alone.read_bytes()
    written = sidecar(out, "a")
    assert written["bundle_sha256"] == report.bundle_sha256
    assert written["renalmap_version"] == report.renalmap_version
    assert written["outputs"] == {"a_seg.nii.gz": hashlib.sha256(alone.read_bytes()).hexdigest()}
    source = (cohort / "a.nii.gz").read_bytes()
    assert written["source"]["sha256"] == hashlib.sha256(source).hexdigest()
    assert written["source"]["size"] == len(source)
    assert written["options"]["engine"] == "onnxruntime"
    assert [case.load_s > 0 for case in report.cases] == [True, False, False]


def test_a_second_run_is_refused_before_anything_is_done(tmp_path, run):
    run()
    (tmp_path / "out" / "c_seg.nii.gz").unlink()
    with pytest.raises(OutputExistsError) as caught:
        run()
    assert "a_seg.nii.gz: complete, made by the same bundle and options" in str(caught.value)
    assert "--resume keeps those that are complete" in str(caught.value)
    assert not (tmp_path / "out" / "c_seg.nii.gz").exists()


def test_what_is_complete_is_kept_and_reported_again(tmp_path, run):
    first = run()
    out = tmp_path / "out"
    (out / "b_seg.nii.gz").unlink()
    times = {name: (out / name).stat().st_mtime_ns for name in ("a_seg.nii.gz", "a_seg.sidecar.json")}
    said: list[str] = []
    again = run(resume=True, listener=Listener(announce=said.append))
    assert skipped(again) == {"a": True, "b": False, "c": True}
    assert said == ["2 of 3 scans are complete and kept"]
    assert {name: (out / name).stat().st_mtime_ns for name in times} == times
    kept = again.cases[0].model_copy(update={"skipped": False, "load_s": first.cases[0].load_s})
    assert kept == first.cases[0]
    assert skipped(run(resume=True)) == {"a": True, "b": True, "c": True}
    assert skipped(run(overwrite=True)) == {"a": False, "b": False, "c": False}


def damage(out, scan):
    (out / "a_seg.nii.gz").write_bytes(b"damaged")


def lose_sidecar(out, scan):
    (out / "a_seg.sidecar.json").unlink()


def break_sidecar(out, scan):
    (out / "a_seg.sidecar.json").write_text("{")


def other_version(out, scan):
    content = sidecar(out, "a") | {"renalmap_version": "0.0.7"}
    (out / "a_seg.sidecar.json").write_text(json.dumps(content))


def other_bundle(out, scan):
    content = sidecar(out, "a") | {"bundle_sha256": "f" * 64}
    (out / "a_seg.sidecar.json").write_text(json.dumps(content))


def change_scan(out, scan):
    image = nib.Nifti1Image.from_filename(scan)
    voxels = np.minimum(np.asarray(image.dataobj), 150)
    nib.save(nib.Nifti1Image(voxels, image.affine), scan)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (damage, "a_seg.nii.gz was changed or damaged since"),
        (lose_sidecar, "it has no sidecar that this version reads"),
        (break_sidecar, "it has no sidecar that this version reads"),
        (other_version, "made by RenalMap 0.0.7"),
        (other_bundle, "made by another bundle (ffffffffffff)"),
        (change_scan, "the scan is another than the one it was made of"),
    ],
)
def test_what_is_not_the_same_is_refused_or_made_again_alone(tmp_path, run, cohort, change, reason):
    run()
    out = tmp_path / "out"
    change(out, cohort / "a.nii.gz")
    before = (out / "a_seg.nii.gz").read_bytes()
    with pytest.raises(OutputExistsError) as caught:
        run(resume=True)
    assert f"got a_seg.nii.gz: {reason})" in str(caught.value)
    assert "--resume --overwrite makes these again and keeps the others" in str(caught.value)
    assert (out / "a_seg.nii.gz").read_bytes() == before
    assert skipped(run(resume=True, overwrite=True)) == {"a": False, "b": True, "c": True}
    assert skipped(run(resume=True)) == {"a": True, "b": True, "c": True}


def test_options_that_decide_about_labels_must_be_the_same(tmp_path, run, make_bundle):
    run(options=SegmentOptions(threads=2))
    same = run(resume=True, options=SegmentOptions(threads=1, batch_size=2), assume_hu=True)
    assert all(skipped(same).values())
    with pytest.raises(OutputExistsError, match=r"made with other options \(options.stage1_only\)"):
        run(resume=True, options=SegmentOptions(stage1_only=True))
    with pytest.raises(OutputExistsError, match=r"made by another bundle"):
        run(resume=True, model=make_bundle(crop_margin=9))


def test_a_scan_that_was_only_touched_is_the_same(tmp_path, run, cohort):
    run()
    os.utime(cohort / "a.nii.gz", ns=(1, 1))
    assert all(skipped(run(resume=True)).values())


def test_a_complete_output_needs_all_its_files(tmp_path, run):
    run(save_probabilities=True)
    (tmp_path / "out" / "b_seg_tumour_probability.nii.gz").unlink()
    with pytest.raises(OutputExistsError, match=r"b_seg_tumour_probability.nii.gz is missing"):
        run(resume=True, save_probabilities=True)
    redone = run(resume=True, overwrite=True, save_probabilities=True)
    assert skipped(redone) == {"a": True, "b": False, "c": True}
    assert (tmp_path / "out" / "b_seg_tumour_probability.nii.gz").is_file()


def test_a_folder_that_was_moved_is_still_complete(tmp_path, run, cohort):
    run()
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    shutil.move(cohort, tmp_path / "scans")
    (tmp_path / "elsewhere").rename(tmp_path / "out")
    report = run(resume=True, paths=(tmp_path / "scans",))
    assert all(skipped(report).values())
    assert report.cases[0].scan == str(tmp_path / "scans" / "a.nii.gz")


def test_a_scan_that_fails_leaves_nothing_and_does_not_stop_the_others(tmp_path, run, cohort):
    (cohort / "b.nii.gz").write_bytes((cohort / "a.nii.gz").read_bytes()[:100])
    report = run()
    assert [case.status for case in report.cases] == ["ok", "failed", "ok"]
    assert "b.nii.gz: the file is cut short" in str(report.cases[1].error)
    assert names(tmp_path / "out") == [
        f"{n}_seg.{end}" for n in "ac" for end in ("nii.gz", "sidecar.json")
    ]
    again = run(resume=True)
    assert skipped(again) == {"a": True, "b": False, "c": True}
    assert again.cases[1].status == "failed"


def test_a_case_without_its_scan_is_reported_as_failed(tmp_path, run, cohort):
    (tmp_path / "kits" / "case_00001").mkdir(parents=True)
    (tmp_path / "kits" / "case_00001" / "segmentation.nii.gz").touch()
    (tmp_path / "kits" / "case_00000").mkdir()
    shutil.copy(cohort / "a.nii.gz", tmp_path / "kits" / "case_00000" / "imaging.nii.gz")
    report = run(paths=(tmp_path / "kits",), names="kits-submission")
    assert [(case.name, case.status) for case in report.cases] == [
        ("case_00000", "ok"),
        ("case_00001", "failed"),
    ]
    assert "the case has a mask and no scan" in str(report.cases[1].error)
    assert names(tmp_path / "out") == ["prediction_00000.nii.gz", "prediction_00000.sidecar.json"]


def test_results_never_lie_among_the_scans(run, cohort, model):
    with pytest.raises(ConfigError, match="the results would lie among the scans"):
        segment_files([cohort], cohort, SegmentRequest(model))


def test_a_cohort_of_one_gets_a_folder_too(tmp_path, run, cohort):
    for name in "bc":
        (cohort / f"{name}.nii.gz").unlink()
    run()
    assert names(tmp_path / "out") == ["a_seg.nii.gz", "a_seg.sidecar.json"]


def test_a_single_scan_can_be_resumed_too(tmp_path, cohort, model):
    command = (cohort / "a.nii.gz", "--out", tmp_path / "labels.nii.gz", "--model", model, "--resume")
    first, again = segment(*command, "--json"), segment(*command)
    assert (first.code, again.code) == (0, 0), again.stderr
    assert "1 of 1 scans are complete and kept" in again.stderr
    assert (tmp_path / "labels.sidecar.json").is_file()
    lost = segment(cohort / "a.nii.gz", "--out", tmp_path / "no" / "l.nii", "--model", model, "--resume")
    assert lost.code == 2
    assert "the output's folder does not exist" in lost.stderr


def test_two_runs_never_share_a_folder(tmp_path, run):
    (tmp_path / "out").mkdir()
    with (
        hold_lock(tmp_path / "out", FolderInUseError("held by the test")),
        pytest.raises(FolderInUseError, match="another renalmap segment is writing here"),
    ):
        run()
    assert [case.status for case in run().cases] == ["ok"] * 3


def test_the_table_has_a_row_for_each_scan_in_both_formats(tmp_path, run, cohort):
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra cluster")
    (cohort / "b.nii.gz").write_bytes(b"")
    report = run(table=tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [(row["name"], row["status"]) for row in rows] == [("a", "ok"), ("b", "failed"), ("c", "ok")]
    case = report.cases[0]
    assert case.quality is not None
    left = next(kidney for kidney in case.quality.kidneys if kidney.side == "left")
    assert float(rows[0]["tumour_ml"]) == case.tumour_ml
    assert float(rows[0]["left_kidney_ml"]) == left.kidney_ml
    assert float(rows[0]["seconds"]) == pytest.approx(sum(case.seconds.values()), abs=0.001)
    assert rows[1]["error"] == report.cases[1].error
    assert rows[1]["kidney_ml"] == ""

    run(resume=True, table=tmp_path / "t.parquet")
    table = parquet.read_table(tmp_path / "t.parquet").to_pylist()
    assert [row["skipped"] for row in table] == [True, False, True]
    assert table[1]["kidney_ml"] is None
    for name in ("kidney_ml", "tumour_ml", "right_confidence", "seconds", "slices", "flags", "output"):
        assert str(table[0][name]) == rows[0][name], name


@pytest.mark.parametrize("name", ["t.xlsx", "table"])
def test_a_table_of_unknown_format_is_refused_before_the_work(tmp_path, run, name):
    with pytest.raises(InputError, match=r"expected a name that ends in \.csv or \.parquet"):
        run(table=tmp_path / name)
    assert not (tmp_path / "out").exists()


def test_a_table_is_replaced_only_when_told(tmp_path, run):
    table = tmp_path / "t.csv"
    table.write_text("kept")
    with pytest.raises(OutputExistsError):
        run(table=table)
    assert table.read_text() == "kept"
    run(table=table, resume=True)
    assert table.read_text().startswith("name,scan,status,")


def test_a_killed_run_is_taken_up(tmp_path, phantom):
    """SIGKILL in the middle of a scan: what is finished stays, the rest is done, without --overwrite."""
    for name in "ab":
        shutil.copy(phantom, tmp_path / f"{name}.nii.gz")
    out = tmp_path / "out"
    command = (tmp_path / "a.nii.gz", tmp_path / "b.nii.gz", "--out", out, "--threads", 1)
    process = start_segment(*command)
    wait_until((out / ".b_seg.in-work.json").exists, "the second scan's start")
    process.kill()
    assert finish(process).code == -signal.SIGKILL
    assert (out / "a_seg.sidecar.json").exists()
    assert not (out / "b_seg.nii.gz").exists()
    (out / ".0123abcd.tmp.b_seg.nii.gz").touch()  # as a kill in the middle of writing leaves it
    (out / "b_seg.nii.gz").write_bytes(b"")  # as if the kill had come just before the sidecar

    refused = segment(*command)
    assert refused.code == 2
    assert "b_seg.nii.gz: left by a run that was stopped" in refused.stderr
    resumed = segment(*command, "--resume", "--json")
    assert resumed.code == 0, resumed.stderr
    assert [case["skipped"] for case in json.loads(resumed.stdout)["cases"]] == [True, False]
    assert names(out) == [f"{n}_seg.{end}" for n in "ab" for end in ("nii.gz", "sidecar.json")]
    assert read_label_map(out / "b_seg.nii.gz").labels.any()
