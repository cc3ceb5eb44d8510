from __future__ import annotations

import gzip
import logging
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from renalmap.api.evaluate import Scoring, evaluate
from renalmap.api.request import SegmentRequest
from renalmap.api.segment import segment
from renalmap.bundle import CALIBRATION_FILE, CalibrationCurve, ConfidenceCalibration, write_sums
from renalmap.dataset.cohort import short_name
from renalmap.errors import (
    AmbiguousAcquisitionError,
    BundleError,
    ConfigError,
    InputError,
    OutputExistsError,
    PathMissingError,
    UnreadableImageError,
    describe_failure,
)
from renalmap.imaging import read_geometry, read_label_map
from renalmap.imaging.dicom.catalogue import read_catalogue
from renalmap.inference.cascade import SegmentOptions


@pytest.fixture(scope="module")
def tiny(make_bundle):
    return SegmentRequest(model=make_bundle())


@pytest.fixture
def scan(tmp_path, write_scan, hu):
    return write_scan(tmp_path / "scan.nii.gz", hu)


# The labels' grid.


@pytest.mark.parametrize("axcodes", ["LAS", "RAS", "IPL", "SPL", "PIR", "LSA", "ARI"])
def test_labels_return_to_the_grid_the_scan_was_stored_on(
    tmp_path, write_scan, tiny, hu, labels, axcodes
):
    scan = write_scan(tmp_path / "scan.nii.gz", hu, axcodes=axcodes)
    truth = write_scan(tmp_path / "truth.nii.gz", labels, axcodes=axcodes)

    report = segment([scan], tmp_path / "out.nii.gz", tiny)

    ours, theirs = (
        nib.Nifti1Image.from_filename(tmp_path / "out.nii.gz"),
        nib.Nifti1Image.from_filename(truth),
    )
    np.testing.assert_array_equal(np.asarray(ours.dataobj), np.asarray(theirs.dataobj))
    np.testing.assert_array_equal(ours.affine, nib.Nifti1Image.from_filename(scan).affine)
    assert nib.aff2axcodes(ours.affine) == tuple(axcodes)
    assert ours.get_data_dtype() == np.uint8
    assert report.cases[0].status == "ok"


def test_a_small_coarse_scan_comes_back_on_its_own_grid(tmp_path, write_scan, tiny):
    hu = np.full((112, 122, 101), -1000, np.int16)
    hu[:, 10:-10, 10:-10] = 40
    hu[40:80, 60:90, 20:40] = 200
    scan = write_scan(tmp_path / "coarse.nii.gz", hu, (3.0, 3.0, 3.0), "RAS")
    segment([scan], tmp_path / "out.nii.gz", tiny)
    found = read_label_map(tmp_path / "out.nii.gz")
    assert found.geometry.matches(read_geometry(scan), tolerance_mm=0.0)
    wrong = (found.labels > 0) != (hu == 200)
    assert wrong.sum() < 0.15 * (hu == 200).sum()


def test_the_report_says_what_was_found(tmp_path, scan, tiny, labels):
    (case,) = segment([scan], tmp_path / "out.nii.gz", tiny).cases
    voxel_ml = 3.0 * 0.8 * 0.7 / 1000
    assert case.kidney_ml == pytest.approx((labels == 1).sum() * voxel_ml, abs=0.01)
    assert case.tumour_ml == pytest.approx((labels == 2).sum() * voxel_ml, abs=0.01)
    assert case.slices == 7
    assert case.output == str(tmp_path / "out.nii.gz")
    assert list(case.seconds) == ["read", "stage1", "postprocess", "stage2", "quality", "write"]
    doubtful, truncated = case.warnings
    assert doubtful.startswith(f"{scan}: tumour 1 (0.8 ml, slice 3) is doubtful: the model's score")
    assert (
        truncated
        == f"{scan}: the left kidney is truncated (last slice): its measurements are lower bounds"
    )


def test_two_runs_write_the_same_bytes(tmp_path, scan, make_bundle):
    for number, options in enumerate((SegmentOptions(1, 1), SegmentOptions(4, 3))):
        (tmp_path / str(number)).mkdir()
        request = SegmentRequest(model=make_bundle(), options=options, save_probabilities=True)
        segment([scan], tmp_path / str(number), request)
    first, second = (sorted((tmp_path / name).iterdir()) for name in "01")
    assert [path.name for path in first] == [
        "scan_seg.nii.gz",
        "scan_seg_kidney_probability.nii.gz",
        "scan_seg_tumour_probability.nii.gz",
    ]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_probability_maps_run_from_0_to_1_on_the_scans_grid(tmp_path, write_scan, make_bundle, hu):
    scan = write_scan(tmp_path / "scan.nii.gz", hu, axcodes="IPL")
    request = SegmentRequest(model=make_bundle(), save_probabilities=True)
    (case,) = segment([scan], tmp_path / "out.nii.gz", request).cases
    labels = np.asarray(nib.Nifti1Image.from_filename(tmp_path / "out.nii.gz").dataobj)
    for region, inside in (("kidney", labels > 0), ("tumour", labels == 2)):
        image = nib.Nifti1Image.from_filename(case.probability_maps[region])
        values = image.get_fdata()
        np.testing.assert_array_equal(image.affine, nib.Nifti1Image.from_filename(scan).affine)
        assert values[inside].min() > 0.99
        assert values[~inside].max() < 0.01


def test_no_kidney_is_a_status_of_its_own(tmp_path, write_scan, tiny, hu):
    scan = write_scan(tmp_path / "scan.nii.gz", np.minimum(hu, 40))
    (case,) = segment([scan], tmp_path / "out.nii.gz", tiny).cases
    assert case.status == "no_kidney_found"
    assert (case.kidney_ml, case.tumour_ml) == (0.0, 0.0)
    assert case.quality is not None
    assert case.quality.kidneys == []
    assert case.quality.tumours == []
    assert case.quality.flags == ["no_contrast_phase_recognised", "no_kidney_found"]
    assert not np.asarray(nib.Nifti1Image.from_filename(tmp_path / "out.nii.gz").dataobj).any()


def test_values_that_cannot_be_hu_are_doubted_unless_assumed(tmp_path, write_scan, make_bundle, hu):
    scan = write_scan(tmp_path / "eight_bit.nii.gz", np.clip(hu, 0, 255))
    (case,) = segment([scan], tmp_path / "a.nii.gz", SegmentRequest(make_bundle())).cases
    assert str(scan) in case.warnings[0]
    assert "8-bit" in case.warnings[0]
    silent = SegmentRequest(make_bundle(), assume_hu=True)
    (again,) = segment([scan], tmp_path / "b.nii.gz", silent).cases
    assert again.warnings == case.warnings[1:]
    assert not any("8-bit" in text for text in again.warnings)


def test_the_quality_agrees_with_the_report(tmp_path, scan, tiny):
    (case,) = segment([scan], tmp_path / "out.nii.gz", tiny).cases
    quality = case.quality
    assert quality is not None
    left, right = quality.kidneys
    assert (left.side, right.side) == ("left", "right")
    assert left.kidney_ml + right.kidney_ml == pytest.approx(case.kidney_ml, abs=0.03)
    assert left.tumour_ml == 0.0
    assert right.tumour_ml == pytest.approx(case.tumour_ml, abs=0.02)
    (tumour,) = quality.tumours
    assert tumour.side == "right"
    assert tumour.tumour_ml == pytest.approx(case.tumour_ml, abs=0.02)
    assert (left.incomplete, right.incomplete) == (True, False)
    assert quality.contrast.contrast == "enhanced"
    assert not quality.kidney_confidence_calibrated
    assert left.confidence == left.raw_score


def test_the_quality_does_not_depend_on_how_the_scan_was_stored(tmp_path, write_scan, tiny, hu):
    reports = []
    for axcodes in ("LAS", "RAS", "IPL", "PIR"):
        scan = write_scan(tmp_path / axcodes / "scan.nii.gz", hu, axcodes=axcodes)
        (case,) = segment([scan], tmp_path / f"{axcodes}.nii.gz", tiny).cases
        reports.append(case.quality)
    assert reports[0] is not None
    assert reports[1:] == reports[:1] * 3


def test_a_calibration_in_the_bundle_is_applied(tmp_path, scan, make_bundle):
    root = make_bundle()
    curve = CalibrationCurve(raw=(0.0, 1.0), confidence=(0.2, 0.4), n=31)
    calibration = ConfidenceCalibration(kidney=curve, patients=17)
    (root / CALIBRATION_FILE).write_text(calibration.model_dump_json())
    write_sums(root)
    (case,) = segment([scan], tmp_path / "out.nii.gz", SegmentRequest(root)).cases
    quality = case.quality
    assert quality is not None
    assert quality.kidney_confidence_calibrated
    assert not quality.tumour_confidence_calibrated
    assert (quality.calibration_patients, quality.calibration_kidneys) == (17, 31)
    assert quality.calibration_tumours is None
    for kidney in quality.kidneys:
        assert kidney.confidence == pytest.approx(0.2 + 0.2 * kidney.raw_score, abs=2e-3)
    assert quality.tumours[0].confidence == quality.tumours[0].raw_score


# Names of outputs.


def test_a_folder_receives_each_scan_by_its_name(tmp_path, write_scan, tiny, hu):
    scans = [
        write_scan(tmp_path / "in" / "one.nii.gz", hu),
        write_scan(tmp_path / "in" / "two.nii", hu),
        write_scan(tmp_path / "kits" / "case_00007" / "imaging.nii.gz", hu),
    ]
    segment(scans, tmp_path / "new" / "out", tiny)
    assert sorted(path.name for path in (tmp_path / "new" / "out").glob("*.nii.gz")) == [
        "case_00007_seg.nii.gz",
        "one_seg.nii.gz",
        "two_seg.nii.gz",
    ]


def test_a_link_is_called_by_its_own_name(tmp_path, scan):
    (tmp_path / "case_00003").mkdir()
    link = tmp_path / "case_00003" / "imaging.nii.gz"
    link.symlink_to(scan)
    assert short_name(link) == "case_00003"


def test_scans_of_one_name_are_refused_before_the_first(tmp_path, write_scan, tiny, hu):
    scans = [write_scan(tmp_path / folder / "a.nii.gz", hu) for folder in "xy"]
    with pytest.raises(ConfigError, match=r"same name.*got a"):
        segment(scans, tmp_path / "out", tiny)
    assert not (tmp_path / "out").exists()


def test_several_scans_do_not_fit_one_file(tmp_path, scan, tiny):
    (tmp_path / "out.nii.gz").write_bytes(b"kept")
    with pytest.raises(ConfigError, match="need a folder"):
        segment([scan, tmp_path / "other.nii.gz"], tmp_path / "out.nii.gz", tiny)
    assert (tmp_path / "out.nii.gz").read_bytes() == b"kept"


def test_an_output_of_unknown_format_is_refused_before_the_work(tmp_path, scan):
    with pytest.raises(InputError, match=r"\.nii\.gz or \.nii \(.*\), or a folder that exists"):
        segment([scan], tmp_path / "results", SegmentRequest(tmp_path / "no bundle"))


def test_an_output_in_a_folder_that_is_missing_is_refused(tmp_path, scan, tiny):
    with pytest.raises(PathMissingError, match="Create it first"):
        segment([scan], tmp_path / "nowhere" / "out.nii.gz", tiny)


@pytest.mark.parametrize("name", ["out.nii.gz", "out_kidney_probability.nii.gz"])
def test_an_output_that_exists_is_left_alone(tmp_path, scan, make_bundle, name):
    (tmp_path / name).write_bytes(b"kept")
    request = SegmentRequest(make_bundle(), save_probabilities=True)
    with pytest.raises(OutputExistsError, match="--overwrite"):
        segment([scan], tmp_path / "out.nii.gz", request)
    assert (tmp_path / name).read_bytes() == b"kept"
    assert {path.name for path in tmp_path.iterdir()} == {"scan.nii.gz", name}

    again = SegmentRequest(make_bundle(), save_probabilities=True, overwrite=True)
    segment([scan], tmp_path / "out.nii.gz", again)
    assert (tmp_path / name).read_bytes() != b"kept"


def test_a_scan_is_never_replaced_by_its_labels(tmp_path, scan, make_bundle):
    before = scan.read_bytes()
    with pytest.raises(ConfigError, match="replace the scan"):
        segment([scan], scan, SegmentRequest(make_bundle(), overwrite=True))
    assert scan.read_bytes() == before


# Failures.


def test_one_broken_scan_does_not_stop_the_others(tmp_path, write_scan, tiny, hu):
    first, last = (write_scan(tmp_path / f"{name}.nii.gz", hu) for name in ("first", "last"))
    (tmp_path / "broken.nii.gz").write_bytes(first.read_bytes()[:200])
    missing = tmp_path / "missing.nii.gz"
    scans = [first, tmp_path / "broken.nii.gz", missing, last]
    report = segment(scans, tmp_path / "out", tiny)
    assert [case.status for case in report.cases] == ["ok", "failed", "failed", "ok"]
    assert "broken.nii.gz: the file is truncated" in str(report.cases[1].error)
    assert "missing.nii.gz: the path does not exist" in str(report.cases[2].error)
    assert {path.name for path in (tmp_path / "out").glob("*.nii.gz")} == {
        "first_seg.nii.gz",
        "last_seg.nii.gz",
    }


def test_not_even_the_file_systems_refusal_stops_the_others(tmp_path, scan, tiny, caplog):
    """A name too long for the file system is nothing the reader foresees."""
    impossible = tmp_path / ("x" * 300) / "a.nii.gz"
    with caplog.at_level(logging.ERROR):
        report = segment([impossible, scan], tmp_path / "out", tiny)
    assert [case.status for case in report.cases] == ["failed", "ok"]
    assert str(report.cases[0].error).endswith("File name too long")
    assert not caplog.records, "no traceback for what is no fault of the program"


def test_what_a_library_says_of_a_file_is_passed_on():
    """gzip's errors are OSErrors with neither number nor file."""
    told = describe_failure(Path("a.nii.gz"), gzip.BadGzipFile("CRC check failed"))
    assert told == "a.nii.gz: BadGzipFile: CRC check failed"


def test_a_single_scan_raises_its_own_error(tmp_path, tiny):
    (tmp_path / "scan.nii.gz").write_text("no scan")
    with pytest.raises(UnreadableImageError, match="not a NIfTI image"):
        segment([tmp_path / "scan.nii.gz"], tmp_path / "out.nii.gz", tiny)
    assert not (tmp_path / "out.nii.gz").exists()


def test_a_bundle_that_was_changed_is_refused(tmp_path, scan, make_bundle):
    root = make_bundle()
    plan = root / "plan.json"
    plan.write_text(plan.read_text().replace("0.5", "0.4"))
    with pytest.raises(BundleError, match="changed or damaged"):
        segment([scan], tmp_path / "out.nii.gz", SegmentRequest(root))


# DICOM.


def test_a_dicom_series_comes_back_on_its_own_grid(tmp_path, shared_data, make_bundle):
    (series,) = read_catalogue(shared_data / "dicom" / "HCC_006").series
    slices = sorted(series.slices, key=lambda each: each.position_mm[2])
    (tmp_path / "series").mkdir()
    for each in slices[50:62]:
        shutil.copy(each.of.file.path, tmp_path / "series")
    request = SegmentRequest(make_bundle(grid_size=512, crop_size=256))
    segment([tmp_path / "series"], tmp_path, request)

    found = read_label_map(tmp_path / "series_seg.nii.gz")
    reference = read_label_map(shared_data / "dicom" / "HCC_006_kidney.nii.gz")
    assert found.geometry.matches(read_geometry(tmp_path / "series"), tolerance_mm=1e-3)
    np.testing.assert_allclose(
        found.geometry.affine[:3, 3],
        (reference.geometry.affine @ (50, 0, 0, 1))[:3],
        atol=0.01,
    )
    # The hand-made graphs find what is bright: in the right place, nearly all of an enhanced kidney.
    kidney = reference.labels[50:62] > 0
    assert kidney.sum() > 10_000
    assert (found.labels[kidney] > 0).mean() > 0.8


def test_two_acquisitions_are_never_mixed(tmp_path, shared_data, tiny):
    folder = shared_data / "dicom" / "HCC_002_two_acquisitions"
    with pytest.raises(AmbiguousAcquisitionError, match=r"acquisition 1: 109.*acquisition 2: 109"):
        segment([folder], tmp_path / "out.nii.gz", tiny)


# The names of a submission to KiTS.


@pytest.mark.parametrize(
    "name",
    ["case_00210/imaging.nii.gz", "case_00210.nii.gz", "master_00210.nii.gz", "case_00210_0000.nii.gz"],
)
def test_a_submissions_names_are_kits(tmp_path, scan, tiny, name):
    copied = tmp_path / "kits" / name
    copied.parent.mkdir(parents=True)
    shutil.copy(scan, copied)
    (case,) = segment([copied], tmp_path / "new", replace(tiny, names="kits-submission")).cases
    assert case.output == str(tmp_path / "new" / "prediction_00210.nii.gz")
    assert read_label_map(tmp_path / "new" / "prediction_00210.nii.gz").labels.any()


def test_a_submission_is_read_by_evaluate(tmp_path, write_scan, scan, tiny, labels):
    scans = []
    for number in (3, 210):
        folder = tmp_path / "kits" / "dataset" / f"case_{number:05d}"
        folder.mkdir(parents=True)
        scans.append(shutil.copy(scan, folder / "imaging.nii.gz"))
        write_scan(folder / "segmentation.nii.gz", labels)
    segment(scans, tmp_path / "new", replace(tiny, names="kits-submission"))
    scores = evaluate(tmp_path / "new", tmp_path / "kits", Scoring("kits23", surface=False))
    assert [(score.case, asdict(score)["mean_dice"]) for score in scores] == [
        ("case_00003", 1.0),
        ("case_00210", 1.0),
    ]


def test_a_scan_without_a_number_is_no_submission(tmp_path, scan, tiny):
    with pytest.raises(ConfigError, match=r"case number.*got scan"):
        segment([scan], tmp_path / "new", replace(tiny, names="kits-submission"))
    shutil.copy(scan, tmp_path / "case_00001.nii.gz")
    with pytest.raises(ConfigError, match="need a folder"):
        segment([tmp_path / "case_00001.nii.gz"], scan, replace(tiny, names="kits-submission"))
    assert not (tmp_path / "new").exists()
