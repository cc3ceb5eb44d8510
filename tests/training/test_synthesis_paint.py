"""Fields, noise, surroundings and the painting of one lesion, on planes whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from renalmap.imaging.masks import contour
from renalmap.training.synthesis.enhancement import MARGIN_PX, Phase, change_phase
from renalmap.training.synthesis.fields import gaussian_blur, sample_linear, smooth_field
from renalmap.training.synthesis.lesion import Lesion
from renalmap.training.synthesis.paint import paint_lesion, reach_px
from renalmap.training.synthesis.shapes import contact_share
from renalmap.training.synthesis.surroundings import (
    Noise,
    body_inside,
    estimate_noise,
    find_kidneys,
    spared_tissue,
)
from renalmap.training.synthesis.tissue import Tissue

SPACING_MM = (0.8, 0.8)
QUIET = Noise(0.0, 0.6)
Y, X = np.mgrid[:128, :128]


def disc(y: float, x: float, radius: float) -> np.ndarray:
    return np.asarray(np.hypot(Y - y, X - x) <= radius)


@pytest.fixture
def plane() -> tuple[np.ndarray, np.ndarray]:
    """A kidney of 120 HU, radius 25, in fat, without noise."""
    labels = disc(64, 64, 25).astype(np.uint8)
    return np.where(labels == 1, 120, -90).astype(np.float32), labels


@pytest.fixture
def lesion() -> Lesion:
    """A disc of radius 12 on the kidney's right border, 50 HU, nothing random in it."""
    mask = disc(12, 12, 12)[:25, :25]
    return Lesion(mask, (52, 76), 2, Tissue(50.0), QUIET, SPACING_MM, edge_px=1.0, push=0.0, seed=1)


def test_blur_keeps_the_sum_and_has_the_width_asked_for():
    point = np.zeros((41, 41))
    point[20, 20] = 1
    blurred = gaussian_blur(point, 2.0)
    assert blurred.sum() == pytest.approx(1, abs=1e-5)
    variance = (blurred.sum(axis=0) * (np.arange(41) - 20) ** 2).sum()
    assert np.sqrt(variance) == pytest.approx(2.0, rel=0.03)
    np.testing.assert_allclose(gaussian_blur(np.full((5, 9), 7.0), 3.0), 7.0, rtol=1e-6)


@pytest.mark.parametrize("scale_px", [0.1, 0.6, 1.2, 3.0])
def test_fields_have_unit_deviation_and_their_own_grain(scale_px: float):
    field = smooth_field((400, 400), scale_px, np.random.default_rng(0))
    assert abs(field.mean()) < 0.06
    assert field.std() == pytest.approx(1, rel=0.05)
    if scale_px > 0.3:
        correlation = (field[:, 1:] * field[:, :-1]).mean()
        assert correlation == pytest.approx(
            np.exp(-1 / (4 * scale_px**2)), abs=0.07
        )  # its kernel is sampled


def test_sampling_is_linear_inside_and_zero_outside():
    plane = (10 + 2 * Y + 3 * X).astype(np.float32)
    rows, columns = np.array([[5.25, 60.0]]), np.array([[7.5, 100.75]])
    np.testing.assert_allclose(
        sample_linear(plane, rows, columns), 10 + 2 * rows + 3 * columns, rtol=1e-4
    )
    assert sample_linear(plane, np.array([[-9.0, 300.0]]), np.array([[5.0, 5.0]])).max() < 1.0


def test_contour_of_a_square():
    square = np.zeros((7, 7), bool)
    square[1:6, 1:6] = True
    expected = square.copy()
    expected[2:5, 2:5] = False
    np.testing.assert_array_equal(contour(square), expected)


@pytest.mark.parametrize(("deviation_hu", "grain_px"), [(8.0, 0.2), (15.0, 0.6), (25.0, 1.0)])
def test_noise_is_measured_in_spite_of_structure(deviation_hu: float, grain_px: float):
    generator = np.random.default_rng(2)
    hu = np.where(disc(64, 64, 25), 140, 60) + deviation_hu * smooth_field(
        (128, 128), grain_px, generator
    )
    noise = estimate_noise(hu.astype(np.float32))
    assert noise.deviation_hu == pytest.approx(deviation_hu, rel=0.12)
    assert noise.grain_px == pytest.approx(grain_px, abs=0.15)


def test_noise_of_a_slice_of_fat_is_the_default():
    assert estimate_noise(np.full((64, 64), -100, np.float32)) == Noise()


def test_kidneys_are_told_apart_and_a_kidney_of_two_lips_is_one():
    labels = np.zeros((128, 128), np.uint8)
    labels[40:80, 20:40], labels[40:56, 90:110], labels[60:80, 90:110] = 1, 1, 1
    labels[80:90, 90:110] = 2
    kidneys = find_kidneys(labels)
    assert sorted(int(one.sum()) for one in kidneys) == [800, 920]
    np.testing.assert_array_equal(sum(one.astype(int) for one in kidneys), labels > 0)


@pytest.mark.parametrize("clipped", [False, True])
def test_the_body_ends_inside_its_wall(clipped: bool):
    hu = np.where(disc(64, 64, 50), -90.0, -1000.0)
    hu[disc(64, 64, 50) & ~disc(64, 64, 40)] = 50
    hu = np.clip(hu, 0, 255) if clipped else hu
    inside = body_inside(hu.astype(np.float32))
    assert inside[disc(64, 64, 25)].all()
    assert not inside[~disc(64, 64, 50)].any()


def test_bone_gas_other_labels_and_the_outside_are_spared():
    hu, labels = np.full((128, 128), 40, np.float32), np.zeros((128, 128), np.uint8)
    bone, gas, tumour, other = disc(20, 20, 10), disc(100, 20, 10), disc(20, 100, 8), disc(100, 100, 9)
    kidney, calyx = disc(64, 64, 14), disc(64, 64, 3)
    hu[bone], hu[gas], hu[calyx] = 600, -900, 400
    labels[kidney | other], labels[tumour] = 1, 2
    spared = spared_tissue(hu, labels, kidney, Y < 120)
    for part in (bone, gas, tumour, other, Y >= 120):
        assert spared[part].all()
    assert not spared[kidney].any()
    assert not spared[disc(64, 30, 8)].any()


def test_painting_reaches_the_tissue_and_labels_the_mask(plane, lesion):
    hu, labels = plane
    before = hu.copy(), labels.copy()
    painted, classes = paint_lesion(hu, labels, lesion)
    np.testing.assert_array_equal(hu, before[0])
    np.testing.assert_array_equal(labels, before[1])
    inside = disc(64, 88, 12)
    np.testing.assert_array_equal(classes == 2, inside)
    np.testing.assert_allclose(painted[disc(64, 88, 8)], 50, atol=0.2)
    far = ~disc(64, 88, 17)
    np.testing.assert_array_equal(painted[far], hu[far])


def test_the_border_has_no_step(plane, lesion):
    """A blur of 1 px lets neighbours differ by 0.4 of the contrast, and a cut-out by all of it."""
    hu, labels = plane
    painted, _ = paint_lesion(hu, labels, lesion)
    profile = painted[64, 92:]  # from the lesion's inside out into fat
    assert np.abs(np.diff(profile)).max() < 0.45 * 140
    assert np.count_nonzero((profile > -85) & (profile < 45)) >= 3


def test_a_real_tumour_keeps_its_label_under_a_cyst(plane, lesion):
    hu, labels = plane
    labels[60:70, 80:86] = 2
    painted, classes = paint_lesion(hu, labels, replace(lesion, label=1))
    np.testing.assert_array_equal(classes == 2, labels == 2)
    assert classes[64, 95] == 1
    assert np.isfinite(painted).all()


def test_tissue_is_pushed_outwards_and_not_lost(plane, lesion):
    """The kidney's far side stays; beside the lesion its border bulges, with labels as with HU."""
    hu, labels = plane
    pushing = replace(lesion, mask=disc(8, 8, 8)[:17, :17], start=(56, 70), push=0.3)
    painted, classes = paint_lesion(hu, labels, pushing)
    assert classes[64, 88:93].tolist() == [1, 1, 1, 0, 0]
    assert (classes == 1).sum() + (classes == 2).sum() > (labels == 1).sum()
    margin = reach_px(pushing)
    outside = np.ones_like(labels, bool)
    outside[56 - margin : 73 + margin, 70 - margin : 87 + margin] = False
    np.testing.assert_array_equal(painted[outside], hu[outside])
    bright = painted[(classes == 1) & ~disc(64, 78, 13)]
    assert np.mean(bright > 15) > 0.97


def test_pushing_does_not_part_a_lesion_from_its_kidney(plane, lesion):
    """It overlaps the kidney by two pixels; the fat below it would be pushed in between."""
    hu, labels = plane
    sitting = replace(lesion, start=(52, 88))
    for push in (0.0, 0.3):
        _, classes = paint_lesion(hu, labels, replace(sitting, push=push))
        assert contact_share(classes == 2, classes == 1) > 0.1


def test_a_dead_core_has_its_share_and_brightness(plane, lesion):
    hu, labels = plane
    tissue = Tissue(120.0, core_share=0.4, core_hu=10.0, core_ragged=0.5)
    painted, _ = paint_lesion(hu, labels, replace(lesion, tissue=tissue))
    inside = disc(64, 88, 9)
    dark = painted[inside] < 65
    assert 0.3 < dark.mean() * inside.sum() / disc(64, 88, 12).sum() < 0.5
    assert painted[inside].min() == pytest.approx(10, abs=16)
    assert painted[88 - 24, 88 - 11] > 65  # the living rind is outside


def test_lesions_carry_the_scans_noise(plane, lesion):
    hu, labels = plane
    painted, _ = paint_lesion(hu, labels, replace(lesion, noise=Noise(12.0, 0.6)))
    assert painted[disc(64, 88, 9)].std() == pytest.approx(12, rel=0.25)


def test_specks_are_bright_and_few(plane, lesion):
    hu, labels = plane
    painted, _ = paint_lesion(hu, labels, replace(lesion, tissue=Tissue(50.0, specks=2, speck_hu=300.0)))
    bright = painted[disc(64, 88, 12)] > 150
    assert 1 <= bright.sum() <= 60


def test_phase_changes_the_kidney_alone_and_leaves_fat_and_noise():
    generator = np.random.default_rng(1)
    labels = disc(64, 64, 25).astype(np.uint8)
    noise = 10 * generator.standard_normal(labels.shape)
    hu = (np.where(labels == 1, 150, -90) + noise).astype(np.float32)
    changed = change_phase(hu, labels, Phase(35.0, 0.0, 0.0), SPACING_MM)
    inside = disc(64, 64, 18)
    assert changed[inside].mean() == pytest.approx(35, abs=3)
    assert changed[inside].std() == pytest.approx(10, rel=0.4)
    far = ~disc(64, 64, 25 + 5)
    np.testing.assert_allclose(changed[far], hu[far], atol=1.0)
    beyond = np.ones_like(labels, bool)
    beyond[39 - MARGIN_PX : 90 + MARGIN_PX, 39 - MARGIN_PX : 90 + MARGIN_PX] = False
    np.testing.assert_array_equal(changed[beyond], hu[beyond])


def test_a_corticomedullary_phase_brightens_the_border_more_than_the_middle(plane):
    hu, labels = plane
    changed = change_phase(hu, labels, Phase(35.0, 1.5, 0.5), SPACING_MM)
    assert changed[64, 64] == pytest.approx(35 + 0.5 * 85, abs=2)
    assert changed[64, 86] > 120
    assert np.all(np.diff(changed[64, 64:84]) >= -0.01)


def test_a_tumour_follows_the_phase_less():
    labels = np.where(disc(64, 64, 30), np.where(X < 64, 1, 2), 0).astype(np.uint8)
    hu = np.where(labels > 0, 115, -90).astype(np.float32)
    changed = change_phase(hu, labels, Phase(35.0, 0.5, 0.5), SPACING_MM)
    assert 115 - changed[64, 50] == pytest.approx(40, abs=1)
    assert 115 - changed[64, 78] == pytest.approx(16, abs=1)


def test_no_label_no_change():
    hu = np.full((64, 64), 100, np.float32)
    changed = change_phase(hu, np.zeros((64, 64), np.uint8), Phase(35.0, 0.0, 0.0), SPACING_MM)
    np.testing.assert_array_equal(changed, hu)
    assert changed is not hu
