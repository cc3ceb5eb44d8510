"""Real masks: measures agree with what radiologists wrote down, whatever the mask's oddities."""

from __future__ import annotations

import pytest
from benchmarks.radiographic_size import compare, format_tables, read_rows

from renalmap.imaging import read_label_map
from renalmap.measure import measure_label_map

CASES = ("00012", "00015", "00021", "00024", "00039", "00045", "00048", "00087")
"""Few slices; two kinds of voxel type, stray voxels."""


def test_axial_diameters_agree_with_the_radiologists(shared_data, tmp_path):
    root = shared_data / "kits19" / "data"
    for case in CASES:
        (tmp_path / f"case_{case}").symlink_to(root / f"case_{case}")
    (tmp_path / "kits.json").symlink_to(root / "kits.json")
    rows = read_rows(tmp_path)
    assert len(rows) == len(CASES)
    found = compare(rows, "longest_axial_diameter_mm", "radiographic_size")
    assert found.pearson > 0.95
    assert found.median_absolute_mm < 8.0
    assert f"| longest axial diameter | radiographic_size | {len(CASES)} |" in format_tables(rows)


def test_stray_voxels_are_specks_and_both_kidneys_are_found(shared_data):
    path = shared_data / "kits19" / "data" / "case_00114" / "segmentation.nii.gz"
    label_map = read_label_map(path)
    measured = measure_label_map(label_map)
    assert [kidney.side for kidney in measured.kidneys] == ["left", "right"]
    assert len(measured.lesions) == 2
    assert [speck.kind for speck in measured.specks].count("tumour") == 3
    measured_ml = sum(lesion.volume_ml for lesion in measured.lesions)
    specks_ml = sum(speck.volume_ml for speck in measured.specks if speck.kind == "tumour")
    assert measured_ml + specks_ml == pytest.approx(label_map.volume_ml(2), abs=0.01)
