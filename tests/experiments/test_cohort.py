"""Folds are by patient, and phantoms are nobody's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from experiments.cohort import Material, load_material


@pytest.fixture
def material(shared_data: Path, tmp_path: Path) -> Material:
    return load_material(tmp_path, shared_data)


def test_every_patient_is_in_one_fold(material: Material):
    folds = material.folds()
    patients = {case.patient for case in material.slice_cases()}
    patients |= {scan.patient for scan in material.cohort.scans}
    assert folds.keys() == patients
    assert set(folds.values()) == set(range(material.cohort.folds))
    for scan in material.cohort.scans:
        assert folds[scan.patient] == scan.fold, "both acquisitions of HCC_002 are one patient"


def test_folds_have_about_as_many_slices(material: Material):
    folds = material.folds()
    slices = np.zeros(material.cohort.folds)
    for case in material.slice_cases():
        slices[folds[case.patient]] += len(case.slice_files)
    assert slices.min() > 0.7 * slices.max()


def test_the_draw_is_the_same_every_time(material: Material, shared_data: Path, tmp_path: Path):
    assert material.folds() == load_material(tmp_path / "other", shared_data).folds()


def test_a_cyst_becomes_kidney_in_a_copy_of_the_mask(material: Material):
    from renalmap.imaging import read_label_map

    scan = next(scan for scan in material.cohort.scans if scan.cyst_as_kidney)
    original = read_label_map(material.data / scan.mask).labels
    relabelled = read_label_map(material.mask(scan)).labels
    assert (original == 2).any()
    np.testing.assert_array_equal(relabelled, original > 0)
