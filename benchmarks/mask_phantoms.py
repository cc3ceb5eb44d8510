"""Phantoms that wear real masks: a data set with KiTS19's geometry and labels, and no patient's image.

    python -m benchmarks.mask_phantoms --masks ../shared/data/kits19 --cases 12 --out runs/rehearsal/data

Each mask is copied byte for byte. Its scan is painted about it: a phantom's trunk without kidneys, fat
around the mask, parenchyma and tumour in it, noise. It is stored as KiTS19's scans are, as float64 with the
slices first. Cheap rather than beautiful; the shipped bundle finds most of the kidneys. `--wide` adds one
case of 512 by 796 pixels, as case_00160 is: the mask of middle length with background to either side.
"""

from __future__ import annotations

import argparse
import gzip
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from renalmap.dataset.layouts import Case, kits_folder, read_dataset
from renalmap.imaging import LabelMap, read_geometry, read_label_map
from renalmap.imaging.files import replace_atomically
from renalmap.labels import KIDNEY, TUMOUR
from renalmap.phantom import PhantomConfig, make_phantom
from renalmap.phantom.scanner import NoiseMaker
from renalmap.phantom.tissues import Tissues, draw_tissues

_TRUNK_SLICES: Final = 24
_TRUNK_STEP_MM: Final = 10.0
_FAT_MM: Final = 6.0
_NOISE_HU: Final = 14.0
_NOISE_SLICES: Final = 8
"""Drawn once a case and shifted at random: filtering noise takes longer than all else."""
_GZIP_LEVEL: Final = 1
WIDE_CASE: Final = "case_00160"
WIDE_COLUMNS: Final = 796


@dataclass(frozen=True, eq=False)
class Trunk:
    """A body without kidneys, one slice per centimetre.

    Attributes:
        hu: int16 (slices, rows, columns).
        middle_zyx: where its kidneys' centre was, in voxels.
    """

    hu: NDArray[np.int16]
    middle_zyx: NDArray[np.float64]

    @classmethod
    def draw(
        cls, shape: tuple[int, ...], spacing_mm: Sequence[float], generator: np.random.Generator
    ) -> Trunk:
        """A trunk for slices of that shape and spacing."""
        config = PhantomConfig(
            shape_zyx=(_TRUNK_SLICES, shape[-2], shape[-1]),
            spacing_mm_zyx=(_TRUNK_STEP_MM, spacing_mm[-2], spacing_mm[-1]),
            tumours=0,
            cysts=0,
            noise_hu=0.0,
        )
        phantom = make_phantom(config, generator)
        kidneys = phantom.labels.labels > 0
        hu = np.asarray(phantom.scan.hu, np.int16)
        hu[kidneys] = -100
        return cls(hu, np.argwhere(kidneys).mean(axis=0))

    def at(self, offset_mm: float) -> NDArray[np.int16]:
        """The slice that far above the kidneys' centre; the last one beyond the ends."""
        index = round(self.middle_zyx[0] + offset_mm / _TRUNK_STEP_MM)
        plane: NDArray[np.int16] = self.hu[min(max(index, 0), len(self.hu) - 1)]
        return plane


def choose_cases(masks: Path, count: int | None) -> tuple[Case, ...]:
    """Cases evenly spread over the order of their lengths: the shortest and the longest are among them.

    Args:
        masks: a data set in KiTS's layout; imaging is not looked at.
        count: how many; None takes all.
    """
    cases = [case for case in read_dataset(masks).cases if case.mask is not None]
    if count is None or count >= len(cases):
        return tuple(cases)
    ranked = sorted(cases, key=lambda case: (_slices(case), case.case_id))
    if count == 1:
        return (ranked[-1],)
    places = np.rint(np.linspace(0, len(ranked) - 1, count)).astype(int)
    return tuple(sorted((ranked[place] for place in places), key=lambda case: case.case_id))


def _slices(case: Case) -> int:
    if case.mask is None:
        raise ValueError(f"{case.case_id} has no mask")
    return read_geometry(case.mask).shape[0]


def write_wide_mask(masks: Path, target: Path) -> None:
    """Write the stand-in for case_00160: the mask of middle length, with background to either side."""
    shortest_middle_longest = sorted(choose_cases(masks, 3), key=_slices)
    source = shortest_middle_longest[1].mask
    if source is None:
        raise ValueError(f"{masks} has no masks")
    image: Any = nib.load(source)
    labels: NDArray[Any] = np.asanyarray(image.dataobj)
    before, rest = divmod(WIDE_COLUMNS - labels.shape[2], 2)
    wide = np.pad(labels, ((0, 0), (0, 0), (before, before + rest)))
    affine = image.affine.copy()
    affine[:3, 3] -= before * affine[:3, 2]
    with replace_atomically(target) as temporary:
        nib.save(type(image)(wide, affine), temporary)


def write_case(mask: Path, folder: Path, seed: int) -> None:
    """Copy a mask and paint its scan; a folder that has a scan is complete, and left as it is."""
    scan = folder / "imaging.nii.gz"
    if scan.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(mask, folder / "segmentation.nii.gz")
    label_map = read_label_map(mask)
    _write_float64(paint(label_map, np.random.default_rng(seed)), label_map, scan)


def paint(label_map: LabelMap, generator: np.random.Generator) -> NDArray[np.int16]:
    """HU about a mask, axes (z, y, x)."""
    labels, spacing_mm = label_map.labels, label_map.geometry.spacing_mm
    trunk = Trunk.draw(labels.shape, spacing_mm, generator)
    tissues = draw_tissues("portal", generator, randomise=False)
    middle = _middle(labels)
    shift = np.rint(middle[1:] - trunk.middle_zyx[1:]).astype(int)
    noise = _noise(labels.shape[1:], spacing_mm[1:], generator)
    hu = np.empty(labels.shape, np.int16)
    for z, plane in enumerate(labels):
        body = np.roll(trunk.at((z - middle[0]) * spacing_mm[0]), shift, axis=(0, 1)).astype(np.float32)
        if plane.any():
            _paint_organs(body, plane, tissues, round(_FAT_MM / spacing_mm[1]))
        body += next(noise)
        hu[z] = np.rint(np.clip(body, -1024, 3071)).astype(np.int16)
    return hu


def _middle(labels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Centre of the foreground; of the grid where there is none."""
    sums = [labels.any(axis=axes) for axes in ((1, 2), (0, 2), (0, 1))]
    halves = [(size - 1) / 2 for size in labels.shape]
    return np.array(
        [
            np.flatnonzero(line).mean() if line.any() else half
            for line, half in zip(sums, halves, strict=True)
        ]
    )


def _noise(
    shape_yx: tuple[int, ...], spacing_mm_yx: tuple[float, ...], generator: np.random.Generator
) -> Iterator[NDArray[np.float32]]:
    maker = NoiseMaker((shape_yx[0], shape_yx[1]), (spacing_mm_yx[0], spacing_mm_yx[1]))
    drawn = [np.float32(_NOISE_HU) * maker.draw(generator) for _ in range(_NOISE_SLICES)]
    while True:
        rows, columns = generator.integers(shape_yx)
        yield np.roll(drawn[int(generator.integers(_NOISE_SLICES))], (rows, columns), axis=(0, 1))


def _paint_organs(
    body: NDArray[np.float32], labels: NDArray[np.uint8], tissues: Tissues, fat_pixels: int
) -> None:
    """Fat about the organs, then the organs with edges a pixel wide."""
    body[_spread(labels > 0, fat_pixels)] = tissues.fat
    for label, hu in ((KIDNEY, 0.5 * (tissues.cortex + tissues.medulla)), (TUMOUR, tissues.tumour)):
        inside = (labels >= label).astype(np.float32)
        cover = inside.copy()
        for axis in (0, 1):
            cover = 0.25 * (np.roll(cover, 1, axis) + np.roll(cover, -1, axis)) + 0.5 * cover
        body += cover * (np.float32(hu) - body)


def _spread(mask: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """A mask grown by a square, in steps that double."""
    grown, done = mask.copy(), 0
    while done < pixels:
        step = min(max(1, done), pixels - done)
        for axis in (0, 1):
            grown |= np.roll(grown, step, axis) | np.roll(grown, -step, axis)
        done += step
    return grown


def _write_float64(hu: NDArray[np.int16], label_map: LabelMap, path: Path) -> None:
    """On the mask's grid, plane by plane of the last stored axis: eight bytes a voxel are never in memory."""
    source = label_map.geometry.source
    stored: NDArray[Any] = source.from_canonical(hu)
    header = source.header.copy()
    header.set_data_dtype(np.float64)
    header.set_data_offset(header.single_vox_offset)
    header.set_slope_inter(1.0, 0.0)
    with (
        replace_atomically(path) as temporary,
        temporary.open("wb") as raw,
        gzip.GzipFile("", "wb", _GZIP_LEVEL, raw, mtime=0) as zipped,
    ):
        zipped.write(header.binaryblock)
        zipped.write(bytes(header.single_vox_offset - len(header.binaryblock)))
        for plane in range(stored.shape[-1]):
            zipped.write(stored[..., plane].astype(np.float64).tobytes(order="F"))


def main() -> None:
    """Write a data set."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--masks", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cases", type=int)
    parser.add_argument("--wide", action="store_true")
    arguments = parser.parse_args()
    data = arguments.out / "data"
    for number, case in enumerate(choose_cases(arguments.masks, arguments.cases)):
        if case.mask is not None:
            write_case(case.mask, data / case.case_id, seed=number)
    if arguments.wide:
        mask = arguments.out / "wide.nii.gz"
        write_wide_mask(arguments.masks, mask)
        write_case(mask, data / WIDE_CASE, seed=int(WIDE_CASE[-5:]))
    table = kits_folder(arguments.masks) / "kits.json"
    if table.is_file():
        shutil.copyfile(table, data / "kits.json")


if __name__ == "__main__":
    main()
