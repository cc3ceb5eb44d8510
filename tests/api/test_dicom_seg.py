"""Segmenting to DICOM SEG: sides, formats, and what is refused before the work."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pydicom import dcmread
from tests.api.series import write_series
from tests.api.test_evaluate import scored

from renalmap.anatomy import Anatomy
from renalmap.api.dicom_seg import name_structures
from renalmap.api.listener import Listener
from renalmap.api.overview import overview
from renalmap.api.request import SegmentRequest
from renalmap.api.segment import segment
from renalmap.errors import ConfigError, DicomReferenceError, InputError, OutputExistsError
from renalmap.imaging import LabelMap, Volume, build_geometry, read_label_map
from renalmap.measure import measure_label_map


@pytest.fixture(scope="module")
def series(tmp_path_factory, hu):
    """The scan as a DICOM series of a patient with a name."""
    return write_series(tmp_path_factory.mktemp("dicom") / "series", hu)


# Which kidney is which.


def named(labels):
    """Structures on a grid of 2 mm whose body spans columns 0 to 39; the midline is column 19.5."""
    affine = np.diag([-2.0, -2.0, 2.0, 1.0])
    geometry = build_geometry(labels.shape[::-1], affine)
    hu = np.full(labels.shape, -1000, np.int16)
    hu[:, 2:-2, :40] = 40
    return name_structures(Anatomy.of(LabelMap(labels, geometry), Volume(hu, geometry))).labels


def test_sides_are_the_patients_and_tumours_go_with_their_kidney():
    labels = np.zeros((5, 30, 60), np.uint8)
    labels[1:4, 5:15, 2:12], labels[2, 8:11, 5:9] = 1, 2  # columns run from the patient's right to left
    labels[1:4, 5:15, 25:35], labels[2, 8:11, 28:31] = 1, 2
    labels[4, 20:22, 35:37] = 3  # a cyst, apart
    found = named(labels)
    right, left = found[:, :, :20], found[:, :, 20:]
    assert set(np.unique(right)) == {0, 2, 4}
    assert set(np.unique(left)) == {0, 1, 3, 5}
    np.testing.assert_array_equal(found > 0, labels > 0)
    np.testing.assert_array_equal(np.isin(found, (3, 4)), labels == 2)


def test_a_tumour_over_the_midline_stays_with_its_kidney():
    labels = np.zeros((12, 30, 60), np.uint8)
    labels[:, 5:25, 24:36] = 1
    labels[2:10, 8:20, 8:24] = 2
    assert set(np.unique(named(labels))) == {0, 1, 3}


def test_a_horseshoe_kidney_is_shared_out_and_its_tumour_is_not():
    labels = np.zeros((12, 30, 60), np.uint8)
    labels[:, 5:25, 3:37] = 1
    labels[4:8, 10:20, 16:28] = 2
    found = named(labels)
    assert set(np.unique(found[:, :, :20])) == {0, 2, 3}
    assert set(np.unique(found[:, :, 20:])) == {0, 1, 3}


def test_sides_are_those_of_the_measurements():
    labels = np.zeros((12, 30, 60), np.uint8)
    labels[:, 5:25, 3:37] = 1
    labels[4:8, 10:20, 16:28] = 2
    labels[1:3, 26:28, 5:9] = 2
    geometry = build_geometry(labels.shape[::-1], np.diag([-2.0, -2.0, 2.0, 1.0]))
    hu = np.where(np.arange(60) < 40, 40, -1000).astype(np.int16) * np.ones((12, 30, 1), np.int16)
    volume, label_map = Volume(hu, geometry), LabelMap(labels, geometry)
    found = name_structures(Anatomy.of(label_map, volume)).labels
    voxel_ml = geometry.voxel_ml
    measured = measure_label_map(label_map, volume)
    for number, side in ((3, "left"), (4, "right")):
        ml = sum(each.volume_ml for each in measured.lesions if each.side == side)
        assert ml == pytest.approx(np.count_nonzero(found == number) * voxel_ml, abs=0.01)
        assert ml > 0


def test_nothing_stays_nothing():
    assert not named(np.zeros((2, 30, 60), np.uint8)).any()


# Segmenting.


def test_a_series_becomes_a_dicom_seg_of_the_same_labels(series, make_bundle, tmp_path, labels):
    model = make_bundle()
    segment([series], tmp_path / "labels.nii.gz", SegmentRequest(model))
    report = segment([series], tmp_path / "seg.dcm", SegmentRequest(model))
    assert report.cases[0].output == str(tmp_path / "seg.dcm")
    seg = dcmread(tmp_path / "seg.dcm")
    assert [each.SegmentLabel for each in seg.SegmentSequence] == [
        "Left kidney",
        "Right kidney",
        "Right kidney tumour",
    ]
    assert seg.DeviceSerialNumber == report.bundle_sha256
    assert seg.PatientID == "4711"
    found, expected = read_label_map(tmp_path / "seg.dcm"), read_label_map(tmp_path / "labels.nii.gz")
    assert found.geometry.matches(expected.geometry, tolerance_mm=1e-2)
    np.testing.assert_array_equal(found.labels, expected.labels)
    assert np.count_nonzero(found.labels) > 0.9 * np.count_nonzero(labels)

    (score,) = scored(tmp_path / "seg.dcm", tmp_path / "labels.nii.gz")
    assert (score.kidney_dice, score.tumour_dice) == (1.0, 1.0)
    overview(series, tmp_path / "seg.dcm", tmp_path / "overview.png")
    assert (tmp_path / "overview.png").stat().st_size > 1000


def test_into_a_folder_by_format(series, make_bundle, tmp_path):
    request = SegmentRequest(make_bundle(), format="dicom-seg", segmentation_type="labelmap")
    (tmp_path / "out").mkdir()
    report = segment([series], tmp_path / "out", request)
    assert report.cases[0].output == str(tmp_path / "out" / "series_seg.dcm")
    assert dcmread(tmp_path / "out" / "series_seg.dcm").SegmentationType == "LABELMAP"
    with pytest.raises(OutputExistsError, match="--overwrite"):
        segment([series], tmp_path / "out", request)

    (tmp_path / "reference").mkdir()
    segment([series], tmp_path / "reference", SegmentRequest(request.model))
    (score,) = scored(tmp_path / "out", tmp_path / "reference")
    assert (score.case, score.kidney_dice) == ("series", 1.0)


def test_probability_maps_lie_beside_a_dicom_seg(series, make_bundle, tmp_path):
    request = SegmentRequest(make_bundle(), save_probabilities=True)
    segment([series], tmp_path / "seg.dcm", request)
    assert (tmp_path / "seg_kidney_probability.nii.gz").is_file()


def test_no_kidney_is_no_file_and_is_told(series, make_bundle, tmp_path, hu):
    empty = write_series(tmp_path / "empty", np.minimum(hu, 40))
    report = segment([empty], tmp_path / "seg.dcm", SegmentRequest(make_bundle()))
    (case,) = report.cases
    assert (case.status, case.output) == ("no_kidney_found", None)
    assert json.loads(report.model_dump_json())["cases"][0]["output"] is None
    assert not (tmp_path / "seg.dcm").exists()


def test_no_patient_is_in_the_report(series, make_bundle, tmp_path):
    report = segment([series], tmp_path / "seg.dcm", SegmentRequest(make_bundle()))
    text = report.model_dump_json()
    assert "Doe" not in text
    assert "4711" not in text


# Refused before the work.


def test_a_nifti_scan_has_no_slices_to_refer_to(write_scan, hu, make_bundle, tmp_path):
    scan = write_scan(tmp_path / "scan.nii.gz", hu)
    with pytest.raises(InputError, match=r"this scan is not DICOM.*write NIfTI"):
        segment([scan], tmp_path / "seg.dcm", SegmentRequest(make_bundle()))
    assert not (tmp_path / "seg.dcm").exists()


def test_one_nifti_scan_of_several_does_not_stop_the_others(
    series, write_scan, hu, make_bundle, tmp_path
):
    scan = write_scan(tmp_path / "scan.nii.gz", hu)
    request = SegmentRequest(make_bundle(), format="dicom-seg")
    report = segment([scan, series], tmp_path / "out", request)
    assert [case.status for case in report.cases] == ["failed", "ok"]
    assert "this scan is not DICOM" in str(report.cases[0].error)


def test_a_series_without_uids_is_refused_and_can_be_written_as_nifti(make_bundle, tmp_path, hu):
    stripped = write_series(tmp_path / "stripped", hu, StudyInstanceUID="", SOPInstanceUID="")
    model = make_bundle()
    seen = []
    listener = Listener(progress=lambda *what: seen.append(what))
    with pytest.raises(DicomReferenceError, match="got no StudyInstanceUID, SOPInstanceUID;"):
        segment([stripped], tmp_path / "seg.dcm", SegmentRequest(model), listener=listener)
    assert seen == []
    segment([stripped], tmp_path / "labels.nii.gz", SegmentRequest(model))
    assert read_label_map(tmp_path / "labels.nii.gz").labels.any()


@pytest.mark.parametrize(
    ("settings", "out", "message"),
    [
        ({"format": "dicom-seg"}, "labels.nii.gz", r"not that of a dicom-seg file.*\.dcm"),
        ({"format": "nifti"}, "seg.dcm", "not that of a nifti file"),
        (
            {"segmentation_type": "labelmap"},
            "labels.nii.gz",
            "a segmentation type applies only to DICOM SEG",
        ),
        ({}, "labels.mha", r"this one is unknown.*\.dcm for a DICOM SEG"),
    ],
)
def test_names_and_formats_must_agree(series, make_bundle, tmp_path, settings, out, message):
    with pytest.raises(InputError, match=message):
        segment([series], tmp_path / out, SegmentRequest(make_bundle(), **settings))


def test_kits_wants_nifti(series, make_bundle, tmp_path):
    request = SegmentRequest(make_bundle(), format="dicom-seg", names="kits-submission")
    with pytest.raises(ConfigError, match="KiTS takes submissions as NIfTI"):
        segment([series], tmp_path, request)
