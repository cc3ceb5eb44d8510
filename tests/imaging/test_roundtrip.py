"""Whatever way a scan is stored, it is read the same, and its label map returns to its own grid."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.strategies import (
    ORIENTATIONS,
    orientations,
    origins_mm,
    seeds,
    small_shapes_zyx,
    spacings_zyx_mm,
)

from renalmap.imaging import (
    LabelMap,
    Volume,
    build_geometry,
    read_geometry,
    read_label_map,
    read_volume,
    write_label_map,
    write_probability_map,
    write_volume,
)

KITS19_ORIENTATION = "IPL"


def load(path: Path) -> Any:
    """A stored image as nibabel sees it."""
    return nib.load(path)


def spl_image(shape_zyx, spacing_zyx_mm, origin_mm, seed):
    """A NIfTI image stored in the canonical orientation itself."""
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2] = np.array(spacing_zyx_mm) * (1.0, -1.0, -1.0)
    affine[:, 3] = (*origin_mm, 1.0)
    voxels = np.random.default_rng(seed).integers(-1000, 1500, shape_zyx, dtype=np.int16)
    return nib.Nifti1Image(voxels, affine)


def stored_as(image, axcodes):
    """The same image with its axes permuted and reversed by nibabel, not by the code under test."""
    change = nib.orientations.ornt_transform(
        nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(axcodes)
    )
    return image.as_reoriented(change)


def test_there_are_48_orientations_and_kits19s_is_among_them():
    assert len(set(ORIENTATIONS)) == 48
    assert KITS19_ORIENTATION in ORIENTATIONS


@pytest.mark.parametrize("axcodes", ORIENTATIONS)
def test_every_orientation_is_read_as_the_same_volume(axcodes, tmp_path):
    image = spl_image((2, 3, 4), (5.0, 0.7, 0.9), (10.0, 20.0, 30.0), seed=3)
    nib.save(stored_as(image, axcodes), tmp_path / "scan.nii")

    volume = read_volume(tmp_path / "scan.nii")

    np.testing.assert_array_equal(volume.hu, np.asarray(image.dataobj))
    np.testing.assert_allclose(volume.geometry.affine, image.affine, atol=1e-4)
    np.testing.assert_allclose(volume.geometry.spacing_mm, (5.0, 0.7, 0.9), rtol=1e-6)


@settings(max_examples=60, derandomize=True)
@given(
    axcodes=orientations,
    shape_zyx=small_shapes_zyx,
    spacing_mm=spacings_zyx_mm,
    origin_mm=origins_mm,
    codes=st.sampled_from([(0, 1), (1, 0), (1, 2), (2, 1)]),
    seed=seeds,
)
def test_a_label_map_returns_to_the_scans_own_grid(
    axcodes, shape_zyx, spacing_mm, origin_mm, codes, seed
):
    image = spl_image(shape_zyx, spacing_mm, origin_mm, seed)
    stored = stored_as(image, axcodes)
    qform_code, sform_code = codes
    stored.set_qform(stored.affine, code=qform_code)
    stored.set_sform(stored.affine, code=sform_code)
    with tempfile.TemporaryDirectory() as folder:
        scan_path, label_path = Path(folder) / "scan.nii.gz", Path(folder) / "labels.nii.gz"
        nib.save(stored, scan_path)
        volume = read_volume(scan_path)
        labels = (volume.hu > 0).astype(np.uint8)
        write_label_map(LabelMap(labels, volume.geometry), label_path)

        scan, written = load(scan_path), load(label_path)
        assert written.shape == scan.shape
        assert written.get_data_dtype() == np.uint8
        assert written.affine.tobytes() == scan.affine.tobytes()
        for field in ("qform_code", "sform_code", "xyzt_units", "pixdim", "srow_x", "quatern_b"):
            np.testing.assert_array_equal(written.header[field], scan.header[field])
        np.testing.assert_array_equal(np.asarray(written.dataobj), np.asarray(scan.dataobj) > 0)
        again = read_label_map(label_path)
    np.testing.assert_array_equal(again.labels, labels)
    assert again.geometry.matches(volume.geometry, tolerance_mm=0.0)


@settings(max_examples=60, derandomize=True)
@given(
    axcodes=orientations,
    shape_zyx=small_shapes_zyx,
    spacing_mm=spacings_zyx_mm,
    origin_mm=origins_mm,
    picks=st.lists(st.tuples(*[st.integers(0, 1000)] * 3), min_size=3, max_size=3),
)
def test_a_voxel_keeps_its_place_in_the_patient(axcodes, shape_zyx, spacing_mm, origin_mm, picks):
    stored = stored_as(spl_image(shape_zyx, spacing_mm, origin_mm, seed=0), axcodes)
    # Every voxel holds its own number, so a value names its stored place.
    numbered = np.arange(np.prod(stored.shape), dtype=np.int16).reshape(stored.shape)

    geometry = build_geometry(stored.shape, stored.affine)
    canonical = geometry.source.to_canonical(numbered)

    assert canonical.shape == geometry.shape == shape_zyx
    for pick in picks:
        index = tuple(value % size for value, size in zip(pick, geometry.shape, strict=True))
        stored_index = np.unravel_index(int(canonical[index]), stored.shape)
        np.testing.assert_allclose(
            geometry.affine @ (*index, 1.0), stored.affine @ (*stored_index, 1.0), atol=1e-9
        )
    np.testing.assert_array_equal(geometry.source.from_canonical(canonical), numbered)


def test_kits19s_layout_has_the_slice_first(tmp_path):
    voxels = np.zeros((5, 4, 3), dtype=np.uint8)
    voxels[0, 0, 0] = 1  # the topmost, foremost, rightmost voxel of axes I, P, L
    affine = np.array([[0, 0, -0.9, 0], [0, -0.8, 0, 0], [-3.0, 0, 0, 0], [0, 0, 0, 1.0]])
    nib.save(nib.Nifti1Image(voxels, affine), tmp_path / "segmentation.nii.gz")

    label_map = read_label_map(tmp_path / "segmentation.nii.gz")

    assert label_map.geometry.shape == (5, 4, 3)
    np.testing.assert_allclose(label_map.geometry.spacing_mm, (3.0, 0.8, 0.9), rtol=1e-6)
    assert np.argwhere(label_map.labels).tolist() == [[4, 0, 0]]


def test_a_real_kits19_mask_returns_unchanged(shared_data, tmp_path):
    path = shared_data / "kits19" / "data" / "case_00021" / "segmentation.nii.gz"

    label_map = read_label_map(path)
    write_label_map(label_map, tmp_path / "copy.nii.gz")

    original, copy = load(path), load(tmp_path / "copy.nii.gz")
    assert copy.affine.tobytes() == original.affine.tobytes()
    assert copy.get_data_dtype() == original.get_data_dtype()
    np.testing.assert_array_equal(np.asarray(copy.dataobj), np.asarray(original.dataobj))
    # KiTS19 counts slices from the head; ours from the feet.
    np.testing.assert_array_equal(label_map.labels[0], np.asarray(original.dataobj)[-1])
    assert label_map.labels.max() == 2


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_a_volume_written_and_read_is_the_same(dtype, tmp_path):
    geometry = build_geometry((4, 3, 2), np.diag([-0.7, -0.7, 3.0, 1.0]))
    hu: Any = np.random.default_rng(0).normal(0, 300, geometry.shape).astype(dtype)
    write_volume(Volume(hu, geometry), tmp_path / "phantom.nii")

    volume = read_volume(tmp_path / "phantom.nii")

    assert volume.hu.dtype == dtype
    np.testing.assert_array_equal(volume.hu, hu)
    assert volume.geometry.matches(geometry, tolerance_mm=1e-6)
    assert volume.name == "phantom"


def test_probabilities_read_as_fractions(tmp_path):
    geometry = build_geometry((2, 2, 2), np.eye(4))
    write_probability_map(
        np.full((2, 2, 2), 51, dtype=np.uint8), geometry, tmp_path / "probability.nii.gz"
    )

    image = load(tmp_path / "probability.nii.gz")

    assert image.get_data_dtype() == np.uint8
    np.testing.assert_allclose(image.get_fdata(), 0.2, rtol=1e-6)


def test_a_big_endian_nifti2_scan_keeps_its_grid(tmp_path):
    header = nib.Nifti2Header(endianness=">")
    affine = np.diag([-0.5, -0.5, 2.0, 1.0])
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    nib.save(nib.Nifti2Image(voxels, affine, header), tmp_path / "scan.nii")

    volume = read_volume(tmp_path / "scan.nii")
    write_label_map(LabelMap((volume.hu > 5).astype(np.uint8), volume.geometry), tmp_path / "out.nii")

    written = load(tmp_path / "out.nii")
    assert isinstance(written, nib.Nifti2Image)
    assert written.affine.tobytes() == affine.tobytes()
    np.testing.assert_array_equal(np.asarray(written.dataobj), voxels > 5)


def test_geometry_alone_equals_the_volumes(tmp_path):
    nib.save(spl_image((2, 3, 4), (1, 2, 3), (4, 5, 6), seed=0), tmp_path / "scan.nii.gz")

    geometry = read_geometry(tmp_path / "scan.nii.gz")

    assert geometry.matches(read_volume(tmp_path / "scan.nii.gz").geometry, tolerance_mm=0.0)
