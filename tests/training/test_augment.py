"""Warps move pixels where they say, and labels with them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from renalmap.imaging.volume import Box
from renalmap.training.augment import Warp, draw_warp, warp_batch
from renalmap.training.settings import AugmentSettings

OUTSIDE_HU = -1024.0
GRID = 64
BOX = Box((8, 24), (40, 56))
WHOLE = Box((0, 0), (GRID, GRID))
QUARTER_TURN = ((0.0, -1.0), (1.0, 0.0))


def images() -> tuple[torch.Tensor, torch.Tensor]:
    generator = np.random.default_rng(0)
    hu = generator.integers(-1024, 1500, (1, GRID, GRID)).astype(np.float32)
    labels = generator.integers(0, 3, (1, GRID, GRID)).astype(np.uint8)
    return torch.from_numpy(hu), torch.from_numpy(labels)


def test_identity_returns_the_box_exactly():
    hu, labels = images()
    warped, picked = warp_batch(hu, labels, [BOX], [Warp()], OUTSIDE_HU)
    assert warped.shape == picked.shape == (1, 1, 32, 32)
    assert torch.equal(warped[0, 0], hu[0][BOX.slices])
    assert torch.equal(picked[0, 0], labels[0][BOX.slices].long())


@pytest.mark.parametrize(
    ("matrix", "flipped"), [(((-1.0, 0.0), (0.0, 1.0)), 1), (((1.0, 0.0), (0.0, -1.0)), 0)]
)
def test_flips_are_exact_mirrors(matrix, flipped: int):
    hu, labels = images()
    warped, picked = warp_batch(hu, labels, [BOX], [Warp(matrix=matrix)], OUTSIDE_HU)
    torch.testing.assert_close(warped[0, 0], hu[0][BOX.slices].flip(flipped), rtol=0, atol=1e-2)
    assert torch.equal(picked[0, 0], labels[0][BOX.slices].long().flip(flipped))


def test_a_quarter_turn_moves_a_point_to_its_place():
    """With y down, the matrix takes output (x, y) from source (-y, x): a counter-clockwise turn."""
    hu, labels = torch.zeros(1, GRID, GRID), torch.zeros(1, GRID, GRID, dtype=torch.uint8)
    hu[0, 10, 50], labels[0, 10, 50] = 100.0, 2
    warped, picked = warp_batch(hu, labels, [WHOLE], [Warp(matrix=QUARTER_TURN)], OUTSIDE_HU)
    # About (31.5, 31.5): source x - 31.5 = 18.5 = -(y - 31.5), source y - 31.5 = -21.5 = x - 31.5.
    y, x = 13, 10
    assert float(warped[0, 0, y, x]) == pytest.approx(100, abs=0.1)
    assert np.argwhere(picked[0, 0].numpy() == 2).tolist() == [[y, x]]


def test_zoom_magnifies():
    _, labels = images()
    labels = torch.zeros_like(labels)
    labels[0, 28:36, 28:36] = 1
    zoomed = Warp(matrix=((0.5, 0.0), (0.0, 0.5)))
    _, picked = warp_batch(labels.float(), labels, [WHOLE], [zoomed], OUTSIDE_HU)
    assert int(picked.sum()) == 16 * 16


def test_labels_follow_the_image():
    """Labels that are a threshold of a smooth image still are after any warp."""
    y, x = torch.meshgrid(torch.arange(GRID), torch.arange(GRID), indexing="ij")
    hu = 200 - 10 * torch.hypot(y - 30.0, x - 34.0)[None]
    labels = (hu > 60).to(torch.uint8)
    settings = AugmentSettings(rotation_degrees=180, shear=0.3, zoom=0.3)
    generator = np.random.default_rng(1)
    for _ in range(10):
        warp = draw_warp(settings, generator)
        warped, picked = warp_batch(hu, labels, [WHOLE], [warp], OUTSIDE_HU)
        sure = (warped - 60).abs() > 12  # nearest and linear sampling differ by less than a pixel
        assert torch.equal((warped > 60)[sure].long(), picked[sure])
        assert set(picked.unique().tolist()) == {0, 1}


def test_pixels_from_outside_the_slice_are_air_without_label():
    hu, labels = torch.full((1, GRID, GRID), 50.0), torch.ones(1, GRID, GRID, dtype=torch.uint8)
    small = Warp(matrix=((4.0, 0.0), (0.0, 4.0)))
    warped, picked = warp_batch(hu, labels, [WHOLE], [small], OUTSIDE_HU)
    assert float(warped[0, 0, 0, 0]) == OUTSIDE_HU
    assert float(warped[0, 0, 32, 32]) == 50.0
    assert (int(picked[0, 0, 0, 0]), int(picked[0, 0, 32, 32])) == (0, 1)


def test_each_sample_has_its_own_box_and_warp():
    hu, labels = images()
    other = Box((0, 0), (32, 32))
    mirror = Warp(matrix=((-1.0, 0.0), (0.0, 1.0)))
    warped, _ = warp_batch(
        hu.repeat(2, 1, 1), labels.repeat(2, 1, 1), [BOX, other], [mirror, Warp()], OUTSIDE_HU
    )
    torch.testing.assert_close(warped[0, 0], hu[0][BOX.slices].flip(1), rtol=0, atol=1e-2)
    assert torch.equal(warped[1, 0], hu[0][other.slices])


def test_intensity_changes_are_in_hu_and_leave_labels():
    hu, labels = images()
    warp = Warp(gain=1.1, offset_hu=-7.0)
    warped, picked = warp_batch(hu, labels, [BOX], [warp], OUTSIDE_HU)
    torch.testing.assert_close(warped[0, 0], hu[0][BOX.slices] * 1.1 - 7)
    assert torch.equal(picked[0, 0], labels[0][BOX.slices].long())


def test_noise_has_its_deviation_and_is_decided_by_its_seed():
    hu, labels = images()
    noises = []
    for seed in (1, 1, 2):
        warp = Warp(noise_hu=20.0, noise_seed=seed)
        warped, _ = warp_batch(hu, labels, [WHOLE], [warp], OUTSIDE_HU)
        noises.append(warped[0, 0] - hu[0])
    assert torch.equal(noises[0], noises[1])
    assert not torch.equal(noises[0], noises[2])
    assert float(noises[0].std()) == pytest.approx(20, rel=0.05)


def test_blur_is_the_binomial_kernel():
    hu = torch.zeros(1, GRID, GRID)
    hu[0, 20, 20] = 160.0
    labels = torch.zeros(1, GRID, GRID, dtype=torch.uint8)
    warped, _ = warp_batch(hu, labels, [WHOLE], [Warp(blur=True)], OUTSIDE_HU)
    expected = torch.tensor([[10.0, 20, 10], [20, 40, 20], [10, 20, 10]])
    torch.testing.assert_close(warped[0, 0, 19:22, 19:22], expected, rtol=0, atol=1e-3)


def test_the_generator_decides_the_draw():
    settings = AugmentSettings(gain=0.1, offset_hu=20, noise_hu=10, blur=0.5)
    draws = [draw_warp(settings, np.random.default_rng(seed)) for seed in (3, 3, 4)]
    assert draws[0] == draws[1] != draws[2]


def test_no_augmentation_draws_the_identity(still: AugmentSettings):
    warp = draw_warp(still, np.random.default_rng(0))
    assert warp == Warp(noise_seed=warp.noise_seed)


def test_draws_keep_their_ranges():
    settings = AugmentSettings(
        rotation_degrees=20, shear=0, zoom=0.2, horizontal_flip=0, vertical_flip=0, gain=0.1
    )
    generator = np.random.default_rng(0)
    draws = [draw_warp(settings, generator) for _ in range(300)]
    matrices = np.array([warp.matrix for warp in draws])
    zooms = 1 / np.sqrt(np.linalg.det(matrices))
    angles = np.degrees(np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]))
    assert 0.8 <= zooms.min() < 0.82
    assert 1.18 < zooms.max() <= 1.2
    assert -20 <= angles.min() < -18
    assert 18 < angles.max() <= 20
    assert 0.9 <= min(warp.gain for warp in draws) < max(warp.gain for warp in draws) <= 1.1


def test_flips_happen_as_often_as_asked():
    settings = AugmentSettings(rotation_degrees=0, shear=0, zoom=0, horizontal_flip=1, vertical_flip=0.3)
    generator = np.random.default_rng(0)
    matrices = np.array([draw_warp(settings, generator).matrix for _ in range(500)])
    assert (matrices[:, 0, 0] == -1).all()
    assert 0.2 < (matrices[:, 1, 1] == -1).mean() < 0.4


def test_soft_window_clips_to_what_the_slices_at_hand_hold():
    hu, labels = images()
    warped, _ = warp_batch(hu + 0.3, labels, [WHOLE], [Warp(soft_window=True)], OUTSIDE_HU)
    expected = (hu[0] + 0.3).clamp(0, 255).round()
    torch.testing.assert_close(warped[0, 0], expected, rtol=0, atol=1e-3)


def test_coarser_images_keep_size_and_mean_and_lose_detail():
    y, x = np.mgrid[:GRID, :GRID]
    hu = torch.from_numpy(((y + x) % 2 * 100.0).astype(np.float32))[None]
    labels = torch.zeros(1, GRID, GRID, dtype=torch.uint8)
    warped, _ = warp_batch(hu, labels, [WHOLE], [Warp(coarseness=2.5)], OUTSIDE_HU)
    assert warped.shape == (1, 1, GRID, GRID)
    assert float(warped.mean()) == pytest.approx(50, abs=1)
    assert float(warped.std()) < 0.1 * float(hu.std())


def test_rare_changes_are_drawn_as_often_as_asked():
    settings = AugmentSettings(resolution=0.25, soft_window=0.5)
    generator = np.random.default_rng(0)
    warps = [draw_warp(settings, generator) for _ in range(2000)]
    assert np.mean([warp.coarseness > 1 for warp in warps]) == pytest.approx(0.25, abs=0.04)
    assert np.mean([warp.soft_window for warp in warps]) == pytest.approx(0.5, abs=0.05)
    assert max(warp.coarseness for warp in warps) <= 2.5


def test_a_sample_is_warped_alike_alone_and_in_a_batch():
    """All changes at once, some samples with and some without: what makes batches on a GPU the same."""
    settings = AugmentSettings(
        gain=0.2, offset_hu=20, noise_hu=15, blur=0.5, resolution=0.5, soft_window=0.3
    )
    generator = np.random.default_rng(0)
    warps = [draw_warp(settings, generator) for _ in range(8)]
    for change in ("blur", "soft_window"):
        assert 0 < sum(getattr(warp, change) for warp in warps) < 8
    assert 0 < sum(warp.coarseness > 1 for warp in warps) < 8
    hu, labels = (tensor.repeat(8, 1, 1) for tensor in images())
    boxes = [Box((n, 2 * n), (n + 32, 2 * n + 32)) for n in range(8)]
    together, classes = warp_batch(hu, labels, boxes, warps, OUTSIDE_HU)
    for number in range(8):
        one = slice(number, number + 1)
        alone, own = warp_batch(hu[one], labels[one], boxes[one], warps[one], OUTSIDE_HU)
        torch.testing.assert_close(together[one], alone, rtol=1e-6, atol=1e-3)
        assert torch.equal(classes[one], own)
