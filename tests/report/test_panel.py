"""Grey values and outlines, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from renalmap.report.panel import GreyWindow, draw_panel

WINDOW = GreyWindow(width_hu=400, level_hu=40)
RED, GREEN = "#ff0000", "#00ff00"


def panel(labels, size_px, colours):
    hu = np.full(labels.shape, 40, np.int16)
    return np.asarray(draw_panel(hu, labels.astype(np.uint8), colours, WINDOW, size_px)).astype(int)


def test_the_window_runs_from_black_to_white():
    grey = WINDOW.to_grey(np.array([-3000, -160, 40, 240, 18326], np.int16))
    assert grey.tolist() == [0, 0, 128, 255, 255]


def test_an_outline_runs_along_the_edge_with_even_width():
    rows, columns = np.indices((60, 80))
    pixels = panel((rows - 30) ** 2 + (columns - 40) ** 2 < 20**2, (800, 600), {1: RED})
    red = pixels[..., 0] - pixels[..., 1]
    y, x = np.nonzero(red > 200)
    from_centre = np.hypot(y + 0.5 - 305, x + 0.5 - 405) / 10
    assert from_centre.min() > 19
    assert from_centre.max() < 20.6
    # Three pixels wide wherever it is crossed; antialiased, so that the sum counts.
    for line in (red[305, :400], red[305, 410:], red[:300, 405], red[310:, 405]):
        assert line.sum() / 255 == pytest.approx(3.0, abs=0.5)
    assert ((red > 40) & (red < 215)).any()
    # A line seen over the image, not a filled label.
    assert np.array_equal(pixels[305, 405], [128, 128, 128])
    assert np.array_equal(pixels[0, 0], [128, 128, 128])


def test_holes_and_single_pixels_have_outlines():
    labels = np.zeros((30, 30))
    labels[5:20, 5:20], labels[10:14, 10:14], labels[25, 25] = 1, 0, 1
    red = np.subtract.reduce(panel(labels, (300, 300), {1: RED})[..., :2], axis=-1) > 200
    assert red[95:145, 95:145].any()
    assert red[250:260, 250:260].any()
    assert not red[200:240, 200:240].any()


def test_a_label_up_to_the_border_is_closed_there():
    labels = np.ones((20, 30))
    red = np.subtract.reduce(panel(labels, (300, 200), {1: RED})[..., :2], axis=-1) > 200
    assert red[0, 10:-10].all()
    assert red[10:-10, -1].all()
    assert not red[5:-5, 5:-5].any()


def test_later_labels_lie_on_top_and_unnamed_ones_are_not_drawn():
    labels = np.zeros((20, 30))
    labels[5:15, 5:15], labels[5:15, 15:25] = 1, 2
    pixels = panel(labels, (300, 200), {1: RED, 2: GREEN})
    assert pixels[100, 150].tolist() == [0, 255, 0]
    assert np.array_equal(panel(labels, (300, 200), {3: RED}), np.full((200, 300, 3), 128))


def test_a_plane_larger_than_the_panel_keeps_its_outline():
    labels = np.zeros((1000, 1500))
    labels[300:700, 300:700] = 1
    red = np.subtract.reduce(panel(labels, (300, 200), {1: RED})[..., :2], axis=-1) > 200
    rows, columns = (np.flatnonzero(red.any(axis=axis)) for axis in (1, 0))
    assert rows[[0, -1]].tolist() == pytest.approx([60, 139], abs=2)
    assert columns[[0, -1]].tolist() == pytest.approx([60, 139], abs=2)
