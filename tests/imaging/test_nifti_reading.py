from __future__ import annotations

import gzip
import logging

import nibabel as nib
import numpy as np
import pytest

from renalmap.errors import (
    AffineError,
    ColourImageError,
    DimensionError,
    LabelError,
    NonFiniteVoxelsError,
    PathMissingError,
    TruncatedFileError,
    UnreadableImageError,
)
from renalmap.imaging import read_label_map, read_volume

AFFINE = np.diag([-0.8, -0.8, 3.0, 1.0])


@pytest.fixture
def scan(tmp_path):
    """A function that writes an array as a NIfTI scan and returns its path."""

    def write(voxels, affine=AFFINE, name="scan.nii.gz", slope_inter=None):
        image = nib.Nifti1Image(voxels, affine)
        if slope_inter is not None:
            image.header.set_slope_inter(*slope_inter)
        nib.save(image, tmp_path / name)
        return tmp_path / name

    return write


def noise(dtype=np.int16):
    return np.random.default_rng(0).integers(-1000, 1000, (16, 16, 8)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64])
def test_whole_numbers_become_int16_however_they_are_stored(scan, dtype):
    voxels = noise(dtype)
    volume = read_volume(scan(voxels))
    assert volume.hu.dtype == np.int16
    np.testing.assert_array_equal(volume.hu, voxels.transpose(2, 1, 0))


def test_an_integer_slope_and_intercept_keep_int16(tmp_path):
    raw = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    image = nib.Nifti1Image(raw, AFFINE)
    nib.save(image, tmp_path / "scan.nii")
    stamp_scaling(tmp_path / "scan.nii", slope=2.0, intercept=-1024.0)

    volume = read_volume(tmp_path / "scan.nii")

    assert volume.hu.dtype == np.int16
    np.testing.assert_array_equal(volume.hu, raw.transpose(2, 1, 0).astype(int) * 2 - 1024)


def test_a_fractional_slope_gives_float32(tmp_path):
    raw = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    nib.save(nib.Nifti1Image(raw, AFFINE), tmp_path / "scan.nii")
    stamp_scaling(tmp_path / "scan.nii", slope=0.5, intercept=-10.0)

    volume = read_volume(tmp_path / "scan.nii")

    assert volume.hu.dtype == np.float32
    np.testing.assert_array_equal(volume.hu, raw.transpose(2, 1, 0) * 0.5 - 10.0)


def stamp_scaling(path, slope, intercept):
    """Write the slope into a finished file: nibabel's writer would choose its own."""
    header = nib.Nifti1Header(path.read_bytes()[:348])
    header["scl_slope"], header["scl_inter"] = slope, intercept
    path.write_bytes(header.binaryblock + path.read_bytes()[348:])


def test_values_beyond_int16_late_in_a_file_give_float32_throughout(scan, monkeypatch):
    monkeypatch.setattr("renalmap.imaging.nifti.CHUNK_BYTES", 16 * 16 * 4)
    voxels = noise(np.int32)
    voxels[3, 4, 7] = 40_000

    volume = read_volume(scan(voxels))

    assert volume.hu.dtype == np.float32
    np.testing.assert_array_equal(volume.hu, voxels.transpose(2, 1, 0))


def test_a_trailing_axis_of_one_is_dropped(scan):
    assert read_volume(scan(noise()[..., np.newaxis])).hu.shape == (8, 16, 16)


def test_a_header_in_metres_is_read_in_millimetres(tmp_path):
    image = nib.Nifti1Image(noise(), np.diag([-0.0008, -0.0008, 0.003, 1.0]))
    image.header.set_xyzt_units("meter")
    nib.save(image, tmp_path / "scan.nii")
    spacing_mm = read_volume(tmp_path / "scan.nii").geometry.spacing_mm
    np.testing.assert_allclose(spacing_mm, (3.0, 0.8, 0.8), rtol=1e-6)


def test_a_header_without_orientation_is_read_with_a_warning(tmp_path, caplog):
    image = nib.Nifti1Image(noise(), None)
    image.header.set_qform(None, code=0)
    nib.save(image, tmp_path / "scan.nii")
    with caplog.at_level(logging.WARNING):
        read_volume(tmp_path / "scan.nii")
    assert "how the patient lies" in caplog.text


def test_a_missing_path_is_named(tmp_path):
    with pytest.raises(PathMissingError, match=r"nowhere\.nii\.gz"):
        read_volume(tmp_path / "nowhere.nii.gz")


@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.nii"])
@pytest.mark.parametrize("kept", [0.5, 0.01, 0.0])
def test_a_file_cut_short_is_refused(scan, name, kept):
    path = scan(noise(), name=name)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(TruncatedFileError, match="truncated") as caught:
        read_volume(path)
    assert caught.value.exit_code == 2
    with pytest.raises(TruncatedFileError):
        read_label_map(path)


def test_a_gzip_file_with_flipped_bits_is_refused(scan):
    path = scan(noise())
    damaged = bytearray(path.read_bytes())
    damaged[-6] ^= 0xFF  # in the checksum
    path.write_bytes(bytes(damaged))
    with pytest.raises(TruncatedFileError):
        read_volume(path)


@pytest.mark.parametrize("name", ["notes.nii", "notes.nii.gz"])
def test_a_text_file_by_another_name_is_refused(tmp_path, name):
    (tmp_path / name).write_text("This is no scan.\n" * 100)
    with pytest.raises(UnreadableImageError, match="not a NIfTI image"):
        read_volume(tmp_path / name)


def test_zipped_text_is_refused(tmp_path):
    (tmp_path / "notes.nii.gz").write_bytes(gzip.compress(b"This is no scan.\n" * 100))
    with pytest.raises(UnreadableImageError, match="not a NIfTI image"):
        read_volume(tmp_path / "notes.nii.gz")


def test_a_file_with_another_suffix_is_refused(tmp_path):
    (tmp_path / "slice.dcm").write_bytes(b"anything")
    with pytest.raises(UnreadableImageError, match="give the folder"):
        read_volume(tmp_path / "slice.dcm")


@pytest.mark.parametrize("shape", [(16, 12), (16, 12, 8, 3), (16, 12, 1, 1, 3)])
def test_other_than_three_axes_are_refused_with_the_shape(scan, shape):
    with pytest.raises(DimensionError) as caught:
        read_volume(scan(np.zeros(shape, dtype=np.int16)))
    assert str(shape) in str(caught.value)


def test_a_colour_image_is_refused(scan):
    rgb = np.zeros((4, 4, 4), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(ColourImageError, match="3 samples per voxel"):
        read_volume(scan(rgb))


def test_complex_voxels_are_refused(scan):
    with pytest.raises(UnreadableImageError, match="complex"):
        read_volume(scan(np.zeros((4, 4, 4), dtype=np.complex64)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_no_number_are_refused(scan, bad):
    voxels = noise(np.float32)
    voxels[1, 2, 3] = bad
    path = scan(voxels)
    with pytest.raises(NonFiniteVoxelsError, match="at least 1 "):
        read_volume(path)
    with pytest.raises(NonFiniteVoxelsError):
        read_label_map(path)


def test_a_singular_affine_is_refused(scan):
    path = scan(noise(), name="scan.nii")
    header = nib.Nifti1Header(path.read_bytes()[:348])
    header["sform_code"] = 1
    header["srow_z"] = 0.0
    path.write_bytes(header.binaryblock + path.read_bytes()[348:])
    with pytest.raises(AffineError, match="singular"):
        read_volume(path)


def test_a_sheared_affine_is_refused(scan):
    sheared = AFFINE.copy()
    sheared[1, 2] = 0.8
    with pytest.raises(AffineError, match="sheared"):
        read_volume(scan(noise(), affine=sheared))


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float64])
def test_labels_of_any_number_type_are_read(scan, dtype):
    labels = np.random.default_rng(0).integers(0, 3, (5, 4, 3)).astype(dtype)
    label_map = read_label_map(scan(labels, name="case_00015.nii.gz"))
    assert label_map.labels.dtype == np.uint8
    assert label_map.name == "case_00015"
    np.testing.assert_array_equal(label_map.labels, labels.transpose(2, 1, 0))


@pytest.mark.parametrize(("dtype", "wrong"), [(np.float32, 0.5), (np.int16, -1), (np.uint16, 256)])
def test_a_value_that_is_no_label_is_named(scan, dtype, wrong):
    labels = np.zeros((5, 4, 3), dtype=dtype)
    labels[2, 2, 2] = wrong
    with pytest.raises(LabelError) as caught:
        read_label_map(scan(labels))
    assert f"got {wrong}" in str(caught.value)


def test_a_label_map_cannot_be_a_folder(tmp_path):
    with pytest.raises(UnreadableImageError, match="a folder"):
        read_label_map(tmp_path)


def test_an_acquisition_asked_of_a_nifti_file_is_not_silently_ignored(scan, caplog):
    with caplog.at_level(logging.WARNING):
        read_volume(scan(noise()), acquisition=2)
    assert "has no acquisition; 2 is not used" in caplog.text
