"""Every check on a case that has exactly that fault, and on one that has none."""

from __future__ import annotations

import json

import numpy as np
import pytest

from renalmap.api.inspect import inspect


def findings(outcome, case: int = 0) -> dict[str, list[str]]:
    """By check, the findings of a case as "severity: text"."""
    found: dict[str, list[str]] = {}
    for finding in outcome.cases[case].findings:
        found.setdefault(finding.check, []).append(f"{finding.severity}: {finding.text}")
    return found


def look(kits) -> dict[str, list[str]]:
    return findings(inspect(kits.root))


def test_a_sound_case_has_no_findings_and_its_measures(kits, hu, labels):
    kits.add(51, hu, labels, radiographic_size=0.9)
    outcome = inspect(kits.root)
    case = outcome.cases[0]
    assert (outcome.layout, outcome.edition, outcome.worst) == ("kits", "kits19", None)
    assert case.findings == []
    assert case.shape_zyx == (40, 128, 128)
    assert case.spacing_mm == pytest.approx((3.0, 0.8, 0.7))
    voxel_ml = 3.0 * 0.8 * 0.7 / 1000
    assert case.tumour_ml == pytest.approx(600 * voxel_ml, abs=0.01)
    assert case.kidney_ml == pytest.approx((2 * 24**3 - 600) * voxel_ml, abs=0.01)
    assert case.labelled_slices == (8, 31)
    assert (case.components, case.holes_ml) == (2, 0.0)
    # The diagonal of 10 by 10 pixels of 0.8 by 0.7 mm.
    assert case.tumour_diameter_mm == pytest.approx(np.hypot(8.0, 7.0), abs=0.8)
    assert case.intensity is not None
    assert (case.intensity.min_hu, case.intensity.max_hu) == (hu.min(), hu.max())
    assert case.intensity.kidney_p50_hu == pytest.approx(150, abs=3)


def test_masks_alone_are_inspected(kits, labels):
    kits.add(51, None, labels)
    outcome = inspect(kits.root)
    assert outcome.worst == "note"
    assert [finding.check for finding in outcome.findings] == ["missing"]
    assert outcome.cases[0].findings == []
    assert outcome.cases[0].shape_zyx == (40, 128, 128)


def test_one_missing_image_among_others_is_an_error(kits, hu, labels, make_hu):
    kits.add(51, hu, labels)
    kits.add(52, None, np.roll(labels, 1, axis=1))
    kits.add(53, make_hu(3), None)
    outcome = inspect(kits.root)
    assert findings(outcome, 1) == {"missing": ["error: the image is missing"]}
    assert findings(outcome, 2)["missing"][0].startswith("note: there is no mask")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html><html>404</html>", "a web page"),
        (b"", "truncated or damaged"),
        (b"something else altogether", "not a NIfTI image"),
    ],
)
def test_what_downloads_leave_behind_is_named(kits, hu, labels, content, told):
    folder = kits.add(51, hu, labels)
    (folder / "imaging.nii.gz").write_bytes(content)
    (finding,) = look(kits)["unreadable"]
    assert finding.startswith("error: the image cannot be read: ")
    assert told in finding


def test_a_file_cut_short_is_unreadable(kits, hu, labels):
    path = kits.add(51, hu, labels) / "segmentation.nii.gz"
    path.write_bytes(path.read_bytes()[:-200])
    (finding,) = look(kits)["unreadable"]
    assert finding.startswith("error: the mask cannot be read: the file is truncated")


def test_another_grid(kits, write_scan, hu, labels):
    folder = kits.add(51, hu, labels)
    write_scan(folder / "segmentation.nii.gz", labels[:30], (3.5, 0.8, 0.7), axcodes="IPL")
    (finding,) = look(kits)["grid"]
    assert finding.startswith("error: image and mask are on different grids: ")
    assert "(40, 128, 128) and (30, 128, 128)" in finding
    assert "3 x 0.8 x 0.7 mm and spacing 3.5 x 0.8 x 0.7 mm" in finding


def test_the_tables_spacing(kits, hu, labels):
    kits.add(51, hu, labels, voxel_spacing={"x_spacing": 0.7, "y_spacing": 0.8, "z_spacing": 5.0})
    (finding,) = look(kits)["spacing"]
    assert finding.startswith("error: the header's spacing is 3 x 0.8 x 0.7 mm, the table's 5 x")


def test_illegal_labels(kits, hu, labels):
    kits.add(51, hu, np.where(labels == 2, 7, labels).astype(np.uint8))
    kits.add(52, hu + 1, np.where(labels == 2, 1.5, labels))
    outcome = inspect(kits.root)
    assert "from 0 to 7" in findings(outcome)["labels"][0]
    assert "1.5" in findings(outcome, 1)["labels"][0]
    assert {case.worst for case in outcome.cases} == {"error"}


def test_a_cyst_is_a_label(kits, hu, labels):
    labels[25:28, 64:70, 84:90] = 3
    kits.add(51, hu, labels)
    outcome = inspect(kits.root)
    assert outcome.cases[0].cyst_ml == pytest.approx(108 * 1.68 / 1000, abs=0.01)
    assert findings(outcome)["labels"] == ["note: label 3, cyst: 0.2 ml; training treats it as kidney"]


def test_empty_and_half_empty_masks(kits, hu, labels, make_hu):
    kits.add(51, hu, np.zeros_like(labels))
    kits.add(52, make_hu(2), np.minimum(labels, 1))
    kits.add(53, make_hu(3), np.where(labels == 2, 2, 0).astype(np.uint8))
    outcome = inspect(kits.root)
    assert findings(outcome)["empty"] == ["error: the mask is empty"]
    assert findings(outcome, 1) == {"region_missing": ["note: no tumour is labelled"]}
    assert findings(outcome, 2)["region_missing"] == ["warning: no kidney is labelled"]


def test_holes_in_3d_are_measured_and_open_ones_are_not(kits, hu, labels):
    labels[12:14, 65:67, 85:88] = 0
    labels[8:14, 80:82, 85:88] = 0
    kits.add(51, hu, labels)
    outcome = inspect(kits.root)
    assert outcome.cases[0].holes_ml == pytest.approx(12 * 1.68 / 1000, abs=0.001)
    assert findings(outcome)["holes"][0].startswith("note: 1 hole of 0.020 ml")


def test_a_large_hole_is_a_warning(kits, hu, labels):
    labels[12:24, 64:72, 84:92] = 0
    kits.add(51, hu, labels)
    assert look(kits)["holes"][0].startswith("warning: 1 hole of 1.290 ml")


def test_islands_and_the_number_of_kidneys(kits, hu, labels):
    labels[2, 2, 2] = 1
    labels[:, :, 78:102] = np.where(labels[:, :, 78:102] == 1, 0, labels[:, :, 78:102])
    kits.add(51, hu, labels)
    found = look(kits)
    assert found["islands"] == ["note: 1 island below 1 ml, 0.00 ml in all"]
    assert found["kidneys"] == ["note: 1 component of at least 20 ml"]


def test_labels_at_the_border(kits, hu, labels):
    labels[32:, 60:84, 26:50] = 1
    kits.add(51, hu, labels)
    assert look(kits)["border"] == ["warning: labels reach the border of the scan: head"]


def test_labels_in_two_stretches(kits, hu):
    labels = np.zeros(hu.shape, np.uint8)
    labels[2:14, 50:90, 20:60] = 1
    labels[20:32, 50:90, 70:110] = 1
    labels[3, 60, 30] = 2
    kits.add(51, hu, labels)
    (finding,) = look(kits)["apart"]
    assert finding.startswith("warning: labels in separate ranges of slices: 2 to 13 (32 ml), 20 to 31")


def test_a_tumour_of_another_size_than_reported(kits, hu, labels):
    kits.add(51, hu, labels, radiographic_size=4.0)
    (finding,) = look(kits)["size"]
    assert finding.endswith("40 mm in the radiologist's report")


def test_how_a_file_is_stored(kits, hu, labels):
    kits.add(51, hu[:, :, 2:], labels[:, :, 2:].astype(np.uint16))
    assert look(kits)["stored"] == [
        "note: slices are not square: 128 by 126 pixels",
        "note: the mask is stored as uint16",
    ]


def test_intensities(kits, hu, labels):
    bright = hu.copy()
    bright[0, 0, 0] = 18326
    kits.add(51, bright, labels)
    kits.add(52, (hu.clip(0, 255)).astype(np.uint8), labels)
    padded = hu.astype(np.float32) + 0.25
    padded[:, :3] = -3024
    kits.add(53, padded, labels)
    outcome = inspect(kits.root)
    assert findings(outcome, 2)["intensity"] == ["note: values down to -3024 HU: padding, or overshoot"]
    assert outcome.cases[2].intensity is not None
    assert outcome.cases[2].intensity.p01_hu == -3024
    assert outcome.cases[2].intensity.kidney_p50_hu == pytest.approx(150, abs=3)
    assert findings(outcome)["intensity"][0].startswith("warning: intensities from -1020 to 18326 HU")
    assert findings(outcome, 1)["intensity"][0].startswith("error: the values run from 0 to ")


def test_a_flipped_mask_lies_on_air(kits, hu, labels):
    kits.add(51, hu, np.roll(labels, 60, axis=1))
    (finding,) = look(kits)["kidney_hu"]
    assert finding.startswith("error: the voxels labelled kidney have a median of -1")


def test_a_second_phase_without_labels_is_an_error(kits, hu, labels, make_hu):
    later = make_hu(9)[4:34]
    kits.add(51, np.concatenate([hu, later]), np.concatenate([labels, 0 * labels[4:34]]))
    (finding,) = look(kits)["second_phase"]
    assert finding.startswith("error: slices 40 to 69 repeat the anatomy of 4 to 33 ")
    assert finding.endswith("only one of the two is labelled")


def test_a_second_phase_with_labels_is_a_warning(kits, hu, labels, make_hu):
    kits.add(51, np.concatenate([hu, make_hu(9)]), np.concatenate([labels, labels]))
    assert look(kits)["second_phase"][0].startswith("warning: slices 40 to 79 repeat")


def test_duplicates_of_two_patients_are_errors(kits, hu, labels):
    kits.add(51, hu, labels)
    kits.add(52, hu, np.roll(labels, 1, axis=2))
    kits.add(53, hu + 1, labels)
    outcome = inspect(kits.root)
    assert findings(outcome)["duplicate"] == [
        "error: the image is the same as that of case_00052",
        "error: the mask is the same as that of case_00053",
    ]


def test_known_issues_are_kits_own(kits, hu, labels):
    kits.add(15, hu, labels)
    issues = [f for f in inspect(kits.root).cases[0].findings if f.check == "known_issue"]
    assert len(issues) == 3
    assert all(issue.source for issue in issues)
    table = kits.root / "data" / "kits.json"
    table.write_text(json.dumps([{"case_id": "case_00015"}]))
    assert "known_issue" not in look(kits), "a phantom's number says nothing"


def test_the_table_and_the_folder_disagree(kits, hu, labels):
    kits.add(51, hu, labels)
    table = kits.root / "data" / "kits.json"
    table.write_text(json.dumps([{"case_id": "case_00007"}]))
    outcome = inspect(kits.root)
    assert findings(outcome)["table"] == ["warning: the data set's table does not list the case"]
    assert "case_00007" in outcome.findings[0].text


def test_no_issue_of_one_kits_is_told_of_another():
    from renalmap.inspection.known import known_issues

    def of(number, edition):
        return [finding.text for finding in known_issues(f"case_{number:05d}", edition)]

    assert any("cyst" in text for text in of(205, "kits19"))
    assert of(205, "kits23") == []
    assert of(160, "kits23") == of(160, "kits19") != []
    assert of(160, None) == []


def test_nnunets_folder_is_inspected(tmp_path, write_scan, hu, labels):
    write_scan(tmp_path / "imagesTr" / "case_00015_0000.nii.gz", hu)
    write_scan(tmp_path / "labelsTr" / "case_00015.nii.gz", np.array([0, 2, 1], np.uint8)[labels])
    names = {"background": 0, "tumor": 1, "kidney": 2}
    (tmp_path / "dataset.json").write_text(json.dumps({"channel_names": {"0": "CT"}, "labels": names}))
    outcome = inspect(tmp_path)
    assert (outcome.layout, outcome.edition, outcome.worst) == ("nnunet", None, None)
    assert outcome.cases[0].tumour_ml == pytest.approx(600 * 1.68 / 1000, abs=0.01)


def test_a_colon_in_a_files_name_does_not_cut_what_is_said_of_its_values(
    tmp_path, write_scan, hu, labels
):
    eight_bit = hu.clip(0, 255).astype(np.uint8)
    write_scan(tmp_path / "imagesTr" / "phase: late. 2_0000.nii.gz", eight_bit)
    write_scan(tmp_path / "labelsTr" / "phase: late. 2.nii.gz", labels)
    names = {"background": 0, "kidney": 1, "tumor": 2}
    (tmp_path / "dataset.json").write_text(json.dumps({"channel_names": {"0": "CT"}, "labels": names}))
    (finding,) = findings(inspect(tmp_path))["intensity"]
    assert finding == (
        f"error: the values run from 0 to {eight_bit.max()} and cannot be Hounsfield units: they look like an "
        "8-bit picture (0..255), windowed or converted"
    )


def test_unknown_voxels_are_told_and_taken_for_background(kits, hu, labels):
    kits.add(51, hu, np.where(np.arange(40)[:, None, None] < 4, 255, labels).astype(np.uint8))
    kits.add(52, hu + 1, labels)
    outcome = inspect(kits.root)
    assert findings(outcome) == {
        "labels": ["note: label 255, unknown: 10.0% of the voxels; training and scores leave them out"]
    }
    assert outcome.cases[0].components == outcome.cases[1].components == 2
    assert outcome.cases[0].kidney_ml == outcome.cases[1].kidney_ml
