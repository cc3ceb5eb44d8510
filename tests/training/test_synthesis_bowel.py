"""Bowel is painted into fat, in front of the kidneys' backs; no label and no kidney changes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from renalmap.training.synthesis import LesionShapes, Synthesiser, SynthesisSettings
from renalmap.training.synthesis.bowel import CONTENT_HU, GAS_HU, Loop, _paint_loop, add_bowel

SPACING_MM = (0.8, 1.0)
LOOP = Loop((80, 90), 30.0, (0.0,), (0.0,), 200.0, 0.0, 2.0, 50.0, 0.0, 1)


def kidney_in_fat() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noisy fat with a round kidney, and the body: all but a margin."""
    y, x = np.mgrid[:200, :240]
    kidney = np.hypot(y - 120, x - 70) < 22
    noise = np.random.default_rng(0).normal(0, 8, kidney.shape)
    body = np.zeros(kidney.shape, bool)
    body[20:-20, 20:-20] = True
    return (np.where(kidney, 150.0, -100.0) + noise).astype(np.float32), kidney.astype(np.uint8), body


@pytest.mark.parametrize("seed", range(6))
def test_bowel_lies_in_the_bodys_fat_and_spares_the_kidney(seed: int):
    hu, labels, body = kidney_in_fat()
    changed = add_bowel(hu, labels, body, SPACING_MM, np.random.default_rng(seed))
    painted = np.abs(changed - hu) > 60
    assert np.count_nonzero(painted) * 0.8 > 50
    np.testing.assert_array_equal(changed[labels > 0], hu[labels > 0])
    assert not (painted & ~body).any()
    rows = np.flatnonzero(painted.any(axis=1))
    assert rows[0] < 142, "a loop's middle lies in front of the kidney's back"


def test_a_loop_has_a_wall_content_and_gas_above_it():
    fat = np.full((160, 180), -100, np.float32)
    free, depth_mm = np.ones(fat.shape, bool), LOOP.depth_mm(fat.shape, SPACING_MM)
    painted = _paint_loop(fat, free, (LOOP, depth_mm), 0.8)
    assert painted[80, 90] == pytest.approx(200, abs=1)
    assert painted[80, 76] == pytest.approx(50, abs=25), "1 mm inside its border"
    assert painted[80, 60] == -100
    area_mm2 = np.count_nonzero(painted > 0) * 0.8
    assert area_mm2 == pytest.approx(np.pi * 15**2, rel=0.08)
    half_full = _paint_loop(fat, free, (dataclasses.replace(LOOP, gas=0.5), depth_mm), 0.8)
    assert half_full[70, 90] == pytest.approx(GAS_HU, abs=1)
    assert half_full[90, 90] == pytest.approx(200, abs=1)


def test_without_kidney_it_lies_in_front_of_the_spine_and_without_body_nowhere():
    hu, labels, body = kidney_in_fat()
    nothing = np.zeros_like(labels)
    changed = add_bowel(hu, nothing, body, SPACING_MM, np.random.default_rng(3))
    assert not np.array_equal(changed, hu)
    unchanged = add_bowel(hu, nothing, np.zeros_like(body), SPACING_MM, np.random.default_rng(3))
    np.testing.assert_array_equal(unchanged, hu)


def test_the_synthesiser_paints_bowel_on_slices_with_and_without_kidney():
    hu, labels, _ = kidney_in_fat()
    synthesiser = Synthesiser(SynthesisSettings(bowel=1.0), LesionShapes.analytic(count=5))
    for shown in (labels, np.zeros_like(labels)):
        changed, after = synthesiser.apply(hu, shown, SPACING_MM, np.random.default_rng(4))
        again, _ = synthesiser.apply(hu, shown, SPACING_MM, np.random.default_rng(4))
        assert (changed - hu).max() > CONTENT_HU[0]
        np.testing.assert_array_equal(after, shown)
        np.testing.assert_array_equal(changed, again)
