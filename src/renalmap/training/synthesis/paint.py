"""Paint a lesion on a slice: a pure function of the slice and of the lesion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from renalmap.imaging.masks import BoolPlane
from renalmap.labels import KIDNEY, TUMOUR
from renalmap.training.synthesis.fields import (
    FloatPlane,
    gaussian_blur,
    sample_linear,
    smooth_field,
    upsample_blocks,
)
from renalmap.training.synthesis.lesion import Lesion
from renalmap.training.synthesis.shapes import contact_share

COARSE_PX = 3.0
"""From this scale on a blur is worth doing on every other pixel."""


def paint_lesion(
    hu: FloatPlane, labels: NDArray[np.uint8], lesion: Lesion
) -> tuple[FloatPlane, NDArray[np.uint8]]:
    """Paint a lesion, after pushing aside the tissue around it.

    Nothing changes farther from its bounding box than `reach_px`.

    Args:
        hu: (rows, columns).
        labels: the same shape.
        lesion: its mask must lie inside.

    Returns:
        New arrays.
    """
    hu, labels = hu.copy(), labels.copy()
    margin = reach_px(lesion)
    box = tuple(
        slice(max(start - margin, 0), min(start + length + margin, limit))
        for start, length, limit in zip(lesion.start, lesion.mask.shape, hu.shape, strict=True)
    )
    mask = np.zeros([one.stop - one.start for one in box], bool)
    top, left = lesion.start[0] - box[0].start, lesion.start[1] - box[1].start
    mask[top : top + lesion.mask.shape[0], left : left + lesion.mask.shape[1]] = lesion.mask
    piece, classes = _push_aside(hu[box[0], box[1]], labels[box[0], box[1]], mask, lesion.push)
    weight = gaussian_blur(mask, lesion.edge_px)
    hu[box[0], box[1]] = piece + weight * (_substance(mask, lesion) - piece)
    labels[box[0], box[1]] = np.where(mask & (classes != TUMOUR), lesion.label, classes)
    return hu, labels


def reach_px(lesion: Lesion) -> int:
    """How far beyond its bounding box a lesion changes a slice, in pixels."""
    radius_px = np.sqrt(np.count_nonzero(lesion.mask) / np.pi)
    return int(np.ceil(3 * max(lesion.edge_px, _push_width_px(lesion.push, radius_px)))) + 1


def _push_width_px(push: float, radius_px: float) -> float:
    """Over which distance the displacement dies away: wide enough that no tissue folds over itself."""
    return 1.2 * push * radius_px


def _push_aside(
    hu: FloatPlane, labels: NDArray[np.uint8], mask: BoolPlane, push: float
) -> tuple[FloatPlane, NDArray[np.uint8]]:
    """Move tissue outwards from under a lesion, down to nothing at the border of the piece.

    A piece that already shows a tumour stays as it is: real tumours must not be deformed. So does one whose
    kidney would lose touch with the lesion.
    """
    radius_px = float(np.sqrt(np.count_nonzero(mask) / np.pi))
    if push * radius_px < 0.5 or TUMOUR in labels:
        return hu, labels
    # Downhill on the blurred mask is outwards; the slope dies away before the piece ends.
    solid = _coarse_blur(mask, _push_width_px(push, radius_px))
    down, right = np.gradient(solid)
    steepest = max(float(np.hypot(down, right).max()), 1e-6)
    amount = push * radius_px / steepest
    y, x = np.mgrid[: hu.shape[0], : hu.shape[1]].astype(np.float32)
    rows = np.clip(y + amount * down, 0, hu.shape[0] - 1)
    columns = np.clip(x + amount * right, 0, hu.shape[1] - 1)
    moved = np.hypot(rows - y, columns - x) > 0.05
    pushed, classes = hu.copy(), labels.copy()
    pushed[moved] = sample_linear(hu, rows[moved], columns[moved])
    nearest = np.rint(rows[moved]).astype(np.intp), np.rint(columns[moved]).astype(np.intp)
    classes[moved] = labels[nearest]
    # Fat pushed out from under a lesion that sits on the kidney must not part the two.
    contacts = [contact_share(mask, one == KIDNEY) for one in (labels, classes)]
    return (pushed, classes) if contacts[1] >= 0.7 * contacts[0] else (hu, labels)


def _substance(mask: BoolPlane, lesion: Lesion) -> FloatPlane:
    """HU of a lesion's inside, on all of its box."""
    generator = np.random.default_rng(lesion.seed)
    tissue, pixel_mm = lesion.tissue, float(np.sqrt(np.prod(lesion.spacing_mm)))
    grain_px = tissue.texture_mm / pixel_mm
    substance = np.full(mask.shape, tissue.mean_hu, np.float32)
    if tissue.texture_hu > 0:
        fine = smooth_field(mask.shape, max(grain_px / 2, 0.7), generator)
        coarse = smooth_field(mask.shape, 1.5 * grain_px, generator)
        substance += tissue.texture_hu * (0.45 * fine + 0.9 * coarse)
    if tissue.rim_hu:
        edge = mask & (gaussian_blur(mask, max(tissue.rim_mm / pixel_mm, 0.7)) < 0.85)
        substance += tissue.rim_hu * gaussian_blur(edge, 0.7)
    if tissue.core_share > 0:
        core = _core(mask, lesion, generator)
        dead_hu = tissue.core_hu + 4 * smooth_field(mask.shape, 2 * grain_px, generator)
        substance += core * (dead_hu - substance)
    for _ in range(tissue.specks):
        substance += _speck(mask, generator) * (tissue.speck_hu - substance)
    noise = smooth_field(mask.shape, lesion.noise.grain_px, generator)
    return substance + lesion.noise.deviation_hu * noise


def _core(mask: BoolPlane, lesion: Lesion, generator: np.random.Generator) -> FloatPlane:
    """Weight of the dead core: the deepest share of the mask, its border made ragged by noise."""
    tissue, radius_px = lesion.tissue, float(np.sqrt(np.count_nonzero(mask) / np.pi))
    depth = _coarse_blur(mask, max(0.35 * radius_px, 1.0))
    depth = (depth - depth[mask].mean()) / (depth[mask].std() + 1e-6)
    ragged = smooth_field(mask.shape, max(tissue.core_grain * radius_px, 1.0), generator)
    level = (1 - tissue.core_ragged) * depth + tissue.core_ragged * ragged
    threshold = np.quantile(level[mask], 1 - tissue.core_share)
    return gaussian_blur((level > threshold) & mask, max(lesion.edge_px, 1.0))


def _speck(mask: BoolPlane, generator: np.random.Generator) -> FloatPlane:
    """Weight of a small bright spot somewhere in the mask."""
    pixels = np.argwhere(mask)
    row, column = pixels[int(generator.integers(len(pixels)))]
    height, width = generator.uniform(0.8, 2.2, 2)
    y, x = np.ogrid[: mask.shape[0], : mask.shape[1]]
    speck = np.exp(-0.5 * (((y - row) / height) ** 2 + ((x - column) / width) ** 2))
    return np.asarray(speck, np.float32)


def _coarse_blur(mask: BoolPlane, sigma_px: float) -> FloatPlane:
    """A Gaussian blur; a wide one is made on a coarser grid, for speed."""
    step = int(sigma_px // COARSE_PX) + 1
    if step == 1:
        return gaussian_blur(mask, sigma_px)
    rows, columns = (-length % step for length in mask.shape)
    padded = np.pad(mask, ((0, rows), (0, columns)), mode="edge")
    blocks = padded.reshape(padded.shape[0] // step, step, padded.shape[1] // step, step)
    blurred = gaussian_blur(np.pad(blocks.mean(axis=(1, 3)), 1, mode="edge"), sigma_px / step)
    return upsample_blocks(blurred, step, mask.shape, first=1)
