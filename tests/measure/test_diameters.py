"""Hulls and chords against brute force and against figures whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from tests.strategies import lattice_points

from renalmap.measure.diameters import (
    Chord,
    convex_hull,
    directions,
    longest_chord,
    longest_chord_in_space,
    widest_across,
)
from renalmap.measure.outline import BORDER_VOXELS, border_points


@settings(max_examples=150)
@given(lattice_points)
def test_the_hull_turns_left_at_every_corner_and_holds_every_point(points):
    given_points = np.array(points, float)
    hull = convex_hull(given_points)
    assert {tuple(corner) for corner in hull} <= {tuple(point) for point in given_points}
    if len(hull) >= 3:
        sides = np.roll(hull, -1, axis=0) - hull
        after = np.roll(sides, -1, axis=0)
        assert (sides[:, 0] * after[:, 1] - sides[:, 1] * after[:, 0] > 0).all()
        offset = given_points[:, None, :] - hull[None]
        assert (sides[:, 0] * offset[..., 1] - sides[:, 1] * offset[..., 0] >= 0).all()
    assert longest_chord(hull).length_mm == pytest.approx(longest_chord(given_points).length_mm)


def test_the_hull_of_a_point_and_of_a_line():
    assert convex_hull(np.array([[3.0, 4.0], [3.0, 4.0]])).tolist() == [[3.0, 4.0]]
    line = np.array([[float(step), 2.0 * step] for step in range(5)])
    assert sorted(convex_hull(line).tolist()) == [[0.0, 0.0], [4.0, 8.0]]


def test_the_farthest_pair_in_space_is_brute_forces():
    rng = np.random.default_rng(0)
    for round_ in range(60):
        points = rng.normal(size=(300, 3)) * rng.uniform(0.5, 3.0, 3)
        if round_ % 2:
            points /= np.linalg.norm(points, axis=1, keepdims=True)
        found, best = longest_chord_in_space(points), longest_chord(points)
        assert found.length_mm == pytest.approx(best.length_mm, rel=2e-4)
        assert found.length_mm <= best.length_mm


def test_no_line_is_far_from_a_direction():
    lines = np.random.default_rng(0).normal(size=(20_000, 3))
    lines /= np.linalg.norm(lines, axis=1, keepdims=True)
    nearest = np.abs(lines @ directions().T).max(axis=1).min()
    assert np.degrees(np.arccos(nearest)) < 5.5


def test_across_a_rectangle_a_triangle_and_a_turned_ellipse():
    rectangle = np.array([[0.0, 0.0], [30.0, 0.0], [30.0, 40.0], [0.0, 40.0]])
    diagonal = Chord(rectangle[[0, 2]])
    # Through a corner at right angles to the diagonal: it meets the far side at 3/4 of the way.
    assert widest_across(rectangle, diagonal).length_mm == pytest.approx(37.5)
    triangle = np.array([[0.0, 0.0], [10.0, 0.0], [4.0, 5.0]])
    across = widest_across(triangle, Chord(triangle[[0, 1]]))
    assert across.length_mm == pytest.approx(5.0)
    assert across.ends.ravel() == pytest.approx([4.0, 0.0, 4.0, 5.0])
    angles = np.linspace(0.0, 2.0 * np.pi, 400, endpoint=False)
    turn = np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    ellipse = convex_hull(np.stack([20.0 * np.cos(angles), 12.0 * np.sin(angles)], axis=1) @ turn.T)
    longest = longest_chord(ellipse)
    assert longest.length_mm == pytest.approx(40.0, rel=1e-4)
    assert widest_across(ellipse, longest).length_mm == pytest.approx(24.0, rel=1e-3)


def test_border_points_of_one_voxel_lie_about_it():
    mask = np.zeros((3, 4, 5), bool)
    mask[1, 2, 3] = True
    offsets = border_points(mask, BORDER_VOXELS) - np.array([1.0, 2.0, 3.0])
    assert np.abs(offsets).sum(axis=1) == pytest.approx(np.full(6, BORDER_VOXELS))
    assert border_points(np.zeros((2, 2), bool), 0.25).shape == (0, 2)
