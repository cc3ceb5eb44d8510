"""Axes, sinus and polar lines of kidneys of known geometry."""

from __future__ import annotations

import numpy as np
import pytest
from tests.measure.scene import Scene
from tests.nephrometry.scene import CENTRE_MM, HALF_MM, LINE_MM, SINUS_FROM_MM, KidneyScene, turned

from renalmap.anatomy import Anatomy, shape_of
from renalmap.imaging import Volume
from renalmap.phantom import PhantomConfig, make_phantom
from renalmap.phantom.make import Patient

TURNS = {
    "upright": turned(),
    "tilted back": turned(25.0, 0.0, 30.0),
    "leaning": turned(15.0, 25.0, 20.0),
    "lying": turned(55.0, 0.0, 40.0),
}
GRIDS = {"2 mm": (2.0, 1.6, 1.6), "5 mm": (5.0, 0.9, 0.9)}


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("grid", GRIDS)
def test_a_kidneys_axes_sinus_and_lines_are_found(turn, grid):
    """Axis within 2 degrees, hilum within 6, ends within 3 mm, lines within 2.5 mm (5 mm slices: 4), sinus within a fifth."""
    scene = KidneyScene(GRIDS[grid], TURNS[turn])
    shape = scene.shape()
    off_deg = np.degrees(np.arccos(np.clip((shape.frame.axes * scene.axes).sum(axis=1), -1.0, 1.0)))
    assert off_deg[0] < 2.0
    assert off_deg[1:].max() < 6.0
    assert shape.frame.basis == "principal axis"
    assert (shape.sinus_basis, shape.polar_basis) == ("mask", "medial lip")
    middle_mm = float((shape.frame.centre_mm - CENTRE_MM) @ scene.axes[0])
    assert np.array(shape.ends_mm) + middle_mm == pytest.approx([-HALF_MM[0], HALF_MM[0]], abs=3.0)
    assert np.array(shape.polar_mm) + middle_mm == pytest.approx(
        [-LINE_MM, LINE_MM], abs=2.5 if grid == "2 mm" else 4.0
    )
    up, hilum, front = scene.local
    ellipsoid = (up / HALF_MM[0]) ** 2 + (hilum / HALF_MM[1]) ** 2 + (front / HALF_MM[2]) ** 2 <= 1.0
    everywhere = np.zeros(scene.labels.shape, np.bool_)
    everywhere[shape.sinus.box.slices] = shape.sinus.inside
    found = everywhere[scene.region]
    true = ellipsoid & (scene.labels[scene.region] == 0) & (hilum > SINUS_FROM_MM)
    assert np.count_nonzero(found) == pytest.approx(np.count_nonzero(true), rel=0.2)
    assert np.count_nonzero(found & ~ellipsoid) < 0.05 * np.count_nonzero(found)


def test_labels_that_fill_the_sinus_give_usual_proportions():
    shape = KidneyScene(filled=True).shape()
    assert (shape.sinus_basis, shape.polar_basis) == ("proportions", "proportions")
    assert shape.sinus.size > 0
    lower, upper = shape.polar_mm
    assert shape.ends_mm[0] < lower < shape.middle_mm < upper < shape.ends_mm[1]


def test_the_scan_shows_fat_that_the_labels_fill():
    """One label map closes the sinus, its scan shows the fat in it: as if the labels had left it out."""
    scene, open_scene = KidneyScene(filled=True), KidneyScene()
    hu = np.full(scene.labels.shape, 50, np.int16)
    hu[scene.labels == 1] = 170
    hu[(open_scene.labels == 0) & (scene.labels == 1)] = -100
    anatomy = Anatomy.of(scene.label_map, Volume(hu, scene.label_map.geometry))
    (kidney,) = anatomy.kidneys
    shape, expected = shape_of(kidney, anatomy), open_scene.shape()
    assert (shape.sinus_basis, shape.polar_basis) == ("scan", "medial lip")
    assert shape.polar_mm == pytest.approx(expected.polar_mm, abs=2.0)
    assert anatomy.ml([shape.sinus]) == pytest.approx(anatomy.ml([expected.sinus]), rel=0.25)


def test_a_ball_has_no_long_axis():
    anatomy = Anatomy.of(Scene().draw(1, (100.0, 80.0, 80.0), 30.0).kidney(240.0).label_map)
    kidney = next(each for each in anatomy.kidneys if each.side == "right")
    shape = shape_of(kidney, anatomy)
    assert shape.frame.basis == "scanner's z"
    np.testing.assert_allclose(shape.frame.axes[0], [1.0, 0.0, 0.0], atol=1e-9)


def test_a_tumour_that_replaced_a_pole_leaves_the_axis():
    """The axis is that of the outline of what is left: off by a few degrees at most."""
    scene = KidneyScene().tumour((45.0, 0.0, 15.0), 22.0)
    shape = scene.shape()
    assert np.degrees(np.arccos(shape.frame.axes[0] @ scene.axes[0])) < 6.0


def test_a_phantoms_kidneys_lie_where_they_were_drawn():
    """Bent kidneys with a lobed sinus: axis within 3 degrees, hilum within 6, lines within 8 mm."""
    config = PhantomConfig(
        shape_zyx=(28, 130, 130), spacing_mm_zyx=(5.0, 2.8, 2.8), tumours=0, cysts=0, noise_hu=0.0
    )
    true = Patient.draw(config, np.random.default_rng(5)).kidneys
    phantom = make_phantom(config, np.random.default_rng(5))
    anatomy = Anatomy.of(phantom.labels, phantom.scan)
    for kidney in anatomy.kidneys:
        (drawn,) = [one for one in true if one.side == kidney.side]
        shape = shape_of(kidney, anatomy)
        cosines = np.abs((shape.frame.axes * drawn.body.rotation).sum(axis=1))
        off_deg = np.degrees(np.arccos(np.clip(cosines, 0.0, 1.0)))
        assert off_deg[0] < 3.0
        assert off_deg[1:].max() < 6.0
        assert (shape.sinus_basis, shape.polar_basis) == ("scan", "medial lip")
        half, (sinus_up, sinus_in, _) = drawn.body.half_mm, drawn.sinus_half_mm
        heights = np.linspace(-sinus_up, sinus_up, 201)
        rim = half[1] * np.sqrt(1.0 - (heights / half[0]) ** 2)
        sinus = 0.66 * half[1] + sinus_in * np.sqrt(1.0 - (heights / sinus_up) ** 2)
        assert shape.polar_mm == pytest.approx(heights[sinus >= rim][[0, -1]], abs=8.0)
