"""The shortest line between two parts."""

from __future__ import annotations

import numpy as np
import pytest

from renalmap.anatomy import Voxels
from renalmap.imaging.volume import Box
from renalmap.measure.gap import shortest_line

SHAPE = (30, 60, 70)
WHOLE = Box((0, 0, 0), SHAPE)


def ball(centre_mm, radius_mm, spacing_mm) -> Voxels:
    places = np.ogrid[tuple(slice(0, size) for size in SHAPE)]
    away = [(place * mm - at) ** 2 for place, mm, at in zip(places, spacing_mm, centre_mm, strict=True)]
    return Voxels(WHOLE, sum(away) <= radius_mm**2)


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (2.5, 0.8, 0.8), (5.0, 1.5, 1.5)])
@pytest.mark.parametrize("apart_mm", [3.0, 9.0, 20.0])
def test_two_balls(spacing_mm, apart_mm):
    """Within a pixel, whatever the slices; the line's ends lie on both borders."""
    middle = np.array(SHAPE) * spacing_mm / 2.0
    step = np.array([0.0, 0.0, (apart_mm + 12.0) / 2.0])
    one, other = (ball(middle + way * step, 6.0, spacing_mm) for way in (-1, 1))
    line = shortest_line(one, other, spacing_mm)
    assert line.length_mm == pytest.approx(apart_mm, abs=spacing_mm[2])
    assert line.ends[:, 2] == pytest.approx(
        middle[2] + np.array([-0.5, 0.5]) * apart_mm, abs=spacing_mm[2]
    )


def test_parts_that_share_a_face_are_0_mm_apart():
    one, other = (np.zeros(SHAPE, np.bool_) for _ in range(2))
    one[3:9, 5:9, 2:20], other[9:12, 5:9, 2:20] = True, True
    assert shortest_line(Voxels(WHOLE, one), Voxels(WHOLE, other), (5.0, 1.0, 1.0)).length_mm == 0.0


def test_cells_change_nothing():
    """As if every pair of border points were compared, wherever the boxes lie."""
    generator = np.random.default_rng(3)
    for _ in range(5):
        parts = [
            Voxels(Box((9, 9, 9 + far), (18, 17, 21 + far)), generator.random((9, 8, 12)) < 0.1)
            for far in (0, 20)
        ]
        spacing_mm = (3.0, 1.1, 0.7)
        line = shortest_line(parts[0], parts[1], spacing_mm)
        voxels = [(np.argwhere(part.inside) + part.box.start) * spacing_mm for part in parts]
        faces = [
            np.concatenate(
                [
                    places + way * np.eye(3)[axis] * spacing_mm[axis] / 2.0
                    for axis in range(3)
                    for way in (-1, 1)
                ]
            )
            for places in voxels
        ]
        every = np.linalg.norm(faces[0][:, None] - faces[1][None], axis=2)
        assert line.length_mm == pytest.approx(every.min())
