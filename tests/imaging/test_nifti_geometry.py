"""Headers that place a scan in two ways, in none, in a unit that cannot be, or at no place a body can have."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from renalmap.errors import AffineError, UnreadableImageError
from renalmap.imaging import DicomChoice, build_geometry, read_geometry, read_label_map, read_volume
from renalmap.imaging.in_memory import label_map_to_nibabel, volume_from_nibabel, volume_from_sitk
from renalmap.imaging.nifti_writing import write_label_map

VOXELS = np.random.default_rng(0).integers(-1000, 1000, (12, 10, 8)).astype(np.int16)
SFORM = np.array([[-4.0, 0, 0, 199], [0, -4.0, 0, 187], [0, 0, 5.0, -67.5], [0, 0, 0, 1]])


def moved(**changes) -> np.ndarray:
    """The sform with its rows or entries changed: `zz=2.5` is half the slice distance."""
    affine = SFORM.copy()
    for name, value in changes.items():
        affine["xyz".index(name[0]), "xyzt".index(name[1])] = value
    return affine


@pytest.fixture
def write(tmp_path):
    """A function that writes voxels with these matrices and codes, unit and offset, past nibabel's own checks."""

    def write(
        sform=SFORM, qform=SFORM, *, codes=(1, 1), unit=2, offset=352, voxels=VOXELS, pixdim=None
    ) -> Path:
        header = nib.Nifti1Header()
        header.set_data_shape(voxels.shape)
        header.set_data_dtype(voxels.dtype)
        header.set_qform(qform, 1)
        header.set_sform(sform, 1)
        header["sform_code"], header["qform_code"] = codes
        header["xyzt_units"], header["magic"], header["vox_offset"] = unit, b"n+1", offset
        if pixdim is not None:
            header["pixdim"][1:4] = pixdim
        path: Path = tmp_path / "scan.nii"
        path.write_bytes(header.binaryblock + bytes(4) + voxels.tobytes(order="F"))
        return path

    return write


def ways_to_read(path, **options):
    """The same file by its path, through nibabel and through SimpleITK."""
    yield lambda: read_volume(path, **options)
    yield lambda: volume_from_nibabel(nib.load(path), **options)
    yield lambda: volume_from_sitk(sitk.ReadImage(path), **options)


CONTRADICTIONS = {
    "half the slice distance": moved(zz=2.5),
    "left for right": moved(xx=4.0, xt=-199.0),
    "head for feet": moved(zz=-5.0),
    "two axes exchanged": np.array(
        [[0, -4.0, 0, 199], [-4.0, 0, 0, 187], [0, 0, 5.0, -67.5], [0, 0, 0, 1]]
    ),
    "pixels a third larger": moved(xx=-5.3, yy=-5.3),
}


@pytest.mark.parametrize("qform", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_matrices_that_contradict_each_other_are_refused_until_one_is_chosen(write, qform, capfd):
    path = write(qform=qform)
    ours, nibabels, sitks = ways_to_read(path)
    hidden = (
        qform is CONTRADICTIONS["head for feet"]
    )  # SimpleITK keeps no handedness, and reads the sform
    for read in (ours, nibabels, *([] if hidden else [sitks])):
        with pytest.raises(AffineError, match="--orientation sform"):
            read()
    for name, affine in (("sform", SFORM), ("qform", qform)):
        ours, nibabels, sitks = ways_to_read(path, orientation=name)
        for read in (ours, nibabels, *([sitks] if name == "sform" else [])):
            source = read().geometry.source
            np.testing.assert_allclose(source.affine, affine, atol=1e-3)
            assert source.doubts == ()
    capfd.readouterr()  # SimpleITK's own warnings


def test_a_simpleitk_image_that_lies_by_the_sform_cannot_be_laid_by_the_qform(write, capfd):
    image = sitk.ReadImage(write(qform=CONTRADICTIONS["left for right"]))
    with pytest.raises(UnreadableImageError, match="Give the file's path"):
        volume_from_sitk(image, orientation="qform")
    capfd.readouterr()


def test_what_was_chosen_is_all_that_a_label_map_says(write, tmp_path):
    path = write(qform=CONTRADICTIONS["left for right"], voxels=(VOXELS > 0).astype(np.uint8))
    for name in ("sform", "qform"):
        labels = read_label_map(path, name)
        out = tmp_path / f"{name}.nii.gz"
        write_label_map(labels, out)
        again = read_label_map(out)
        assert again.geometry.matches(labels.geometry)
        np.testing.assert_array_equal(again.labels, labels.labels)
        np.testing.assert_allclose(label_map_to_nibabel(labels).affine, labels.geometry.source.affine)


@pytest.mark.parametrize("shift_mm", [0.05, 30.0])
def test_a_shift_is_worth_a_doubt_if_it_is_more_than_rounding(write, shift_mm):
    path = write(qform=moved(xt=199.0 + shift_mm))
    for read in ways_to_read(path):
        doubts = read().geometry.source.doubts
        assert len(doubts) == (shift_mm > 1)
        assert all("place the scan differently" in each for each in doubts)


def test_a_header_without_codes_is_a_guess_that_travels_with_the_volume(write, caplog):
    path = write(codes=(0, 0))
    for read in ways_to_read(path):
        (doubt,) = read().geometry.source.doubts
        assert "left and right may be swapped" in doubt
    assert str(path) in caplog.text
    placed = sitk.ReadImage(path)
    placed.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    assert volume_from_sitk(placed).geometry.source.doubts == ()  # somebody knows better


def test_a_lone_sform_whose_sizes_pixdim_does_not_share_is_doubted(write, capfd):
    path = write(codes=(1, 0), pixdim=(4, 4, 2.5))
    for read in ways_to_read(path):
        (doubt,) = read().geometry.source.doubts
        assert "4 x 4 x 5 mm by the sform, 4 x 4 x 2.5 mm by pixdim" in doubt
    capfd.readouterr()


def test_an_affine_changed_in_memory_is_believed(write):
    image = nib.Nifti1Image.from_filename(write(qform=CONTRADICTIONS["left for right"]))
    image.affine[:3, 3] += 50.0
    assert volume_from_nibabel(image).geometry.source.doubts == ()


@pytest.mark.parametrize(("unit", "name"), [(1, "metre"), (3, "micrometre")])
def test_a_unit_in_which_no_body_fits_is_taken_as_millimetre_with_a_doubt(write, unit, name, tmp_path):
    path = write(unit=unit)
    for read in ways_to_read(path):
        geometry = read().geometry
        np.testing.assert_allclose(geometry.spacing_mm, (5, 4, 4))
        (doubt,) = geometry.source.doubts
        assert f"unit is the {name}" in doubt
    labels = read_label_map(write(unit=unit, voxels=(VOXELS > 0).astype(np.uint8)))
    write_label_map(labels, tmp_path / "labels.nii.gz")
    assert read_geometry(tmp_path / "labels.nii.gz").source.doubts == ()
    np.testing.assert_allclose(label_map_to_nibabel(labels).affine, SFORM)


def test_voxels_said_to_begin_within_the_header_are_read_from_behind_it(write):
    path = write(offset=0)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.geometry.source.from_canonical(volume.hu), VOXELS)
    assert "byte 0" in volume.geometry.source.doubts[0]
    for read in list(ways_to_read(path))[1:]:  # these libraries have misread it by then
        with pytest.raises(UnreadableImageError, match="byte 0"):
            read()


@pytest.mark.parametrize(
    ("shape", "spacing_mm", "origin_mm", "got"),
    [
        ((9, 9, 9), (1e6, 1, 1), 0, "voxels of 1e\\+06 x 1 x 1 mm"),
        ((6, 6, 9), (6, 6, 1e5), 0, "voxels of"),
        ((9, 9, 9), (0.001, 0.001, 0.003), 0, "voxels of"),
        ((512, 512, 3000), (1, 1, 1), 0, "an extent of 512 x 512 x 3000 mm"),
        ((9, 9, 9), (1, 1, 1), 1e9, "from the origin"),
    ],
)
def test_no_grid_is_larger_or_smaller_than_a_scan_of_a_body(shape, spacing_mm, origin_mm, got):
    affine = np.diag([*spacing_mm, 1.0])
    affine[0, 3] = origin_mm
    with pytest.raises(AffineError, match=got):
        build_geometry(shape, affine)


def test_dicom_choice_passes_the_orientation_on(write):
    path = write(qform=CONTRADICTIONS["half the slice distance"])
    assert read_volume(path, DicomChoice(orientation="qform")).geometry.spacing_mm[0] == pytest.approx(
        2.5
    )


def test_the_files_that_were_reported(shared_data, capfd):
    cases = shared_data.parent / "cases"
    for name in ("half_spacing", "mirrored"):
        for read in ways_to_read(cases / "10_nifti_sform_qform" / f"{name}.nii.gz"):
            with pytest.raises(AffineError, match="contradict each other"):
                read()
    for read in ways_to_read(cases / "12_nifti_metre" / "metre.nii.gz"):
        geometry = read().geometry
        np.testing.assert_allclose(geometry.spacing_mm, (5, 4, 4))
        assert "unit is the metre" in geometry.source.doubts[0]
    capfd.readouterr()


def test_centimetres_are_doubted(write):
    """NIfTI has no code for them; converters write them nevertheless."""
    affine = SFORM * np.array([[0.02], [0.02], [0.1], [1.0]])
    (doubt,) = read_volume(write(affine, affine)).geometry.source.doubts
    assert "0.08 x 0.08 x 0.5 mm, finer than a scanner's" in doubt
