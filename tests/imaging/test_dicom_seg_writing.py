"""DICOM SEG written: where its pixels lie, what it says, what it must not say."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.config import disable_value_validation
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import Tag
from pydicom.uid import (
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    RLELossless,
    generate_uid,
)
from tests.imaging.placed_series import (
    GAP_MM,
    ORIENTATIONS,
    SLICES,
    SPACING_MM,
    frame_places,
    oblique,
    place_series,
    structures_at,
)
from tests.imaging.test_dicom_encodings import enhanced

from renalmap.errors import (
    AffineError,
    DicomReferenceError,
    GeometryMismatchError,
    LabelError,
    OutputExistsError,
)
from renalmap.imaging import DicomFile, LabelMap, read_label_map, read_volume
from renalmap.imaging.dicom_seg.writing import (
    SegAlgorithm,
    build_dicom_seg,
    check_can_be_written,
    write_dicom,
)

ALGORITHM = SegAlgorithm("1.2.3", "0123456789abcdef" * 4)
LABEL_OF_STRUCTURE = np.array([0, 1, 1, 2, 2, 3, 3], np.uint8)


@pytest.fixture
def axial(tmp_path, write_slice):
    """An axial series with its balls."""
    return place_series(tmp_path / "series", write_slice, *ORIENTATIONS["axial"])


def written(series, path: Path, segmentation_type: Any = "binary") -> Dataset:
    write_dicom(build_dicom_seg(series.structures, series.source, ALGORITHM, segmentation_type), path)
    return dcmread(path)


def structures_of_frames(seg: Dataset):
    """Each frame's index, structures (by the segments' labels) and places, with pydicom alone."""
    names = {"Left kidney": 1, "Right kidney": 2, "Left kidney tumour": 3, "Background": 0}
    numbers = np.zeros(256, np.uint8)
    for segment in seg.SegmentSequence:
        numbers[segment.SegmentNumber] = names[segment.SegmentLabel]
    for index, pixels in enumerate(seg.pixel_array):
        own = seg.PerFrameFunctionalGroupsSequence[index]
        if seg.SegmentationType == "BINARY":
            segment = own.SegmentIdentificationSequence[0].ReferencedSegmentNumber
            yield index, pixels * numbers[segment], frame_places(seg, index)
        else:
            yield index, numbers[pixels], frame_places(seg, index)


@pytest.mark.parametrize("segmentation_type", ["binary", "labelmap"])
@pytest.mark.parametrize("name", [*ORIENTATIONS, "oblique"])
def test_every_pixel_lies_where_the_ball_is(tmp_path, write_slice, name, segmentation_type):
    row, column = ORIENTATIONS.get(name) or oblique()
    series = place_series(tmp_path / "series", write_slice, row, column)

    seg = written(series, tmp_path / "seg.dcm", segmentation_type)

    marked = {1: 0, 2: 0, 3: 0}
    for _, structures, places_mm in structures_of_frames(seg):
        truth = structures_at(places_mm, series.centre_mm)
        for number in np.unique(structures[structures > 0]):
            marked[number] += int(np.count_nonzero(structures == number))
            np.testing.assert_array_equal(structures == number, truth == number)
        if segmentation_type == "labelmap":
            np.testing.assert_array_equal(structures, truth)
    # And nothing of them is left out.
    assert marked == {
        number: int(np.count_nonzero(series.structures.labels == number)) for number in marked
    }
    assert min(marked.values()) > 20
    # Our own reader finds the whole grid again, also where the first and the last slices have no frame.
    label_map = read_label_map(tmp_path / "seg.dcm")
    assert label_map.geometry.matches(series.structures.geometry, tolerance_mm=1e-4)
    np.testing.assert_array_equal(label_map.labels, LABEL_OF_STRUCTURE[series.structures.labels])
    assert label_map.name == "seg"


@pytest.mark.parametrize("segmentation_type", ["binary", "labelmap"])
def test_highdicom_reads_the_same(axial, tmp_path, segmentation_type):
    written(axial, tmp_path / "seg.dcm", segmentation_type)
    volume = highdicom.seg.segread(tmp_path / "seg.dcm").get_volume(
        combine_segments=True, allow_missing_positions=True
    )
    index = np.argwhere(volume.array > 0)
    ras_mm = volume.map_indices_to_reference(index) * np.array([-1.0, -1.0, 1.0])
    np.testing.assert_array_equal(volume.array[tuple(index.T)], structures_at(ras_mm, axial.centre_mm))
    assert len(index) == np.count_nonzero(axial.structures.labels)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dciodvfy of Debian's dicom3tools")
def test_dciodvfy_finds_no_error(axial, tmp_path):
    written(axial, tmp_path / "seg.dcm")
    finished = subprocess.run(
        ["dciodvfy", "-new", tmp_path / "seg.dcm"], capture_output=True, text=True, check=False
    )
    assert "Segmentation" in finished.stderr.splitlines()
    assert "Error" not in finished.stderr


def test_labels_of_a_resampled_volume_return_to_the_tilted_slices(tmp_path, write_slice):
    """A gantry tilted by 12 degrees. Each pixel takes the nearest voxel, half a voxel away at most."""
    for index in range(SLICES):
        height_mm = GAP_MM * index
        write_slice(
            tmp_path / "series" / f"{index}.dcm",
            0.0,
            np.zeros((60, 60), np.int16),
            ImagePositionPatient=[-60.0, -60.0 + np.tan(np.radians(12.0)) * height_mm, height_mm],
            PixelSpacing=[2.0, 2.0],
        )
    volume = read_volume(tmp_path / "series", resample=True)
    affine, source = volume.geometry.affine, volume.source
    assert source is not None
    assert source.resampled
    grid = np.stack(np.meshgrid(*map(np.arange, volume.geometry.shape), indexing="ij"), axis=-1)
    centre_mm, radius_mm = np.array([3.0, -4.0, 31.0]), 22.0
    distance_mm = np.linalg.norm(grid @ affine[:3, :3].T + affine[:3, 3] - centre_mm, axis=-1)
    ball = LabelMap((distance_mm <= radius_mm).astype(np.uint8), volume.geometry)

    write_dicom(build_dicom_seg(ball, source, ALGORITHM), tmp_path / "seg.dcm")

    seg = dcmread(tmp_path / "seg.dcm")
    half_mm = np.linalg.norm(volume.geometry.spacing_mm) / 2
    stored = {each.position_mm for each in source.instances}
    inner = 0
    for index, pixels in enumerate(seg.pixel_array):
        position = seg.PerFrameFunctionalGroupsSequence[index].PlanePositionSequence[0]
        assert (
            min(np.abs(np.subtract(position.ImagePositionPatient, each)).max() for each in stored) < 1e-6
        )
        away_mm = np.linalg.norm(frame_places(seg, index) - centre_mm, axis=-1)
        assert (away_mm[pixels > 0] <= radius_mm + half_mm).all()
        assert (pixels[away_mm <= radius_mm - half_mm] == 1).all()
        inner += int(np.count_nonzero(away_mm <= radius_mm - half_mm))
    assert inner > 1000
    with pytest.raises(AffineError, match="sheared"):  # a label map has no place for tilted slices
        read_label_map(tmp_path / "seg.dcm")


# What it says.


def test_segments_are_coded_and_name_the_model(axial, tmp_path):
    seg = written(axial, tmp_path / "seg.dcm")
    left, right, tumour = seg.SegmentSequence
    for segment in seg.SegmentSequence:
        algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
        assert segment.SegmentAlgorithmType == "AUTOMATIC"
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("RenalMap", "1.2.3")
        assert algorithm.AlgorithmParameters == f"bundle_sha256={ALGORITHM.bundle_sha256}"
    for segment, side in ((left, "7771000"), (right, "24028007")):
        kind = segment.SegmentedPropertyTypeCodeSequence[0]
        assert segment.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "91723000"
        assert (kind.CodeValue, kind.CodingSchemeDesignator) == ("64033007", "SCT")
        assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeValue == side
    assert tumour.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "49755003"
    assert tumour.SegmentedPropertyTypeCodeSequence[0].CodeValue == "4147007"
    region = tumour.AnatomicRegionSequence[0]
    assert region.CodeValue == "64033007"
    assert region.AnatomicRegionModifierSequence[0].CodeValue == "7771000"
    assert [segment.SegmentLabel for segment in (left, right, tumour)] == [
        "Left kidney",
        "Right kidney",
        "Left kidney tumour",
    ]


def test_a_structure_that_is_not_there_has_no_segment(axial, tmp_path):
    labels = np.where(axial.structures.labels == 1, 0, axial.structures.labels)
    series = replace(axial, structures=LabelMap(labels, axial.structures.geometry))
    binary = written(series, tmp_path / "binary.dcm")
    assert [(each.SegmentNumber, each.SegmentLabel) for each in binary.SegmentSequence] == [
        (1, "Right kidney"),
        (2, "Left kidney tumour"),
    ]
    # A label map's pixels mean the same in every file.
    labelmap = written(series, tmp_path / "labelmap.dcm", "labelmap")
    assert [(each.SegmentNumber, each.SegmentLabel) for each in labelmap.SegmentSequence] == [
        (0, "Background"),
        (2, "Right kidney"),
        (3, "Left kidney tumour"),
    ]


def test_it_refers_to_the_slices_it_was_made_from(axial, tmp_path):
    seg = written(axial, tmp_path / "seg.dcm")
    source = axial.source
    assert seg.StudyInstanceUID == source.study_instance_uid
    assert seg.FrameOfReferenceUID == source.frame_of_reference_uid
    assert seg.SeriesInstanceUID != source.series_instance_uid
    (series,) = seg.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == source.series_instance_uid
    listed = [each.ReferencedSOPInstanceUID for each in series.ReferencedInstanceSequence]
    assert listed == [each.sop_instance_uid for each in source.instances]
    position_of = {each.sop_instance_uid: each.position_mm for each in source.instances}
    for own in seg.PerFrameFunctionalGroupsSequence:
        (derived,) = own.DerivationImageSequence[0].SourceImageSequence
        np.testing.assert_allclose(
            own.PlanePositionSequence[0].ImagePositionPatient,
            position_of[derived.ReferencedSOPInstanceUID],
        )
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert list(measures.PixelSpacing) == list(SPACING_MM)
    assert measures.SpacingBetweenSlices == GAP_MM


def test_binary_is_bits_of_slices_with_something_and_labelmap_is_packed_bytes_of_all(axial, tmp_path):
    binary = written(axial, tmp_path / "binary.dcm")
    assert binary.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert (binary.SegmentationType, binary.BitsAllocated) == ("BINARY", 1)
    used = [sum((axial.structures.labels == number).any(axis=(1, 2))) for number in (1, 2, 3)]
    assert binary.NumberOfFrames == sum(used)
    labelmap = written(axial, tmp_path / "labelmap.dcm", "labelmap")
    assert labelmap.file_meta.TransferSyntaxUID == RLELossless
    assert (labelmap.SegmentationType, labelmap.BitsAllocated) == ("LABELMAP", 8)
    assert labelmap.NumberOfFrames == SLICES


def test_two_files_of_the_same_labels_are_two_instances(axial, tmp_path):
    one, other = (written(axial, tmp_path / f"{name}.dcm") for name in "ab")
    assert one.SOPInstanceUID != other.SOPInstanceUID
    assert one.SeriesInstanceUID != other.SeriesInstanceUID
    assert one.PixelData == other.PixelData


# What it must not say.


def test_only_what_the_standard_requires_is_taken_from_the_patient(tmp_path, write_slice):
    private = Dataset()
    private.add_new((0x0011, 0x0010), "LO", "HIDDEN creator")
    kept: dict[str, Any] = {
        "PatientName": "Doe^Jane",
        "PatientID": "4711",
        "PatientBirthDate": "19500102",
        "PatientSex": "F",
        "AccessionNumber": "A-1",
        "StudyDate": "20200304",
        "PatientIdentityRemoved": "YES",
        "DeidentificationMethod": "by hand",
    }
    dropped: dict[str, Any] = {
        "PatientAge": "070Y",
        "PatientWeight": "66.125",
        "PatientComments": "HIDDEN comment",
        "OtherPatientNames": "HIDDEN^Name",
        "PatientAddress": "HIDDEN street",
        "AdditionalPatientHistory": "HIDDEN history",
        "InstitutionName": "HIDDEN hospital",
        "StationName": "HIDDEN station",
        "OperatorsName": "HIDDEN^Operator",
        "StudyDescription": "HIDDEN study",
        "ImageComments": "HIDDEN image",
        "ClinicalTrialSubjectID": "HIDDEN subject",
        "RequestAttributesSequence": DicomSequence([private]),
    }
    series = place_series(
        tmp_path / "HIDDEN_patient", write_slice, [1, 0, 0], [0, 1, 0], **kept, **dropped
    )
    seg = written(series, tmp_path / "seg.dcm")
    assert {name: str(seg[name].value) for name in kept} == kept
    assert not [name for name in dropped if name in seg]
    raw = (tmp_path / "seg.dcm").read_bytes()
    assert b"Doe^Jane" in raw
    assert b"HIDDEN" not in raw
    assert b"66.125" not in raw


@pytest.mark.parametrize(
    ("character_set", "written_as", "name"),
    [
        ("ISO_IR 100", "ISO_IR 100", "Müller^Jörg"),
        ("ISO_IR 192", "ISO_IR 192", "山田^太郎"),
        (["", "ISO 2022 IR 87"], "ISO_IR 192", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (None, None, "Doe^Jane"),
    ],
)
def test_names_in_any_script_are_kept(tmp_path, write_slice, character_set, written_as, name):
    tags = {"SpecificCharacterSet": character_set, "PatientName": name}
    series = place_series(tmp_path / "series", write_slice, [1, 0, 0], [0, 1, 0], **tags)
    seg = written(series, tmp_path / "seg.dcm")
    assert str(seg.PatientName) == name
    assert seg.get("SpecificCharacterSet") == written_as


def test_what_the_standard_requires_and_the_scan_lacks_is_empty(axial, tmp_path):
    seg = written(axial, tmp_path / "seg.dcm")  # the series has no patient at all
    for name in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber"):
        assert str(seg[name].value or "") == ""


# Bad input.


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("study_instance_uid", "StudyInstanceUID"),
        ("series_instance_uid", "SeriesInstanceUID"),
        ("frame_of_reference_uid", "FrameOfReferenceUID"),
    ],
)
def test_a_series_without_a_uid_is_refused_with_a_way_out(axial, field, name):
    source = replace(axial.source, **{field: ""})
    with pytest.raises(DicomReferenceError, match=rf"got no {name};.*Write NIfTI instead"):
        build_dicom_seg(axial.structures, source, ALGORITHM)


def test_slices_that_cannot_be_told_apart_are_refused(axial):
    first, second, *others = axial.source.instances
    twins = (first, replace(second, sop_instance_uid=first.sop_instance_uid), *others)
    with pytest.raises(DicomReferenceError, match="17 slices that share 16 SOPInstanceUIDs"):
        build_dicom_seg(axial.structures, replace(axial.source, instances=twins), ALGORITHM)
    stripped = (replace(first, sop_instance_uid=""), second, *others)
    with pytest.raises(DicomReferenceError, match="got no SOPInstanceUID;"):
        build_dicom_seg(axial.structures, replace(axial.source, instances=stripped), ALGORITHM)


def test_nothing_found_is_no_dicom_seg(axial):
    empty = LabelMap(np.zeros_like(axial.structures.labels), axial.structures.geometry)
    with pytest.raises(LabelError, match="must mark something"):
        build_dicom_seg(empty, axial.source, ALGORITHM)


def test_a_number_that_is_no_structure_is_refused(axial):
    labels = axial.structures.labels.copy()
    labels[3, 3, 3] = 9
    with pytest.raises(LabelError, match=r"got 9; expected 0 to 6"):
        build_dicom_seg(LabelMap(labels, axial.structures.geometry), axial.source, ALGORITHM)


def test_labels_of_another_series_are_refused(axial):
    away = replace(axial.source, instances=axial.source.instances[8:])
    with pytest.raises(GeometryMismatchError, match="the labels are not on the slices of the series"):
        build_dicom_seg(axial.structures, away, ALGORITHM)


def test_a_file_is_replaced_only_when_told(axial, tmp_path):
    (tmp_path / "seg.dcm").write_bytes(b"kept")
    dataset = build_dicom_seg(axial.structures, axial.source, ALGORITHM)
    with pytest.raises(OutputExistsError):
        write_dicom(dataset, tmp_path / "seg.dcm")
    assert (tmp_path / "seg.dcm").read_bytes() == b"kept"
    write_dicom(dataset, tmp_path / "seg.dcm", overwrite=True)
    assert dcmread(tmp_path / "seg.dcm").Modality == "SEG"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["seg.dcm"]


# From a path to a SEG and back.


def test_a_series_in_an_archive_is_referred_to_like_one_in_a_folder(axial, tmp_path, pack):
    volume = read_volume(pack(tmp_path / "series"))
    assert volume.source is not None
    structures = LabelMap(axial.structures.labels, volume.geometry)
    write_dicom(build_dicom_seg(structures, volume.source, ALGORITHM), tmp_path / "seg.dcm")
    np.testing.assert_array_equal(
        read_label_map(tmp_path / "seg.dcm").labels, LABEL_OF_STRUCTURE[structures.labels]
    )
    named = [each.sop_instance_uid for each in volume.source.instances]
    assert named == [each.sop_instance_uid for each in axial.source.instances]


def test_an_enhanced_ct_with_frames_in_any_order(tmp_path):
    volume = read_volume(enhanced(tmp_path / "ct.dcm", [6.0, 0.0, 3.0]))
    assert volume.source is not None
    labels = np.zeros(volume.geometry.shape, np.uint8)
    labels[0, 5:20, 8:30], labels[2, 7:9, 3:9] = 1, 2  # the lowest slice is the file's second frame
    structures = LabelMap(labels, volume.geometry)

    write_dicom(build_dicom_seg(structures, volume.source, ALGORITHM), tmp_path / "seg.dcm")

    seg = dcmread(tmp_path / "seg.dcm")
    frames = set()
    for own, pixels in zip(seg.PerFrameFunctionalGroupsSequence, seg.pixel_array, strict=True):
        (derived,) = own.DerivationImageSequence[0].SourceImageSequence
        height_mm = float(own.PlanePositionSequence[0].ImagePositionPatient[2])
        segment = own.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        frames.add((height_mm, int(derived.ReferencedFrameNumber)))
        np.testing.assert_array_equal(pixels, labels[round(height_mm / 3)] == segment)
    assert frames == {(0.0, 2), (3.0, 3), (6.0, 1)}
    found = read_label_map(tmp_path / "seg.dcm")
    assert found.geometry.matches(volume.geometry, tolerance_mm=1e-2)
    np.testing.assert_array_equal(found.labels, LABEL_OF_STRUCTURE[labels])


# A multi-frame source.


def _behind_another_phase(series, path: Path, *, frames_before: int):
    """The same series as one enhanced CT, behind as many frames of an earlier phase at the same places."""
    first = dcmread(series.source.instances[0].file.path)
    whole = Dataset()
    whole.update(first)
    whole.file_meta = first.file_meta
    whole.SOPClassUID = EnhancedCTImageStorage
    whole.SOPInstanceUID = generate_uid()
    del whole.ImagePositionPatient, whole.ImageOrientationPatient, whole.PixelSpacing
    frames = []
    for instance in (*series.source.instances[:frames_before], *series.source.instances):
        own, position, orientation = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [f"{value:.9g}" for value in instance.position_mm]
        orientation.ImageOrientationPatient = [
            f"{value:g}" for value in series.source.orientation.ravel()
        ]
        own.PlanePositionSequence, own.PlaneOrientationSequence = [position], [orientation]
        frames.append(own)
    whole.PerFrameFunctionalGroupsSequence = frames
    whole.SharedFunctionalGroupsSequence = [Dataset()]
    whole.NumberOfFrames = len(frames)
    whole.PixelData = first.PixelData * len(frames)
    whole.save_as(path, enforce_file_format=True)
    instances = tuple(
        replace(
            instance,
            file=DicomFile(path),
            frame=frames_before + index + 1,
            sop_class_uid=str(whole.SOPClassUID),
            sop_instance_uid=str(whole.SOPInstanceUID),
        )
        for index, instance in enumerate(series.source.instances)
    )
    return replace(series, source=replace(series.source, instances=instances))


@pytest.mark.parametrize("frames_before", [0, SLICES])
def test_frames_of_an_enhanced_ct_are_referred_to_by_number(axial, tmp_path, frames_before):
    series = _behind_another_phase(axial, tmp_path / "enhanced.dcm", frames_before=frames_before)
    seg = written(series, tmp_path / "seg.dcm")
    for index, structures, places_mm in structures_of_frames(seg):
        number = structures.max()
        if number:
            truth = structures_at(places_mm, series.centre_mm)
            np.testing.assert_array_equal(structures == number, truth == number)
        own = seg.PerFrameFunctionalGroupsSequence[index]
        (derived,) = own.DerivationImageSequence[0].SourceImageSequence
        instance = series.source.instances[int(derived.ReferencedFrameNumber) - frames_before - 1]
        assert derived.ReferencedSOPInstanceUID == instance.sop_instance_uid
        np.testing.assert_allclose(
            own.PlanePositionSequence[0].ImagePositionPatient, instance.position_mm
        )
    label_map = read_label_map(tmp_path / "seg.dcm")
    assert label_map.volume_ml(1, 2) == pytest.approx(series.structures.volume_ml(1, 2, 3))
    if not frames_before:
        assert label_map.geometry.matches(series.structures.geometry, tolerance_mm=1e-4)


ODD_VALUES = [
    *(("PatientSex", value) for value in ("X", "U", "N", "male", "M\\F")),
    *(("PatientBirthDate", value) for value in ("19000000", "1981", "00000000", "1.1.1981", "19810230")),
    *(("StudyDate", value) for value in ("20230229", "today", "19000000")),
    *(("StudyTime", value) for value in ("12:00:00", "250000", "noon")),
    *(("SeriesNumber", value) for value in ("-2000", "0", "2147483647", "99999999999", "one", "1\\2")),
    *(("PatientID", value) for value in ("1\\2", "x" * 200)),
    *(("PatientName", value) for value in ("A\\B", "x" * 300)),
    *(("AccessionNumber", value) for value in ("1\\2", "x" * 40)),
    *(("StudyID", value) for value in ("1\\2", "x" * 40)),
    *(
        ("ReferringPhysicianName", "A\\B"),
        ("PatientIdentityRemoved", "PERHAPS"),
        ("IssuerOfPatientID", "a\\b"),
    ),
]


@pytest.mark.parametrize(("name", "value"), ODD_VALUES)
def test_odd_values_in_the_header_are_left_out_before_the_work_and_said_so(axial, tmp_path, name, value):
    file = axial.source.instances[0].file.path
    set_raw(file, name, value)

    told = check_can_be_written(axial.source, file.parent)

    seg = written(axial, tmp_path / "seg.dcm")
    if told:
        assert told == (
            f"{file.parent}: the DICOM SEG has no {name}, because the scan's is not a value that DICOM allows",
        )
        assert not seg.get(name)
    elif name == "SeriesNumber":
        assert 0 < seg.SeriesNumber < 2**31
    else:
        with disable_value_validation():
            assert str(seg[name].value) == value
    taken = ("X", "19000000", "1981", "12:00:00", "1\\2")
    assert told or value not in taken or name == "SeriesNumber"


def set_raw(file: Path, name: str, value: str) -> None:
    """Put a value into a file as it is: pydicom checks and converts what it is given."""
    dataset = dcmread(file)
    tag, vr = Tag(name), dictionary_VR(name)
    encoded = value.encode() + b" " * (len(value) % 2)
    dataset[tag] = RawDataElement(tag, vr, len(encoded), encoded, 0, False, True)
    dataset.save_as(file)


def test_whatever_highdicom_refuses_is_an_error_of_ours(axial, tmp_path):
    torn = replace(axial.source, orientation=np.full((2, 3), np.nan))
    with pytest.raises(DicomReferenceError, match="cannot be written"):
        check_can_be_written(torn, tmp_path)


def test_the_odd_headers_that_were_reported_give_a_dicom_seg(shared_data):
    cases = shared_data.parent / "cases" / "09_seg_odd_dates_and_sex"
    expected = {"birth_19000000": "PatientBirthDate", "sex_U": "PatientSex", "time_colons": "StudyTime"}
    for folder, name in ({"birth_1981": "PatientBirthDate"} | expected).items():
        source = read_volume(cases / folder).source
        assert source is not None
        (told,) = check_can_be_written(source, cases / folder)
        assert f"has no {name}," in told
