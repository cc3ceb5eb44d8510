"""Structured reports: what they say, that independent programs read it, and that it is the SEG's."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid
from tests.api.series import write_series
from tests.imaging.test_dicom_seg_writing import ODD_VALUES, set_raw

from renalmap.anatomy import Anatomy
from renalmap.api.dicom_seg import name_structures
from renalmap.api.dicom_sr import findings_of, segments_of
from renalmap.api.measure import measure
from renalmap.api.request import SegmentRequest
from renalmap.api.segment import segment
from renalmap.errors import ConfigError, DicomReferenceError, InputError, OutputExistsError
from renalmap.imaging import LabelMap, read_label_map, read_volume, write_label_map
from renalmap.imaging.dicom_seg.writing import SegAlgorithm, build_dicom_seg, write_dicom
from renalmap.imaging.dicom_sr.writing import (
    SegReference,
    SrAlgorithm,
    build_dicom_sr,
    check_sr_can_be_written,
)
from renalmap.measure import measure_anatomy
from renalmap.nephrometry import score_anatomy

SPACING_MM = (3.0, 0.8, 0.8)
VOLUME, ATTENUATION, MEAN = "118565006", "112031", "373098007"


def kidneys_and_tumours():
    """A tumour and a cyst on the left, two tumours on the right: labels (z, y, x)."""
    labels = np.zeros((24, 96, 128), np.uint8)
    z, y, x = np.ogrid[:24, :96, :128]

    def draw(label, centre, axes_mm):
        squares = [
            ((place - at) * step / axis) ** 2
            for place, at, step, axis in zip((z, y, x), centre, SPACING_MM, axes_mm, strict=True)
        ]
        labels[sum(squares) <= 1.0] = label

    draw(1, (12, 48, 35), (30, 20, 18))
    draw(1, (12, 48, 95), (30, 20, 18))
    draw(2, (12, 40, 110), (9, 9, 9))
    draw(3, (17, 50, 95), (6, 5, 5))
    draw(2, (9, 45, 22), (8, 8, 8))
    draw(2, (18, 48, 35), (5, 5, 5))
    return labels


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With `series`, a DICOM series of them."""
    folder = tmp_path_factory.mktemp("sr")
    labels = kidneys_and_tumours()
    hu = np.choose(labels, (40, 200, 100, 5)).astype(np.int16)
    hu[:, :4], hu[:, -4:] = -1000, -1000
    write_series(folder / "series", hu, SPACING_MM, StudyDate="20200102", SeriesNumber=7)
    return folder


@pytest.fixture(scope="module")
def anatomy(folder):
    volume = read_volume(folder / "series")
    return Anatomy.of(LabelMap(kidneys_and_tumours(), volume.geometry), volume)


@pytest.fixture(scope="module")
def measured(anatomy):
    return measure_anatomy(anatomy)


def write_both(out, anatomy, measured, segmentation_type):
    """SEG and report, as `seg.dcm` and `sr.dcm`."""
    source, structures = anatomy.scan.source, name_structures(anatomy)
    seg = build_dicom_seg(structures, source, SegAlgorithm("1", "ab" * 32), segmentation_type)
    out.mkdir()
    write_dicom(seg, out / "seg.dcm")
    findings = findings_of(anatomy, measured, score_anatomy(anatomy), segments_of(structures, seg))
    reference = SegReference.of(seg, source, "seg")
    write_dicom(build_dicom_sr(findings, reference, source, SrAlgorithm("1", "ab" * 32)), out / "sr.dcm")
    return out


@pytest.fixture(scope="module")
def binary(folder, anatomy, measured):
    """A folder with a SEG of single bits and its report."""
    return write_both(folder / "binary", anatomy, measured, "binary")


def groups(path) -> tuple[dict[str, Any], dict[str, Any]]:
    """A report's measurement groups by tracking identifier: those of segments, those of lines."""
    content: Any = highdicom.sr.srread(path).content
    volumes = content.get_volumetric_roi_measurement_groups()
    lines = content.get_image_measurement_groups()
    return (
        {str(each.tracking_identifier): each for each in volumes},
        {str(each.tracking_identifier): each for each in lines},
    )


def value(group, code, derivation=None):
    """The one number of a group with this name."""
    (found,) = (
        each
        for each in group.get_measurements()
        if each.name.value == code and (derivation is None or each.derivation.value == derivation)
    )
    return found


@pytest.mark.parametrize("segmentation_type", ["binary", "labelmap"])
def test_every_number_is_that_of_the_measurements_and_of_the_segment(
    tmp_path, anatomy, measured, segmentation_type
):
    written = write_both(tmp_path / "out", anatomy, measured, segmentation_type)
    seg = highdicom.seg.segread(written / "seg.dcm")
    volumes, lines = groups(written / "sr.dcm")
    kidneys = {f"{one.side} kidney": (one, one.parenchyma_ml) for one in measured.kidneys}
    lesions = {f"{one.kind} {one.id}": (one, one.volume_ml) for one in measured.lesions}
    assert list(volumes) == list(lines) == [*kidneys, *lesions]
    told_ml: dict[int, float] = {}
    for name, (one, ml) in (kidneys | lesions).items():
        group = volumes[name]
        assert value(group, VOLUME).value == ml
        assert value(group, ATTENUATION, MEAN).value == one.mean_hu
        (site,) = group.finding_sites
        assert site.laterality.meaning.lower() == one.side
        reference = group.referenced_segment
        assert reference.referenced_sop_instance_uid == seg.SOPInstanceUID
        number = reference.referenced_segment_numbers[0]
        description = seg.get_segment_description(number)
        assert description.segmented_property_type == group.finding_type
        assert one.side in description.segment_label.lower()
        told_ml[number] = told_ml.get(number, 0.0) + ml
        assert group.tracking_uid == lines[name].tracking_uid
    assert len({group.tracking_uid for group in volumes.values()}) == len(volumes)
    assert told_ml == pytest.approx(segment_ml(seg), abs=0.01)


def segment_ml(seg):
    """The volume of each segment of a SEG, by highdicom."""
    pixels = seg.get_volume(combine_segments=True, skip_overlap_checks=True)
    counts = np.bincount(pixels.array.astype(np.intp).ravel())
    voxel_ml = float(np.prod(pixels.spacing)) / 1000.0
    return {number: float(counts[number]) * voxel_ml for number in seg.segment_numbers}


def test_lines_lie_where_they_were_measured(folder, binary, measured):
    _, lines = groups(binary / "sr.dcm")
    frame = dcmread(folder / "series" / "0.dcm").FrameOfReferenceUID
    expected = {
        ("left kidney", "410668003"): measured.kidneys[0].length,
        ("tumour 1", "103339001"): measured.lesions[0].longest_axial_diameter,
        ("tumour 1", "103340004"): measured.lesions[0].short_axis,
        ("tumour 2", "L0JK"): measured.lesions[1].largest_3d_diameter,
    }
    for (name, code), diameter in expected.items():
        line = value(lines[name], code)
        assert (line.value, line.unit.value) == (diameter.length_mm, "mm")
        (place,) = line.referenced_coordinates
        assert place.frame_of_reference_uid == frame
        ends = np.array([diameter.start.world_mm, diameter.end.world_mm]) * (-1.0, -1.0, 1.0)
        np.testing.assert_allclose(place.value, ends, atol=1e-3)
        assert np.linalg.norm(np.diff(place.value, axis=0)) == pytest.approx(line.value, abs=0.02)


def judged(group):
    """What codes a group gives, by the code of their names."""
    return {str(each.name.value): str(each.value.value) for each in group.get_qualitative_evaluations()}


def test_scores_are_those_of_the_nephrometry(binary, anatomy):
    volumes, lines = groups(binary / "sr.dcm")
    scored = score_anatomy(anatomy)
    assert len(scored.lesions) == 3
    for one in scored.lesions:
        group, codes = volumes[f"tumour {one.lesion}"], judged(volumes[f"tumour {one.lesion}"])
        for score, prefix in ((one.renal, "renal"), (one.padua, "padua")):
            for component in score.components:
                short = {"collecting_system": "system", "exophytic": "exo"}.get(
                    component.code, component.code
                )
                if component.points is not None:
                    assert value(group, f"{prefix}-{short}-pts").value == component.points
            assert value(group, f"{prefix}-total").value == score.total
            risks = {"low": "62482003", "moderate": "6736007", "high": "75540009"}
            assert codes[f"{prefix}-risk"] == risks[str(score.risk)]
            assert codes[f"{prefix}-letter"] in {"255549009", "255551008", "x"}
        assert one.to_sinus is not None
        nearest = value(lines[f"tumour {one.lesion}"], "renal-N")
        assert nearest.value == pytest.approx(one.to_sinus.length_mm, abs=0.01)
        (place,) = nearest.referenced_coordinates
        np.testing.assert_allclose(place.value, one.to_sinus.ends_mm * (-1.0, -1.0, 1.0), atol=1e-3)
    assert not any(name.startswith("renal") for name in judged(volumes["cyst 4"]))


def test_a_score_with_gaps_has_a_range_and_says_what_is_not_assessable(anatomy):
    """The same kidneys, cut off by the last slice."""
    label_map, scan = anatomy.label_map, anatomy.scan
    labels = label_map.labels.copy()
    labels[-3:] = labels[12]
    cut = Anatomy.of(LabelMap(labels, label_map.geometry), scan)
    scored = score_anatomy(cut)
    (one,) = (each for each in scored.lesions if each.lesion == 1)
    assert one.renal.total is None
    found = findings_of(cut, measure_anatomy(cut), scored, name_structures(cut).labels)
    (tumour,) = (each for each in found if each.name == "tumour 1")
    numbers = {each.name.value: each.value for each in tumour.quantities}
    assert (numbers["renal-least"], numbers["renal-most"]) == one.renal.total_range
    assert "renal-total" not in numbers
    told = {each.name.value: each.value.value for each in tumour.judgements}
    assert told["renal-total"] == told["renal-N-pts"] == told["renal-letter"] == "not-assessable"


def test_it_belongs_to_the_scans_patient_and_study_and_tells_nothing_else(folder, binary):
    report, seg = dcmread(binary / "sr.dcm"), dcmread(binary / "seg.dcm")
    scan = dcmread(folder / "series" / "0.dcm")
    for name in ("PatientName", "PatientID", "StudyInstanceUID", "StudyDate"):
        assert report.get(name) == seg.get(name) == scan.get(name)
    assert (report.Modality, report.SeriesNumber, seg.SeriesNumber) == ("SR", 1008, 1007)
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    named = {
        each.ReferencedSOPInstanceUID
        for series in study.ReferencedSeriesSequence
        for each in series.ReferencedSOPSequence
    }
    assert len(named) == 25
    assert seg.SOPInstanceUID in named


@pytest.mark.parametrize(
    ("program", "package", "says"),
    [
        ("dciodvfy", "dicom3tools", "Comprehensive3DSR"),
        ("dcsrdump", "dicom3tools", '(118565006,SCT,"Volume")'),
        ("dsrdump", "dcmtk", "Comprehensive 3D SR Document"),
    ],
)
def test_independent_programs_read_it_without_an_error(binary, program, package, says):
    if shutil.which(program) is None:
        pytest.skip(f"needs {program} of Debian's {package}")
    arguments = [program, *(["-new"] if program == "dciodvfy" else []), binary / "sr.dcm"]
    finished = subprocess.run(arguments, capture_output=True, text=True, check=False)
    said = finished.stdout + finished.stderr
    assert finished.returncode == 0
    assert says in said
    assert not [line for line in said.splitlines() if line.startswith(("Error", "E:", "F:", "W:"))]


def test_codes_of_our_own_are_those_that_are_documented(binary):
    pairs = {
        (
            str(item.get("CodingSchemeDesignator")),
            str(item.get("CodeValue")),
            str(item.get("CodeMeaning")),
        )
        for item in every_item(dcmread(binary / "sr.dcm"))
    }
    own = {
        (code, meaning) for scheme, code, meaning in pairs if scheme == "99RENALMAP" and code != "None"
    }
    page = Path("docs/dicom_sr.md").read_text(encoding="utf-8")
    assert len(own) >= 10
    assert not [each for each in own if f"| `{each[0]}` | {each[1]} |" not in page]


def every_item(dataset):
    """A dataset and every item of its sequences, however deep."""
    yield dataset
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from every_item(item)


# Of an existing SEG.


def test_a_report_of_an_existing_seg_is_that_of_its_run(folder, binary, tmp_path):
    report = measure([binary / "seg.dcm"], scan=folder / "series", sr=tmp_path / "sr.dcm")
    assert report.cases[0].structured_report == str(tmp_path / "sr.dcm")
    (own, own_lines), (again, again_lines) = groups(binary / "sr.dcm"), groups(tmp_path / "sr.dcm")
    for one, other in ((own, again), (own_lines, again_lines)):
        assert list(one) == list(other)
        for name in one:
            assert one[name].tracking_uid == other[name].tracking_uid
            assert [each.value for each in one[name].get_measurements()] == [
                each.value for each in other[name].get_measurements()
            ]
    for name, group in own.items():
        numbers = (each.referenced_segment.referenced_segment_numbers for each in (group, again[name]))
        assert next(numbers) == next(numbers)
    with pytest.raises(OutputExistsError):
        measure([binary / "seg.dcm"], scan=folder / "series", sr=tmp_path / "sr.dcm")


def test_segments_of_another_program_keep_its_numbers(anatomy, measured):
    """Each tumour has a segment of its own, in another order, with gaps between the numbers."""
    numbers = {"left": 40, "right": 12, "tumour 1": 7, "tumour 2": 9, "tumour 3": 3, "cyst 4": 5}
    theirs = np.zeros_like(anatomy.label_map.labels)
    parts = [(kidney.id, part) for kidney in anatomy.kidneys for part in kidney.own]
    for name, part in [*parts, *((lesion.name, lesion.voxels) for lesion in anatomy.lesions)]:
        theirs[part.box.slices][part.inside] = numbers[name]
    found = findings_of(anatomy, measured, score_anatomy(anatomy), theirs)
    assert {each.name.removesuffix(" kidney"): each.segment for each in found} == numbers


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("nifti", "this label map is none.*--sr writes both"),
        ("no scan", "none was given.*--scan"),
        ("another series", "made from another series than this scan"),
        ("nifti scan", "this scan is not DICOM"),
        ("two", "belongs to one label map"),
    ],
)
def test_what_has_nothing_to_refer_to_is_refused(folder, binary, tmp_path, change, message):
    label_map, scan = binary / "seg.dcm", folder / "series"
    if change == "nifti":
        label_map = tmp_path / "labels.nii.gz"
        write_label_map(read_label_map(binary / "seg.dcm"), label_map)
    if change == "another series":
        dataset = dcmread(label_map)
        dataset.ReferencedSeriesSequence[0].SeriesInstanceUID = generate_uid()
        label_map = tmp_path / "other.dcm"
        dataset.save_as(label_map)
    if change == "nifti scan":
        from renalmap.imaging.in_memory import label_map_to_nibabel

        scan = tmp_path / "scan.nii.gz"
        label_map_to_nibabel(read_label_map(binary / "seg.dcm")).to_filename(scan)
    with pytest.raises(InputError, match=message):
        measure(
            [label_map, label_map] if change == "two" else [label_map],
            scan=None if change == "no scan" else scan,
            sr=tmp_path / "sr.dcm",
        )
    assert not (tmp_path / "sr.dcm").exists()


# Of a run.


def test_segment_writes_seg_and_report_together(folder, make_bundle, tmp_path):
    report = segment([folder / "series"], tmp_path / "seg.dcm", SegmentRequest(make_bundle(), sr=True))
    (case,) = report.cases
    assert case.structured_report == str(tmp_path / "seg_sr.dcm")
    assert tmp_path / "seg_sr.dcm" in case.files
    volumes, _ = groups(tmp_path / "seg_sr.dcm")
    uid = dcmread(tmp_path / "seg.dcm").SOPInstanceUID
    assert {each.referenced_segment.referenced_sop_instance_uid for each in volumes.values()} == {uid}
    told = [value(each, VOLUME).value for name, each in volumes.items() if "kidney" in name]
    assert sum(told) == pytest.approx(case.kidney_ml, abs=0.02)
    serial = dcmread(tmp_path / "seg_sr.dcm").DeviceSerialNumber
    assert serial == report.bundle_sha256
    (tmp_path / "seg.dcm").unlink()
    with pytest.raises(OutputExistsError, match=r"seg_sr\.dcm"):
        segment([folder / "series"], tmp_path / "seg.dcm", SegmentRequest(make_bundle(), sr=True))


def test_in_a_cohort_it_is_resumed_like_any_output(folder, make_bundle, tmp_path):
    from renalmap.api.segment import CohortRequest

    request = SegmentRequest(make_bundle(), sr=True, format="dicom-seg")
    (tmp_path / "out").mkdir()
    how = CohortRequest(resume=True)
    segment([folder / "series"], tmp_path / "out", request, how)
    report = tmp_path / "out" / "series_sr.dcm"
    (again,) = segment([folder / "series"], tmp_path / "out", request, how).cases
    assert (again.skipped, again.structured_report) == (True, str(report))
    report.unlink()
    with pytest.raises(OutputExistsError, match=r"incomplete: series_sr\.dcm is missing"):
        segment([folder / "series"], tmp_path / "out", request, how)


def test_nifti_out_has_no_segments_to_refer_to(folder, make_bundle, tmp_path):
    with pytest.raises(ConfigError, match=r"got --sr for NIfTI.*--format dicom-seg"):
        segment([folder / "series"], tmp_path / "seg.nii.gz", SegmentRequest(make_bundle(), sr=True))


# Odd headers.


def test_odd_values_in_the_scans_header_do_not_stop_it(folder, tmp_path):
    shutil.copytree(folder / "series", tmp_path / "series")
    source = read_volume(tmp_path / "series").source
    assert source is not None
    file = source.instances[0].file.path
    plain = file.read_bytes()
    for name, odd in ODD_VALUES[::3]:
        set_raw(file, name, odd)
        check_sr_can_be_written(source, tmp_path / "series")
        file.write_bytes(plain)


def test_odd_identifiers_of_a_seg(anatomy):
    seg, source = Dataset(), anatomy.scan.source
    seg.add_new("ReferencedSeriesSequence", "LO", "nonsense")
    with pytest.raises(DicomReferenceError, match="a structured report of this scan cannot be written"):
        SegReference.of(seg, source, "seg")
    del seg.ReferencedSeriesSequence
    with pytest.raises(DicomReferenceError, match="got no SOPClassUID, SOPInstanceUID"):
        SegReference.of(seg, source, "seg")
    seg.SOPClassUID = seg.SOPInstanceUID = seg.SeriesInstanceUID = seg.StudyInstanceUID = "1.2.3"
    assert SegReference.of(seg, source, "seg").series_number == 0
    seg.SeriesNumber = 2**31 - 1
    assert SegReference.of(seg, source, "seg").series_number == 0
