"""Whole slices: what may change, what must not, and how bright and where lesions are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from renalmap.imaging.masks import contour
from renalmap.training.synthesis import LesionShapes, Synthesiser, SynthesisSettings
from renalmap.training.synthesis.tissue import draw_cyst_tissue, draw_tumour_tissue

SPACING_MM = (0.8, 0.8)
NOISE_HU = 8.0
KIDNEY_HU = 120.0
Y, X = np.mgrid[:320, :400]


def ellipse(y: float, x: float, height: float, width: float) -> np.ndarray:
    return np.asarray(((Y - y) / height) ** 2 + ((X - x) / width) ** 2 <= 1)


SPINE = ellipse(230, 200, 25, 28)
LEFT, RIGHT = ellipse(180, 290, 42, 30), ellipse(180, 110, 42, 30)


def make_slice(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A body of fat with a wall of muscle, a spine and two kidneys."""
    hu = np.full(Y.shape, -1000.0)
    hu[ellipse(160, 200, 150, 190)], hu[ellipse(160, 200, 132, 172)] = 50, -90
    hu[SPINE], hu[LEFT | RIGHT] = 500, KIDNEY_HU
    hu += NOISE_HU * np.random.default_rng(seed).standard_normal(hu.shape)
    return hu.astype(np.float32), (LEFT | RIGHT).astype(np.uint8)


@pytest.fixture(scope="module")
def shapes() -> LesionShapes:
    return LesionShapes.analytic(count=60)


def apply(shapes, seed: int, hu=None, labels=None, **settings):
    made = make_slice()
    hu, labels = made[0] if hu is None else hu, made[1] if labels is None else labels
    synthesiser = Synthesiser(SynthesisSettings(**settings), shapes)
    return synthesiser.apply(hu, labels, SPACING_MM, np.random.default_rng(seed))


def test_without_probabilities_the_slice_comes_back_in_new_arrays(shapes):
    hu, labels = make_slice()
    changed, classes = apply(shapes, 0)
    np.testing.assert_array_equal(changed, hu)
    np.testing.assert_array_equal(classes, labels)
    changed, classes = apply(shapes, 0, hu, labels)
    assert not np.shares_memory(changed, hu)
    assert not np.shares_memory(classes, labels)


def test_the_result_depends_on_the_arguments_alone(shapes):
    everything = {"tumour": 1.0, "cyst": 1.0, "enhancement": 1.0}
    hu, labels = make_slice()
    before = hu.copy(), labels.copy()
    first = apply(shapes, 5, hu, labels, **everything)
    np.testing.assert_array_equal(hu, before[0])
    np.testing.assert_array_equal(labels, before[1])
    second, other = apply(shapes, 5, **everything), apply(shapes, 6, **everything)
    for one, same, another in zip(first, second, other, strict=True):
        np.testing.assert_array_equal(one, same)
        assert (one != another).any()
    assert first[0].dtype == np.float32
    assert first[1].dtype == np.uint8


def test_a_slice_without_enough_kidney_stays(shapes):
    hu, _ = make_slice()
    labels = np.zeros(hu.shape, np.uint8)
    labels[180:184, 110:114] = 1
    for classes in (labels, np.zeros_like(labels), 2 * (labels > 0).astype(np.uint8)):
        changed, same = apply(shapes, 0, hu, classes, tumour=1, cyst=1, enhancement=1)
        np.testing.assert_array_equal(changed, hu)
        np.testing.assert_array_equal(same, classes)


def test_each_tumour_touches_its_kidney_and_leaves_bone_wall_and_the_other_kidney(shapes):
    hu, labels = make_slice()
    outside = ~ellipse(160, 200, 150, 190)
    placed = 0
    for seed in range(24):
        changed, classes = apply(shapes, seed, tumour=1, another=0)
        assert set(np.unique(classes)) <= {0, 1, 2}
        tumour = classes == 2
        if not tumour.any():
            continue
        placed += 1
        sides = [(tumour & kidney).sum() for kidney in (LEFT, RIGHT)]
        assert max(sides) > 0
        assert min(sides) == 0
        assert not (tumour & (SPINE | outside)).any()
        grown = np.pad(tumour, 1)
        beside = grown[2:, 1:-1] | grown[:-2, 1:-1] | grown[1:-1, 2:] | grown[1:-1, :-2]
        assert (beside & (classes == 1)).any(), "some of the kidney stays, and it stays in contact"
        untouched = (LEFT, RIGHT)[int(np.argmin(sides))]
        far = untouched & (np.abs(X - 200) > 70)
        np.testing.assert_array_equal(classes[untouched], labels[untouched])
        assert np.mean(changed[far] == hu[far]) > 0.97
    assert placed >= 22


def test_small_lesions_swallow_no_more_than_their_share(shapes):
    for seed in range(16):
        _, classes = apply(
            shapes,
            seed,
            tumour=1,
            another=0,
            push=(0, 0),
            tumour_diameter_mm=(20, 55),
            swallowed_max=0.5,
        )
        for kidney in (LEFT, RIGHT):
            assert (classes[kidney] == 2).mean() <= 0.53  # placed by a sample of the pixels


@pytest.mark.parametrize("wanted", [0.2, 0.6, 1.0])
def test_tumours_bury_themselves_as_deep_as_their_section_did(shapes, wanted: float):
    """The share of the outline inside the kidney follows the bank's: exophytic, half, endophytic."""
    bank = LesionShapes(tuple(replace(one, contact_share=wanted) for one in shapes.sections))
    contacts = []
    for seed in range(12):
        _, classes = apply(bank, seed, tumour=1, another=0, push=(0, 0), tumour_diameter_mm=(10, 30))
        tumour = classes == 2
        assert tumour.any()
        contacts.append((LEFT | RIGHT)[contour(tumour)].mean())
    assert np.median(contacts) == pytest.approx(wanted, abs=0.08)


def test_diameters_follow_their_range(shapes):
    areas = []
    for seed in range(20):
        _, classes = apply(
            shapes, seed, tumour=1, another=0, tumour_diameter_mm=(15, 30), tumour_mode_mm=20
        )
        areas.append((classes == 2).sum() * 0.64)
    diameters_mm = np.sqrt(4 * np.array([area for area in areas if area]) / np.pi)
    assert diameters_mm.max() < 32
    assert np.percentile(diameters_mm, 20) > 13  # a few lose something to what is spared
    assert 17 < np.median(diameters_mm) < 25


def test_cysts_are_water_even_and_labelled_kidney(shapes):
    means, deviations = [], []
    for seed in range(15):
        changed, classes = apply(
            shapes, seed, cyst=1, another=0, dense_cyst=0, cyst_diameter_mm=(14, 40), cyst_mode_mm=20
        )
        assert set(np.unique(classes)) == {0, 1}
        inside = (LEFT | RIGHT) & (changed < 65) & (classes == 1)
        if inside.sum() > 120:
            core = inside & ~contour(inside)
            core &= ~contour(core)
            core &= ~contour(core)
            means.append(changed[core].mean())
            deviations.append(changed[core].std())
    assert len(means) >= 8
    assert -6 < min(means) <= max(means) < 24
    assert np.median(deviations) == pytest.approx(NOISE_HU, rel=0.35)


def test_a_real_tumour_stays_whatever_is_added(shapes):
    hu, labels = make_slice()
    real = ellipse(160, 310, 12, 12)
    labels[real] = 2
    for seed in range(15):
        _, classes = apply(shapes, seed, hu, labels, tumour=1, cyst=1)
        assert (classes[real] == 2).all()


def test_a_clipped_slice_stays_clipped_and_gets_lesions(shapes):
    hu, labels = make_slice()
    clipped = np.clip(hu, 0, 255)
    grown = 0
    for seed in range(10):
        changed, classes = apply(shapes, seed, clipped, labels, tumour=1, enhancement=1)
        assert changed.min() >= 0
        assert changed.max() <= 255
        tumour = classes == 2
        grown += tumour.any()
        assert not tumour[~ellipse(160, 200, 150, 190)].any()
        assert not tumour[SPINE].any()
    assert grown >= 8


def test_unequal_spacing_is_respected(shapes):
    """Pixels twice as high as wide: a round cyst covers half as many rows as columns."""
    hu, labels = make_slice()
    synthesiser = Synthesiser(
        SynthesisSettings(cyst=1, another=0, cyst_diameter_mm=(30, 30), cyst_mode_mm=30, push=(0, 0)),
        shapes,
    )
    ratios = []
    for seed in range(12):
        changed, _ = synthesiser.apply(hu, labels, (1.6, 0.8), np.random.default_rng(seed))
        ys, xs = np.nonzero(np.abs(changed - hu) > 60)
        if ys.size:
            ratios.append((np.ptp(xs) + 1) / (np.ptp(ys) + 1))
    assert 1.5 < np.median(ratios) < 2.5


@pytest.mark.parametrize("kidney_hu", [35.0, 120.0, 200.0])
def test_tumours_are_as_bright_as_their_uptake_says(kidney_hu: float):
    settings, generator = SynthesisSettings(), np.random.default_rng(0)
    drawn = [draw_tumour_tissue(settings, 40.0, kidney_hu, generator) for _ in range(400)]
    means = np.array([tissue.mean_hu for tissue in drawn])
    span = kidney_hu - settings.unenhanced_hu
    assert means.mean() == pytest.approx(35 + 0.44 * span, abs=3 + 0.04 * span)
    assert means.min() > 35 - 0.1 * span - 20
    assert means.max() < 35 + 1.1 * span + 20
    assert all(tissue.core_hu <= tissue.mean_hu - 5 for tissue in drawn)
    if kidney_hu == 35.0:
        assert means.std() < 6, "nothing stands out without contrast agent"
        assert max(tissue.texture_hu for tissue in drawn) < 8


def test_large_tumours_have_dead_cores_more_often():
    settings, generator = SynthesisSettings(), np.random.default_rng(0)

    def share(diameter_mm: float) -> float:
        drawn = [draw_tumour_tissue(settings, diameter_mm, 120.0, generator) for _ in range(300)]
        return float(np.mean([tissue.core_share > 0.09 for tissue in drawn]))

    assert share(10.0) < 0.02
    assert share(80.0) > share(30.0) + 0.1 > 0.2


def test_dense_cysts_are_rare():
    generator = np.random.default_rng(0)
    means = np.array([draw_cyst_tissue(SynthesisSettings(), generator).mean_hu for _ in range(800)])
    assert 0.02 < np.mean(means > 45) < 0.11
    assert ((means >= -2) & (means <= 20) | (means >= 50) & (means <= 80)).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"tumour": 1.5},
        {"tumuor": 0.5},
        {"dull_uptake": (0.5, 0.1)},
        {"tumour_mode_mm": 300.0},
        {"dull_share": 0, "mixed_share": 0, "bright_share": 0},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValidationError):
        SynthesisSettings(**wrong)


def test_real_slices_take_lesions(shared_data):
    """Of real kidneys, clipped and not; the shapes come from no patient here."""
    bank = LesionShapes.analytic(count=60)
    synthesiser = Synthesiser(SynthesisSettings(tumour=1, another=0), bank)
    files = sorted((shared_data / "slices").glob("*.npz"))[::6]
    grown = tried = 0
    for seed, path in enumerate(files):
        with np.load(path, allow_pickle=False) as arrays:
            hu, labels = arrays["hu"].astype(np.float32), arrays["label"].astype(np.uint8)
        if (labels == 1).sum() < 1500:
            continue
        changed, classes = synthesiser.apply(hu, labels, (0.78, 0.78), np.random.default_rng(seed))
        tried += 1
        grown += (classes == 2).sum() > (labels == 2).sum()
        assert (classes[labels == 2] == 2).all()
        assert np.isfinite(changed).all()
    assert tried >= 5
    assert grown >= 0.8 * tried
