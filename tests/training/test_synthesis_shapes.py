"""The bank of sections: cut from masks, made without any, kept on disk."""

from __future__ import annotations

from typing import Any

import nibabel as nib
import numpy as np
import pytest

from renalmap.errors import DatasetError, PathMissingError
from renalmap.training.synthesis import LesionShapes
from renalmap.training.synthesis.shapes import SECTIONS_PER_CASE, SPACING_MM, contact_share


@pytest.fixture(scope="session")
def kits_root(tmp_path_factory, write_scan):
    """Two cases: a disc of 20 mm half in a kidney, and one of 30 mm far from any."""
    root = tmp_path_factory.mktemp("kits") / "data"
    spacing_mm = (4.0, 0.5, 0.8)
    y, x = np.mgrid[:160, :120]
    y, x = y * spacing_mm[1], x * spacing_mm[2]
    for case, diameter_mm, touches in (("case_00003", 20.0, True), ("case_00007", 30.0, False)):
        labels = np.zeros((40, 160, 120), np.uint8)
        disc = np.hypot(y - 40, x - 48) <= diameter_mm / 2
        if touches:
            labels[:, x < 48] = 1
        labels[4:36, disc] = 2
        write_scan(root / case / "segmentation.nii.gz", labels, spacing_mm, axcodes="IPL")
    return root.parent


def test_sections_keep_their_size_whatever_the_spacing(kits_root):
    bank = LesionShapes.from_masks(kits_root)
    cases = np.array([one.case_id for one in bank.sections])
    assert set(cases) == {"case_00003", "case_00007"}
    np.testing.assert_allclose(bank.diameters_mm[cases == "case_00003"], 20, rtol=0.04)
    np.testing.assert_allclose(bank.diameters_mm[cases == "case_00007"], 30, rtol=0.04)
    for one in bank.sections:  # a disc is as wide as high, though its pixels were not
        assert abs(one.mask.shape[0] - one.mask.shape[1]) <= 1


def test_contact_is_the_share_of_the_contour_against_kidney(kits_root):
    bank = LesionShapes.from_masks(kits_root)
    for one in bank.sections:
        wanted = 0.5 if one.case_id == "case_00003" else 0.0
        assert one.contact_share == pytest.approx(wanted, abs=0.06)


def test_contact_of_a_square_counted_by_hand():
    mask, kidney = np.zeros((9, 9), bool), np.zeros((9, 9), bool)
    mask[3:6, 3:6] = True
    assert contact_share(mask, kidney) == 0.0
    kidney[:, :3] = True  # beside the left column: 3 of the 8 contour pixels
    assert contact_share(mask, kidney) == pytest.approx(3 / 8)
    assert contact_share(mask, ~mask) == 1.0


def test_thin_slices_give_no_more_sections_than_a_cap(kits_root):
    bank = LesionShapes.from_masks(kits_root)
    counts = [sum(one.case_id == case for one in bank.sections) for case in ("case_00003", "case_00007")]
    assert counts == [SECTIONS_PER_CASE, SECTIONS_PER_CASE]


def test_excluded_patients_are_absent(kits_root):
    bank = LesionShapes.from_masks(kits_root, frozenset({"case_00003"}))
    assert {one.case_id for one in bank.sections} == {"case_00007"}
    with pytest.raises(DatasetError, match="2 of them excluded"):
        LesionShapes.from_masks(kits_root, frozenset({"case_00003", "case_00007"}))


def test_slivers_are_left_out(tmp_path, write_scan):
    labels = np.zeros((3, 100, 100), np.uint8)
    labels[1, 20:80, 50:52] = 2
    write_scan(tmp_path / "case_00000" / "segmentation.nii.gz", labels, (3.0, 1.0, 1.0))
    with pytest.raises(DatasetError, match="no tumour"):
        LesionShapes.from_masks(tmp_path)


def test_missing_folder_is_said(tmp_path):
    with pytest.raises(PathMissingError, match="nowhere"):
        LesionShapes.from_masks(tmp_path / "nowhere")


def test_a_bank_survives_the_disk(kits_root, tmp_path):
    bank = LesionShapes.from_masks(kits_root)
    bank.save(tmp_path / "bank.npz")
    loaded = LesionShapes.load(tmp_path / "bank.npz")
    assert len(loaded) == len(bank) > 0
    for one, other in zip(loaded.sections, bank.sections, strict=True):
        assert one.case_id == other.case_id
        assert one.contact_share == other.contact_share
        np.testing.assert_array_equal(one.mask, other.mask)
    assert [path.name for path in tmp_path.iterdir()] == ["bank.npz"]


def test_a_damaged_bank_is_refused(tmp_path):
    path = tmp_path / "bank.npz"
    with pytest.raises(PathMissingError):
        LesionShapes.load(path)
    path.write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(DatasetError, match="cannot be read"):
        LesionShapes.load(path)
    np.savez(
        path,
        bits=np.zeros(4, np.uint8),
        shapes=np.array([[40, 40]]),
        case_ids=["a"],
        contact_shares=[0.5],
    )
    with pytest.raises(DatasetError, match="cannot be read"):
        LesionShapes.load(path)


def test_analytic_sections_have_the_sizes_promised():
    bank = LesionShapes.analytic(seed=3, count=40)
    wanted = np.geomspace(8, 100, 40)
    np.testing.assert_allclose(bank.diameters_mm, wanted, rtol=0.08)
    again, other = LesionShapes.analytic(seed=3, count=40), LesionShapes.analytic(seed=4, count=40)
    assert all(
        np.array_equal(a.mask, b.mask) for a, b in zip(bank.sections, again.sections, strict=True)
    )
    assert not all(
        np.array_equal(a.mask, b.mask) for a, b in zip(bank.sections, other.sections, strict=True)
    )
    extents = np.array([max(one.mask.shape) for one in bank.sections]) * SPACING_MM
    assert (extents < 1.9 * wanted + 2).all()


def test_a_drawn_section_needs_no_more_scaling_than_allowed():
    bank, generator = LesionShapes.analytic(count=60), np.random.default_rng(0)
    for diameter_mm in (10.0, 33.0, 100.0):
        for _ in range(20):
            area_mm2 = np.count_nonzero(bank.draw(diameter_mm, (0.7, 1.4), generator).mask)
            assert 0.7 <= diameter_mm / np.sqrt(4 * area_mm2 / np.pi) <= 1.4
    smallest = bank.draw(1.0, (0.7, 1.4), generator)
    assert np.count_nonzero(smallest.mask) == int(bank.areas_mm2.min())


def test_real_masks_give_sections_of_real_sizes(shared_data, tmp_path):
    """Three of the KiTS19 cases, for speed; their diameters agree with the masks' own areas."""
    root = shared_data / "kits19" / "data"
    cases = [path.name for path in sorted(root.glob("case_*"))]
    if not cases:
        pytest.skip("no KiTS19 masks")
    sizes = {case: (root / case / "segmentation.nii.gz").stat().st_size for case in cases}
    used = sorted(cases, key=sizes.__getitem__)[:3]
    bank = LesionShapes.from_masks(root, frozenset(cases) - set(used))
    assert {one.case_id for one in bank.sections} == set(used)
    for case in used:
        image: Any = nib.load(root / case / "segmentation.nii.gz")
        tumour = np.asarray(image.dataobj) == 2
        pixel_mm2 = float(np.prod(np.sort(image.header.get_zooms())[:2]))
        largest_mm2 = tumour.sum(axis=(1, 2)).max() * pixel_mm2
        mine = max(np.count_nonzero(one.mask) for one in bank.sections if one.case_id == case)
        assert 0.5 * largest_mm2 < mine < 1.1 * largest_mm2
    assert 0.05 < bank.contact_shares.mean() < 0.95
