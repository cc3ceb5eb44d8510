"""Augmentation in two steps: random parameters are drawn, then applied to a batch by a pure function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from renalmap.imaging.volume import Box
from renalmap.training.settings import AugmentSettings

SOFT_WINDOW_HU = (0.0, 255.0)
"""The range of the available KiTS19 and CURVAS slices."""

_COARSENESS = (1.2, 2.5)
"""From 0.8 mm pixels to what 512x512 pixels cover in the largest patients, and a softer kernel's blur."""


@dataclass(frozen=True)
class Warp:
    """What happens to one sample.

    Attributes:
        matrix: 2x2, from an output pixel's offset about the output's centre to the source pixel's
            offset about the same point, in (x, y).
        gain, offset_hu: HU become gain * HU + offset.
        noise_hu: standard deviation of added white noise.
        blur: whether to blur.
        coarseness: how many times wider the image was sampled; 1 leaves it.
        levels_hu: HU are rounded to steps of this; 0 leaves them.
        soft_window: whether to clip to 0..255 HU in whole numbers.
        noise_seed: seeds the noise.
    """

    matrix: tuple[tuple[float, float], tuple[float, float]] = ((1.0, 0.0), (0.0, 1.0))
    gain: float = 1.0
    offset_hu: float = 0.0
    noise_hu: float = 0.0
    blur: bool = False
    coarseness: float = 1.0
    levels_hu: float = 0.0
    soft_window: bool = False
    noise_seed: int = 0


def draw_warp(settings: AugmentSettings, generator: np.random.Generator) -> Warp:
    """Draw one sample's parameters."""
    angle = np.deg2rad(generator.uniform(-settings.rotation_degrees, settings.rotation_degrees))
    shear = generator.uniform(-settings.shear, settings.shear)
    zoom = generator.uniform(1 - settings.zoom, 1 + settings.zoom)
    flip_x = -1.0 if generator.random() < settings.horizontal_flip else 1.0
    flip_y = -1.0 if generator.random() < settings.vertical_flip else 1.0
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = rotation @ np.array([[1.0, shear], [0.0, 1.0]]) @ np.diag([flip_x, flip_y]) / zoom
    return Warp(
        matrix=((matrix[0, 0], matrix[0, 1]), (matrix[1, 0], matrix[1, 1])),
        gain=generator.uniform(1 - settings.gain, 1 + settings.gain),
        offset_hu=generator.uniform(-settings.offset_hu, settings.offset_hu),
        noise_hu=generator.uniform(0, settings.noise_hu),
        blur=bool(generator.random() < settings.blur),
        coarseness=(
            generator.uniform(*_COARSENESS) if generator.random() < settings.resolution else 1.0
        ),
        soft_window=bool(generator.random() < settings.soft_window),
        noise_seed=int(generator.integers(2**31)),
        # Drawn only if requested, so that settings without it draw what they always drew.
        levels_hu=generator.uniform(0, settings.levels_hu) if settings.levels_hu > 0 else 0.0,
    )


def warp_batch(
    hu: Tensor, labels: Tensor, boxes: Sequence[Box], warps: Sequence[Warp], outside_hu: float
) -> tuple[Tensor, Tensor]:
    """Cut each sample's box out of its slice, warped about the box's centre.

    All work is done where `hu` is. A sample's noise is drawn there as well, so it is the same in every batch on
    one device, and differs between devices.

    Args:
        hu: (N, grid, grid) float.
        labels: (N, grid, grid) uint8.
        boxes: N boxes of one shape in (y, x).
        warps: N draws.
        outside_hu: for pixels that come from outside the slice; their label is 0.

    Returns:
        HU, (N, 1, height, width), by linear interpolation, and labels, (N, 1, height, width) long, by
        nearest neighbour.
    """
    grid = _sampling_grid(boxes, warps, hu.shape[-1], hu.device)
    # Beyond the slice grid_sample gives 0, so HU are shifted for the time of sampling.
    shifted = hu.unsqueeze(1) - outside_hu
    warped = functional.grid_sample(shifted, grid, mode="bilinear", align_corners=False) + outside_hu
    classes = labels.unsqueeze(1).float()
    picked = functional.grid_sample(classes, grid, mode="nearest", align_corners=False)
    return _change_intensity(warped, warps), picked.long()


def _sampling_grid(
    boxes: Sequence[Box], warps: Sequence[Warp], size: int, device: torch.device
) -> Tensor:
    """Where output pixels come from, (N, height, width, 2), in grid_sample's -1..1 coordinates."""
    height, width = boxes[0].shape
    numbers = [
        (
            *warp.matrix[0],
            *warp.matrix[1],
            box.start[1] + (width - 1) / 2,
            box.start[0] + (height - 1) / 2,
        )
        for box, warp in zip(boxes, warps, strict=True)
    ]
    xx, xy, yx, yy, centre_x, centre_y = (
        torch.tensor(numbers, dtype=torch.float32).to(device).T.reshape(6, -1, 1, 1)
    )
    y = torch.arange(height, device=device).view(1, -1, 1) - (height - 1) / 2
    x = torch.arange(width, device=device).view(1, 1, -1) - (width - 1) / 2
    pixels = torch.stack([x * xx + y * xy + centre_x, x * yx + y * yy + centre_y], dim=-1)
    return (pixels + 0.5) * (2.0 / size) - 1.0


def _change_intensity(hu: Tensor, warps: Sequence[Warp]) -> Tensor:
    """Change HU in place: all samples at once, except for what few of them need."""
    blurred = [number for number, warp in enumerate(warps) if warp.blur]
    if blurred:
        hu[blurred] = _blur(hu[blurred])
    for number, warp in enumerate(warps):
        if warp.coarseness > 1:
            hu[number] = _coarsen(hu[number], warp.coarseness)
    numbers = torch.tensor([(warp.gain, warp.offset_hu) for warp in warps], dtype=hu.dtype)
    gain, offset_hu = numbers.to(hu.device).T.reshape(2, -1, 1, 1, 1)
    hu.mul_(gain).add_(offset_hu)
    for number, warp in enumerate(warps):
        if warp.noise_hu > 0:
            generator = torch.Generator(hu.device).manual_seed(warp.noise_seed)
            noise = torch.randn(hu[number].shape, generator=generator, device=hu.device)
            hu[number].add_(noise, alpha=warp.noise_hu)
        if warp.levels_hu > 0:
            hu[number].div_(warp.levels_hu).round_().mul_(warp.levels_hu)
    soft = [number for number, warp in enumerate(warps) if warp.soft_window]
    if soft:
        hu[soft] = hu[soft].clamp(*SOFT_WINDOW_HU).round()
    return hu


def _coarsen(sample: Tensor, factor: float) -> Tensor:
    """A coarser image of the same size: averaged down, interpolated up."""
    height, width = sample.shape[-2:]
    size = (max(1, round(height / factor)), max(1, round(width / factor)))
    small = functional.interpolate(
        sample[None], size, mode="bilinear", antialias=True, align_corners=False
    )
    return functional.interpolate(small, (height, width), mode="bilinear", align_corners=False)[0]


def _blur(samples: Tensor) -> Tensor:
    # Sums of shifted images: a convolution's rounding depends, on some processors, on how many samples there are.
    padded = functional.pad(samples, (1, 1, 1, 1), mode="replicate")
    rows = 0.25 * padded[..., :-2, :] + 0.5 * padded[..., 1:-1, :] + 0.25 * padded[..., 2:, :]
    return 0.25 * rows[..., :-2] + 0.5 * rows[..., 1:-1] + 0.25 * rows[..., 2:]
