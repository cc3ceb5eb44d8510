"""Folds are by patient, and phantoms are nobody's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from experiments.cohort import Material, disputed_kidney, load_material, write_slabs


@pytest.fixture
def material(shared_data: Path, tmp_path: Path) -> Material:
    return load_material(tmp_path, shared_data)


def test_every_patient_is_in_one_fold(material: Material):
    folds = material.folds()
    patients = set(material.slices_of())
    patients |= {scan.patient for scan in material.cohort.scans}
    assert folds.keys() == patients
    slabs = {path.stem for path in (material.data / material.cohort.slabs).glob("*.npz")}
    assert len(slabs & {case.patient for case in material.slice_cases()}) == 20, "one patient, one fold"
    assert set(folds.values()) == set(range(material.cohort.folds))
    for scan in material.cohort.scans:
        assert folds[scan.patient] == scan.fold, "both acquisitions of HCC_002 are one patient"


def test_folds_have_about_as_many_slices(material: Material):
    folds = material.folds()
    slices = np.zeros(material.cohort.folds)
    for patient, count in material.slices_of().items():
        slices[folds[patient]] += count
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


def test_slabs_lie_on_the_official_slices_and_know_nothing_beyond(tmp_path: Path):
    from renalmap.dataset.cases import find_cases, open_case
    from renalmap.labels import UNKNOWN

    source = tmp_path / "slabs"
    source.mkdir()
    label = np.zeros((2, 320, 320), np.uint8)
    label[1, 10:20, 30:40] = 2
    np.savez(
        source / "case_00007.npz",
        grey=np.full((2, 320, 320), 100, np.uint8),
        label=label,
        z=np.array([40, 42], np.int16),
        hu_slope=np.array([8.0, 10.0], np.float32),
        hu_offset=np.float32(-1000),
        spacing_mm=np.array([3, 0.8, 0.8], np.float32),
    )
    write_slabs(source, tmp_path / "out")
    (case,) = find_cases(tmp_path / "out")
    assert (case.case_id, case.patient) == ("slab_case_00007", "case_00007")
    (z0, hu0, _), (z1, hu1, labels1) = open_case(case).slices
    assert (z0, z1) == (40, 42)
    known = np.zeros((512, 512), bool)
    known[95:415, 95:415] = True
    np.testing.assert_array_equal(labels1 != UNKNOWN, known)
    np.testing.assert_array_equal(labels1[105:115, 125:135], 2)
    assert (labels1 == 2).sum() == 100
    for hu, expected, slope in ((hu0, -200, 8), (hu1, 0, 10)):
        assert (hu[~known] == -1024).all()
        assert abs(hu[known].astype(float) - expected).max() <= slope / 2 + 0.5, "dithered within a grey"
        assert hu[known].std() > slope / 5


@pytest.mark.parametrize(
    ("sinus_hu", "parenchyma_hu", "disputed"),
    [(-90, 150, True), (10, 150, True), (75, 150, False), (20, 60, False), (-90, 60, True)],
)
def test_fat_and_fluid_in_a_kidney_are_left_open(sinus_hu: int, parenchyma_hu: int, disputed: bool):
    """Medulla stays, and so does all of a kidney without contrast agent but its fat."""
    hu = np.full((40, 40), -100.0)
    labels = np.zeros((40, 40), np.uint8)
    labels[5:35, 5:35] = 1
    labels[5:12, 5:12] = 2
    hu[labels > 0] = parenchyma_hu
    hu[13:27, 13:27] = sinus_hu
    hu[13:27, 19:21] = 180  # a vein
    hu[5:12, 5:12] = sinus_hu
    got = disputed_kidney(hu, labels, parenchyma_hu)
    assert bool(got[18:22, 18:22].all()) is disputed
    assert bool(got[18:22, 18:22].any()) is disputed
    assert not got[labels != 1].any(), "tumour and background keep their labels"
    assert not got[29:33, 29:33].any(), "parenchyma does"
