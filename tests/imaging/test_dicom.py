from __future__ import annotations

import io
import logging

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import (
    BasicTextSRStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    generate_uid,
)

from renalmap.errors import (
    AffineError,
    AmbiguousAcquisitionError,
    AmbiguousSeriesError,
    ColourImageError,
    DimensionError,
    InputError,
    MissingSliceError,
    MixedSeriesError,
    NoImagesError,
    NonAxialSeriesError,
    TruncatedFileError,
    UnreadableImageError,
)
from renalmap.imaging import (
    DicomChoice,
    LabelMap,
    read_geometry,
    read_label_map,
    read_volume,
    write_label_map,
)
from renalmap.imaging.dicom.catalogue import read_catalogue
from renalmap.imaging.dicom.choice import choose
from renalmap.imaging.dicom_files.bounds import named_dicom_errors

# Acceptance: series as hospitals send them.


def test_hcc_006_lines_up_with_its_mask(shared_data):
    folder = shared_data / "dicom" / "HCC_006"
    mask = read_label_map(shared_data / "dicom" / "HCC_006_kidney.nii.gz")

    volume = read_volume(folder)

    assert volume.name == "HCC_006"
    assert volume.hu.shape == (109, 512, 512)
    assert volume.hu.dtype == np.int16
    assert volume.geometry.matches(mask.geometry, tolerance_mm=1e-2)
    assert volume.geometry.source.shape == mask.geometry.source.shape
    assert 80 < volume.hu[mask.labels > 0].mean() < 250
    assert read_geometry(folder).matches(volume.geometry, tolerance_mm=0.0)


def test_hcc_002_is_never_interleaved(shared_data):
    folder = shared_data / "dicom" / "HCC_002_two_acquisitions"

    (series,) = read_catalogue(folder).series

    assert [(each.number, len(each.slices)) for each in series.acquisitions] == [(1, 109), (2, 109)]
    with pytest.raises(AmbiguousAcquisitionError, match=r"acquisition 1: 109.*acquisition 2: 109"):
        read_volume(folder)
    with pytest.raises(AmbiguousAcquisitionError, match=r"no acquisition 3.*acquisition 1: 109"):
        read_volume(folder, acquisition=3)


@pytest.mark.parametrize("acquisition", [1, 2])
def test_each_acquisition_of_hcc_002_lines_up_with_its_mask(shared_data, acquisition):
    folder = shared_data / "dicom"
    mask = read_label_map(folder / f"HCC_002_acquisition{acquisition}_kidney.nii.gz")

    volume = read_volume(folder / "HCC_002_two_acquisitions", acquisition=acquisition)

    assert volume.hu.shape == (109, 512, 512)
    assert volume.geometry.matches(mask.geometry, tolerance_mm=1e-2)
    assert 80 < volume.hu[mask.labels > 0].mean() < 250


def test_a_series_without_identifying_tags_is_read(shared_data):
    volume = read_volume(shared_data / "dicom" / "stripped_tags_20_slices")
    assert volume.hu.shape == (20, 512, 512)
    assert volume.geometry.spacing_mm == (2.0, 0.9765625, 0.9765625)
    assert volume.hu.min() == -1024


# Geometry, on slices built here.


def test_slices_are_sorted_by_place_and_the_affine_is_right(write_series):
    folder = write_series([7.0, 1.0, 4.0], RescaleSlope=2, RescaleIntercept=-1024)

    volume = read_volume(folder)

    assert volume.hu.dtype == np.int16
    assert volume.hu[:, 0, 0].tolist() == [2 - 1024, 8 - 1024, 14 - 1024]
    assert volume.geometry.spacing_mm == (3.0, 0.5, 0.75)
    # LPS (-10, -20, 1) is RAS (10, 20, 1); x runs to the left (-R), y to the back (-A).
    np.testing.assert_allclose(volume.geometry.affine @ [0, 0, 0, 1], [10, 20, 1, 1])
    np.testing.assert_allclose(volume.geometry.affine @ [2, 1, 1, 1], [9.25, 19.5, 7, 1])


def test_rows_and_columns_are_not_swapped(tmp_path, write_slice):
    pixels = np.arange(24, dtype=np.int16).reshape(4, 6)
    for height_mm in (0.0, 1.0):
        write_slice(tmp_path / "series" / f"{height_mm}.dcm", height_mm, pixels)
    np.testing.assert_array_equal(read_volume(tmp_path / "series").hu[0], pixels)


def test_slices_seen_from_the_head_are_turned_round(tmp_path, write_slice):
    pixels = np.arange(24, dtype=np.int16).reshape(4, 6)
    for height_mm in (0.0, 2.0):
        write_slice(
            tmp_path / "series" / f"{height_mm}.dcm",
            height_mm,
            pixels,
            ImageOrientationPatient=[-1, 0, 0, 0, 1, 0],
        )

    volume = read_volume(tmp_path / "series")

    np.testing.assert_array_equal(volume.hu[0], pixels[:, ::-1])
    assert volume.geometry.affine[2, 0] == 2.0


def test_a_fractional_slope_gives_float32(write_series):
    volume = read_volume(write_series([1.0, 2.0], RescaleSlope=0.5))
    assert volume.hu.dtype == np.float32
    assert volume.hu[:, 0, 0].tolist() == [0.5, 1.0]


def test_a_label_map_of_a_dicom_series_lies_on_its_grid(write_series, tmp_path):
    volume = read_volume(write_series([0.0, 2.5, 5.0]))
    labels = (volume.hu > 2).astype(np.uint8)

    write_label_map(LabelMap(labels, volume.geometry), tmp_path / "labels.nii.gz")

    again = read_label_map(tmp_path / "labels.nii.gz")
    assert again.geometry.source.shape == (6, 4, 3)
    assert again.geometry.matches(volume.geometry, tolerance_mm=1e-5)
    np.testing.assert_array_equal(again.labels, labels)


def test_an_acquisition_number_that_counts_turns_of_the_tube_is_one_volume(tmp_path, write_slice):
    for number in range(4):
        write_slice(
            tmp_path / "series" / f"{number}.dcm", 5.0 * number, AcquisitionNumber=1 + number // 2
        )
    assert read_volume(tmp_path / "series").hu.shape[0] == 4


def test_acquisitions_half_a_gap_apart_are_not_interleaved(write_series):
    write_series([0.0, 2.0, 4.0], name="arterial", AcquisitionNumber=1)
    folder = write_series([1.0, 3.0, 5.0], name="portal", AcquisitionNumber=2)
    with pytest.raises(AmbiguousAcquisitionError):
        read_volume(folder)
    assert read_volume(folder, acquisition=2).hu[:, 0, 0].tolist() == [1, 3, 5]


def acquisitions(write_slice, folder, numbers, gap_mm=5.0, **tags):
    """Slices from the feet to the head with these AcquisitionNumbers."""
    for index, number in enumerate(numbers):
        write_slice(folder / f"{index}.dcm", gap_mm * index, AcquisitionNumber=number,
                    **{name: value(index) if callable(value) else value for name, value in tags.items()})  # fmt: skip
    return folder


@pytest.mark.parametrize(
    ("numbers", "tags"),
    [
        ([1, 2] * 4, {"InstanceNumber": lambda index: 8 - index}),
        ([1, 2] * 4, {"SliceThickness": 5}),
        ([1, 2, 3] * 4, {"SliceThickness": 5}),
        ([1, 1, None, 1, 1, None, 1], {}),
        ([None, 3, 3, None, 3, 3, 3, None], {}),
        ([5, 1, 5, 5, 2, 1, 1, 5], {}),
    ],
)
def test_acquisition_numbers_that_alternate_within_one_stack(tmp_path, write_slice, numbers, tags):
    folder = acquisitions(write_slice, tmp_path / "series", numbers, **tags)
    volume = read_volume(folder)
    assert (volume.hu.shape[0], volume.notes) == (len(numbers), ())
    chosen = choose(read_catalogue(folder), DicomChoice())
    assert chosen.why.endswith("acquisitions are one stack")


def test_an_acquisition_that_takes_every_other_slice_is_told(tmp_path, write_slice):
    folder = acquisitions(write_slice, tmp_path / "series", [1, 2] * 4, SliceThickness=5)
    volume = read_volume(folder, acquisition=1)
    assert volume.hu.shape[0] == 4
    (note,) = volume.notes
    assert "acquisition 1 takes 4 of the 8 slices of series" in note
    assert "without --acquisition all of them are taken" in note


@pytest.mark.parametrize("thickness_mm", [None, 10])
def test_slices_that_alternate_and_may_be_two_phases_are_asked_about(
    tmp_path, write_slice, thickness_mm
):
    folder = acquisitions(write_slice, tmp_path / "series", [1, 2] * 4, SliceThickness=thickness_mm)
    with pytest.raises(AmbiguousAcquisitionError, match="several acquisitions whose slices alternate"):
        read_volume(folder)
    (note,) = read_volume(folder, acquisition=2).notes
    assert "alternate with those of others" in note


def test_other_files_and_scouts_are_skipped_and_logged(write_series, tmp_path, write_slice, caplog):
    folder = write_series([0.0, 1.0, 2.0])
    (folder / "readme.txt").write_text("not DICOM")
    (folder / "short").write_bytes(b"")
    write_slice(folder / "report.dcm", 0.0, SOPClassUID=BasicTextSRStorage, Rows=None, Columns=None)
    write_slice(folder / "screenshot.dcm", 0.0, ImagePositionPatient=None)
    write_slice(
        folder / "scout.dcm",
        0.0,
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
        SeriesInstanceUID=generate_uid(),
        ImageOrientationPatient=[1, 0, 0, 0, 0, -1],
    )
    with caplog.at_level(logging.INFO):
        volume = read_volume(folder)
    assert volume.hu.shape[0] == 3
    assert "skipped 5 files that are not slices of it" in caplog.text


# Bad input.


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(NoImagesError, match="got no file"):
        read_volume(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(NoImagesError, match=r"1 x \.txt") as caught:
        read_volume(tmp_path)
    assert caught.value.exit_code == 2


def test_a_missing_slice_is_refused_with_its_neighbours(write_series):
    folder = write_series([0.0, 3.0, 6.0, 12.0, 15.0])
    with pytest.raises(MissingSliceError, match=r"6\.00 mm between slice002\.dcm and slice003\.dcm"):
        read_volume(folder)


def test_rounded_positions_are_no_missing_slice(write_series):
    volume = read_volume(write_series([0.0, 0.6, 1.3, 1.9, 2.5]))
    assert volume.geometry.spacing_mm[0] == pytest.approx(0.625)


def test_two_series_alike_in_one_folder_are_refused_and_listed(write_series):
    write_series([0.0, 1.0, 2.0], name="first", SeriesNumber=2)
    folder = write_series(
        [5.0, 6.0, 7.0],
        name="second",
        SeriesInstanceUID="1.2.3",
        SeriesNumber=3,
        SeriesDescription="Later",
    )
    found = r"series 2 'Abdomen': 3 slices.*\(--series 2\); series 3 'Later': 3 slices.*\(--series 3\)"
    with pytest.raises(AmbiguousSeriesError, match=found) as caught:
        read_volume(folder)
    assert caught.value.exit_code == 2
    assert read_volume(folder, series="1.2.3").hu[:, 0, 0].tolist() == [5, 6, 7]
    assert read_volume(folder, series="2").hu[:, 0, 0].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "tags",
    [
        {"PixelSpacing": [0.6, 0.75]},
        {"ImageOrientationPatient": [1, 0, 0, 0, 0.995, 0.0998]},
        {"FrameOfReferenceUID": "1.2.3"},
        {"ImagePositionPatient": [-14.0, -20.0, 2.0]},
    ],
    ids=["spacing", "orientation", "frame", "beside"],
)
def test_slices_that_do_not_stack_are_refused(write_series, write_slice, tags):
    folder = write_series([0.0, 1.0, 3.0])
    write_slice(folder / "odd.dcm", 2.0, **tags)
    with pytest.raises(MixedSeriesError, match=r"odd\.dcm"):
        read_volume(folder)


@pytest.mark.parametrize("length", [150, 500])
def test_a_header_cut_short_is_refused(write_series, length):
    folder = write_series([0.0, 1.0, 2.0])
    path = folder / "slice002.dcm"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(
        TruncatedFileError, match=r"slice002\.dcm.*the file ends within its DICOM header"
    ):
        read_volume(folder)


def test_a_header_with_values_that_are_no_numbers_is_refused(write_series):
    folder = write_series([0.0, 1.0, 2.0])
    path = folder / "slice001.dcm"
    path.write_bytes(path.read_bytes().replace(b"0.5\\0.75", b"wide\\0.8"))
    with pytest.raises(TruncatedFileError, match=r"slice001\.dcm: the DICOM header is damaged"):
        read_volume(folder)


def test_a_frame_of_reference_for_each_slice_is_told(write_series, write_slice):
    folder = write_series([0.0, 1.0])
    for number, path in enumerate(sorted(folder.iterdir())):
        write_slice(path, float(number), FrameOfReferenceUID=generate_uid())
    with pytest.raises(MixedSeriesError, match="frame of reference"):
        read_volume(folder)  # of two slices, two frames may be two scans
    write_slice(folder / "third.dcm", 2.0, FrameOfReferenceUID=generate_uid())
    volume = read_volume(folder)
    assert volume.hu.shape[0] == 3
    assert "each slice has a frame of reference of its own" in volume.notes[0]


@pytest.mark.parametrize("uid", ["SeriesInstanceUID", "StudyInstanceUID"])
def test_a_series_for_each_slice_is_named_as_such(write_slice, tmp_path, uid):
    for number in range(40):
        write_slice(tmp_path / "series" / f"{number}.dcm", float(number), **{uid: generate_uid()})
    with pytest.raises(
        NoImagesError, match=r"every slice is in a series of its own.*40 series of one"
    ) as caught:
        read_volume(tmp_path / "series")
    assert len(str(caught.value)) < 600


def test_long_lists_are_cut(write_series):
    for number in range(9):
        folder = write_series(
            [0.0, 1.0], f"s{number}", SeriesNumber=number, SeriesInstanceUID=f"1.2.{number}"
        )
    with pytest.raises(AmbiguousSeriesError, match="and 4 more"):
        read_volume(folder)


ODD = {
    "a number that is none": (b"0.5\\0.75", b"wide\\0.8"),
    "an infinite number": (b"0.5\\0.75", b"0.5\\inf "),
    "a spacing of zero": (b"0.5\\0.75", b"0.0\\0.75"),
    "a zero direction": (b"1.0\\0.0\\0.0\\0.0", b"0.0\\0.0\\0.0\\0.0"),
    "a length that does not fit": (b"\x28\0\x10\0US\2\0\4\0", b"\x28\0\x10\0FD\2\0\4\0"),
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_whatever_a_header_holds_its_error_names_the_file(write_series, odd):
    folder = write_series([0.0, 1.0, 2.0])
    path = folder / "slice001.dcm"
    content = path.read_bytes()
    assert odd[0] in content
    path.write_bytes(content.replace(*odd))
    with pytest.raises(InputError, match=r"slice001\.dcm"):
        read_volume(folder)


def test_values_that_only_describe_may_be_odd(write_series):
    folder = write_series([0.0, 1.0, 2.0], SeriesNumber=7, InstanceNumber=42)
    for path in folder.iterdir():
        path.write_bytes(
            path.read_bytes().replace(b"IS\2\0007 ", b"IS\2\0X ").replace(b"IS\2\00042", b"IS\2\000.!")
        )
    volume = read_volume(folder)
    assert volume.hu.shape[0] == 3
    assert [each.of.series_number for each in read_catalogue(folder).series] == [None]


def test_what_pydicom_finds_odd_is_one_line_without_a_name(write_series, caplog, capfd):
    folder = write_series(
        [0.0, 1.0, 2.0], SeriesInstanceUID="1.2.3", PatientName="AAAA", PatientID="4711"
    )
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"1.2.3\0", b"1.02.3").replace(b"4711", b"4\n11"))
    with caplog.at_level(logging.WARNING):
        assert read_volume(folder).hu.shape[0] == 3
    (line,) = caplog.messages
    assert line.endswith("values in 3 DICOM headers break the standard; read as they are")
    assert "AAAA" not in capfd.readouterr().err


def test_a_file_that_may_not_be_opened_is_named(tmp_path, write_slice):
    path = write_slice(tmp_path / "scan.dcm", 0.0)
    path.unlink()
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(NoImagesError, match=r"1 x \.dcm"):
        read_volume(tmp_path)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("kept", [0, 1])
def test_files_without_a_preamble_are_read(write_series, syntax, kept):
    """Without the preamble, and without the file's meta information after it too."""
    folder = write_series([0.0, 1.0, 2.0])
    for path in folder.iterdir():
        dataset, stream = pydicom.dcmread(path), io.BytesIO()
        if syntax == ExplicitVRBigEndian:
            dataset.PixelData = dataset.pixel_array.astype(">i2").tobytes()
        dataset.file_meta.TransferSyntaxUID = syntax
        pydicom.dcmwrite(stream, Dataset(dataset), implicit_vr=syntax.is_implicit_VR,
                         little_endian=syntax.is_little_endian)  # fmt: skip
        meta = io.BytesIO()
        write_file_meta_info(DicomIO(meta), dataset.file_meta)
        path.write_bytes(meta.getvalue() * kept + stream.getvalue())
    assert read_volume(folder).hu[:, 0, 0].tolist() == [0, 1, 2]
    assert read_catalogue(folder).series[0].of.transfer_syntax_uid == syntax


@pytest.mark.parametrize("edge", [8, 256])
def test_pixels_compressed_in_an_unknown_way_are_said_to_be(write_series, edge):
    folder = write_series([0.0, 1.0, 2.0])
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.Rows = dataset.Columns = edge
        dataset.PixelData = bytes(2 * edge**2)
        dataset.compress(RLELossless)
        dataset.save_as(path)
        content = path.read_bytes()
        path.write_bytes(content[144 + int.from_bytes(content[140:144], "little") :])
    with pytest.raises(UnreadableImageError, match="compressed, and the file does not say how"):
        read_volume(folder)


def test_slices_of_two_sizes_are_refused(write_series, write_slice):
    folder = write_series([0.0, 1.0])
    write_slice(folder / "odd.dcm", 2.0, np.zeros((8, 8), dtype=np.int16))
    with pytest.raises(MixedSeriesError, match="size"):
        read_volume(folder)


def test_two_phases_without_any_number_are_refused(write_series):
    write_series([0.0, 1.0, 2.0], name="arterial", AcquisitionNumber=None, SeriesInstanceUID=None)
    folder = write_series([0.0, 1.0, 2.0], name="portal", AcquisitionNumber=None, SeriesInstanceUID=None)
    with pytest.raises(MixedSeriesError, match="at the same position"):
        read_volume(folder)


@pytest.mark.parametrize(
    ("orientation", "name"),
    [([0, 1, 0, 0, 0, -1], "sagittal"), ([1, 0, 0, 0, 0, -1], "coronal")],
)
def test_a_series_that_is_not_axial_is_refused(tmp_path, write_slice, orientation, name):
    normal = np.cross(orientation[:3], orientation[3:])
    for number in range(3):
        write_slice(
            tmp_path / "series" / f"{number}.dcm",
            0.0,
            ImageOrientationPatient=orientation,
            ImagePositionPatient=(normal * number).tolist(),
        )
    with pytest.raises(NonAxialSeriesError, match=name):
        read_volume(tmp_path / "series")


def test_a_tilted_gantry_is_refused(tmp_path, write_slice):
    for number in range(3):
        write_slice(
            tmp_path / "series" / f"{number}.dcm", 0.0, ImagePositionPatient=[0, number, 5.0 * number]
        )
    with pytest.raises(AffineError, match="sheared"):
        read_volume(tmp_path / "series")


def test_colour_slices_are_refused(tmp_path, write_slice):
    rgb = np.zeros((4, 4, 3), dtype=np.uint8)
    write_slice(tmp_path / "placed" / "0.dcm", 0.0, rgb)
    write_slice(tmp_path / "photo" / "0.dcm", 0.0, rgb, ImagePositionPatient=None)
    for folder in ("placed", "photo"):
        with pytest.raises(ColourImageError, match="samples per pixel"):
            read_volume(tmp_path / folder)


def test_multi_frame_images_are_refused_by_name(tmp_path, write_slice):
    write_slice(tmp_path / "series" / "0.dcm", 0.0, NumberOfFrames=5, ImagePositionPatient=None)
    with pytest.raises(UnreadableImageError, match="multi-frame"):
        read_volume(tmp_path / "series")


def test_a_single_slice_is_no_volume(write_series):
    with pytest.raises(DimensionError, match="one slice"):
        read_volume(write_series([0.0]))


def test_a_slice_cut_short_is_refused(write_series):
    folder = write_series([0.0, 1.0, 2.0])
    path = folder / "slice001.dcm"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(TruncatedFileError, match=r"slice001\.dcm"):
        read_volume(folder)


@pytest.mark.parametrize("vr", [b"FD", b"UL", b"SQ", b"AT"])
def test_a_damaged_name_is_not_repeated(write_series, vr):
    """pydicom's messages quote the value that it cannot read."""
    folder = write_series([0, 1, 2], PatientName="MUSTERMANN^ERIKA")
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"\x10\x00\x10\x00PN", b"\x10\x00\x10\x00" + vr))
    try:
        told = repr(read_volume(folder).notes)
    except InputError as error:
        told = str(error)
    assert "MUSTERMANN" not in told
    with (
        pytest.raises(InputError, match=r"bytes per value. Instead received \.\.\. with") as found,
        named_dicom_errors("a.dcm"),
    ):
        raise ValueError("of bytes per value. Instead received b'MUSTERMANN' with")
    assert "MUSTERMANN" not in str(found.value)


def test_slices_of_two_scales_patients_or_kernels(write_series):
    folder = write_series([0, 1, 2], "a", RescaleIntercept=-1024)
    write_series(
        [3, 4, 5], "b", RescaleIntercept=None, RescaleSlope=None, PatientID="2", ConvolutionKernel="B70f"
    )
    with pytest.raises(MixedSeriesError, match=r"RescaleIntercept in a000\.dcm or in b000\.dcm alone"):
        read_volume(folder)
    write_series([0, 1, 2], "a", RescaleIntercept=0)
    told = " ".join(read_volume(folder).notes)
    assert "name 2 patients" in told
    assert "name 2 kernels" in told
