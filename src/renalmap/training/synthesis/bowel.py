"""Bowel full of oral contrast agent near the kidneys, as bright as they are. It stays background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renalmap.imaging.masks import BoolPlane, bounding_slices
from renalmap.training.synthesis.fields import FloatPlane, gaussian_blur, smooth_field
from renalmap.training.synthesis.pelvis import hollow_of
from renalmap.training.synthesis.surroundings import (
    FAT_CEILING_HU,
    TISSUE_HU,
    estimate_noise,
    spared_tissue,
)

LOOPS_MAX = 3
DIAMETER_MM = (12.0, 48.0)
CONTENT_HU = (70.0, 170.0, 420.0)
"""Dilute, most likely and dense oral contrast agent: most often as bright as a kidney, where it can be taken for one."""
UNEVEN_HU = (2.0, 45.0)
"""Standard deviation of the content: from fluid to stool."""
WALL_MM = (0.8, 3.0)
WALL_HU = (20.0, 110.0)
GAS_SHARE = 0.3
"""How often gas lies above the content."""
GAS_HU = -900.0
EDGE_PX = 0.8
NEAR_MM = 70.0
"""How far from the kidneys' bounding box a loop's middle may lie, on slices with kidney."""
FAT_SMOOTH_PX = 1.5
ANCHORS = 8
FITTING_MIN = 0.6
"""Smallest share of a loop that may be left of it by bone, kidneys and the body's wall."""


@dataclass(frozen=True)
class Loop:
    """One loop of bowel in cross-section.

    Attributes:
        centre: (row, column).
        diameter_mm: of a circle of the same size, roughly.
        swings: amplitudes of the second, third and fourth harmonics of its radius.
        phases: their angles.
        content_hu: of its content.
        uneven_hu: standard deviation of the content's texture.
        wall_mm: thickness of its wall.
        wall_hu: of the wall.
        gas: share of its height, from in front, that is gas.
        grain: seeds textures and noise.
    """

    centre: tuple[int, int]
    diameter_mm: float
    swings: tuple[float, ...]
    phases: tuple[float, ...]
    content_hu: float
    uneven_hu: float
    wall_mm: float
    wall_hu: float
    gas: float
    grain: int

    def depth_mm(self, shape: tuple[int, ...], spacing_mm: tuple[float, float]) -> FloatPlane:
        """How deep inside its outer border each pixel lies (rows, columns), along the radius; negative outside."""
        y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
        y, x = (y - self.centre[0]) * spacing_mm[0], (x - self.centre[1]) * spacing_mm[1]
        angle, limit = np.arctan2(y, x), np.ones(shape, np.float32)
        for order, (swing, phase) in enumerate(zip(self.swings, self.phases, strict=True), 2):
            limit += swing * np.cos(order * angle + phase)
        depth: FloatPlane = (limit * self.diameter_mm / 2 - np.hypot(y, x)).astype(np.float32)
        return depth


def add_bowel(
    hu: FloatPlane,
    labels: NDArray[np.uint8],
    body: BoolPlane,
    spacing_mm: tuple[float, float],
    generator: np.random.Generator,
) -> FloatPlane:
    """Paint one to three loops of bowel into the fat of a slice, near its kidneys where it has some.

    Args:
        hu: (rows, columns).
        labels: the same shape; no label changes, and nothing labelled is painted over.
        body: the body without its wall.
        spacing_mm: pixel spacing (row, column).
        generator: of all random numbers.

    Returns:
        New HU; equal to the old ones where no loop fits.
    """
    changed = hu.copy()
    region = _region(labels, body, spacing_mm)
    if region is None:
        return changed
    piece, classes, inside = hu[region], labels[region], body[region]
    foreground = classes > 0
    free = ~spared_tissue(piece, classes, foreground, inside) & ~hollow_of(classes)
    free &= gaussian_blur(foreground, EDGE_PX) < 0.05
    smooth = gaussian_blur(piece, FAT_SMOOTH_PX)
    fat = free & (smooth > TISSUE_HU) & (smooth < FAT_CEILING_HU)
    fat[_in_front(classes, inside) :] = False
    noise = estimate_noise(piece)
    for _ in range(int(generator.integers(1, LOOPS_MAX + 1))):
        placed = _place_loop(fat, free, spacing_mm, generator)
        if placed is None:
            break
        loop, depth_mm = placed
        piece = _paint_loop(piece, free, placed, min(spacing_mm))
        grains = smooth_field(piece.shape, noise.grain_px, np.random.default_rng(loop.grain))
        painted = depth_mm > 0
        piece = piece + noise.deviation_hu * grains * (painted & free)
        fat &= ~painted
    changed[region] = piece
    return changed


def _region(
    labels: NDArray[np.uint8], body: BoolPlane, spacing_mm: tuple[float, float]
) -> tuple[slice, ...] | None:
    """The part of a slice in which loops may lie; None without a body."""
    if not body.any():
        return None
    return bounding_slices(labels > 0 if labels.any() else body, int(NEAR_MM / min(spacing_mm)))


def _in_front(labels: NDArray[np.uint8], body: BoolPlane) -> int:
    """How many rows lie in front of the kidneys' backs; without kidney, of the spine and the muscles behind it."""
    if labels.any():
        return int(bounding_slices(labels > 0)[0].stop)
    rows = bounding_slices(body)[0]
    return int(rows.stop - (rows.stop - rows.start) // 3)


def _place_loop(
    fat: BoolPlane, free: BoolPlane, spacing_mm: tuple[float, float], generator: np.random.Generator
) -> tuple[Loop, FloatPlane] | None:
    """Draw a loop that lies in the fat, with its middle there, and its depth; None if none of a few places has room."""
    places = np.flatnonzero(fat)
    if not places.size:
        return None
    for chosen in generator.choice(places, ANCHORS):
        row, column = np.unravel_index(int(chosen), fat.shape)
        loop = _draw_loop((int(row), int(column)), generator)
        depth_mm = loop.depth_mm(fat.shape, spacing_mm)
        inside = depth_mm > 0
        if np.count_nonzero(inside & free) >= FITTING_MIN * np.count_nonzero(inside):
            return loop, depth_mm
    return None


def _draw_loop(centre: tuple[int, int], generator: np.random.Generator) -> Loop:
    logarithm = generator.uniform(*np.log(DIAMETER_MM))
    return Loop(
        centre=centre,
        diameter_mm=float(np.exp(logarithm)),
        swings=tuple(float(swing) for swing in generator.normal(0, (0.2, 0.1, 0.06))),
        phases=tuple(float(phase) for phase in generator.uniform(0, 2 * np.pi, 3)),
        content_hu=float(generator.triangular(*CONTENT_HU)),
        uneven_hu=float(generator.uniform(*UNEVEN_HU)),
        wall_mm=float(generator.uniform(*WALL_MM)),
        wall_hu=float(generator.uniform(*WALL_HU)),
        gas=float(generator.uniform(0.1, 0.6)) if generator.random() < GAS_SHARE else 0.0,
        grain=int(generator.integers(2**31)),
    )


def _paint_loop(
    hu: FloatPlane, free: BoolPlane, placed: tuple[Loop, FloatPlane], pixel_mm: float
) -> FloatPlane:
    loop, depth_mm = placed
    painted = (depth_mm > 0) & free
    texture = smooth_field(hu.shape, 2.0 / pixel_mm, np.random.default_rng(loop.grain + 1))
    substance = np.full(hu.shape, loop.content_hu, np.float32) + loop.uneven_hu * texture
    if loop.gas:
        rows = np.flatnonzero(painted.any(axis=1))
        level = rows[0] + loop.gas * (rows[-1] - rows[0])
        substance[: int(level)] = GAS_HU
    substance = np.where(depth_mm < loop.wall_mm, loop.wall_hu, substance)
    weight = gaussian_blur(painted, EDGE_PX) * free
    # The scanner's resolution holds inside the loop as well.
    blurred: FloatPlane = hu + weight * (gaussian_blur(substance, EDGE_PX) - hu)
    return blurred
