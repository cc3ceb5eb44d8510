"""Slice statistics against NumPy, and the three normalisations against their formula."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from renalmap.errors import StoreError
from renalmap.preprocess import Normalisation, Plan, SliceStatistics, SliceStatisticsAccumulator
from renalmap.preprocess.intensity import clip_hu, volume_mean_deviation_hu

GRID = 64
PLAN = Plan(grid_size=GRID, crop_size=32, clip_hu=None, deviation_floor_hu=10.0)


def random_slices(count: int = 12, offset: float = 0.0) -> np.ndarray:
    generator = np.random.default_rng(1)
    spread = generator.uniform(0, 50, (GRID, GRID))  # every pixel has a deviation of its own
    return offset + spread * generator.normal(size=(count, GRID, GRID))


def statistics_of(slices: np.ndarray, weights: np.ndarray | None = None) -> SliceStatistics:
    accumulator = SliceStatisticsAccumulator(GRID)
    for number, hu in enumerate(slices):
        accumulator.add(hu, 1.0 if weights is None else float(weights[number]))
    return accumulator.finish()


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_accumulator_gives_numpys_mean_and_deviation(offset: float):
    slices = random_slices(offset=offset)
    got = statistics_of(slices)
    np.testing.assert_allclose(got.mean_hu, slices.mean(axis=0).astype(np.float32), rtol=0)
    np.testing.assert_allclose(got.deviation_hu, slices.std(axis=0), rtol=1e-6)
    assert got.global_mean_hu == pytest.approx(slices.mean(), rel=1e-12, abs=1e-9)
    assert got.global_deviation_hu == pytest.approx(slices.std(), rel=1e-9)


def test_accumulator_takes_float32_slices_into_float64():
    slices = random_slices(offset=1e6).astype(np.float32)
    expected = slices.astype(np.float64).std(axis=0)
    np.testing.assert_allclose(statistics_of(slices).deviation_hu, expected, rtol=1e-6)


def test_accumulator_weighs_slices():
    slices, weights = random_slices(4), np.array([1.0, 0.25, 3.0, 0.5])
    mean = np.average(slices, axis=0, weights=weights)
    variance = np.average((slices - mean) ** 2, axis=0, weights=weights)
    got = statistics_of(slices, weights)
    np.testing.assert_allclose(got.mean_hu, mean, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(got.deviation_hu, np.sqrt(variance), rtol=1e-5, atol=1e-5)


def test_constant_pixels_have_no_deviation():
    slices = np.full((5, GRID, GRID), -1000.1)
    assert statistics_of(slices).deviation_hu.max() == 0.0


def test_accumulator_without_slices_is_an_error():
    with pytest.raises(StoreError, match="at least one training slice"):
        SliceStatisticsAccumulator(GRID).finish()


def test_slice_statistics_normalise_each_pixel_with_a_floored_deviation():
    slices = random_slices()
    statistics = statistics_of(slices)
    got = Normalisation.from_plan(PLAN, statistics)(slices)
    floored = np.maximum(slices.std(axis=0), 10.0)
    assert (slices.std(axis=0) < 10.0).any()
    np.testing.assert_allclose(got, (slices - slices.mean(axis=0)) / floored, rtol=1e-3, atol=1e-4)
    assert got.dtype == np.float32


def test_global_zscore_takes_one_mean_and_deviation_of_the_training_data():
    slices = random_slices()
    plan = PLAN.model_copy(update={"normalisation": "global_zscore"})
    got = Normalisation.from_plan(plan, statistics_of(slices))(slices)
    np.testing.assert_allclose(got, (slices - slices.mean()) / slices.std(), rtol=1e-3, atol=1e-4)


def test_volume_zscore_takes_the_scans_own_mean_and_deviation():
    plan = PLAN.model_copy(update={"normalisation": "volume_zscore"})
    scan = random_slices(3, offset=70.0)
    moments = volume_mean_deviation_hu(scan, plan)
    assert moments == pytest.approx((scan.mean(), scan.std()), rel=1e-6)
    got = Normalisation.from_plan(plan, statistics_of(random_slices()), moments)(scan)
    assert got.mean() == pytest.approx(0, abs=1e-4)
    assert got.std() == pytest.approx(1, abs=1e-4)


def test_volume_zscore_without_the_scans_moments_is_an_error():
    plan = PLAN.model_copy(update={"normalisation": "volume_zscore"})
    with pytest.raises(ValueError, match="the scan's own mean"):
        Normalisation.from_plan(plan, statistics_of(random_slices()))
    with pytest.raises(ValueError, match="without slices"):
        volume_mean_deviation_hu([], plan)


@pytest.mark.parametrize("kind", ["slice_statistics", "global_zscore", "volume_zscore"])
def test_a_clipped_slice_and_the_full_range_normalise_alike(kind: str):
    """The guarantee that lets slices stored as 0..255 train networks for whole scans."""
    plan = PLAN.model_copy(update={"clip_hu": (0.0, 255.0), "normalisation": kind})
    full = np.random.default_rng(2).integers(-1024, 1500, (4, GRID, GRID)).astype(np.int16)
    clipped = np.clip(full, 0, 255).astype(np.uint8)

    def normalised(slices: NDArray[Any]) -> NDArray[np.float32]:
        statistics = statistics_of(clip_hu(slices, plan))
        moments = volume_mean_deviation_hu(slices, plan)
        return Normalisation.from_plan(plan, statistics, moments)(slices)

    np.testing.assert_array_equal(normalised(full), normalised(clipped))
    assert normalised(full).std() > 0.5


def test_normalising_leaves_its_input_alone():
    hu = np.full((GRID, GRID), 40.0, np.float32)
    plan = PLAN.model_copy(update={"clip_hu": (0.0, 20.0)})
    normalised = Normalisation.from_plan(plan, statistics_of(random_slices()))(hu)
    assert clip_hu(hu, plan).max() == 20.0
    assert normalised.max() < hu.min() == hu.max() == 40.0


def test_statistics_survive_saving(tmp_path: Path):
    statistics = statistics_of(random_slices())
    path = tmp_path / "statistics.npz"
    statistics.save(path)
    again = SliceStatistics.load(path)
    np.testing.assert_array_equal(again.mean_hu, statistics.mean_hu)
    np.testing.assert_array_equal(again.deviation_hu, statistics.deviation_hu)
    assert again.global_mean_hu == statistics.global_mean_hu
    assert again.global_deviation_hu == statistics.global_deviation_hu
    assert [found.name for found in tmp_path.iterdir()] == ["statistics.npz"]


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "text", "other"])
def test_statistics_that_cannot_be_read_are_an_error(tmp_path: Path, damage: str):
    path = tmp_path / "statistics.npz"
    if damage == "empty":
        path.touch()
    elif damage == "truncated":
        statistics_of(random_slices()).save(path)
        path.write_bytes(path.read_bytes()[:200])
    elif damage == "text":
        path.write_text("mean,deviation\n", encoding="utf-8")
    elif damage == "other":
        np.savez(path, mean_hu=np.zeros(3))
    with pytest.raises(StoreError, match=r"statistics\.npz.*cannot be read"):
        SliceStatistics.load(path)
