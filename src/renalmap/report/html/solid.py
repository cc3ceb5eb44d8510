"""Kidneys and tumours as solid bodies, seen from the front or from behind: our own small renderer.

Parallel rays run along y through masks that are smoothed and resampled to cubes; the first point of a
ray inside is lit by the gradient there. Tumours shine through the parenchyma in front of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from renalmap.imaging.connected import find_box
from renalmap.imaging.field import convolve, gaussian
from renalmap.imaging.volume import LabelMap
from renalmap.labels import BACKGROUND, TUMOUR
from renalmap.report.palette import KIDNEY_COLOUR, TUMOUR_COLOUR

if TYPE_CHECKING:
    from PIL.Image import Image

FloatArray = NDArray[np.float32]
From = Literal["front", "back"]

BACKGROUND_COLOUR: Final = "#0b0e13"

_MOST_CUBES: Final = 8_000_000
_FINEST_MM: Final = 0.8
_SMOOTHING_MM: Final = 1.5
_SMOOTHING_PER_SPACING: Final = 0.7
"""So that thick slices do not make terraces."""
_MARGIN_MM: Final = 8.0
_SHINING_THROUGH: Final = 0.45
_ON_SURFACE_MM: Final = 1.5
_TO_LIGHT: Final = (0.45, -0.75, -0.48)
"""Along (z, y, x): from above, in front and the viewer's left."""
_AMBIENT, _DIFFUSE, _GLOSS, _SHARPNESS = 0.30, 0.72, 0.28, 24


@dataclass(frozen=True)
class _Seen:
    """What parallel rays meet.

    Attributes:
        light: brightness of the first surface on each ray, (z, x).
        gloss: what is reflected there, 0..1.
        depth_mm: how far it is along y; infinite where there is none.
        inside: the largest value on the ray: the surface's silhouette is where it is 0.5.
    """

    light: FloatArray
    gloss: FloatArray
    depth_mm: FloatArray
    inside: FloatArray


def draw_solids(labels: LabelMap, *, height_px: int) -> dict[From, Image]:
    """Draw what is labelled as solids, head up, from the front and from behind.

    Args:
        labels: 0 background, 2 tumour, all else kidney; axes (z, y, x).
        height_px: of the pictures; their width follows from the body's proportions.

    Returns:
        RGB pictures on a dark ground: seen from the front the patient's right is on the left, from behind
        it is on the right. Empty where nothing is labelled.
    """
    box = find_box(labels.labels)
    if box is None:
        return {}
    cut, spacing_mm = np.pad(labels.labels[box.slices], 1), labels.geometry.spacing_mm
    cube_mm = _cube_mm(cut.shape, spacing_mm)
    sigma_mm = max(_SMOOTHING_MM, _SMOOTHING_PER_SPACING * max(spacing_mm))
    bodies = []
    for mask in (cut != BACKGROUND, cut == TUMOUR):
        field = _to_cubes(mask, spacing_mm, cube_mm)
        for axis in range(3):
            field = convolve(field, axis, gaussian(sigma_mm / cube_mm))
        # Smoothing would hide what is thinner than its reach everywhere.
        bodies.append(field / np.float32(field.max() or 1.0))
    from_behind = [body[:, ::-1, ::-1] for body in bodies]
    views: tuple[tuple[From, list[FloatArray]], ...] = ("front", bodies), ("back", from_behind)
    return {
        seen_from: _paint(_look(whole, cube_mm), _look(tumour, cube_mm), height_px)
        for seen_from, (whole, tumour) in views
    }


def _cube_mm(shape: tuple[int, ...], spacing_mm: tuple[float, float, float]) -> float:
    """Edge of the cubes: fine, but not so fine that a large region takes seconds."""
    volume_mm3 = float(
        np.prod([size * step + 2 * _MARGIN_MM for size, step in zip(shape, spacing_mm, strict=True)])
    )
    return max(_FINEST_MM, float(np.cbrt(volume_mm3 / _MOST_CUBES)))


def _to_cubes(
    mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float], cube_mm: float
) -> FloatArray:
    """Resample linearly to cubes, with a margin; axis by axis, z turned so that the head is on top."""
    field = mask[::-1].astype(np.float32)
    for axis, step_mm in enumerate(spacing_mm):
        size = field.shape[axis]
        margin = _MARGIN_MM / step_mm
        at = np.arange(-margin, size - 1 + margin, cube_mm / step_mm).clip(0, size - 1)
        low = np.minimum(at.astype(np.intp), max(size - 2, 0))
        share = (at - low).astype(np.float32).reshape([-1 if other == axis else 1 for other in range(3)])
        upper = np.take(field, np.minimum(low + 1, size - 1), axis)
        field = np.take(field, low, axis) * (1 - share) + upper * share
    return field


def _look(body: FloatArray, cube_mm: float) -> _Seen:
    inside = body.max(axis=1)
    # Rays that just miss are lit where they come closest: the silhouette is cut later, and finer.
    hit = np.where(inside >= 0.5, (body >= 0.5).argmax(axis=1), body.argmax(axis=1)).clip(
        1, body.shape[1] - 2
    )
    z, x = np.indices(hit.shape, sparse=True)
    z, x = z.clip(1, body.shape[0] - 2), x.clip(1, body.shape[2] - 2)
    slope = np.stack(
        [
            body[z - 1, hit, x] - body[z + 1, hit, x],  # z is turned: up is towards index 0
            body[z, hit + 1, x] - body[z, hit - 1, x],
            body[z, hit, x + 1] - body[z, hit, x - 1],
        ]
    )
    outwards = -slope / np.maximum(np.sqrt((slope**2).sum(axis=0)), 1e-6)
    to_light = np.array(_TO_LIGHT) / np.linalg.norm(_TO_LIGHT)
    # Half way between the light and the eye, which is in front: Blinn's highlight.
    half = to_light + np.array((0.0, -1.0, 0.0))
    half /= np.linalg.norm(half)
    lit = np.tensordot(to_light, outwards, 1).clip(0, 1)
    facing = (-outwards[1]).clip(0, 1)
    light = _AMBIENT * (0.6 + 0.4 * facing) + _DIFFUSE * lit
    gloss = _GLOSS * np.tensordot(half, outwards, 1).clip(0, 1) ** _SHARPNESS
    before, at = body[z, hit - 1, x], body[z, hit, x]
    fraction = np.divide(0.5 - before, at - before, out=np.ones_like(at), where=at > before).clip(0, 1)
    depth_mm = np.where(inside >= 0.25, (hit - 1 + fraction) * cube_mm, np.inf)
    return _Seen(light.astype(np.float32), gloss.astype(np.float32), depth_mm.astype(np.float32), inside)


def _paint(whole: _Seen, tumour: _Seen, height_px: int) -> Image:
    from PIL import Image  # noqa: PLC0415 - only drawing needs Pillow

    size_px = round(height_px * whole.light.shape[1] / whole.light.shape[0]), height_px
    near_mm = float(whole.depth_mm[np.isfinite(whole.depth_mm)].min())
    far = np.nan_to_num((whole.depth_mm - near_mm) / 160.0, posinf=0.0).clip(0, 1)
    on_surface = tumour.depth_mm <= whole.depth_mm + _ON_SURFACE_MM
    shown = np.where(on_surface, 1.0, np.where(np.isfinite(tumour.depth_mm), _SHINING_THROUGH, 0.0))
    share = _enlarge(shown, size_px) * _coverage(tumour.inside, size_px)
    picture = np.zeros((*size_px[::-1], 3), np.float32)
    for seen, colour, part in ((whole, KIDNEY_COLOUR, 1 - share), (tumour, TUMOUR_COLOUR, share)):
        lit = _enlarge(seen.light * (1 - 0.35 * far), size_px)[..., None] * _rgb(colour)
        picture += part[..., None] * (lit + _enlarge(seen.gloss, size_px)[..., None])
    covered = _coverage(whole.inside, size_px)[..., None]
    picture = covered * picture.clip(0, 1) + (1 - covered) * _rgb(BACKGROUND_COLOUR)
    return Image.fromarray(np.round(picture.clip(0, 1) * 255).astype(np.uint8))


def _enlarge(values: NDArray[Any], size_px: tuple[int, int]) -> FloatArray:
    from PIL import Image  # noqa: PLC0415

    small = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    return np.asarray(small.resize(size_px, Image.Resampling.BICUBIC), np.float32)


def _coverage(inside: FloatArray, size_px: tuple[int, int]) -> FloatArray:
    """How much of each pixel the silhouette covers, from how fast the field falls there."""
    large = _enlarge(inside, size_px)
    slope = np.hypot(*np.gradient(large))
    covered: FloatArray = ((large - 0.5) / np.maximum(slope, 0.02) + 0.5).clip(0, 1).astype(np.float32)
    return covered


def _rgb(colour: str) -> FloatArray:
    return np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)], np.float32)
