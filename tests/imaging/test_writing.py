from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from renalmap.errors import (
    GeometryMismatchError,
    InputError,
    OutputExistsError,
    PathMissingError,
)
from renalmap.imaging import (
    LabelMap,
    build_geometry,
    read_label_map,
    read_volume,
    write_label_map,
    write_probability_map,
)


@pytest.fixture
def label_map():
    geometry = build_geometry((6, 5, 4), np.diag([-0.8, -0.8, 3.0, 1.0]))
    return LabelMap(np.random.default_rng(0).integers(0, 3, geometry.shape).astype(np.uint8), geometry)


def test_two_writes_give_identical_bytes(label_map, tmp_path):
    write_label_map(label_map, tmp_path / "first.nii.gz")
    write_label_map(label_map, tmp_path / "second.nii.gz")
    first = (tmp_path / "first.nii.gz").read_bytes()
    assert first == (tmp_path / "second.nii.gz").read_bytes()
    assert first[4:8] == b"\0\0\0\0", "the gzip header holds a time"
    assert first[3] == 0, "the gzip header holds a name"


def test_an_unknown_suffix_is_refused(label_map, tmp_path):
    with pytest.raises(InputError, match=r"\.nii\.gz or \.nii") as caught:
        write_label_map(label_map, tmp_path / "labels.png")
    assert caught.value.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_kept_unless_overwriting(label_map, tmp_path):
    path = tmp_path / "labels.nii"
    path.write_bytes(b"precious")
    with pytest.raises(OutputExistsError):
        write_label_map(label_map, path)
    assert path.read_bytes() == b"precious"

    write_label_map(label_map, path, overwrite=True)

    assert read_label_map(path).geometry.source.shape == (6, 5, 4)
    assert [each.name for each in tmp_path.iterdir()] == ["labels.nii"]


def test_a_missing_folder_is_named(label_map, tmp_path):
    with pytest.raises(PathMissingError, match="absent"):
        write_label_map(label_map, tmp_path / "absent" / "labels.nii.gz")


def test_a_probability_map_of_another_shape_is_refused(label_map, tmp_path):
    with pytest.raises(GeometryMismatchError):
        write_probability_map(
            np.zeros((1, 2, 3), dtype=np.uint8), label_map.geometry, tmp_path / "p.nii.gz"
        )


def test_what_may_name_the_patient_is_not_copied(tmp_path):
    image = nib.Nifti1Image(np.zeros((3, 3, 3), dtype=np.int16), np.eye(4))
    image.header["descrip"] = b"Jane Doe 1950"
    image.header["db_name"] = b"Doe"
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Jane Doe"))
    nib.save(image, tmp_path / "scan.nii")
    geometry = read_volume(tmp_path / "scan.nii").geometry

    write_label_map(LabelMap(np.zeros((3, 3, 3), np.uint8), geometry), tmp_path / "labels.nii")

    assert b"Doe" in (tmp_path / "scan.nii").read_bytes()
    assert b"Doe" not in (tmp_path / "labels.nii").read_bytes()
