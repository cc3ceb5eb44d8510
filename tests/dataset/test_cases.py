"""Cases to train on: their layouts, their pixels, and what each refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from renalmap.dataset.cases import Case, find_cases, open_case, read_mask
from renalmap.errors import (
    DatasetError,
    GeometryMismatchError,
    LabelError,
    NoImagesError,
    NonFiniteVoxelsError,
    PathMissingError,
)

HEADER = "case_id,patient,image,mask,acquisition\n"


@pytest.fixture
def pixels(draw_pixels) -> tuple[np.ndarray, np.ndarray]:
    hu, labels = draw_pixels(1, slices=3, rows=12, columns=16)
    labels[1, :5, :5] = 1
    labels[2, :2, 4:] = 2
    return hu, labels


@pytest.fixture
def kits_root(tmp_path: Path, write_scan, pixels) -> Path:
    for number in (7, 3):
        folder = tmp_path / "kits" / "data" / f"case_{number:05d}"
        write_scan(folder / "imaging.nii.gz", folder / "segmentation.nii.gz", pixels)
    return tmp_path / "kits"


def stacked(case: Case) -> tuple[list[int], np.ndarray, np.ndarray]:
    found = list(open_case(case).slices)
    return [z for z, _, _ in found], np.stack([x[1] for x in found]), np.stack([x[2] for x in found])


@pytest.mark.parametrize("below", ["", "data"])
def test_kits_layout_is_read_with_or_without_data(kits_root: Path, below: str, pixels):
    cases = find_cases(kits_root / below)
    assert [(case.case_id, case.patient) for case in cases] == [("case_00003",) * 2, ("case_00007",) * 2]
    opened = open_case(cases[0])
    assert opened.shape == (12, 16)
    assert opened.spacing_mm == pytest.approx((3.0, 0.8, 0.8))
    assert opened.z_indices == (0, 1, 2)
    z, hu, labels = stacked(cases[0])
    assert z == [0, 1, 2]
    np.testing.assert_array_equal(hu, pixels[0])
    np.testing.assert_array_equal(labels, pixels[1])


def test_kits_case_without_imaging_says_how_to_get_it(kits_root: Path):
    (kits_root / "data" / "case_00007" / "imaging.nii.gz").unlink()
    with pytest.raises(NoImagesError, match=r"case_00007.*renalmap fetch"):
        find_cases(kits_root)


def test_missing_and_unknown_layouts(tmp_path: Path):
    with pytest.raises(PathMissingError, match="does not exist"):
        find_cases(tmp_path / "nowhere")
    (tmp_path / "picture.png").touch()
    with pytest.raises(DatasetError, match="no data set of a known layout"):
        find_cases(tmp_path)


def manifest(tmp_path: Path, rows: str, header: str = HEADER) -> Path:
    path = tmp_path / "cases.csv"
    path.write_text(header + rows, encoding="utf-8")
    return path


def test_manifest_paths_are_relative_to_it_and_patients_may_share(tmp_path: Path, write_scan, pixels):
    write_scan(tmp_path / "scans" / "a.nii.gz", tmp_path / "scans" / "a_mask.nii.gz", pixels)
    files = "scans/a.nii.gz,scans/a_mask.nii.gz"
    path = manifest(tmp_path, f"b,p1,{files},\na,p1,{files},2\nc,,{files},\n")
    cases = find_cases(path)
    assert [(case.case_id, case.patient, case.acquisition) for case in cases] == [
        ("a", "p1", 2),
        ("b", "p1", None),
        ("c", "c", None),
    ]
    np.testing.assert_array_equal(stacked(cases[1])[1], pixels[0])


@pytest.mark.parametrize(
    ("rows", "error", "fault"),
    [
        ("a,p,none.nii.gz,none.nii.gz,\n", PathMissingError, r"none\.nii\.gz"),
        ("a,p,cases.csv,cases.csv,\na,q,cases.csv,cases.csv,\n", DatasetError, "same id.*got a"),
        ("a,p,cases.csv,cases.csv,two\n", DatasetError, "whole number is needed.*'two'"),
        ("a,p,cases.csv\n", DatasetError, "leaves a path empty"),
        ("../a,p,cases.csv,cases.csv,\n", DatasetError, "plain file name"),
        (",p,cases.csv,cases.csv,\n", DatasetError, "plain file name"),
    ],
)
def test_faulty_manifests(tmp_path: Path, rows: str, error: type[Exception], fault: str):
    with pytest.raises(error, match=fault):
        find_cases(manifest(tmp_path, rows))


def test_manifest_without_its_columns(tmp_path: Path):
    with pytest.raises(DatasetError, match=r"lacks columns .*acquisition, mask"):
        find_cases(manifest(tmp_path, "a,p,x\n", header="case_id,patient,image\n"))


def test_a_binary_file_is_no_manifest(tmp_path: Path):
    (tmp_path / "cases.csv").write_bytes(b"\x1f\x8b\xff\xfe\x00")
    with pytest.raises(DatasetError, match="not CSV"):
        find_cases(tmp_path / "cases.csv")


def test_a_mask_on_another_grid_is_an_error(tmp_path: Path, write_scan, pixels):
    folder = tmp_path / "case_00000"
    write_scan(folder / "imaging.nii.gz", folder / "segmentation.nii.gz", pixels, mask_shift_mm=1.0)
    with pytest.raises(GeometryMismatchError, match=r"case_00000.*different grids"):
        open_case(find_cases(tmp_path)[0])


def test_a_cyst_is_trained_as_kidney(tmp_path: Path, write_scan, pixels):
    hu, labels = pixels
    folder = tmp_path / "case_00000"
    write_scan(folder / "imaging.nii.gz", folder / "segmentation.nii.gz", (hu, labels + (labels == 2)))
    (case,) = find_cases(tmp_path)
    np.testing.assert_array_equal(read_mask(case).labels, np.where(labels == 2, 3, labels))
    assert open_case(case).cysts
    np.testing.assert_array_equal(stacked(case)[2], np.minimum(labels, 1))


def test_label_4_is_refused(tmp_path: Path, write_scan, pixels):
    hu, labels = pixels
    folder = tmp_path / "case_00000"
    write_scan(folder / "imaging.nii.gz", folder / "segmentation.nii.gz", (hu, labels + 2))
    with pytest.raises(LabelError, match=r"case_00000.*labels that are not allowed.*to 4"):
        open_case(find_cases(tmp_path)[0])


def test_slices_of_a_case_come_in_ascending_z(tmp_path: Path, write_slices, pixels):
    root = write_slices(tmp_path / "slices", {"b": pixels, "a": pixels})
    lines = (root / "index.csv").read_text(encoding="utf-8").splitlines()
    (root / "index.csv").write_text("\n".join([lines[0], *lines[:0:-1]]), encoding="utf-8")
    cases = find_cases(root)
    assert [case.case_id for case in cases] == ["a", "b"]
    z, hu, labels = stacked(cases[0])
    assert z == [0, 1, 2]
    np.testing.assert_array_equal(hu, pixels[0])
    np.testing.assert_array_equal(labels, pixels[1])
    assert open_case(cases[0]).spacing_mm is None


Change = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]


@pytest.mark.parametrize(
    ("change", "error", "fault"),
    [
        (lambda a: {"hu": a["hu"]}, DatasetError, "cannot be read"),
        (lambda a: a | {"label": a["label"][:5]}, DatasetError, r"label \(5, 16\)"),
        (lambda a: {name: array[:5] for name, array in a.items()}, GeometryMismatchError, "size"),
        (lambda a: a | {"label": a["label"] + 3}, LabelError, "from 3 to"),
        (lambda a: a | {"label": a["label"].astype(np.int8) - 1}, LabelError, "from -1 to"),
        (lambda a: a | {"label": a["label"] * 0.5}, LabelError, "float64"),
        (lambda a: a | {"hu": a["hu"] * np.float32("nan")}, NonFiniteVoxelsError, "NaN"),
    ],
)
def test_faulty_slices(tmp_path: Path, write_slices, pixels, change: Change, error, fault: str):
    root = write_slices(tmp_path / "slices", {"a": pixels})
    path = root / "a_z0001.npz"
    with np.load(path) as arrays:
        changed = change(dict(arrays))
    np.savez(path, **changed)  # type: ignore[arg-type]
    with pytest.raises(error, match=f"a_z0001.*{fault}"):
        stacked(find_cases(root)[0])


def test_a_truncated_slice_is_an_error(tmp_path: Path, write_slices, pixels):
    path = write_slices(tmp_path / "slices", {"a": pixels}) / "a_z0000.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DatasetError, match=r"a_z0000\.npz.*cannot be read"):
        open_case(find_cases(path.parent)[0])


def test_the_real_slices_are_31_patients_and_145_slices(shared_data: Path):
    cases = find_cases(shared_data / "slices")
    assert len({case.patient for case in cases}) == 31
    assert sum(len(case.slice_files) for case in cases) == 145
    hu, labels = next((hu, labels) for _, hu, labels in open_case(cases[0]).slices)
    assert hu.shape == labels.shape == (512, 512)
