"""A full pelvis changes the hollow, no label, and no kidney."""

from __future__ import annotations

import numpy as np
import pytest

from renalmap.training.synthesis import LesionShapes, Synthesiser, SynthesisSettings
from renalmap.training.synthesis.pelvis import Pelvis, draw_pelvis, fill_pelvis, hollow_of

SPACING_MM = (0.8, 0.8)


def horseshoe() -> tuple[np.ndarray, np.ndarray]:
    """A kidney of 150 HU that is open to the right, in fat, with noise."""
    y, x = np.mgrid[:160, :160]
    radius = np.hypot(y - 80, x - 80)
    kidney = (radius < 34) & (radius > 16) & ~((x > 80) & (np.abs(y - 80) < 8))
    labels = kidney.astype(np.uint8)
    noise = np.random.default_rng(0).normal(0, 8, labels.shape)
    return (np.where(kidney, 150.0, -100.0) + noise).astype(np.float32), labels


def test_the_hollow_is_inside_the_kidney_and_no_more():
    _, labels = horseshoe()
    hollow = hollow_of(labels)
    assert hollow[80, 80]
    assert not hollow[80, 125]
    assert not hollow[:40].any()
    assert not (hollow & (labels > 0)).any()


def test_fluid_replaces_fat_in_the_hollow():
    hu, labels = horseshoe()
    filled = fill_pelvis(hu, labels, Pelvis(hu=12.0, grain=1))
    middle = filled[76:85, 76:85]
    assert middle.mean() == pytest.approx(12, abs=5)
    assert 3 < middle.std() < 16, "as noisy as the kidney"
    np.testing.assert_array_equal(filled[labels > 0], hu[labels > 0])
    far = ~hollow_of(labels)
    far[30:130, 30:130] = False
    np.testing.assert_array_equal(filled[far], hu[far])


def test_a_slice_without_kidney_stays_as_it_is():
    hu, labels = horseshoe()
    np.testing.assert_array_equal(fill_pelvis(hu, np.zeros_like(labels), Pelvis(10.0, 0)), hu)


def test_urine_is_drawn_more_often_than_contrast_agent():
    generator = np.random.default_rng(0)
    drawn = np.array([draw_pelvis(generator).hu for _ in range(1000)])
    assert np.mean(drawn > 100) == pytest.approx(0.25, abs=0.05)
    assert drawn.max() <= 900


def test_the_synthesiser_fills_a_pelvis_when_asked():
    hu, labels = horseshoe()
    synthesiser = Synthesiser(SynthesisSettings(full_pelvis=1.0), LesionShapes.analytic(count=5))
    changed, after = synthesiser.apply(hu, labels, SPACING_MM, np.random.default_rng(4))
    again, _ = synthesiser.apply(hu, labels, SPACING_MM, np.random.default_rng(4))
    assert changed[76:85, 76:85].mean() > hu[76:85, 76:85].mean() + 60
    np.testing.assert_array_equal(after, labels)
    np.testing.assert_array_equal(changed, again)
