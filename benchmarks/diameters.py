"""Bias and spread of our diameters on ellipsoids whose diameters are known.

    python -m benchmarks.diameters [--places 20]

Each ellipsoid is put down at random places between the voxels and turned at random, on grids as CT has them.
For each way to place the border (voxel centres, a quarter voxel beyond, half a voxel beyond) the table gives
mean and standard deviation of what is measured less what is true, in mm.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from renalmap.measure.diameters import (
    convex_hull,
    longest_chord,
    longest_chord_in_space,
    widest_across,
)
from renalmap.measure.outline import border_points

FloatArray = NDArray[np.float64]
Spacing = tuple[float, float, float]

BORDERS: Final = (0.0, 0.25, 0.5)
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
    """What `true_diameters_mm` gives, measured."""
    hulls = [
        convex_hull(border_points(plane, border_voxels) * spacing_mm[1:])
        for plane in mask
        if plane.any()
    ]
    hull = max(hulls, key=lambda corners: longest_chord(corners).length_mm)
    longest = longest_chord(hull)
    across_mm = widest_across(hull, longest).length_mm if longest.length_mm else 0.0
    points = border_points(mask, border_voxels) * np.array(spacing_mm)
    return np.array([longest.length_mm, across_mm, longest_chord_in_space(points).length_mm])


def errors_mm(
    axes_mm: Sequence[float], spacing_mm: Spacing, places: int, rng: np.random.Generator
) -> FloatArray:
    """(places, borders, 3): measured less true, at random places and turns."""
    found = []
    for _ in range(places):
        form = turned_form(axes_mm, rng)
        mask = ellipsoid_mask(form, spacing_mm, rng.uniform(-0.5, 0.5, 3))
        true = true_diameters_mm(form)
        if mask.any():
            found.append([measured_mm(mask, spacing_mm, border) - true for border in BORDERS])
    return np.array(found)


def rows(places: int, told: Callable[[str], object]) -> Iterator[FloatArray]:
    """Errors of every shape, radius and spacing; each told as a row of a Markdown table."""
    rng = np.random.default_rng(0)
    told("| shape | radius | spacing z, xy | border | axial | short | 3D |")
    told("|---|--:|--:|--:|--:|--:|--:|")
    for name, shares in SHAPES.items():
        for radius_mm in RADII_MM:
            for spacing_mm in SPACINGS_MM:
                if 2.0 * radius_mm * min(shares) < LEAST_SLICES * max(spacing_mm):
                    continue
                found = errors_mm([radius_mm * share for share in shares], spacing_mm, places, rng)
                for border, errors in zip(BORDERS, np.moveaxis(found, 1, 0), strict=True):
                    cells = " | ".join(
                        f"{mean:+.2f} ± {sd:.2f}"
                        for mean, sd in zip(errors.mean(axis=0), errors.std(axis=0), strict=True)
                    )
                    grid = f"{spacing_mm[0]:g}, {spacing_mm[1]:g}"
                    told(f"| {name} | {radius_mm:g} | {grid} | {border:g} | {cells} |")
                yield found


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, and over all its rows the mean bias and its mean size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--places", type=int, default=20, help="random places of each ellipsoid")
    places = parser.parse_args(arguments).places
    means = np.array(
        [found.mean(axis=0) for found in rows(places, lambda line: sys.stdout.write(line + "\n"))]
    )
    for border, bias in zip(BORDERS, np.moveaxis(means, 1, 0), strict=True):
        told = ", ".join(
            f"{name} {bias[:, index].mean():+.2f} (size {np.abs(bias[:, index]).mean():.2f})"
            for index, name in enumerate(("axial", "short", "3D"))
        )
        sys.stdout.write(f"border {border:g}: mean bias over {len(bias)} rows, mm: {told}\n")


if __name__ == "__main__":
    main()
