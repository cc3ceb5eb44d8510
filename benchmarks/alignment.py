"""How well kidneys of real masks are laid on themselves after a known move, by our alignment and by SimpleITK's.

python -m benchmarks.alignment ../shared/data/kits19/data [--simpleitk]

Every kidney is turned by 5 to 25 degrees about a random axis, shifted by up to 40 mm along each axis and put on another
grid. Then its lesions are left as they are, cut out with 5 mm about them (partial nephrectomy), or grown by half their
diameter; or the lower third of the kidney lies beyond the scan. The error is how far the surface ends from where it should be.
Kidneys of different patients, side by side, show what a residual means.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from renalmap.anatomy import Anatomy, Kidney
from renalmap.anatomy.voxels import joined
from renalmap.followup.alignment import align
from renalmap.followup.surface import kidney_surface
from renalmap.imaging import Geometry, LabelMap, build_geometry, read_label_map

FloatArray = NDArray[np.float64]

SPACINGS_MM: Final = ((1.0, 0.7, 0.7), (2.5, 0.8, 0.8), (5.0, 0.8, 0.8))
MARGIN_MM: Final = 20.0


@dataclass(frozen=True)
class Move:
    """A rigid move in world coordinates: a rotation, then a shift."""

    rotation: FloatArray
    shift_mm: FloatArray

    def __call__(self, points_mm: FloatArray) -> FloatArray:
        """Where places (n, 3) come to lie."""
        return points_mm @ self.rotation.T + self.shift_mm


@dataclass(frozen=True)
class Pair:
    """A kidney and what became of it."""

    before: tuple[Kidney, Anatomy]
    after: tuple[Kidney, Anatomy]
    move: Move


def random_move(generator: np.random.Generator) -> Move:
    """By 5 to 25 degrees and up to 40 mm along each axis."""
    axis = generator.normal(size=3)
    x, y, z = axis / np.linalg.norm(axis)
    angle = np.radians(generator.uniform(5.0, 25.0))
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    rotation = np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * cross @ cross
    return Move(rotation, generator.uniform(-40.0, 40.0, 3))


def moved(kidney: Kidney, anatomy: Anatomy, move: Move, spacing_mm: tuple[float, ...]) -> LabelMap:
    """The surroundings of a kidney after a move, on a grid of their own."""
    geometry = anatomy.label_map.geometry
    box = joined([*kidney.body, *(one.voxels for one in anatomy.lesions_of(kidney))]).box
    corners = np.array(np.meshgrid(*zip(box.start, box.stop, strict=True))).reshape(3, -1).T
    world = move(corners @ geometry.affine[:3, :3].T + geometry.affine[:3, 3])
    low, high = world.min(axis=0) - MARGIN_MM, world.max(axis=0) + MARGIN_MM
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2] = spacing_mm[0], -spacing_mm[1], -spacing_mm[2]
    affine[:, 3] = (high[0], high[1], low[2], 1.0)
    shape = tuple(
        int(np.ceil(size / step)) for size, step in zip((high - low)[::-1], spacing_mm, strict=True)
    )
    places = np.indices(shape).reshape(3, -1).T @ affine[:3, :3].T + affine[:3, 3]
    back = np.linalg.inv(geometry.affine)
    voxels = np.rint(((places - move.shift_mm) @ move.rotation) @ back[:3, :3].T + back[:3, 3]).astype(
        int
    )
    known = ((voxels >= 0) & (voxels < geometry.shape)).all(axis=1)
    labels = np.zeros(len(voxels), np.uint8)
    labels[known] = anatomy.label_map.labels[tuple(voxels[known].T)]
    return LabelMap(labels.reshape(shape), build_geometry(shape, affine), "moved")


def about_lesions(label_map: LabelMap, beyond: Callable[[float], float]) -> NDArray[np.bool_]:
    """Balls about the lesions of a label map, wider than they by a length that depends on their radius."""
    geometry = label_map.geometry
    spacing_mm = np.array(geometry.spacing_mm)
    marked = np.zeros(geometry.shape, np.bool_)
    places = np.ogrid[tuple(slice(0, size) for size in geometry.shape)]
    for lesion in Anatomy.of(label_map).lesions:
        radius_mm = (lesion.voxels.size * geometry.voxel_ml * 1000.0 * 0.75 / np.pi) ** (1 / 3)
        squares = sum(
            ((place - centre) * step) ** 2
            for place, centre, step in zip(places, lesion.voxels.centre_zyx, spacing_mm, strict=True)
        )
        marked |= squares <= (radius_mm + beyond(radius_mm)) ** 2
    return marked


def changed(label_map: LabelMap, scene: str) -> LabelMap:
    """The same after an operation, after growth, or with less in the scan."""
    labels, geometry = label_map.labels.copy(), label_map.geometry
    if scene == "cut out":
        labels[(labels > 1) | about_lesions(label_map, lambda _: 5.0)] = 0
    if scene == "grown":
        labels[about_lesions(label_map, lambda radius_mm: radius_mm / 2)] = 2
    if scene == "truncated":
        heights = np.flatnonzero((labels == 1).any(axis=(1, 2)))
        first = int(heights[0] + len(heights) // 3)
        affine = geometry.affine.copy()
        affine[:3, 3] += first * affine[:3, 0]
        labels = labels[first:]
        return LabelMap(labels, build_geometry(labels.shape, affine), scene)
    return LabelMap(labels, geometry, scene)


def pairs(folder: Path, cases: int | None) -> Iterator[tuple[str, Pair]]:
    """Every scene of every kidney that lies whole in its scan."""
    generator = np.random.default_rng(40)
    for path in sorted(folder.glob("*/segmentation.nii.gz"))[:cases]:
        anatomy = Anatomy.of(read_label_map(path))
        for kidney in anatomy.kidneys:
            if kidney.borders:
                continue
            move, spacing_mm = random_move(generator), SPACINGS_MM[generator.integers(3)]
            label_map = moved(kidney, anatomy, move, spacing_mm)
            with_lesions = anatomy.lesions_of(kidney) != []
            for scene in ("moved", *(("cut out", "grown") if with_lesions else ()), "truncated"):
                other = Anatomy.of(changed(label_map, scene))
                if other.kidneys:
                    largest = max(other.kidneys, key=lambda one: other.ml(one.own))
                    yield scene, Pair((kidney, anatomy), (largest, other), move)


def ours(pair: Pair) -> tuple[Callable[[FloatArray], FloatArray], float]:
    """Our alignment and its residual."""
    found = align(
        kidney_surface(*pair.before),
        kidney_surface(*pair.after),
        after_is_part=bool(pair.after[0].borders),
    )
    return found, found.residual_mm


def _smooth(kidney: Kidney, anatomy: Anatomy, sitk: Any) -> Any:
    """A kidney with its lesions as a smoothed image in world coordinates, with room about it."""
    whole = joined([*kidney.body, *(one.voxels for one in anatomy.lesions_of(kidney))])
    geometry: Geometry = anatomy.label_map.geometry
    pad = [round(MARGIN_MM / step) for step in geometry.spacing_mm]
    image = sitk.GetImageFromArray(
        np.pad(whole.inside.astype(np.float32), [(each, each) for each in pad])
    )
    corner = geometry.affine[:3, :3] @ (np.array(whole.box.start) - pad) + geometry.affine[:3, 3]
    image.SetSpacing(geometry.spacing_mm[::-1])
    image.SetDirection(
        (geometry.affine[:3, 2::-1] / np.array(geometry.spacing_mm[::-1])).ravel().tolist()
    )
    image.SetOrigin(corner.tolist())
    return sitk.SmoothingRecursiveGaussian(image, 2.0)


def simpleitks(pair: Pair) -> tuple[Callable[[FloatArray], FloatArray], float]:
    """SimpleITK's registration of smoothed masks by their mean squares, from centre on centre."""
    sitk: Any = import_module("SimpleITK")  # the comparison alone needs it
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    fixed, moving = _smooth(*pair.before, sitk), _smooth(*pair.after, sitk)
    start = sitk.CenteredTransformInitializer(
        fixed, moving, sitk.Euler3DTransform(), sitk.CenteredTransformInitializerFilter.MOMENTS
    )
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMeanSquares()
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(0.2)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, 200)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2])
    method.SetSmoothingSigmasPerLevel([2, 1])
    method.SetInitialTransform(start, inPlace=False)
    found = method.Execute(fixed, moving)

    def apply(points_mm: FloatArray) -> FloatArray:
        return np.array([found.TransformPoint(point) for point in points_mm.tolist()])

    return apply, float(method.GetMetricValue())


def main() -> None:
    """Print a row for every scene and method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", type=int)
    parser.add_argument("--simpleitk", action="store_true")
    asked = parser.parse_args()
    methods = {"ours": ours} | ({"SimpleITK": simpleitks} if asked.simpleitk else {})
    rows: dict[tuple[str, str], list[tuple[float, float, float]]] = defaultdict(list)
    surfaces = []
    for scene, pair in pairs(asked.folder, asked.cases):
        surface = kidney_surface(*pair.before)
        if scene == "moved":
            surfaces.append((pair.before[0].side, surface))
        points = surface.some(500).points_mm
        for name, method in methods.items():
            started = time.process_time()
            found, residual = method(pair)
            seconds = time.process_time() - started
            error = np.linalg.norm(found(points) - pair.move(points), axis=1).mean()
            rows[scene, name].append((float(error), residual, seconds))
    _show(rows, surfaces)


def _show(rows: Any, surfaces: Any) -> None:
    head = (
        "| scene | method | n | error median, 95 %, most mm | residual median, 95 %, most mm | CPU s |"
    )
    sys.stdout.write(f"{head}\n|---|---|--:|--:|--:|--:|\n")
    for (scene, name), found in rows.items():
        errors, residuals, seconds = np.array(found).T
        cells = [
            " / ".join(f"{np.percentile(each, q):.2f}" for q in (50, 95, 100))
            for each in (errors, residuals)
        ]
        sys.stdout.write(
            f"| {scene} | {name} | {len(found)} | {cells[0]} | {cells[1]} | {seconds.mean():.2f} |\n"
        )
    strangers = [
        align(one, other).residual_mm
        for at, (side, one) in enumerate(surfaces)
        for other_side, other in surfaces[at + 1 : at + 6]
        if side == other_side
    ]
    quantiles = " / ".join(f"{np.percentile(strangers, q):.2f}" for q in (0, 5, 25, 50, 95))
    sys.stdout.write(
        f"\nresidual of {len(strangers)} pairs of different patients, 0, 5, 25, 50, 95 %: {quantiles} mm\n"
    )


if __name__ == "__main__":
    main()
