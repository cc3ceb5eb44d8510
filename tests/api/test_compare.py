"""`renalmap.compare` on files: dates and patients from DICOM, what is refused, and what is written."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread
from tests.api.series import write_series
from tests.followup.scene import Ball, Patient, turned

import renalmap
from renalmap.anatomy import Anatomy
from renalmap.api.compare import CompareOutcome, CompareOutputs, Visit, compare
from renalmap.api.dicom_seg import name_structures
from renalmap.errors import ConfigError, InputError, LabelError, OutputExistsError
from renalmap.imaging import DicomChoice, LabelMap, read_volume, write_label_map
from renalmap.imaging.dicom_seg.writing import SegAlgorithm, build_dicom_seg, write_dicom

SPACING_MM = (5.0, 3.0, 3.0)
EARLY = Patient(
    (Ball("left", (-22.0, 0.0, 18.0), 11.0), Ball("right", (20.0, 5.0, 0.0), 9.0)), spacing_mm=SPACING_MM
)
LATE = replace(EARLY, lesions=(replace(EARLY.lesions[0], radius_mm=15.0), EARLY.lesions[1]))
LATE = LATE.moved("left", turned((1, 1, 0), 8.0), (4.0, 0.0, -15.0))


def write_visit(folder: Path, patient: Patient, **tags: str) -> Visit:
    """A DICOM series, a label map and a DICOM SEG of it."""
    made = patient.scan()
    series = write_series(folder, made.hu, SPACING_MM, **tags)
    volume = read_volume(series)
    label_map = LabelMap(patient.label_map().labels, volume.geometry)
    write_label_map(label_map, folder.with_suffix(".nii.gz"))
    assert volume.source is not None
    named = name_structures(Anatomy.of(label_map, volume))
    dataset = build_dicom_seg(named, volume.source, SegAlgorithm("0", "0" * 64), "binary")
    write_dicom(dataset, folder.with_suffix(".dcm"))
    return Visit(folder.with_suffix(".nii.gz"), series)


@pytest.fixture(scope="module")
def visits(tmp_path_factory) -> tuple[Visit, Visit]:
    folder = tmp_path_factory.mktemp("visits")
    before = write_visit(folder / "early", EARLY, StudyDate="20240229", AcquisitionDate="20240301")
    return before, write_visit(folder / "late", LATE, StudyDate="20250301")


def segs(visits: tuple[Visit, Visit]) -> tuple[Visit, Visit]:
    """The same as DICOM SEG, without their scans."""
    first, second = (Visit(each.scan.with_suffix(".dcm")) for each in visits if each.scan is not None)
    return first, second


def told(found: CompareOutcome) -> list[tuple[object, ...]]:
    return [(one.status, one.before, one.after) for one in found.comparison.lesions]


def test_dicom_gives_dates_and_hu(visits):
    found = compare(*visits)
    assert (found.before.taken_on, found.after.taken_on) == (date(2024, 3, 1), date(2025, 3, 1))
    assert found.comparison.interval_days == 365
    assert told(found) == [("matched", [1], [1]), ("matched", [2], [2])]
    grown = found.comparison.lesions[0].volume_ml
    assert grown is not None
    assert grown.verdict == "larger"
    assert grown.per_year == pytest.approx(grown.change, rel=0.001)
    assert found.before.phase == found.after.phase
    assert json.loads(found.model_dump_json())["comparison"]["interval_days"] == 365


def test_a_dicom_seg_gives_the_date_of_the_study(visits):
    found = compare(*segs(visits))
    assert (found.before.taken_on, found.after.taken_on) == (date(2024, 2, 29), date(2025, 3, 1))
    assert told(found) == [("matched", [1], [1]), ("matched", [2], [2])]


def test_given_dates_come_first_and_no_date_gives_no_yearly_figure(visits):
    before, after = segs(visits)
    found = compare(replace(before, taken_on=date(2023, 3, 2)), after)
    assert found.comparison.interval_days == 730
    plain = renalmap.compare(str(visits[0].segmentation), visits[1].segmentation)
    assert plain.comparison.interval_days is None
    assert [caution.code for caution in plain.comparison.cautions] == ["date_unknown"]
    assert all(one.volume_ml and one.volume_ml.per_year is None for one in plain.comparison.lesions)


def test_the_wrong_order_is_refused(visits):
    with pytest.raises(InputError, match="AFTER was taken before BEFORE") as refused:
        compare(*segs(visits)[::-1])
    assert "Swap the two" in str(refused.value)


def test_different_patients_are_refused_without_naming_them(visits, tmp_path):
    stranger = dcmread(segs(visits)[1].segmentation)
    stranger.PatientID = "SECRET-0815"
    path = tmp_path / "stranger.dcm"
    stranger.save_as(path)
    before = segs(visits)[0]
    with pytest.raises(InputError, match="different patients") as refused:
        compare(before, path)
    assert "0815" not in str(refused.value)
    assert "4711" not in str(refused.value)
    found = compare(before, path, allow_different_patients=True)
    assert found.comparison.cautions[0].code == "different_patients"


def test_one_scan_given_twice_is_refused(visits, tmp_path):
    before, after = visits
    other: Any = nib.load(before.segmentation)
    labels = np.asarray(other.dataobj).copy()
    labels[labels == 2] = 1
    redrawn = tmp_path / "redrawn.nii.gz"
    nib.save(nib.Nifti1Image(labels, other.affine, other.header), redrawn)
    copy = tmp_path / "copy.nii.gz"
    copy.write_bytes(before.segmentation.read_bytes())
    for twice in (before.segmentation, copy, replace(before, segmentation=redrawn)):
        with pytest.raises(InputError, match="one and the same scan"):
            compare(before, twice)
    assert compare(before, replace(after, scan=None)).after.phase is None


def test_what_cannot_be_compared_or_written_is_refused_first(visits, tmp_path, write_scan):
    empty = write_scan(tmp_path / "empty.nii.gz", np.zeros((8, 8, 8), np.uint8))
    for keywords, error, text in (
        ({"border_mm": -1.0}, ConfigError, "border_mm is out of range"),
        ({"border_mm": float("nan")}, ConfigError, "border_mm is out of range"),
        ({"outputs": CompareOutputs(anonymize=True)}, ConfigError, "none was requested"),
        ({"outputs": CompareOutputs(csv=visits[0].segmentation)}, OutputExistsError, "overwritten"),
    ):
        with pytest.raises(error, match=text):
            compare(tmp_path / "nowhere.nii.gz", visits[1], **keywords)
    with pytest.raises(LabelError, match="the label map is empty"):
        compare(visits[0], empty)


def test_a_row_per_kidney_and_lesion(visits, tmp_path):
    path = tmp_path / "changes.csv"
    found = compare(*visits, outputs=CompareOutputs(csv=path))
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [(row["structure"], row["kidney"], row["before_ids"]) for row in rows] == [
        ("kidney", "left", "1"),
        ("kidney", "right", "2"),
        ("tumour", "left", "1"),
        ("tumour", "right", "2"),
    ]
    volume = found.comparison.lesions[0].volume_ml
    assert volume is not None
    assert float(rows[2]["volume_ml_change"]) == volume.change
    assert rows[2]["volume_ml_verdict"] == "larger"
    assert rows[3]["doubling_days"] == rows[0]["axial_mm_before"] == ""
    assert {row["interval_days"] for row in rows} == {"365"}


def test_a_page_without_names_has_neither_dates_nor_paths(visits, tmp_path):
    named, nameless = tmp_path / "named.html", tmp_path / "nameless.html"
    compare(*visits, outputs=CompareOutputs(report=named))
    compare(*visits, outputs=CompareOutputs(report=nameless, anonymize=True))
    for text in (str(visits[0].scan), visits[1].segmentation.name, "1 March 2024", "1 March 2025"):
        assert text in named.read_text(encoding="utf-8")
        assert text not in nameless.read_text(encoding="utf-8")
    assert "365 days (1.0 years)" in nameless.read_text(encoding="utf-8")
    for page in (named, nameless):
        text = page.read_text(encoding="utf-8")
        assert "4711" not in text
        assert "Doe" not in text
        assert text.count("<img ") == 6


def test_how_a_file_is_stored_changes_nothing(tmp_path):
    """Mirrored, turned and with axes in another order; lesions and kidneys are where they are in the patient."""
    before, after = EARLY.label_map(), LATE.label_map()
    paths = []
    for name, label_map, axcodes in (
        ("a", before, "SPL"),
        ("b", before, "RAS"),
        ("c", after, "PIR"),
        ("d", after, "LAS"),
    ):
        turn = nib.orientations.ornt_transform(
            nib.orientations.axcodes2ornt("SPL"), nib.orientations.axcodes2ornt(axcodes)
        )
        image = nib.Nifti1Image(label_map.labels, label_map.geometry.affine).as_reoriented(turn)
        paths.append(tmp_path / f"{name}.nii.gz")
        nib.save(image, paths[-1])
    first, second = compare(paths[0], paths[2]), compare(paths[1], paths[3])
    stored = {"lesions": {"__all__": {"counterpart"}}}
    assert first.comparison.model_dump(exclude=stored) == second.comparison.model_dump(exclude=stored)


def test_two_acquisitions_of_one_patient(shared_data):
    """Minutes apart. Breathing stretched the left kidney of the second, whose lower end lies beyond the scan, and the right one."""
    dicom = shared_data / "dicom"
    visits = [
        Visit(
            dicom / f"HCC_002_acquisition{number}_kidney.nii.gz",
            dicom / "HCC_002_two_acquisitions",
            dicom=DicomChoice(acquisition=number),
        )
        for number in (1, 2)
    ]
    found = compare(*visits)
    assert found.comparison.interval_days == 0
    left, right = found.comparison.kidneys
    assert left.alignment is not None
    assert (left.parenchyma_ml, left.alignment.fits) == (None, False)
    assert right.alignment is not None
    assert right.alignment.residual_mm < 1.2
    assert right.parenchyma_ml is not None
    assert right.parenchyma_ml.verdict == "within error"
    codes = {caution.code for caution in found.comparison.cautions}
    assert codes >= {
        "interval_short",
        "kidney_incomplete",
        "alignment_failed",
        "kidney_stretched",
        "contrast_differs",
    }
