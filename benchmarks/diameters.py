"""Bias and spread of our diameters on ellipsoids whose diameters are known.

    python -m benchmarks.diameters [--places 10]

Each ellipsoid is put down at random places between the voxels and turned at random, on grids as CT has them.
The first table gives mean and standard deviation of what is reported less what is true, in mm; the second the
bias of each way to place the border, in voxels beyond the outermost centres.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from renalmap.anatomy import Voxels
from renalmap.imaging.volume import Box
from renalmap.measure.lines import Spacing, axial_lines, longest_line
from renalmap.measure.outline import BORDER_IN_SPACE_VOXELS, BORDER_VOXELS

FloatArray = NDArray[np.float64]

BORDERS: Final = (0.0, BORDER_IN_SPACE_VOXELS, BORDER_VOXELS, 0.5)
RADII_MM: Final = (3.0, 5.0, 10.0, 20.0, 35.0, 50.0)
SPACINGS_MM: Final[tuple[Spacing, ...]] = (
    (0.5, 0.8, 0.8),
    (1.0, 0.7, 0.7),
    (2.5, 0.8, 0.8),
    (5.0, 0.75, 0.75),
    (5.0, 5.0, 5.0),
)
SHAPES: Final = {"sphere": (1.0, 1.0, 1.0), "ellipsoid": (1.0, 0.8, 0.65)}
"""Half axes as shares of the radius."""

LEAST_SLICES: Final = 2.0
"""A body thinner than this is not asked to be measured across slices."""


def turned_form(axes_mm: Sequence[float], rng: np.random.Generator) -> FloatArray:
    """(3, 3) quadratic form of an ellipsoid turned at random; axes (z, y, x), per mm2."""
    turn, upper = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.sign(np.diag(upper))
    form: FloatArray = turn @ np.diag(1.0 / np.square(axes_mm)) @ turn.T
    return form


def true_diameters_mm(form: FloatArray) -> FloatArray:
    """Longest axial, the one across it in the same plane, and longest in space.

    All axial sections of an ellipsoid have one shape, so the largest is the middle one.
    """
    longest, across = 2.0 / np.sqrt(np.linalg.eigvalsh(form[1:, 1:]))
    return np.array([longest, across, 2.0 / np.sqrt(np.linalg.eigvalsh(form)[0])])


def ellipsoid_mask(
    form: FloatArray, spacing_mm: Spacing, offset_voxels: FloatArray
) -> NDArray[np.bool_]:
    """Which voxel centres lie inside an ellipsoid, its centre `offset_voxels` from the middle voxel's."""
    reach_mm = np.sqrt(np.diag(np.linalg.inv(form)))
    halves = np.ceil(reach_mm / spacing_mm).astype(int) + 1
    z, y, x = np.ix_(
        *[
            (np.arange(-half, half + 1) - offset) * mm
            for half, offset, mm in zip(halves, offset_voxels, spacing_mm, strict=True)
        ]
    )
    inside: NDArray[np.bool_] = (
        (form[0, 0] * z**2 + form[1, 1] * y**2 + form[2, 2] * x**2)
        + 2.0 * (form[0, 1] * z * y + form[0, 2] * z * x + form[1, 2] * y * x)
    ) <= 1.0
    return inside


def measured_mm(mask: NDArray[np.bool_], spacing_mm: Spacing, border_voxels: float) -> FloatArray:
    """What `true_diameters_mm` gives, measured with a border placed so far beyond the centres."""
    part = Voxels(Box((0, 0, 0), mask.shape), mask)
    lines = axial_lines(part, spacing_mm, border_voxels)
    in_space = longest_line([part], spacing_mm, border_voxels)
    return np.array([line.length_mm for line in (lines.longest, lines.short, in_space)])


def errors_mm(
    axes_mm: Sequence[float], spacing_mm: Spacing, places: int, rng: np.random.Generator
) -> FloatArray:
    """(places, borders + 1, 3): measured less true, at random places and turns; last what we report."""
    found = []
    for _ in range(places):
        form = turned_form(axes_mm, rng)
        mask = ellipsoid_mask(form, spacing_mm, rng.uniform(-0.5, 0.5, 3))
        if mask.any():
            by_border = {border: measured_mm(mask, spacing_mm, border) for border in BORDERS}
            axial_mm, short_mm, _ = by_border[BORDER_VOXELS]
            in_space_mm = max(by_border[BORDER_IN_SPACE_VOXELS][2], axial_mm)
            reported = np.array([axial_mm, short_mm, in_space_mm])
            found.append(np.array([*by_border.values(), reported]) - true_diameters_mm(form))
    return np.array(found)


def rows(places: int, told: Callable[[str], object]) -> Iterator[FloatArray]:
    """Errors of every shape, radius and spacing; what we report of each told as a row of a table."""
    rng = np.random.default_rng(0)
    told("| shape | radius | slices | pixels | axial | short | 3D |")
    told("|---|--:|--:|--:|--:|--:|--:|")
    for name, shares in SHAPES.items():
        for radius_mm in RADII_MM:
            for spacing_mm in SPACINGS_MM:
                if 2.0 * radius_mm * min(shares) < LEAST_SLICES * max(spacing_mm):
                    continue
                found = errors_mm([radius_mm * share for share in shares], spacing_mm, places, rng)
                reported = found[:, -1]
                cells = " | ".join(
                    f"{mean:+.2f} ± {sd:.2f}"
                    for mean, sd in zip(reported.mean(axis=0), reported.std(axis=0), strict=True)
                )
                told(f"| {name} | {radius_mm:g} | {spacing_mm[0]:g} | {spacing_mm[1]:g} | {cells} |")
                yield found


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, and over all its rows the mean bias and its mean size for each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--places", type=int, default=10, help="random places of each ellipsoid")
    places = parser.parse_args(arguments).places
    means = np.array(
        [found.mean(axis=0) for found in rows(places, lambda line: sys.stdout.write(line + "\n"))]
    )
    names = [*(f"{border:g} voxels" for border in BORDERS), "reported"]
    sys.stdout.write("\n| border | axial | short | 3D |\n|---|--:|--:|--:|\n")
    for name, bias in zip(names, np.moveaxis(means, 1, 0), strict=True):
        pairs = zip(bias.mean(axis=0), np.abs(bias).mean(axis=0), strict=True)
        cells = " | ".join(f"{mean:+.2f} ({size:.2f})" for mean, size in pairs)
        sys.stdout.write(f"| {name} | {cells} |\n")
    sys.stdout.write(f"Mean bias over {len(means)} rows, mm; in brackets the mean of its size.\n")


if __name__ == "__main__":
    main()
