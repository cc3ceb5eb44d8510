"""How pixels may be stored: compressed, deflated, big-endian, many frames in one file, without a rescale."""

from __future__ import annotations

import logging

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from tests.imaging.conftest import make_big_endian, source_of

from renalmap.errors import MissingSliceError, TruncatedFileError, UnreadableImageError
from renalmap.imaging import LabelMap, read_volume
from renalmap.imaging.dicom.catalogue import read_catalogue
from renalmap.imaging.dicom.placing import labels_on_instances

ROWS_COLUMNS = (48, 64)
SPACING_MM = (0.6, 0.9)


def slice_hu(number):
    """A slope, a sharp edge and noise, -1000 to 1500 HU: nothing that a lossy code would keep."""
    noise = np.random.default_rng(number).integers(-40, 40, ROWS_COLUMNS)
    hu = np.add.outer(np.arange(48) * 25, np.arange(64) * 5) - 960 + noise
    hu[5:9, 20:30] = 1500 - number
    return hu.astype(np.int16)


@pytest.fixture
def stored(tmp_path, write_slice):
    """A function that writes three slices as raw values with 1024 added, and lets each be changed."""

    def store(change=lambda _: None, **tags):
        for number in range(3):
            raw = (slice_hu(number) + 1024).astype(np.uint16)
            path = write_slice(
                tmp_path / "series" / f"{number}.dcm", 3.0 * number, raw,
                **({"RescaleIntercept": -1024, "PixelSpacing": list(SPACING_MM)} | tags),
            )  # fmt: skip
            dataset = pydicom.dcmread(path)
            change(dataset)
            dataset.save_as(path, enforce_file_format=True)
        return tmp_path / "series"

    return store


def check_truth(volume):
    np.testing.assert_array_equal(volume.hu, [slice_hu(number) for number in range(3)])
    assert volume.geometry.spacing_mm == (3.0, *SPACING_MM)
    assert volume.notes == ()


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless, RLELossless])
def test_compressed_slices_come_out_bit_for_bit(stored, syntax):
    folder = stored(lambda dataset: dataset.compress(syntax, generate_instance_uid=False))
    assert pydicom.dcmread(folder / "1.dcm").file_meta.TransferSyntaxUID == syntax
    check_truth(read_volume(folder))


@pytest.mark.parametrize("syntax", [DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_deflated_and_implicit_slices_are_read(stored, pack, syntax):
    def change(dataset):
        dataset.file_meta.TransferSyntaxUID = syntax

    folder = stored(change)
    assert pydicom.dcmread(folder / "1.dcm").file_meta.TransferSyntaxUID == syntax
    check_truth(read_volume(folder))
    check_truth(read_volume(pack(folder)))


def test_big_endian_slices_are_read(stored):
    folder = stored()
    for path in folder.iterdir():
        make_big_endian(path)
    assert b"\x00\x28\x00\x10US" in (folder / "1.dcm").read_bytes()
    check_truth(read_volume(folder))


@pytest.mark.parametrize("signed", [False, True])
def test_an_overlay_above_the_stored_bits_is_no_value(stored, signed):
    """JPEG 2000 carries it along; pydicom clears it from uncompressed pixels only."""

    def change(dataset):
        raw = dataset.pixel_array
        if signed:
            raw = (raw - 1024).astype(np.int16)
            dataset.PixelRepresentation, dataset.RescaleIntercept = 1, 0
        overlay = np.zeros(raw.shape, np.uint16)
        overlay[::3] = 0xF000
        dataset.PixelData = ((raw.view(np.uint16) & 0x0FFF) | overlay).tobytes()
        dataset.PixelRepresentation = 0  # the codestream is of 16 bits, unsigned
        dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, int(signed)

    check_truth(read_volume(stored(change)))


@pytest.mark.parametrize("syntax", [JPEGLossless, JPEGLosslessSV1])
def test_a_compression_without_decoder_is_named(stored, syntax):
    def change(dataset):
        dataset.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xd9"])
        dataset["PixelData"].VR = "OB"
        dataset.file_meta.TransferSyntaxUID = syntax

    with pytest.raises(
        UnreadableImageError, match=r"no decoder.*JPEG Lossless.*Decompress it"
    ) as caught:
        read_volume(stored(change))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless, RLELossless])
def test_a_damaged_compressed_slice_is_named(stored, syntax):
    folder = stored(lambda dataset: dataset.compress(syntax, generate_instance_uid=False))
    path = folder / "1.dcm"
    dataset = pydicom.dcmread(path)
    frame = next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1))
    dataset.PixelData = pydicom.encaps.encapsulate([frame[: len(frame) // 2]])
    dataset.save_as(path)
    with pytest.raises(TruncatedFileError, match=r"/1\.dcm.*cannot be decoded"):
        read_volume(folder)


def test_without_a_rescale_the_values_are_taken_and_doubted(stored, pack):
    folder = stored(RescaleSlope=None, RescaleIntercept=None)
    volume = read_volume(folder)
    np.testing.assert_array_equal(volume.hu[0], slice_hu(0) + 1024)
    (note,) = volume.notes
    assert "3 of 3 slices have no RescaleSlope and RescaleIntercept" in note


def test_half_a_rescale_is_completed(stored):
    check_truth(read_volume(stored(RescaleSlope=None)))


def test_values_that_are_said_to_be_no_hu_are_doubted(stored):
    (note,) = read_volume(stored(RescaleType="US")).notes
    assert "according to the header the values are US" in note


# One file with many frames.


def item(**values):
    dataset = Dataset()
    for name, value in values.items():
        setattr(dataset, name, value)
    return dataset


def group(**sequences):
    return item(**{name: Sequence([content]) for name, content in sequences.items()})


def enhanced(path, stored_heights_mm, acquisitions=None, **top):
    """An enhanced CT whose frames lie in the file in any order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset = Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3.4")
    numbers = acquisitions or [1] * len(stored_heights_mm)
    frames = [slice_hu(round(height_mm / 3)) + 1024 for height_mm in stored_heights_mm]
    values = {
        "SOPClassUID": EnhancedCTImageStorage, "SOPInstanceUID": "1.2.3.4", "Modality": "CT",
        "StudyInstanceUID": "1.2", "SeriesInstanceUID": "1.2.3", "FrameOfReferenceUID": "1.2.9",
        "SeriesNumber": 7, "ImageType": ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"],
        "NumberOfFrames": len(frames), "Rows": ROWS_COLUMNS[0], "Columns": ROWS_COLUMNS[1], "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2", "BitsAllocated": 16, "BitsStored": 16, "HighBit": 15,
        "PixelRepresentation": 0, "PixelData": np.array(frames, np.uint16).tobytes(),
        "SharedFunctionalGroupsSequence": Sequence([group(
            PixelMeasuresSequence=item(PixelSpacing=list(SPACING_MM), SliceThickness=3),
            PlaneOrientationSequence=item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
            CTReconstructionSequence=item(ConvolutionKernel="Br40d"),
            PixelValueTransformationSequence=item(
                RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU"
            ),
        )]),
        "PerFrameFunctionalGroupsSequence": Sequence([
            group(
                FrameContentSequence=item(FrameAcquisitionNumber=number),
                PlanePositionSequence=item(ImagePositionPatient=[-10, -20, height_mm]),
            )
            for number, height_mm in zip(numbers, stored_heights_mm, strict=True)
        ]),
    } | top  # fmt: skip
    for name, value in values.items():
        setattr(dataset, name, value)
    dataset["PixelData"].VR = "OW"
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("syntax", [None, RLELossless, JPEGLSLossless])
def test_an_enhanced_ct_reads_frame_by_frame(tmp_path, pack, syntax):
    path = enhanced(tmp_path / "study" / "1.dcm", [6.0, 0.0, 3.0])
    if syntax is not None:
        dataset = pydicom.dcmread(path)
        dataset.compress(syntax, generate_instance_uid=False)
        dataset.save_as(path)

    for given in (path, path.parent, pack(path.parent)):
        volume = read_volume(given)
        check_truth(volume)
        assert [each.frame for each in source_of(volume).instances] == [2, 3, 1]
        assert {each.sop_instance_uid for each in source_of(volume).instances} == {"1.2.3.4"}
    labels = (volume.hu > 0).astype(np.uint8)
    returned = labels_on_instances(LabelMap(labels, volume.geometry), source_of(volume))
    np.testing.assert_array_equal(returned, labels)
    assert read_catalogue(path).series[0].kernel == "Br40d"


def test_an_enhanced_ct_may_hold_several_acquisitions(tmp_path):
    path = enhanced(tmp_path / "1.dcm", [0.0, 3.0, 6.0, 0.0, 3.0, 6.0], [1, 1, 1, 2, 2, 2])
    volume = read_volume(path, acquisition=2)
    check_truth(volume)
    assert [each.frame for each in source_of(volume).instances] == [4, 5, 6]


def test_an_enhanced_ct_with_a_frame_missing_is_refused(tmp_path):
    path = enhanced(tmp_path / "1.dcm", [0.0, 3.0, 6.0, 12.0])
    with pytest.raises(MissingSliceError, match=r"z = 9\.00 mm.*1\.dcm frame 3 and 1\.dcm frame 4"):
        read_volume(path)


@pytest.mark.parametrize("said", [2, 4])
def test_an_enhanced_ct_that_miscounts_its_frames_is_refused(tmp_path, said):
    path = enhanced(tmp_path / "1.dcm", [0.0, 3.0, 6.0], NumberOfFrames=said)
    with pytest.raises(
        TruncatedFileError, match=f"NumberOfFrames is {said}, and 3 frames are described"
    ):
        read_volume(path)


def test_an_enhanced_ct_whose_last_frame_has_no_position_is_refused(tmp_path):
    path = enhanced(tmp_path / "1.dcm", [0.0, 3.0, 6.0])
    dataset = pydicom.dcmread(path)
    del dataset.PerFrameFunctionalGroupsSequence[-1].PlanePositionSequence
    dataset.save_as(path)
    with pytest.raises(MissingSliceError, match="1 x image of it, no ImagePositionPatient"):
        read_volume(path)


def test_another_makers_conversion_to_multi_frame_reads_the_same(stored, tmp_path, caplog):
    from highdicom.legacy import LegacyConvertedEnhancedCTImage

    patient = {
        "PatientID": "1", "PatientName": "A^B", "PatientBirthDate": "", "PatientSex": "", "StudyID": "1",
        "StudyDate": "20200101", "StudyTime": "120000", "AccessionNumber": "", "InstanceNumber": 1,
        "ReferringPhysicianName": "", "SeriesNumber": 1, "Manufacturer": "M", "SliceThickness": 3,
        "AcquisitionDate": "20200101", "AcquisitionTime": "120000", "RescaleType": "HU",
        "PositionReferenceIndicator": "", "KVP": 120, "SoftwareVersions": "1", "DeviceSerialNumber": "1",
    }  # fmt: skip
    folder = stored(**patient)
    with caplog.at_level(logging.ERROR):
        converted = LegacyConvertedEnhancedCTImage(
            [pydicom.dcmread(path) for path in sorted(folder.iterdir())],
            series_instance_uid="1.2.3", series_number=2, sop_instance_uid="1.2.3.4", instance_number=1,
        )  # fmt: skip
        converted.save_as(tmp_path / "converted.dcm")
    check_truth(read_volume(tmp_path / "converted.dcm"))
