"""Kidneys as solids: what is seen from which side."""

from __future__ import annotations

import numpy as np
import pytest

from renalmap.imaging.volume import LabelMap
from renalmap.report.html.solid import draw_solids


def hue(picture, *, orange):
    """Which pixels are of the tumours' or of the kidneys' colour, whatever their brightness."""
    red, _, blue = np.moveaxis(np.asarray(picture).astype(int), -1, 0)
    return red - blue > 50 if orange else blue - red > 50


@pytest.fixture(scope="module")
def ball_pair():
    """Two balls; before the right one's front, which is at low y, a tumour."""
    from renalmap.imaging.orientation import build_geometry

    z, y, x = np.indices((40, 40, 80))
    labels = np.zeros((40, 40, 80), np.uint8)
    labels[(z - 20) ** 2 + (y - 22) ** 2 + (x - 18) ** 2 < 144] = 1
    labels[(z - 26) ** 2 + (y - 22) ** 2 + (x - 60) ** 2 < 64] = 1
    labels[(z - 20) ** 2 + (y - 9) ** 2 + (x - 18) ** 2 < 30] = 2
    affine = np.array([[0, 0, -2.0, 0], [0, -2.0, 0, 0], [2.0, 0, 0, 0], [0, 0, 0, 1]])
    return LabelMap(labels, build_geometry((40, 40, 80), affine))


def test_the_front_shows_the_right_kidney_and_its_tumour_on_the_left(ball_pair):
    picture = draw_solids(ball_pair, height_px=200)["front"]
    assert picture.height == 200
    orange, blue = hue(picture, orange=True), hue(picture, orange=False)
    middle = picture.width // 2
    assert orange[:, :middle].sum() > 300
    assert orange[:, middle:].sum() == 0
    assert blue[:, middle:].sum() > 1000
    # The other kidney's centre lies higher: the head is on top.
    rows = np.arange(200)[:, None] * np.ones(picture.width)[None]
    assert rows[:, middle:][blue[:, middle:]].mean() < rows[:, :middle][blue[:, :middle]].mean() - 5


def test_the_back_is_its_mirror_and_the_tumour_only_shines_through(ball_pair):
    solids = draw_solids(ball_pair, height_px=200)
    front, back = (hue(solids[seen], orange=True) for seen in ("front", "back"))
    middle = solids["back"].width // 2
    assert front.sum() > 300
    assert back.sum() == 0
    inside = np.asarray(solids["back"]).astype(int)[:, middle:]
    # Where the tumour shines through, blue gives way to red.
    assert (inside[..., 2] - inside[..., 0])[(inside.sum(axis=-1) > 250)].min() < 30


def test_a_silhouette_has_the_size_of_the_solid(ball_pair):
    labels = np.where(np.arange(80) > 40, ball_pair.labels, 0).astype(np.uint8)
    picture = draw_solids(LabelMap(labels, ball_pair.geometry), height_px=200)["front"]
    blue = hue(picture, orange=False)
    # A ball of 16 voxels or 32 mm in a picture of that and two margins of 8 mm.
    px_per_mm = 200 / (32 - 2 + 2 * 2 + 2 * 8)
    assert np.flatnonzero(blue.any(axis=1)).size / px_per_mm == pytest.approx(31, abs=2.5)


def test_nothing_labelled_is_no_picture(ball_pair):
    assert (
        draw_solids(LabelMap(np.zeros((40, 40, 80), np.uint8), ball_pair.geometry), height_px=99) == {}
    )
