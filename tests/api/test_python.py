"""`renalmap.segment`: the same scan by every way in gives the same labels at the same places."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from nibabel.affines import apply_affine
from numpy.typing import NDArray
from tests.imaging.conftest import _write_slice

import renalmap
from renalmap.api.request import SegmentRequest
from renalmap.api.segment import segment
from renalmap.api.segmenter import read_scan
from renalmap.errors import (
    AffineError,
    ColourImageError,
    ConfigError,
    DimensionError,
    InputError,
    NonFiniteVoxelsError,
    OutputExistsError,
    PathMissingError,
    UnreadableImageError,
)
from renalmap.imaging import read_label_map

AXIAL = np.array([[0, 0, -0.7, 40.0], [0, -0.8, 0, 60.0], [3.0, 0, 0, -300.0], [0, 0, 0, 1]])
"""From canonical (z, y, x) to RAS+ mm."""


@pytest.fixture(scope="module")
def segmenter(make_bundle):
    return renalmap.Segmenter(make_bundle())


def turned(degrees_x: float, degrees_z: float) -> NDArray[np.float64]:
    """A patient lying askew."""
    matrix = np.eye(4)
    for degrees, (first, second) in ((degrees_x, (1, 2)), (degrees_z, (0, 1))):
        turn = np.eye(4)
        sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
        turn[first, first], turn[first, second] = cosine, -sine
        turn[second, first], turn[second, second] = sine, cosine
        matrix = matrix @ turn
    return matrix


def image_of(voxels: NDArray[Any], axcodes: str, turn: NDArray[np.float64] | None = None) -> Any:
    """Canonical voxels as a nibabel image with the axes asked for."""
    order = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("SPL"), nib.orientations.axcodes2ornt(axcodes)
    )
    image = nib.Nifti1Image(voxels, AXIAL).as_reoriented(order)
    affine = image.affine if turn is None else turn @ image.affine
    return nib.Nifti1Image(np.asarray(image.dataobj), affine)


def places_of(image: Any) -> NDArray[np.float64]:
    """World points (RAS+ mm) of all voxel centres of a nibabel image, in the array's order."""
    return np.asarray(apply_affine(image.affine, np.argwhere(np.ones(image.shape, bool))))


def labels_at(
    array: NDArray[np.uint8], affine: NDArray[np.float64], points: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """The labels at world points, all of which must be voxel centres."""
    indices = apply_affine(np.linalg.inv(affine), points)
    np.testing.assert_allclose(indices, np.rint(indices), atol=1e-2)
    return np.asarray(array[tuple(np.rint(indices).astype(int).T)])


def labels_at_by_sitk(image: Any, points: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The same by SimpleITK, whose world is LPS."""
    lps = points * (-1.0, -1.0, 1.0)
    return np.array([image[image.TransformPhysicalPointToIndex(point)] for point in lps.tolist()])


def check_places(result: renalmap.Result, truth: Any, name: str) -> None:
    """A result has the truth's labels at the truth's places, by all it offers."""
    points, expected = places_of(truth), np.asarray(truth.dataobj).ravel()
    by_nibabel = result.to_nibabel()
    for found in (
        labels_at(result.labels, result.affine, points),
        labels_at(np.asarray(by_nibabel.dataobj), by_nibabel.affine, points),
    ):
        np.testing.assert_array_equal(found, expected, err_msg=name)
    by_sitk = labels_at_by_sitk(result.to_sitk(), points[::61])
    np.testing.assert_array_equal(by_sitk, expected[::61], err_msg=name)


# The four ways in.


@pytest.mark.parametrize(
    ("axcodes", "turn"),
    [
        ("LAS", None),
        ("RAS", None),
        ("LPS", None),
        ("SPL", None),
        ("PIR", None),
        ("ARI", None),
        ("RAS", turned(12, -7)),
        ("LPI", turned(-9, 14)),
        ("IRP", turned(15, 5)),
    ],
)
def test_every_way_in_finds_the_same_places(tmp_path, segmenter, hu, labels, axcodes, turn):
    image = image_of(hu, axcodes, turn)
    path = tmp_path / "scan.nii.gz"
    nib.save(image, path)
    by_sitk = sitk.ReadImage(str(path))

    results = {
        "path": segmenter.segment(path),
        "text": segmenter.segment(str(path)),
        "nibabel": segmenter.segment(image),
        "nibabel, from the file": segmenter.segment(nib.load(path)),
        "array": segmenter.segment(np.asarray(image.dataobj), affine=image.affine),
        "SimpleITK": segmenter.segment(by_sitk),
    }

    truth = image_of(labels, axcodes, turn)
    for name, result in results.items():
        check_places(result, truth, name)
    for name in ("path", "text", "nibabel", "nibabel, from the file", "array"):
        np.testing.assert_array_equal(results[name].labels, np.asarray(truth.dataobj), err_msg=name)
    as_sitk = results["SimpleITK"]
    np.testing.assert_array_equal(as_sitk.labels, np.asarray(truth.dataobj).T)
    assert as_sitk.labels.shape == sitk.GetArrayFromImage(by_sitk).shape
    # ITK refuses two images that do not lie at the same place.
    masked = sitk.Mask(sitk.Cast(by_sitk, sitk.sitkInt32), as_sitk.to_sitk())
    assert (sitk.GetArrayFromImage(masked) != 0).sum() == (labels > 0).sum()


def test_a_dicom_folder_and_the_same_series_by_simpleitk(tmp_path, segmenter, hu, labels):
    folder = tmp_path / "series"
    for z, pixels in enumerate(hu):
        _write_slice(
            folder / f"{z}.dcm",
            3.0 * z,
            pixels,
            ImageOrientationPatient=[1, 0, 0, 0, 0.9961947, 0.0871557],
            ImagePositionPatient=[-10.0, -20.0 - 3.0 * z * 0.0871557, 3.0 * z * 0.9961947],
            PixelSpacing=[0.8, 0.7],
        )
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    result, by_sitk = segmenter.segment(folder), segmenter.segment(sitk.ReadImage(names))
    assert result.labels.shape == (128, 128, 7)
    np.testing.assert_array_equal(result.labels, labels.transpose(2, 1, 0))
    np.testing.assert_array_equal(by_sitk.labels, labels)
    check_places(by_sitk, result.to_nibabel(), "SimpleITK")
    check_places(result, by_sitk.to_nibabel(), "DICOM")


@pytest.mark.parametrize(
    "dtype", [np.int16, np.uint16, np.int32, np.float32, np.float64, np.dtype(">i2"), np.float16]
)
def test_types_of_voxels_do_not_matter(segmenter, hu, labels, dtype):
    air = 0 if np.dtype(dtype).kind == "u" else -1000
    voxels = np.where(hu < 0, air, hu).astype(dtype)
    result = segmenter.segment(voxels, affine=AXIAL)
    np.testing.assert_array_equal(result.labels, labels)
    assert result.volume.hu.dtype == np.int16


def test_fractions_of_a_hu_are_kept(segmenter, hu):
    result = segmenter.segment(hu + np.float32(0.25), affine=AXIAL)
    assert result.volume.hu.dtype == np.float32
    np.testing.assert_array_equal(result.volume.hu, hu + np.float32(0.25))


def test_a_files_scale_is_applied_once(tmp_path, segmenter, hu, labels):
    image = image_of((hu + 1024).astype(np.uint16), "LAS")
    plain = tmp_path / "scaled.nii"
    nib.save(image, plain)
    with plain.open("r+b") as file:  # nibabel undoes a scale when it saves, so it is written by hand
        file.seek(112)
        file.write(np.array([1.0, -1024.0], "<f4").tobytes())
    loaded: Any = nib.Nifti1Image.from_filename(plain)
    assert loaded.dataobj.inter == -1024
    result = segmenter.segment(loaded)
    np.testing.assert_array_equal(result.volume.hu, hu)
    np.testing.assert_array_equal(result.labels, np.asarray(image_of(labels, "LAS").dataobj))


def test_an_array_is_neither_changed_nor_kept(segmenter, hu):
    voxels = hu.copy()
    result = segmenter.segment(voxels, affine=AXIAL)
    np.testing.assert_array_equal(voxels, hu)
    voxels[:] = 0
    np.testing.assert_array_equal(result.volume.hu, hu)
    result.labels[:] = 9
    assert result.label_map.labels.max() == 2


def test_metres_and_codes_survive(segmenter, hu):
    image = image_of(hu, "LAS")
    header = image.header.copy()
    affine = image.affine.copy()
    affine[:3] /= 1000
    header.set_xyzt_units("meter")
    header.set_sform(affine, code=2)
    header.set_qform(affine, code=1)
    result = segmenter.segment(nib.Nifti1Image(np.asarray(image.dataobj), affine, header))
    assert result.volume.geometry.spacing_mm == pytest.approx((3.0, 0.8, 0.7))
    written = result.to_nibabel()
    np.testing.assert_allclose(written.affine, affine)
    assert written.header.get_xyzt_units()[0] == "meter"
    assert (written.header["sform_code"], written.header["qform_code"]) == (2, 1)


def test_an_affine_changed_in_place_counts(segmenter, hu):
    image = image_of(hu, "LAS")
    image.affine[:3, 3] += 50.0  # the header does not know
    result = segmenter.segment(image)
    np.testing.assert_allclose(result.to_nibabel().affine, image.affine)


def test_other_formats_of_nibabel(segmenter, hu, labels):
    stored = image_of(hu, "LAS")
    voxels = np.asarray(stored.dataobj)
    truth = np.asarray(image_of(labels, "LAS").dataobj)
    for kind in (nib.Nifti2Image, nib.Nifti1Pair, nib.MGHImage):
        result = segmenter.segment(kind(voxels.astype(np.float32), stored.affine))
        np.testing.assert_array_equal(result.labels, truth, err_msg=kind.__name__)
        np.testing.assert_allclose(result.to_nibabel().affine, stored.affine, atol=1e-4)


# What comes back.


def test_the_command_and_the_function_agree(tmp_path, make_bundle, write_scan, hu):
    model, scan = make_bundle(), write_scan(tmp_path / "scan.nii.gz", hu, axcodes="PIR")
    (case,) = segment([scan], tmp_path / "command.nii.gz", SegmentRequest(model=model)).cases
    result = renalmap.segment(scan, model=model)
    assert result.save(tmp_path / "function.nii.gz") == tmp_path / "function.nii.gz"
    assert (tmp_path / "function.nii.gz").read_bytes() == (tmp_path / "command.nii.gz").read_bytes()
    assert result.quality == case.quality
    assert list(result.flags) == case.quality.flags
    assert result.kidney_found


def test_a_scan_without_a_kidney_is_no_error(segmenter):
    empty = np.full((5, 128, 128), 40, np.int16)
    empty[:, :4] = -1000
    result = segmenter.segment(empty, affine=AXIAL)
    assert not result.labels.any()
    assert not result.kidney_found
    assert "no_kidney_found" in result.flags


def test_values_that_are_no_hu_are_doubted(segmenter, hu):
    result = segmenter.segment(np.clip(hu, 0, 255), affine=AXIAL)
    assert any("8-bit picture" in text for text in result.warnings)
    assert not any("8-bit" in text for text in segmenter.segment(hu, affine=AXIAL).warnings)


def test_what_is_found_is_measured(segmenter, hu, labels):
    measured = segmenter.segment(hu, affine=AXIAL).measurements
    voxel_ml = 3.0 * 0.8 * 0.7 / 1000
    assert measured.with_scan
    (tumour,) = measured.tumours
    assert tumour.volume_ml == pytest.approx((labels == 2).sum() * voxel_ml, abs=0.01)
    assert tumour.mean_hu == pytest.approx(100)
    assert {kidney.side for kidney in measured.kidneys} == {"left", "right"}
    total = sum(kidney.parenchyma_ml for kidney in measured.kidneys)
    assert total == pytest.approx((labels == 1).sum() * voxel_ml, abs=0.02)


def test_a_dicom_seg_needs_dicom(tmp_path, segmenter, hu):
    result = segmenter.segment(hu, affine=AXIAL)
    with pytest.raises(InputError, match="this scan is not DICOM"):
        result.save(tmp_path / "seg.dcm")


def test_a_dicom_seg_lies_where_the_labels_do(tmp_path, segmenter, hu):
    folder = tmp_path / "series"
    for z, pixels in enumerate(hu):
        _write_slice(folder / f"{z}.dcm", 3.0 * z, pixels, PixelSpacing=[0.8, 0.7])
    result = segmenter.segment(folder)
    result.save(tmp_path / "seg.dcm")
    read = read_label_map(tmp_path / "seg.dcm")
    assert read.geometry.matches(result.label_map.geometry, tolerance_mm=1e-2)
    np.testing.assert_array_equal(read.labels, result.label_map.labels)


def test_a_report_is_a_page_that_names_nobody(tmp_path, segmenter, hu, write_scan):
    scan = write_scan(tmp_path / "Doe_John.nii.gz", hu)
    result = segmenter.segment(scan)
    page = result.save(tmp_path / "report.html").read_text()
    assert page.lower().startswith("<!doctype html>")
    assert result.bundle_sha256[:8] in page
    assert "Doe" not in page
    with pytest.raises(OutputExistsError):
        result.save(tmp_path / "report.html")


def test_progress_is_told(segmenter, hu):
    told = []
    segmenter.segment(hu, affine=AXIAL, progress=lambda *what: told.append(what))
    assert ("stage 1", 7, 7) in told


def test_options_are_obeyed(make_bundle, hu):
    options = renalmap.SegmentOptions(stage1_only=True, threads=1)
    result = renalmap.segment(hu, affine=AXIAL, model=make_bundle(), options=options)
    assert set(np.unique(result.labels)) == {0, 1}


def test_saving_never_replaces_unasked(tmp_path, segmenter, hu):
    result = segmenter.segment(hu, affine=AXIAL)
    result.save(tmp_path / "seg.nii.gz")
    with pytest.raises(OutputExistsError, match="would be overwritten"):
        result.save(tmp_path / "seg.nii.gz")
    result.save(str(tmp_path / "seg.nii.gz"), overwrite=True)
    with pytest.raises(PathMissingError, match="folder does not exist"):
        result.save(tmp_path / "missing" / "seg.nii.gz")
    with pytest.raises(InputError, match=r"got \.xyz; expected a name that ends in \.nii\.gz"):
        result.save(tmp_path / "seg.xyz")


# Bad input.

SINGULAR = np.diag([0.7, 0.0, 3.0, 1.0])
RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
ZEROS = np.zeros((4, 5, 6), np.int16)
NOT_FINITE = np.full((4, 5, 6), np.nan, np.float32)

BAD: list[tuple[str, Any, Any, type[InputError], str]] = [
    ("no affine", ZEROS, None, AffineError, "does not say where its voxels lie"),
    ("singular", ZEROS, SINGULAR, AffineError, "the affine is singular"),
    ("not a matrix", ZEROS, np.eye(3), AffineError, "not a finite 4 by 4 matrix"),
    ("not numbers", ZEROS, "RAS", AffineError, "not a matrix of numbers"),
    ("not finite", ZEROS, np.full((4, 4), np.nan), AffineError, "affine"),
    ("transposed", ZEROS, AXIAL.T, AffineError, "Is it transposed?"),
    ("one slice", ZEROS[0], np.eye(4), DimensionError, r"got shape \(5, 6\); expected three axes"),
    ("four axes", np.zeros((4, 5, 6, 2)), np.eye(4), DimensionError, "not a three-dimensional grid"),
    (
        "colour last",
        np.zeros((4, 5, 6, 3), np.uint8),
        np.eye(4),
        DimensionError,
        "in colour, or 3 volumes",
    ),
    ("no voxel", np.zeros((4, 0, 6)), np.eye(4), DimensionError, "each at least one voxel long"),
    ("NaN", NOT_FINITE, np.eye(4), NonFiniteVoxelsError, "NaN or infinite"),
    ("infinite", np.full((4, 5, 6), np.inf), np.eye(4), NonFiniteVoxelsError, "NaN or infinite"),
    ("complex", ZEROS.astype(complex), np.eye(4), UnreadableImageError, "not plain numbers"),
    (
        "truth values",
        ZEROS > 0,
        np.eye(4),
        UnreadableImageError,
        "got bool; expected integers or floats",
    ),
    ("text", ZEROS.astype(str), np.eye(4), UnreadableImageError, "not plain numbers"),
    ("objects", ZEROS.astype(object), np.eye(4), UnreadableImageError, "not plain numbers"),
    ("RGB", np.zeros((4, 5, 6), RGB), np.eye(4), ColourImageError, r"3 samples per voxel \(R, G, B\)"),
    (
        "RGB image",
        nib.Nifti1Image(np.zeros((4, 5, 6), RGB), np.eye(4)),
        None,
        ColourImageError,
        "in colour",
    ),
    ("one slice", nib.Nifti1Image(ZEROS[0], np.eye(4)), None, DimensionError, "three axes"),
    (
        "a series",
        nib.Nifti1Image(np.zeros((4, 5, 6, 2), "i2"), np.eye(4)),
        None,
        DimensionError,
        "three",
    ),
    ("no affine", nib.Nifti1Pair(ZEROS, None), None, AffineError, "no affine in the image"),
    ("singular", nib.spatialimages.SpatialImage(ZEROS, SINGULAR), None, AffineError, "singular"),
    ("NaN", nib.Nifti1Image(NOT_FINITE, np.eye(4)), None, NonFiniteVoxelsError, "NaN or infinite"),
    (
        "own affine",
        nib.Nifti1Image(ZEROS, np.eye(4)),
        np.eye(4),
        ConfigError,
        "affine= and a Nifti1Image",
    ),
    (
        "RGB",
        sitk.Image([6, 5, 4], sitk.sitkVectorUInt8, 3),
        None,
        ColourImageError,
        "3 samples per voxel",
    ),
    ("one slice", sitk.Image([6, 5], sitk.sitkInt16), None, DimensionError, r"shape \(6, 5\)"),
    ("a series", sitk.Image([6, 5, 4, 2], sitk.sitkInt16), None, DimensionError, "three axes"),
    ("complex", sitk.Image([6, 5, 4], sitk.sitkComplexFloat32), None, UnreadableImageError, "not plain"),
    ("NaN", sitk.GetImageFromArray(NOT_FINITE), None, NonFiniteVoxelsError, "NaN or infinite"),
    ("own affine", sitk.Image([6, 5, 4], sitk.sitkInt16), np.eye(4), ConfigError, "affine= and a Image"),
    ("a path's own affine", "scan.nii.gz", np.eye(4), ConfigError, "files and images have their own"),
    ("no file", "nowhere.nii.gz", None, PathMissingError, "nowhere.nii.gz: the path does not exist"),
    ("nothing", None, None, UnreadableImageError, "got a NoneType; expected a path, a nibabel image"),
    ("several", ["a.nii.gz", "b.nii.gz"], None, UnreadableImageError, "make a Segmenter and loop"),
]


@pytest.mark.parametrize(
    ("scan", "affine", "error", "message"),
    [each[1:] for each in BAD],
    ids=[f"{type(each[1]).__name__}: {each[0]}" for each in BAD],
)
def test_each_bad_input_has_its_error(segmenter, scan, affine, error, message):
    with pytest.raises(error, match=message):
        segmenter.segment(scan, affine=affine)


def test_images_have_no_acquisitions(segmenter):
    with pytest.raises(ConfigError, match="only a path can hold several DICOM series"):
        segmenter.segment(ZEROS, affine=np.eye(4), dicom=renalmap.DicomChoice(acquisition=2))


def test_without_simpleitk_its_image_names_the_package(segmenter, hu, monkeypatch):
    result = segmenter.segment(hu, affine=AXIAL)
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(renalmap.RenalMapError, match="pip install SimpleITK"):
        result.to_sitk()


# The package itself.


def test_the_function_and_the_module_of_its_name_live_together():
    program = """
import renalmap.api.segment
assert callable(renalmap.segment), renalmap.segment
from renalmap import segment
from renalmap.api.segment import segment as segment_files
assert segment is renalmap.segment and renalmap.api.segment.segment is segment_files is not segment
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_importing_the_package_loads_nothing_else():
    """So it takes no time: no other module of ours, none of a library, and of Python's own only these."""
    program = """
import json, sys, typing
before = {*sys.modules}
import renalmap
print(json.dumps([*{*sys.modules} - before]))
"""
    finished = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert set(json.loads(finished.stdout)) == {"__future__", "renalmap"}


# Real scans.


@pytest.mark.parametrize("name", ["dicom/stripped_tags_20_slices", "scans/unenhanced_3mm.nii.gz"])
def test_a_real_scan_is_the_same_volume_by_every_way_in(shared_data, name):
    path = shared_data / name
    others: list[Any]
    if path.is_dir():
        by_sitk = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(path)))
        others = [by_sitk]
    else:
        by_sitk = sitk.ReadImage(str(path))
        others = [by_sitk, nib.Nifti1Image.from_filename(path)]
    expected, _ = read_scan(path)
    for other in others:
        found, _ = read_scan(other)
        assert found.geometry.matches(expected.geometry, tolerance_mm=1e-2)
        np.testing.assert_array_equal(found.hu, expected.hu)
