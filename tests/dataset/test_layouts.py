"""Data sets of every layout, written as real files: what is found, read and refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from renalmap.dataset.cases import find_cases, open_case, read_mask
from renalmap.dataset.layouts import read_dataset
from renalmap.errors import DatasetError, LabelError, NoImagesError

CLINICAL = {"age_at_nephrectomy": 50, "gender": "male", "body_mass_index": 25.0}


@pytest.fixture
def pixels(draw_pixels):
    return draw_pixels(1, slices=3, rows=40, columns=30)


def write_table(path: Path, *case_ids: str, **record: object) -> None:
    path.write_text(json.dumps([{"case_id": case_id, **record} for case_id in case_ids]))


@pytest.mark.parametrize(
    ("names", "edition"),
    [
        (("data", "segmentation.nii.gz", "kits.json"), "kits19"),
        (("data", "aggregated_MAJ_seg.nii.gz", "kits.json"), "kits21"),
        (("kits21/data", "aggregated_MAJ_seg.nii.gz", "kits21.json"), "kits21"),
        (("dataset", "segmentation.nii.gz", "kits23.json"), "kits23"),
        ((".", "segmentation.nii.gz", "kits23.json"), "kits23"),
    ],
)
def test_every_kits_is_read(tmp_path, write_scan, pixels, names, edition):
    folder, mask, table = names
    root = tmp_path / folder
    for number in (4, 2):
        case = root / f"case_{number:05d}"
        write_scan(case / "imaging.nii.gz", case / mask, pixels)
        (case / "segmentations").mkdir()
        for other in ("segmentations/kidney_instance-1_annotation-1.nii.gz", "aggregated_OR_seg.nii.gz"):
            (case / other).write_text("not to be read")
    write_table(root / table, "case_00002", "case_00004", **CLINICAL)
    dataset = read_dataset(tmp_path)
    assert (dataset.layout, dataset.edition) == ("kits", edition)
    assert [case.case_id for case in dataset.cases] == ["case_00002", "case_00004"]
    assert set(dataset.records) == {"case_00002", "case_00004"}
    (_, hu, labels), *_ = open_case(find_cases(tmp_path)[0]).slices
    np.testing.assert_array_equal(hu, pixels[0][0])
    np.testing.assert_array_equal(labels, pixels[1][0])


def test_a_table_that_is_not_kits_own_makes_no_edition(tmp_path, write_scan, pixels):
    folder = tmp_path / "data" / "case_00015"
    write_scan(folder / "imaging.nii.gz", folder / "segmentation.nii.gz", pixels)
    assert read_dataset(tmp_path).edition is None
    write_table(tmp_path / "data" / "kits.json", "case_00015", radiographic_size=2.0)
    assert read_dataset(tmp_path).edition is None


@pytest.mark.parametrize("text", ["not JSON", '{"a": 1}', '[{"case": 1}]', "[1]"])
def test_a_faulty_table_is_named(tmp_path, write_scan, pixels, text):
    folder = tmp_path / "case_00000"
    write_scan(folder / "imaging.nii.gz", folder / "segmentation.nii.gz", pixels)
    (tmp_path / "kits.json").write_text(text)
    with pytest.raises(DatasetError, match=r"kits\.json.*cannot be read"):
        find_cases(tmp_path)


def test_scans_without_masks_are_listed_and_not_trained_on(tmp_path, write_scan, pixels):
    for number in range(2):
        folder = tmp_path / "data" / f"case_{number:05d}"
        write_scan(folder / "imaging.nii.gz", folder / "segmentation.nii.gz", pixels)
    (tmp_path / "data" / "case_00001" / "segmentation.nii.gz").unlink()
    assert [case.mask is None for case in read_dataset(tmp_path).cases] == [False, True]
    assert [case.case_id for case in find_cases(tmp_path)] == ["case_00000"]
    (tmp_path / "data" / "case_00000" / "segmentation.nii.gz").unlink()
    with pytest.raises(DatasetError, match="no case of the data set has a mask"):
        find_cases(tmp_path)


def write_nnunet(root: Path, write_scan, pixels, *names: str, **content: object) -> Path:
    for name in names:
        write_scan(
            root / "imagesTr" / f"{name}_0000.nii.gz", root / "labelsTr" / f"{name}.nii.gz", pixels
        )
    (root / "dataset.json").write_text(json.dumps(content))
    return root


VERSION_2 = {"channel_names": {"0": "CT"}, "numTraining": 2, "file_ending": ".nii.gz"}


@pytest.mark.parametrize(
    "content",
    [
        VERSION_2 | {"labels": {"background": 0, "kidney": 1, "tumor": 2}},
        VERSION_2 | {"labels": {"background": 0, "kidney": 1, "kidney_tumour": 2, "Cyst": 3}},
        VERSION_2
        | {
            "labels": {"background": 0, "kidney": [1, 2, 3], "masses": [2, 3], "tumor": 2},
            "regions_class_order": [1, 3, 2],
        },
        {"modality": {"0": "CT"}, "labels": {"0": "background", "1": "Kidney", "2": "Tumor"}},
    ],
)
def test_nnunets_folder_is_read(tmp_path, write_scan, pixels, content):
    root = write_nnunet(tmp_path / "Dataset220_KiTS", write_scan, pixels, "b", "KiTS-00001", **content)
    cases = find_cases(root)
    assert [(case.case_id, case.patient) for case in cases] == [("KiTS-00001",) * 2, ("b", "b")]
    np.testing.assert_array_equal(read_mask(cases[1]).labels, pixels[1])
    (_, hu, labels), *_ = open_case(cases[1]).slices
    np.testing.assert_array_equal(hu, pixels[0][0])
    np.testing.assert_array_equal(labels, pixels[1][0])


def test_nnunets_other_numbers_are_translated(tmp_path, write_scan, pixels):
    hu, labels = pixels
    stored = np.array([0, 2, 5], np.uint8)[labels]
    names = {"background": 0, "tumor": 5, "kidney": 2}
    root = write_nnunet(tmp_path, write_scan, (hu, stored), "a", **VERSION_2, labels=names)
    np.testing.assert_array_equal(read_mask(find_cases(root)[0]).labels, labels)
    stored[0, 0, 0] = 1
    root = write_nnunet(tmp_path / "b", write_scan, (hu, stored), "a", **VERSION_2, labels=names)
    with pytest.raises(LabelError, match=r"does not name.*expected 0, 2, 5"):
        read_mask(find_cases(root)[0])


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (VERSION_2, "labels are missing"),
        (VERSION_2 | {"labels": {"background": 0, "liver": 1}}, "unknown.*'liver'"),
        (VERSION_2 | {"labels": {"kidney": [1, 2], "tumor": 2}}, r"kidney: \[1, 2\]"),
        ({"channel_names": {"0": "T1", "1": "T2"}, "labels": {"kidney": 1}}, "several channels.*T1, T2"),
    ],
)
def test_faulty_dataset_json(tmp_path, write_scan, pixels, content, fault):
    root = write_nnunet(tmp_path, write_scan, pixels, "a", **content)
    with pytest.raises(DatasetError, match=rf"dataset\.json.*{fault}"):
        find_cases(root)


def test_a_missing_dataset_json_or_image_is_named(tmp_path, write_scan, pixels):
    root = write_nnunet(
        tmp_path, write_scan, pixels, "a", **VERSION_2, labels={"background": 0, "kidney": 1, "tumor": 2}
    )
    (root / "imagesTr" / "a_0000.nii.gz").unlink()
    with pytest.raises(NoImagesError, match=r"a\.nii\.gz.*without imaging"):
        find_cases(root)
    assert read_dataset(root).cases[0].image is None
    (root / "dataset.json").unlink()
    with pytest.raises(DatasetError, match=r"dataset\.json.*have no dataset\.json"):
        find_cases(root)
