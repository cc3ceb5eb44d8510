"""Tilted gantries and varying slice distances: named, and corrected where that is asked for.

The scans here are linear in space (HU = a x + b y + c z in the patient's own axes), which linear
interpolation must give back exactly, up to rounding to whole HU.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from pydicom import dcmread
from tests.imaging.conftest import source_of

from renalmap.errors import GantryTiltError, MissingSliceError, UnevenSlicesError
from renalmap.imaging import LabelMap, read_geometry, read_volume, write_label_map
from renalmap.imaging.dicom.placing import labels_on_instances
from renalmap.imaging.dicom.resampling import AIR_HU
from renalmap.imaging.reading import read_label_map
from renalmap.imaging.volume import SliceNames

ROWS, COLUMNS, ROW_MM, COLUMN_MM = 30, 24, 1.5, 2.0
SLOPE = np.array([2.0, 3.0, 5.0])
TILT_DEGREES = 12.0
ROUNDING_HU = 1.0
EVEN = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
HEAD_FIRST = (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def tilted(degrees):
    angle = np.radians(degrees)
    return 1.0, 0.0, 0.0, 0.0, float(np.cos(angle)), float(np.sin(angle))


@pytest.fixture
def scan(tmp_path, write_slice):
    """A function that scans the linear patient: first pixels at these heights on the table, LPS."""

    def write(heights_mm, orientation=EVEN):
        along_row, along_column = np.array(orientation).reshape(2, 3)
        row, column = np.mgrid[:ROWS, :COLUMNS]
        for number, height_mm in enumerate(heights_mm):
            position = np.array([-20.0, -22.0, height_mm])
            place = (
                position[:, None, None]
                + along_row[:, None, None] * column * COLUMN_MM
                + along_column[:, None, None] * row * ROW_MM
            )
            write_slice(
                tmp_path / "scan" / f"{number:02}.dcm", 0.0,
                np.rint(np.tensordot(SLOPE, place, 1)).astype(np.int16),
                ImagePositionPatient=position.tolist(), ImageOrientationPatient=list(orientation),
                PixelSpacing=[ROW_MM, COLUMN_MM],
            )  # fmt: skip
        return tmp_path / "scan"

    return write


def truth_hu(geometry):
    index = np.indices(geometry.shape).reshape(3, -1)
    ras = geometry.affine[:3, :3] @ index + geometry.affine[:3, 3:]
    return (SLOPE * (-1, -1, 1) @ ras).reshape(geometry.shape)


UNEVEN = {
    "two distances": (0.0, 3.0, 6.0, 9.0, 14.0, 19.0, 24.0),
    "one odd gap": (0.0, 3.0, 6.0, 10.4, 13.4, 16.4),
    "drifting": (0.0, 3.0, 6.0, 9.0, 12.0, 15.0, 17.6, 20.2, 22.8, 25.4, 28.0, 30.6),
}


@pytest.mark.parametrize("heights_mm", UNEVEN.values(), ids=UNEVEN)
def test_a_varying_distance_is_refused(scan, heights_mm):
    with pytest.raises(UnevenSlicesError, match=r"spacing between slices varies.*--resample") as caught:
        read_volume(scan(heights_mm))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("orientation", [EVEN, HEAD_FIRST], ids=["even", "head_first"])
@pytest.mark.parametrize("heights_mm", UNEVEN.values(), ids=UNEVEN)
def test_a_varying_distance_is_resampled_exactly(scan, heights_mm, orientation):
    folder = scan(heights_mm, orientation)

    volume = read_volume(folder, resample=True)

    assert volume.hu.dtype == np.int16
    assert np.abs(volume.hu - truth_hu(volume.geometry)).max() <= ROUNDING_HU
    ends = (
        volume.geometry.affine[2, 0] * np.array([0, volume.hu.shape[0] - 1])
        + volume.geometry.affine[2, 3]
    )
    np.testing.assert_allclose(ends, [heights_mm[0], heights_mm[-1]])
    assert volume.geometry.spacing_mm[0] <= np.median(np.diff(heights_mm))
    assert volume.geometry.spacing_mm[1:] == (ROW_MM, COLUMN_MM)
    assert read_geometry(folder, resample=True).matches(volume.geometry, tolerance_mm=0.0)
    (note,) = volume.notes
    assert f"resampled from {len(heights_mm)} slices to {volume.hu.shape[0]} (uneven spacing" in note


def test_labels_return_to_the_slices_that_were_scanned(scan, tmp_path):
    volume = read_volume(scan(UNEVEN["two distances"]), resample=True)
    hu = truth_hu(volume.geometry)
    label_map = LabelMap((hu > 20).astype(np.uint8), volume.geometry)

    returned = labels_on_instances(label_map, source_of(volume))

    scanned = np.array([each.file.read_dataset().pixel_array for each in source_of(volume).instances])
    assert source_of(volume).resampled
    assert returned.shape == scanned.shape == (7, ROWS, COLUMNS)
    # The nearest voxel is at most half a voxel off: elsewhere there is no doubt.
    half_voxel_hu = np.abs(SLOPE[::-1] * volume.geometry.spacing_mm).sum() / 2
    sure = np.abs(scanned - 20.5) > half_voxel_hu
    assert 0.4 < sure.mean() < 1.0
    np.testing.assert_array_equal(returned[sure], (scanned > 20)[sure])
    write_label_map(label_map, tmp_path / "labels.nii.gz")
    assert read_label_map(tmp_path / "labels.nii.gz").geometry.matches(
        volume.geometry, tolerance_mm=1e-2
    )


def test_an_even_scan_is_not_touched(scan):
    folder = scan([0.0, 3.0, 6.0, 9.0])
    volume = read_volume(folder, resample=True)
    np.testing.assert_array_equal(volume.hu, read_volume(folder).hu)
    assert not source_of(volume).resampled
    assert volume.notes == ()


@pytest.mark.parametrize("orientation", [EVEN, HEAD_FIRST], ids=["even", "head_first"])
def test_labels_return_exactly_where_nothing_was_resampled(scan, orientation):
    volume = read_volume(scan([6.0, 0.0, 3.0], orientation))
    label_map = LabelMap((volume.hu > 20).astype(np.uint8), volume.geometry)

    returned = labels_on_instances(label_map, source_of(volume))

    scanned = [each.file.read_dataset().pixel_array for each in source_of(volume).instances]
    np.testing.assert_array_equal(returned, np.array(scanned) > 20)


@pytest.mark.parametrize("degrees", [TILT_DEGREES, -TILT_DEGREES])
def test_a_tilted_gantry_is_refused_with_its_angle(scan, degrees):
    folder = scan(np.arange(10) * 4.0, tilted(degrees))
    for read in (read_volume, read_geometry):
        with pytest.raises(GantryTiltError, match=r"a tilt of 12\.0 degrees.*--resample corrects it"):
            read(folder)


@pytest.mark.parametrize("degrees", [TILT_DEGREES, -TILT_DEGREES])
def test_a_tilted_gantry_is_corrected_exactly(scan, degrees):
    volume = read_volume(scan(np.arange(10) * 4.0, tilted(degrees)), resample=True)

    geometry, hu = volume.geometry, truth_hu(volume.geometry)
    assert geometry.spacing_mm == pytest.approx((4.0, ROW_MM, COLUMN_MM))
    np.testing.assert_allclose(geometry.affine[:3, :3], np.fliplr(np.diag([-2.0, -1.5, 4.0])), atol=1e-9)
    found = volume.hu != AIR_HU
    # Beyond the outermost pixels by half of one at most, values are those of the edge.
    edge_hu = SLOPE[1] * ROW_MM / 2 + SLOPE[2] * 4.0 / 2
    assert np.abs(volume.hu - hu)[found].max() <= edge_hu + ROUNDING_HU
    inside = np.zeros(found.shape, bool)
    inside[3:-3, 3:-3, :] = True
    inside &= found
    for axis in (0, 1):
        for step in (-1, 1):
            inside &= np.roll(found, step, axis)
    assert inside.sum() > 1000
    assert np.abs(volume.hu - hu)[inside].max() <= ROUNDING_HU
    assert "gantry tilt of 12.0 degrees" in volume.notes[0]


def test_labels_return_to_tilted_slices(scan):
    volume = read_volume(scan(np.arange(10) * 4.0, tilted(TILT_DEGREES)), resample=True)
    labels = (truth_hu(volume.geometry) > 20).astype(np.uint8)

    returned = labels_on_instances(LabelMap(labels, volume.geometry), source_of(volume))

    scanned = np.array([each.file.read_dataset().pixel_array for each in source_of(volume).instances])
    half_voxel_hu = np.abs(SLOPE[::-1] * volume.geometry.spacing_mm).sum() / 2
    sure = np.abs(scanned - 20.5) > half_voxel_hu
    assert 0.4 < sure.mean() < 1.0
    np.testing.assert_array_equal(returned[sure], (scanned > 20)[sure])


def test_a_tilted_scan_loses_no_pixel(scan):
    volume = read_volume(scan(np.arange(10) * 4.0, tilted(TILT_DEGREES)), resample=True)
    everywhere = LabelMap(np.ones(volume.geometry.shape, np.uint8), volume.geometry)
    assert labels_on_instances(everywhere, source_of(volume)).all()


def test_a_tilt_of_half_a_degree_is_rounding(scan):
    assert read_volume(scan(np.arange(5) * 4.0, tilted(0.3))).notes == ()


@pytest.mark.parametrize(
    ("heights_mm", "named"),
    [
        (
            (0.0, 3.0, 6.0, 12.0, 15.0),
            r"1 missing at z = 9\.00 mm: 6\.00 mm between 02\.dcm and 03\.dcm",
        ),
        ((0.0, 3.0, 12.0, 15.0, 18.0), r"2 missing at z = 6\.00, 9\.00 mm: 9\.00 mm between 01\.dcm"),
        (
            (0, 2, 4, 8, 10, 12, 14, 16, 18, 22, 24, 26),
            r"1 missing at z = 6\.00 mm.*; 1 missing at z = 20\.00 mm",
        ),
    ],
)
def test_missing_slices_are_named_by_their_place(scan, heights_mm, named):
    with pytest.raises(MissingSliceError, match=named) as caught:
        read_volume(scan(heights_mm))
    assert type(caught.value) is MissingSliceError


def test_a_small_hole_is_filled_if_asked_for(scan):
    volume = read_volume(scan([0.0, 3.0, 6.0, 12.0, 15.0]), resample=True)
    assert volume.hu.shape[0] == 6
    assert np.abs(volume.hu - truth_hu(volume.geometry)).max() <= ROUNDING_HU
    assert "1 missing at z = 9.00 mm" in volume.notes[0]


def test_a_wide_hole_is_never_filled(scan):
    with pytest.raises(MissingSliceError, match=r"too wide.*15\.00 mm between 01\.dcm and 02\.dcm"):
        read_volume(scan([0.0, 3.0, 18.0, 21.0, 24.0]), resample=True)


def test_a_slice_is_named_as_its_file_names_it(tmp_path, write_slice):
    heights_mm = [8.0, 6.0, 4.0, 2.0]  # numbered from the head, as scanners do
    for number, height_mm in enumerate(heights_mm, start=1):
        path = tmp_path / f"{number}.dcm"
        write_slice(path, height_mm, InstanceNumber=number, AcquisitionDate="20240229")
    volume = read_volume(tmp_path)
    names = SliceNames.of(0, volume)
    assert (names.index, names.number, names.instance_number, names.frame_number) == (0, 1, 4, None)
    assert names.sop_instance_uid == dcmread(tmp_path / "4.dcm").SOPInstanceUID
    assert volume.source is not None
    assert volume.source.acquired_on == date(2024, 2, 29)
    (tmp_path / "3.dcm").unlink()
    assert SliceNames.of(0, read_volume(tmp_path, resample=True)) == SliceNames(0, 1)


@pytest.mark.parametrize("day", ["", "2024"])
def test_a_date_that_is_none_is_not_told(tmp_path, write_slice, day):
    for height_mm in (0.0, 5.0):
        write_slice(tmp_path / f"{height_mm}.dcm", height_mm, AcquisitionDateTime=day)
    assert source_of(read_volume(tmp_path)).acquired_on is None
