"""Studies in sub-folders, DICOMDIRs, files named alone."""

from __future__ import annotations

import shutil
import tempfile

import numpy as np
import pydicom
import pytest
from pydicom.fileset import FileSet
from pydicom.uid import generate_uid
from tests.imaging.conftest import source_of

from renalmap.errors import (
    DimensionError,
    MissingSliceError,
    NoImagesError,
    PathMissingError,
    TruncatedFileError,
    UnreadableImageError,
    UnsafeArchiveError,
)
from renalmap.imaging import read_volume
from renalmap.imaging.dicom.catalogue import read_catalogue

RECORD_TAGS = {"PatientID": "1", "PatientName": "A^B", "StudyDate": "20200101", "StudyTime": "120000"}


class Scratch:
    """pydicom's temporary folder, which it leaves to the garbage collector with a warning, as a plain one."""

    def __init__(self):
        self.name = tempfile.mkdtemp()

    def cleanup(self):
        shutil.rmtree(self.name, ignore_errors=True)


@pytest.fixture
def medium(tmp_path, write_series, monkeypatch):
    """A medium as scanners write it: a DICOMDIR and files without suffix in folders, two series."""
    monkeypatch.setattr("pydicom.fileset.TemporaryDirectory", Scratch)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    uids = {}
    files = FileSet()
    for number, heights_mm in ((2, (0.0, 1.0, 2.0)), (5, (10.0, 12.0))):
        uids[number] = generate_uid(entropy_srcs=[str(number)])
        folder = write_series(
            heights_mm, f"s{number}_", f"plain{number}", SeriesNumber=number,
            SeriesInstanceUID=uids[number], StudyID="1", **RECORD_TAGS,
        )  # fmt: skip
        for instance, path in enumerate(sorted(folder.iterdir())):
            dataset = pydicom.dcmread(path)
            dataset.InstanceNumber = instance + 1
            files.add(dataset)
    files.write(tmp_path / "medium")
    return tmp_path / "medium"


def test_a_study_in_sub_folders_is_read_as_a_whole(write_series, tmp_path, pack):
    write_series([0.0, 1.0, 2.0], "thin", "study/CT/thin", SeriesNumber=2)
    write_series([0.0, 2.0], "thick", "study/CT/thick", SeriesNumber=3, SeriesInstanceUID="1.2.3")
    for path in (tmp_path / "study", pack(tmp_path / "study")):
        assert read_volume(path).hu[:, 0, 0].tolist() == [0, 1, 2]
        assert read_volume(path, series="3").hu[:, 0, 0].tolist() == [0, 2]
        assert len(read_catalogue(path).series) == 2


def test_the_same_files_twice_are_one_series(write_series, tmp_path):
    folder = write_series([0.0, 1.0, 2.0])
    shutil.copytree(folder, tmp_path / "series" / "backup")
    assert read_volume(folder).hu.shape[0] == 3
    (series,) = read_catalogue(folder).series
    assert series.skipped == {"copy of another file": 3}


def test_hidden_files_and_links_to_folders_are_left_alone(write_series, tmp_path):
    folder = write_series([0.0, 1.0])
    other = write_series([5.0, 6.0, 7.0], "other", "other", SeriesInstanceUID="1.2.3")
    (folder / "link").symlink_to(other, target_is_directory=True)
    shutil.copytree(other, folder / ".trash")
    assert read_volume(folder).hu[:, 0, 0].tolist() == [0, 1]


@pytest.mark.parametrize("how", ["folder", "file", "zip", "above"])
def test_a_medium_is_read_through_its_dicomdir(medium, pack, how):
    path = {
        "folder": medium,
        "file": medium / "DICOMDIR",
        "zip": pack(medium),
        "above": medium.parent / "medium",
    }[how]
    volume = read_volume(path)
    assert volume.name == "medium"
    assert volume.hu[:, 0, 0].tolist() == [0, 1, 2]
    assert read_volume(path, series="5").hu[:, 0, 0].tolist() == [10, 12]


def test_what_a_dicomdir_does_not_list_is_left_out_and_counted(medium, write_slice):
    for number in range(9):
        write_slice(medium / "extra" / f"{number}.dcm", float(number), SeriesInstanceUID="1.2.3")
    catalogue = read_catalogue(medium)
    assert (len(catalogue.series), catalogue.files.unlisted) == (2, 9)


def test_a_slice_of_the_series_that_a_dicomdir_does_not_list_is_missed(medium, write_slice):
    listed = read_volume(medium)
    uid = source_of(listed).series_instance_uid
    write_slice(medium / "extra" / "1.dcm", 3.0, SeriesInstanceUID=uid)
    with pytest.raises(MissingSliceError, match=r"not listed by the DICOMDIR: 1\.dcm"):
        read_volume(medium)
    volume = read_volume(medium, allow_missing_slices=True)
    assert volume.hu.shape == listed.hu.shape
    assert "not listed by the DICOMDIR" in volume.notes[0]


def test_images_that_are_gone_may_be_allowed(medium):
    first = next(
        path for path in sorted(medium.rglob("*")) if path.is_file() and path.name != "DICOMDIR"
    )
    first.unlink()
    volume = read_volume(medium, series="2", allow_missing_slices=True)
    assert volume.hu.shape[0] == 2
    assert "image that the DICOMDIR lists, not there" in volume.notes[0]


def test_a_dicomdir_in_lower_case_is_found(medium):
    (medium / "DICOMDIR").rename(medium / "dicomdir")
    for path in sorted(medium.rglob("*"), reverse=True):
        if path.name.upper() == path.name:
            path.rename(path.with_name(path.name.lower()))
    assert read_volume(medium / "dicomdir").hu[:, 0, 0].tolist() == [0, 1, 2]


def test_images_that_a_dicomdir_lists_must_be_there(medium):
    gone = next(path for path in sorted(medium.rglob("*")) if path.is_file() and path.name != "DICOMDIR")
    gone.unlink()
    with pytest.raises(PathMissingError, match=f"lists images that are not there.*{gone.name}"):
        read_volume(medium)


@pytest.mark.parametrize("entry", [b"..\\..\\AAAAAAAAAAA", b"/etc\\passwdpasswd", b"C:\\AAAAAAAAAAAAAA"])
def test_a_dicomdir_that_leads_out_is_refused(medium, entry):
    content = (medium / "DICOMDIR").read_bytes()
    usual = b"PT000000\\ST000000"
    assert usual in content
    assert len(usual) == len(entry)
    (medium / "DICOMDIR").write_bytes(content.replace(usual, entry))
    with pytest.raises(UnsafeArchiveError, match="names a file outside its folder"):
        read_volume(medium)


def test_a_damaged_dicomdir_is_refused(medium):
    (medium / "DICOMDIR").write_bytes(b"no directory")
    with pytest.raises(TruncatedFileError, match="the DICOMDIR cannot be read"):
        read_volume(medium)


def test_one_slice_by_itself_is_no_volume(write_series):
    folder = write_series([0.0, 1.0])
    with pytest.raises(DimensionError, match=r"slice000\.dcm.*Give the folder"):
        read_volume(folder / "slice000.dcm")


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "scan.png").write_bytes(bytes(200))
    with pytest.raises(UnreadableImageError, match="a DICOMDIR"):
        read_volume(tmp_path / "scan.png")


def test_a_folder_of_archives_is_not_opened(write_series, pack):
    archive = pack(write_series([0.0, 1.0]))
    shutil.rmtree(archive.with_suffix(""))
    with pytest.raises(NoImagesError, match=r"1 x \.zip"):
        read_volume(archive.parent)


def test_labels_return_to_each_instance(write_series):
    volume = read_volume(write_series([4.0, 0.0, 2.0]))
    assert [each.position_mm for each in source_of(volume).instances] == [
        (-10.0, -20.0, 0.0), (-10.0, -20.0, 2.0), (-10.0, -20.0, 4.0)
    ]  # fmt: skip
    assert [each.file.read_dataset().pixel_array[0, 0] for each in source_of(volume).instances] == [
        0,
        2,
        4,
    ]
    assert source_of(volume).rows_columns == (4, 6)
    assert not source_of(volume).resampled
    np.testing.assert_allclose(source_of(volume).orientation, [[1, 0, 0], [0, 1, 0]])
