"""The rehearsal of KiTS19 at full size, itself rehearsed on three small cases: every command, every file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from benchmarks.mask_phantoms import choose_cases, paint, write_case, write_wide_mask
from benchmarks.process_tree import run_tree
from benchmarks.rehearsal import Options, Rehearsal, rehearse, report
from numpy.typing import NDArray

from renalmap.imaging import read_geometry, read_label_map, read_volume

SHAPES = {"case_00000": (9, 64, 64), "case_00001": (8, 64, 80), "case_00002": (12, 64, 64)}
PLAN = "grid_size = 64\ncrop_size = 32\ncrop_margin = 4\n"


def write_mask(path: Path, shape: tuple[int, int, int], dtype: type = np.uint8) -> None:
    """Two kidneys, the patient's left one with a tumour, stored as KiTS19's masks: slices first."""
    labels: NDArray[Any] = np.zeros(shape, dtype)
    columns = shape[2]
    labels[2:-2, 26:40, 12:20] = 1
    labels[2:-2, 26:40, columns - 20 : columns - 12] = 1
    labels[3:-3, 36:44, columns - 20 : columns - 12] = 2
    affine = np.array([[0, 0, -5.6, 0], [0, -5.6, 0, 0], [-5, 0, 0, 0], [0, 0, 0, 1.0]])
    path.parent.mkdir(parents=True)
    nib.save(nib.Nifti1Image(labels, affine), path)


@pytest.fixture(scope="module")
def masks(tmp_path_factory):
    root = tmp_path_factory.mktemp("masks")
    for name, shape in SHAPES.items():
        dtype = np.uint16 if name == "case_00002" else np.uint8
        write_mask(root / "data" / name / "segmentation.nii.gz", shape, dtype)
    return root


@pytest.fixture(scope="module")
def rehearsed(masks, tmp_path_factory):
    """A rehearsal, its options, and where its record went."""
    work = tmp_path_factory.mktemp("rehearsal")
    (work / "plan.toml").write_text(PLAN)
    options = Options(masks, work, cases=3, steps=1, jobs=2, plan=work / "plan.toml")
    return rehearse(options, work / "record.json"), options, work / "record.json"


def test_every_command_ran_and_was_measured(rehearsed):
    rehearsal, options, record = rehearsed
    assert [stage.name for stage in rehearsal.stages] == [
        *("inspect", "prepare", "train --stage localize", "train --stage segment", "export"),
        *("segment", "evaluate"),
        *("segment, the bundle that ships", "evaluate, the bundle that ships"),
    ]
    for stage in rehearsal.stages:
        assert stage.run.exit_code in {0, 1}
        assert stage.run.peak_mb > 30, stage
        assert stage.run.cpu_s > 0
        assert stage.disk_mb > 0
    by_name = {stage.name: stage for stage in rehearsal.stages}
    assert by_name["prepare"].run.processes >= 3, "the command and its two jobs"
    assert Rehearsal.model_validate_json(record.read_text()) == rehearsal
    (test,) = rehearsal.test_cases
    written = read_label_map(options.work / "own" / f"{test}_seg.nii.gz")
    assert written.geometry.source.shape == SHAPES[test]


def test_masks_are_worn_byte_for_byte(rehearsed, masks):
    rehearsal, options, _ = rehearsed
    assert {case.case: case.mask_type for case in rehearsal.cases}["case_00002"] == "uint16"
    for name in SHAPES:
        worn = options.work / "set" / "data" / name
        original = masks / "data" / name / "segmentation.nii.gz"
        assert (worn / "segmentation.nii.gz").read_bytes() == original.read_bytes()
        assert read_geometry(worn / "imaging.nii.gz").matches(read_geometry(original), tolerance_mm=0)
        image: Any = nib.load(worn / "imaging.nii.gz")
        assert image.get_data_dtype() == np.float64


def test_the_projection_goes_by_slices(rehearsed):
    rehearsal, _, _ = rehearsed
    assert rehearsal.slices == 29
    assert rehearsal.factor("slices", 210) == pytest.approx(45_424 / 29)
    assert rehearsal.factor("no", 489) == 1
    test_slices = SHAPES[rehearsal.test_cases[0]][0]
    assert rehearsal.factor("test slices", 489) == pytest.approx(20 * 45_424 / 210 / test_slices)
    lines = report(rehearsal).splitlines()
    widths = {line.count("|") for line in lines if line.startswith("|")}
    assert widths == {11}
    assert lines[0].startswith("3 cases, 29 slices (8 to 12)")


def test_what_is_done_is_not_done_again(rehearsed, tmp_path):
    rehearsal, options, _ = rehearsed
    before = (options.work / "store" / "run.json").stat().st_mtime_ns
    again = rehearse(options, tmp_path / "record.json")
    assert again == rehearsal
    assert (options.work / "store" / "run.json").stat().st_mtime_ns == before


def test_cases_are_spread_from_the_shortest_to_the_longest(masks):
    assert [case.case_id for case in choose_cases(masks, 2)] == ["case_00001", "case_00002"]
    assert [case.case_id for case in choose_cases(masks, None)] == list(SHAPES)


def test_the_wide_stand_in_is_the_middle_mask_with_background_beside_it(masks, tmp_path):
    write_wide_mask(masks, tmp_path / "wide.nii.gz")
    wide: Any = nib.load(tmp_path / "wide.nii.gz")
    narrow: Any = nib.load(masks / "data" / "case_00000" / "segmentation.nii.gz")
    labels, original = np.asanyarray(wide.dataobj), np.asanyarray(narrow.dataobj)
    assert labels.shape == (9, 64, 796)
    assert labels.dtype == original.dtype
    before = (796 - 64) // 2
    np.testing.assert_array_equal(labels[..., before : before + 64], original)
    assert labels.sum() == original.sum()
    # A voxel of the mask lies where it did in the patient.
    np.testing.assert_allclose(
        wide.affine @ [4, 30, before + 15, 1], narrow.affine @ [4, 30, 15, 1], atol=1e-3
    )


def test_tissue_is_painted_where_the_mask_says(masks):
    labels = read_label_map(masks / "data" / "case_00000" / "segmentation.nii.gz")
    hu = paint(labels, np.random.default_rng(0))
    inner = {1: labels.labels == 1, 2: labels.labels == 2}
    assert hu[inner[1]].mean() > 130
    assert 50 < hu[inner[2]].mean() < 130


def test_a_real_mask_is_worn_by_a_phantom(shared_data, tmp_path):
    mask = shared_data / "kits19" / "data" / "case_00021" / "segmentation.nii.gz"
    write_case(mask, tmp_path / "case_00021", seed=0)
    scan, labels = read_volume(tmp_path / "case_00021" / "imaging.nii.gz"), read_label_map(mask)
    assert scan.hu.dtype == np.int16
    assert scan.geometry.matches(labels.geometry, tolerance_mm=0)
    kidney, tumour = (float(scan.hu[labels.labels == label].mean()) for label in (1, 2))
    assert kidney > tumour + 40


def test_memory_of_children_counts(tmp_path):
    """A parent that holds little and a child that holds 200 MB for half a second."""
    child = "import time; held = b'x' * 200_000_000; time.sleep(0.5)"
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    run = run_tree([sys.executable, "-c", script], tmp_path / "out.txt")
    assert 200 < run.peak_mb < 300
    assert run.processes == 2
