"""Every kind of bad input ends with exit code 2, a message that names the file, and no output."""

from __future__ import annotations

import zipfile

import nibabel as nib
import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from renalmap.imaging import read_geometry

AFFINE = np.diag([-0.8, -0.8, 3.0, 1.0])
AXIAL, SAGITTAL = (1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1)
ONE_SERIES = generate_uid(entropy_srcs=["one"])
OTHER_SERIES = generate_uid(entropy_srcs=["other"])


def nifti(path, voxels, affine=AFFINE):
    nib.save(nib.Nifti1Image(voxels, affine), path)


def voxels(value=0.0):
    array = np.zeros((8, 8, 4), np.float32)
    array[3, 3, 2] = value
    return array


def missing(path):
    pass


def no_images(path):
    path.mkdir()
    (path / "notes.txt").write_text("no image")


def truncated(path):
    nifti(path, np.random.default_rng(0).integers(0, 99, (16, 16, 8)).astype(np.int16))
    path.write_bytes(path.read_bytes()[:1000])


def not_nifti(path):
    path.write_text("This is no scan.")


def two_dimensional(path):
    nifti(path, np.zeros((9, 7), np.int16))


def four_dimensional(path):
    nifti(path, np.zeros((9, 7, 5, 3), np.int16))


def colour(path):
    nifti(path, np.zeros((4, 4, 4), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")]))


def not_a_number(path):
    nifti(path, voxels(np.nan))


def infinite(path):
    nifti(path, voxels(np.inf))


def singular(path):
    plain = path.with_suffix("")
    nifti(plain, voxels())
    header = nib.Nifti1Header(plain.read_bytes()[:348])
    header["sform_code"], header["srow_z"] = 1, 0.0
    plain.write_bytes(header.binaryblock + plain.read_bytes()[348:])
    return plain


def sheared(path):
    affine = AFFINE.copy()
    affine[1, 2] = 0.8
    nifti(path, voxels(), affine)


def not_axial(path):
    series(path, orientation=SAGITTAL, along=0)


def missing_slice(path):
    series(path, heights_mm=(0, 3, 6, 12, 15))


def mixed_series(path):
    series(path)
    series(path, uid=OTHER_SERIES, heights_mm=(30, 33, 36, 39), prefix="other")


def uneven_slices(path):
    series(path, heights_mm=(0, 3, 6, 10, 14, 18))


def tilted_gantry(path):
    series(path, orientation=(1, 0, 0, 0, 0.98, 0.199))


def unsafe_archive(path):
    archive = path.with_name("study.zip")
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("../outside.dcm", b"x")
    return archive


def several_phases(path):
    series(path)
    series(path, prefix="later", AcquisitionNumber=2)


def series(path, *, heights_mm=(0, 3, 6, 9), uid=ONE_SERIES, prefix="slice", along=2, **tags):
    path.mkdir(exist_ok=True)
    orientation = tags.pop("orientation", AXIAL)
    for number, height_mm in enumerate(heights_mm):
        position = [0.0, 0.0, 0.0]
        position[along] = float(height_mm)
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CTImageStorage
        dataset.SOPInstanceUID = generate_uid(entropy_srcs=[prefix, str(number)])
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.Modality, dataset.SeriesInstanceUID, dataset.AcquisitionNumber = "CT", uid, 1
        dataset.ImagePositionPatient, dataset.ImageOrientationPatient = position, list(orientation)
        dataset.PixelSpacing, dataset.Rows, dataset.Columns = [2.0, 2.0], 8, 8
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
        dataset.PixelRepresentation, dataset.SamplesPerPixel = 1, 1
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.PixelData = np.zeros((8, 8), np.int16).tobytes()
        dataset["PixelData"].VR = "OW"
        for name, value in tags.items():
            setattr(dataset, name, value)
        dataset.save_as(path / f"{prefix}{number}.dcm", enforce_file_format=True)


BAD = {
    missing: "does not exist",
    no_images: "no ",
    truncated: "truncated",
    not_nifti: "not a NIfTI image",
    two_dimensional: r"(9, 7)",
    four_dimensional: "(9, 7, 5, 3)",
    colour: "in colour",
    not_a_number: "NaN",
    infinite: "infinite",
    singular: "singular",
    sheared: "sheared",
    not_axial: "not axial",
    missing_slice: "slices are missing",
    uneven_slices: "spacing between slices varies",
    tilted_gantry: "gantry was tilted",
    mixed_series: "several series",
    unsafe_archive: "leads out of the archive",
    several_phases: "--acquisition",
}
FOLDERS = {
    *(no_images, not_axial, missing_slice, uneven_slices, tilted_gantry, mixed_series, several_phases),
}


@pytest.mark.parametrize(("make", "text"), BAD.items(), ids=[make.__name__ for make in BAD])
def test_bad_input_ends_with_code_2_and_no_output(cli, tmp_path, model, make, text):
    path = tmp_path / ("scan" if make in FOLDERS else "scan.nii.gz")
    path = make(path) or path
    (tmp_path / "out").mkdir()
    finished = cli("segment", path, "--out", tmp_path / "out", "--model", model)
    assert finished.code == 2
    assert finished.stdout == ""
    assert finished.stderr.startswith("error: ")
    assert str(path) in finished.stderr
    assert text in finished.stderr
    assert "Traceback" not in finished.stderr
    assert not list((tmp_path / "out").iterdir())


def test_a_good_series_of_the_same_making_is_read(cli, tmp_path, model):
    """So that the refusals above are for what they say."""
    series(tmp_path / "scan")
    out = tmp_path / "out.nii.gz"
    finished = cli("segment", tmp_path / "scan", "--out", out, "--model", model, "-q", "--assume-hu")
    assert finished.code == 0
    assert read_geometry(out).source.shape == (8, 8, 4)
