"""Where a lesion lies: draw its outline and place it on a kidney's border."""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import numpy as np
from numpy.typing import NDArray

from renalmap.imaging.masks import BoolPlane, bounding_slices, contour
from renalmap.labels import KIDNEY, TUMOUR
from renalmap.training.synthesis.fields import FloatPlane, gaussian_blur, sample_linear
from renalmap.training.synthesis.settings import Range, SynthesisSettings
from renalmap.training.synthesis.shapes import SPACING_MM, LesionShapes, Section
from renalmap.training.synthesis.surroundings import FAT_CEILING_HU, Noise, estimate_noise, spared_tissue
from renalmap.training.synthesis.tissue import Tissue, draw_cyst_tissue, draw_tumour_tissue

ATTEMPTS = 3
ANCHORS = 16
CONTACT_MIN = 0.08
SPARED_MAX = 0.08
"""Largest share of a lesion that may be cut off by bone, gas or the body's outline."""
SAMPLES = 250
NOISE_MARGIN_PX = 25
"""The noise is measured in the kidney and this far around it."""


@dataclass(frozen=True, eq=False)
class Lesion:
    """One lesion, ready to be painted: a pure function turns it and a slice into a changed slice.

    Attributes:
        mask: (rows, columns), its bounding box.
        start: (row, column) of the mask's first pixel in the slice.
        label: tumour, or kidney for a cyst.
        tissue: what it is made of.
        noise: of the scan.
        spacing_mm: pixel spacing (row, column).
        edge_px: standard deviation of the blur at its border.
        push: how far the tissue around is pushed aside, as a share of its radius.
        seed: of its textures.
    """

    mask: BoolPlane
    start: tuple[int, int]
    label: int
    tissue: Tissue
    noise: Noise
    spacing_mm: tuple[float, float]
    edge_px: float
    push: float
    seed: int


@dataclass(frozen=True, eq=False)
class Site:
    """A piece of a slice about one kidney, in which a lesion may lie.

    Attributes:
        hu: (rows, columns).
        labels: the same piece.
        kidney: the kidney with its tumours.
        body: the body without its wall.
        start: (row, column) of the piece's first pixel in the slice.
        spacing_mm: pixel spacing (row, column).
    """

    hu: FloatPlane
    labels: NDArray[np.uint8]
    kidney: BoolPlane
    body: BoolPlane
    start: tuple[int, int]
    spacing_mm: tuple[float, float]


@dataclass(frozen=True)
class _Outline:
    mask: BoolPlane
    diameter_mm: float
    contact_share: float


def draw_lesion(
    site: Site,
    label: int,
    settings: SynthesisSettings,
    shapes: LesionShapes,
    generator: np.random.Generator,
) -> Lesion | None:
    """Draw a tumour or, for the label of kidney, a cyst; None if no place for it is found in a few attempts.

    Tumours have their outlines from `shapes`; cysts are round.
    """
    parenchyma = (site.labels == KIDNEY) & site.kidney
    spared = spared_tissue(site.hu, site.labels, site.kidney, site.body)
    for _ in range(ATTEMPTS):
        if label == TUMOUR:
            outline = _draw_tumour_outline(site.spacing_mm, settings, shapes, generator)
        else:
            outline = _draw_cyst_outline(site.spacing_mm, settings, generator)
        large = outline.diameter_mm >= settings.large_mm
        swallowed_max = settings.large_swallowed_max if large else settings.swallowed_max
        placed = _place(site, outline, (parenchyma, spared), swallowed_max, generator)
        if placed is not None:
            break
    else:
        return None
    mask, start = placed
    noise = estimate_noise(site.hu[bounding_slices(site.kidney, NOISE_MARGIN_PX)])
    tissue = (
        draw_tumour_tissue(
            settings, outline.diameter_mm, float(np.median(site.hu[parenchyma])), generator
        )
        if label == TUMOUR
        else draw_cyst_tissue(settings, generator)
    )
    return Lesion(
        mask=mask,
        start=(start[0] + site.start[0], start[1] + site.start[1]),
        label=label,
        tissue=tissue,
        noise=noise,
        spacing_mm=site.spacing_mm,
        edge_px=float(np.clip(generator.uniform(*settings.edge_mm) / min(site.spacing_mm), 0.5, 2.0)),
        push=float(generator.uniform(*settings.push)),
        seed=int(generator.integers(2**31)),
    )


def _draw_tumour_outline(
    spacing_mm: tuple[float, float],
    settings: SynthesisSettings,
    shapes: LesionShapes,
    generator: np.random.Generator,
) -> _Outline:
    wanted_mm = _log_triangle(settings.tumour_diameter_mm, settings.tumour_mode_mm, generator)
    section = shapes.draw(wanted_mm, settings.scale, generator)
    own_mm = float(np.sqrt(4 * np.count_nonzero(section.mask) / np.pi)) * SPACING_MM
    scale = float(np.clip(wanted_mm / own_mm, *settings.scale))
    contact = section.contact_share
    if contact < CONTACT_MIN:
        # A section beyond the kidney's pole has no contact of its own: another's is as good.
        shares = shapes.contact_shares
        touching = shares[shares >= CONTACT_MIN]
        contact = float(generator.choice(touching)) if touching.size else 0.5
    mask = turn_section(section, scale, spacing_mm, generator)
    return _Outline(mask, own_mm * scale, contact)


def _draw_cyst_outline(
    spacing_mm: tuple[float, float], settings: SynthesisSettings, generator: np.random.Generator
) -> _Outline:
    diameter_mm = _log_triangle(settings.cyst_diameter_mm, settings.cyst_mode_mm, generator)
    stretch = generator.uniform(1.0, 1.12)
    angle = generator.uniform(0, np.pi)
    half = [int(np.ceil(0.6 * diameter_mm / spacing)) + 1 for spacing in spacing_mm]
    y, x = np.mgrid[-half[0] : half[0] + 1, -half[1] : half[1] + 1]
    y, x = y * spacing_mm[0], x * spacing_mm[1]
    long_mm = (np.cos(angle) * x + np.sin(angle) * y) / stretch
    short_mm = (-np.sin(angle) * x + np.cos(angle) * y) * stretch
    mask = np.hypot(long_mm, short_mm) <= diameter_mm / 2
    return _Outline(mask[bounding_slices(mask)], diameter_mm, float(generator.uniform(0.15, 1.0)))


def turn_section(
    section: Section, scale: float, spacing_mm: tuple[float, float], generator: np.random.Generator
) -> BoolPlane:
    """A section turned by a random angle, perhaps mirrored, scaled, on a slice's pixels."""
    angle = generator.uniform(0, 2 * np.pi)
    mirror = -1.0 if generator.random() < 0.5 else 1.0
    shape = np.array(section.mask.shape)
    half_mm = float(np.hypot(*shape)) / 2 * SPACING_MM * scale
    half = [int(np.ceil(half_mm / spacing)) + 1 for spacing in spacing_mm]
    steps = [
        np.arange(-one, one + 1) * (spacing / scale / SPACING_MM)
        for one, spacing in zip(half, spacing_mm, strict=True)
    ]
    y, x = np.meshgrid(*steps, indexing="ij")
    rows = np.cos(angle) * y - np.sin(angle) * x + (shape[0] - 1) / 2
    columns = mirror * (np.sin(angle) * y + np.cos(angle) * x) + (shape[1] - 1) / 2
    padded = np.pad(section.mask, 3)
    turned = sample_linear(gaussian_blur(padded, 0.8), rows + 3, columns + 3) > 0.5
    if not turned.any():
        turned[half[0], half[1]] = True
    return turned[bounding_slices(turned)]


def _place(
    site: Site,
    outline: _Outline,
    tissues: tuple[BoolPlane, BoolPlane],
    swallowed_max: float,
    generator: np.random.Generator,
) -> tuple[BoolPlane, tuple[int, int]] | None:
    """Move an outline along the kidney's border to where it touches as much kidney as it should.

    Places along the normals of a few contour points are judged by samples of the outline's pixels: by
    the contact, by how much would be cut off, and by how much other soft tissue would be covered, because
    tumours displace that rather than cover it.

    Returns:
        The mask, without what is spared, and its first pixel in the site; None if no place is suitable.
    """
    parenchyma, spared = tissues
    soft = (site.hu > FAT_CEILING_HU) & ~site.kidney
    flags = np.pad(parenchyma + 2 * spared + 4 * soft, 1, constant_values=2).astype(np.uint8)
    centres = _candidate_centres(parenchyma, outline, site.spacing_mm, generator)
    middle = np.array(outline.mask.shape) // 2
    area = _flags_at(flags, _pick_pixels(outline.mask) - middle, centres)
    edge = _flags_at(flags, _pick_pixels(contour(outline.mask)) - middle, centres)
    contact = (edge & 1).mean(axis=1)
    cut = (area & 2 > 0).mean(axis=1)
    swallowed = (area & 1).mean(axis=1) * np.count_nonzero(outline.mask)
    swallowed = swallowed / np.count_nonzero(parenchyma)
    possible = (contact >= CONTACT_MIN) & (cut <= SPARED_MAX) & (swallowed <= swallowed_max)
    if not possible.any():
        return None
    cost = np.abs(contact - outline.contact_share) + 2 * cut + 0.6 * (area & 4 > 0).mean(axis=1)
    cost += generator.uniform(0, 0.1, cost.size)
    best = int(np.argmin(np.where(possible, cost, np.inf)))
    first = centres[best] - middle
    return _cut_to_fit(outline.mask, (int(first[0]), int(first[1])), spared, parenchyma)


def _candidate_centres(
    kidney: BoolPlane,
    outline: _Outline,
    spacing_mm: tuple[float, float],
    generator: np.random.Generator,
) -> NDArray[np.intp]:
    """(places, 2): rows and columns along the normals of random points of the kidney's contour."""
    points = np.argwhere(contour(kidney))
    points = points[generator.integers(len(points), size=ANCHORS)]
    solid = gaussian_blur(kidney, 3.0)
    down, right = np.gradient(solid)
    slope = np.stack([down, right], axis=-1)[points[:, 0], points[:, 1]]
    slope /= np.linalg.norm(slope, axis=1, keepdims=True) + 1e-6
    reach_px = outline.diameter_mm / 2 / np.array(spacing_mm)
    # Farther inwards than outwards: a bumpy outline must fit wholly inside, and never leave.
    steps = np.linspace(-1.6, 1.1, 18)[None, :, None]
    centres: NDArray[np.intp] = np.rint(points[:, None] - steps * slope[:, None] * reach_px).astype(
        np.intp
    )
    return centres.reshape(-1, 2)


def _pick_pixels(mask: BoolPlane) -> NDArray[np.intp]:
    pixels = np.argwhere(mask)
    return pixels[:: max(len(pixels) // SAMPLES, 1)]


def _flags_at(
    flags: NDArray[np.uint8], offsets: NDArray[np.intp], centres: NDArray[np.intp]
) -> NDArray[np.uint8]:
    """(places, pixels): the flags under each pixel; `flags` has a border of one pixel."""
    height, width = flags.shape
    rows = np.clip(centres[:, None, 0] + offsets[None, :, 0] + 1, 0, height - 1)
    columns = np.clip(centres[:, None, 1] + offsets[None, :, 1] + 1, 0, width - 1)
    found: NDArray[np.uint8] = flags.ravel()[rows * width + columns]
    return found


def _cut_to_fit(
    mask: BoolPlane, first: tuple[int, int], spared: BoolPlane, kidney: BoolPlane
) -> tuple[BoolPlane, tuple[int, int]] | None:
    """Remove what is spared or outside the site; the largest piece that is left must touch the kidney."""
    full = np.zeros(spared.shape, bool)
    inside = [
        slice(max(start, 0), min(start + length, limit))
        for start, length, limit in zip(first, mask.shape, spared.shape, strict=True)
    ]
    if any(one.start >= one.stop for one in inside):
        return None
    part = tuple(
        slice(one.start - start, one.stop - start) for one, start in zip(inside, first, strict=True)
    )
    full[inside[0], inside[1]] = mask[part[0], part[1]]
    if not full.any():
        return None
    box = bounding_slices(full)
    # The blur rounds off the corners that the cut leaves.
    kept = full[box] & ~spared[box]
    if not kept[full[box]].all():
        kept = (gaussian_blur(kept, 2.0) > 0.5) & full[box] & ~spared[box]
    parts = cc3d.connected_components(kept, connectivity=4)
    if not parts.any():
        return None
    kept = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    if not (kept & kidney[box]).any():
        return None
    own = bounding_slices(kept)
    return kept[own], (box[0].start + own[0].start, box[1].start + own[1].start)


def _log_triangle(limits: Range, mode: float, generator: np.random.Generator) -> float:
    low, top, high = np.log([limits[0], mode, limits[1]])
    return float(np.exp(generator.triangular(low, top, high) if low < high else low))
