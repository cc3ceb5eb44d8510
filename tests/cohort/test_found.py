"""Which scans a path stands for."""

from __future__ import annotations

import logging

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from renalmap.dataset.cohort import find_cohort
from renalmap.errors import ConfigError, DatasetError, NoImagesError


def write_dicom(path, modality="CT", study=None, patient="P1"):
    """A DICOM file as far as finding one goes: its preamble, its modality, whose it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    if modality is not None:
        dataset.Modality = modality
    if study is not None:
        dataset.StudyInstanceUID, dataset.PatientID = study, patient
    dataset.save_as(path, enforce_file_format=True)
    return path


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def found(*paths):
    cohort = find_cohort(paths)
    return [(scan.name, scan.path) for scan in cohort.scans], cohort.is_several


def test_a_file_and_a_dicom_folder_are_one_scan_each(tmp_path):
    scan = touch(tmp_path / "scan.nii.gz")
    series = write_dicom(tmp_path / "series" / "IM001").parent
    assert found(scan) == ([(None, scan)], False)
    assert found(series) == ([(None, series)], False)
    assert found(scan, series) == ([(None, scan), (None, series)], True)
    assert found(tmp_path / "missing") == ([(None, tmp_path / "missing")], False)


def test_a_dicom_folder_stays_one_scan_whatever_lies_beside_its_slices(tmp_path):
    write_dicom(tmp_path / "series" / "z.dcm")
    for name in ("a.nii.gz", "notes.txt", "case_00000/imaging.nii.gz", "imagesTr/x_0000.nii.gz"):
        touch(tmp_path / "series" / name)
    write_dicom(tmp_path / "series" / "below" / "1.dcm")
    assert found(tmp_path / "series") == ([(None, tmp_path / "series")], False)


@pytest.mark.parametrize("between", ["", "data", "dataset", "kits21/data"])
def test_kits_layouts(tmp_path, between):
    images = [touch(tmp_path / between / f"case_0000{n}" / "imaging.nii.gz") for n in (1, 0)]
    touch(tmp_path / between / "case_00000" / "segmentation.nii.gz")
    touch(tmp_path / between / "case_00007" / "notes.txt")
    assert found(tmp_path) == ([("case_00000", images[1]), ("case_00001", images[0])], True)
    assert found(images[0].parent) == ([("case_00001", images[0])], True)


def test_a_case_that_has_only_its_mask_is_named(tmp_path):
    touch(tmp_path / "case_00000" / "imaging.nii.gz")
    touch(tmp_path / "case_00001" / "aggregated_MAJ_seg.nii.gz")
    whole, lacking = find_cohort([tmp_path]).scans
    assert whole.problem is None
    assert lacking.name == "case_00001"
    assert "case_00001/imaging.nii.gz: the case has a mask and no scan" in str(lacking.problem)


def test_nnunets_layout(tmp_path):
    train = touch(tmp_path / "imagesTr" / "kits_00002_0000.nii.gz")
    test = touch(tmp_path / "imagesTs" / "kits_00001_0000.nii.gz")
    touch(tmp_path / "imagesTr" / "kits_00002_0001.nii.gz")  # a second channel is no CT
    touch(tmp_path / "labelsTr" / "kits_00002.nii.gz")
    assert found(tmp_path) == ([("kits_00001", test), ("kits_00002", train)], True)


def test_nnunets_layout_without_a_scan(tmp_path):
    touch(tmp_path / "labelsTr" / "a.nii.gz")
    (tmp_path / "imagesTr").mkdir()
    with pytest.raises(DatasetError, match=r"has no scan .expected imagesTr/NAME_0000"):
        find_cohort([tmp_path])


def test_a_folder_of_nifti_files(tmp_path):
    b, a = touch(tmp_path / "b.nii"), touch(tmp_path / "a.nii.gz")
    for name in (".hidden.nii.gz", "readme.txt", "a_seg.nii.gz", "segmentation.nii.gz"):
        touch(tmp_path / name)
    lonely = touch(tmp_path / "c_seg.nii.gz")  # no c beside it: somebody's name for a scan
    assert found(tmp_path) == ([("a", a), ("b", b), ("c_seg", lonely)], True)


def test_a_folder_of_dicom_folders(tmp_path, caplog):
    series = write_dicom(tmp_path / "patient_2" / "ct" / "1.dcm").parent
    other = write_dicom(tmp_path / "patient_1" / "study" / "abdomen" / "2", modality=None).parent
    direct = write_dicom(tmp_path / "alone" / "3").parent
    write_dicom(tmp_path / "patient_2" / "seg" / "1.dcm", modality="SEG")
    write_dicom(tmp_path / ".trash" / "1.dcm")
    touch(tmp_path / "patient_3" / "letter.txt")
    (tmp_path / "patient_2" / "loop").symlink_to(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert found(tmp_path) == (
            [
                ("alone", direct),
                ("patient_1_study_abdomen", other),
                ("patient_2_ct", series),
            ],
            True,
        )
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'patient_2' / 'seg'}: left out, as its modality is SEG, not CT"
    ]


def test_a_study_in_a_folder_for_each_series_is_one_scan(tmp_path):
    for name in ("1_scout", "2_portal", "deeper/3_lung"):
        write_dicom(tmp_path / name / "1.dcm", study="1.2")
    assert found(tmp_path) == ([(None, tmp_path)], False)
    write_dicom(tmp_path / "report" / "1.dcm", study="1.2", modality="SR")
    assert found(tmp_path) == ([(None, tmp_path)], False)
    series = tmp_path / "2_portal"
    assert found(tmp_path / "1_scout", series) == ([(None, tmp_path / "1_scout"), (None, series)], True)


@pytest.mark.parametrize("other", [{"study": "1.3"}, {"study": "1.2", "patient": "P2"}])
def test_several_studies_or_patients_are_a_cohort_of_studies(tmp_path, other):
    for name in ("a/1", "a/2", "a/sub/3"):
        write_dicom(tmp_path / name / "1.dcm", study="1.2")
    alone = write_dicom(tmp_path / "b" / "1" / "1.dcm", **other).parent
    assert found(tmp_path) == ([("a", tmp_path / "a"), ("b_1", alone)], True)
    # In one folder with another study, a study has no folder of its own.
    apart = write_dicom(tmp_path / "b" / "2" / "1.dcm", study="1.2").parent
    assert found(tmp_path)[0] == [
        *((f"a_{name.replace('/', '_')}", tmp_path / "a" / name) for name in ("1", "2", "sub/3")),
        ("b_1", alone),
        ("b_2", apart),
    ]


def test_a_study_of_linked_series_stays_a_cohort(tmp_path):
    """Reading a folder follows no links in it."""
    for name in ("1", "2"):
        write_dicom(tmp_path / "store" / name / "1.dcm", study="1.2")
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "1").symlink_to(tmp_path / "store" / "1")
    assert found(tmp_path / "study") == ([("1", tmp_path / "study" / "1")], True)


def test_a_broken_or_closed_series_fails_by_itself(tmp_path):
    sound = write_dicom(tmp_path / "a" / "1.dcm", study="1.2").parent
    broken = write_dicom(tmp_path / "b" / "1.dcm", study="1.3")
    content = broken.read_bytes()
    broken.write_bytes(content.replace(b"\x08\0\x60\0CS", b"\x08\0\x60\0FD"))
    assert broken.read_bytes() != content
    one, two = find_cohort([tmp_path]).scans
    assert (one.path, one.problem) == (sound, None)
    assert (two.path, two.name) == (broken.parent, "b")
    assert str(broken) in str(two.problem)


def test_a_folder_whose_slices_are_all_gone_is_named(tmp_path):
    sound = write_dicom(tmp_path / "a" / "1.dcm", study="1.2").parent
    gone = touch(tmp_path / "b" / "1.dcm").parent
    with pytest.raises(NoImagesError, match="the folder holds no scan"):
        find_cohort([gone])
    assert found(tmp_path) == ([(None, tmp_path)], False)  # as reading it tells
    other = write_dicom(tmp_path / "c" / "1.dcm", study="1.3").parent
    scans = find_cohort([tmp_path]).scans
    assert [scan.path for scan in scans] == [sound, gone, other]
    assert [scan.problem is None for scan in scans] == [True, False, True]
    assert "the folder holds no scan" in str(scans[1].problem)


def test_a_linked_series_is_found(tmp_path):
    write_dicom(tmp_path / "store" / "1.dcm")
    (tmp_path / "cohort").mkdir()
    (tmp_path / "cohort" / "patient").symlink_to(tmp_path / "store")
    assert found(tmp_path / "cohort") == ([("patient", tmp_path / "cohort" / "patient")], True)


def test_nifti_beside_dicom_folders_is_ambiguous(tmp_path):
    touch(tmp_path / "converted.nii.gz")
    write_dicom(tmp_path / "series" / "1.dcm")
    with pytest.raises(ConfigError) as caught:
        find_cohort([tmp_path])
    assert "got converted.nii.gz and series/, among others" in str(caught.value)
    assert "Give the files or folders themselves" in str(caught.value)


def test_a_folder_without_a_scan(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    touch(tmp_path / "a.txt")
    with pytest.raises(NoImagesError, match=r"the folder holds no scan \(got an empty folder"):
        find_cohort([empty])
    with pytest.raises(NoImagesError, match=r"got 1 x \.txt, 1 x no suffix"):
        find_cohort([tmp_path])
    scan = touch(tmp_path / "scans" / "a.nii.gz")
    one, other = find_cohort([scan, empty]).scans
    assert one.problem is None
    assert "the folder holds no scan" in str(other.problem)


def test_folders_and_files_together(tmp_path):
    one, two = touch(tmp_path / "x" / "1.nii.gz"), touch(tmp_path / "2.nii.gz")
    assert found(two, tmp_path / "x") == ([(None, two), ("1", one)], True)


def test_real_series_are_told_from_a_folder_of_them(tmp_path, shared_data):
    series = [path for path in sorted((shared_data / "dicom").iterdir()) if path.is_dir()]
    for path in series:
        assert found(path) == ([(None, path)], False)
        (tmp_path / path.name).symlink_to(path)
    assert found(tmp_path) == ([(path.name, tmp_path / path.name) for path in series], True)
    with pytest.raises(ConfigError, match="the folder holds NIfTI files and folders of DICOM slices"):
        find_cohort([shared_data / "dicom"])  # masks of the series lie beside them
