"""A bank of tumour sections: what synthetic tumours look like in outline, and how they sit on a kidney."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from renalmap.errors import AffineError, DatasetError, PathMissingError, named_errors
from renalmap.imaging import read_label_map
from renalmap.imaging.arrays import read_npz
from renalmap.imaging.budget import check_budget
from renalmap.imaging.connected import connected_blobs
from renalmap.imaging.files import replace_atomically
from renalmap.imaging.masks import BoolPlane, bounding_slices, contour
from renalmap.labels import KIDNEY, TUMOUR
from renalmap.training.synthesis.fields import gaussian_blur, sample_linear

SPACING_MM = 1.0
"""In-plane spacing of all sections, both ways."""
SECTIONS_PER_CASE = 24
"""Tumours in thin slices must not count for more than those in thick ones."""
SECTION_MIN_MM2 = 20.0
FILLED_MIN = 0.35
"""Least share of the circle about its centre through its farthest pixel that a section fills: slivers at
a tumour's ends are left out."""


@dataclass(frozen=True)
class Section:
    """One axial section of a tumour.

    Attributes:
        mask: (rows, columns) at `SPACING_MM`, its bounding box.
        case_id: whose tumour it is.
        contact_share: share of its contour that lies against kidney; 0 where the slice has none.
    """

    mask: BoolPlane
    case_id: str
    contact_share: float


@dataclass(frozen=True, eq=False)
class LesionShapes:
    """A bank of 2D tumour sections.

    Attributes:
        sections: at least one.
        diameters_mm: diameter of the circle of each section's area.
    """

    sections: tuple[Section, ...]
    diameters_mm: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        if not self.sections:
            raise DatasetError("a bank of lesions' shapes needs at least one section")
        object.__setattr__(self, "diameters_mm", np.sqrt(4 * self.areas_mm2 / np.pi))

    def __len__(self) -> int:
        return len(self.sections)

    @property
    def areas_mm2(self) -> NDArray[np.float64]:
        """The sections' areas."""
        return np.array([np.count_nonzero(one.mask) * SPACING_MM**2 for one in self.sections])

    @property
    def contact_shares(self) -> NDArray[np.float64]:
        """The sections' shares of contour against kidney."""
        return np.array([one.contact_share for one in self.sections])

    @classmethod
    def from_masks(cls, root: Path, exclude_patients: frozenset[str] = frozenset()) -> LesionShapes:
        """Cut the sections out of reference masks; no imaging is needed.

        Args:
            root: a folder in KiTS19's layout: `case_XXXXX/segmentation.nii.gz`, inside or under `data/`.
            exclude_patients: cases to leave out, by folder name: whoever validates or tests.

        Raises:
            PathMissingError: the folder does not exist.
            DatasetError: no mask is there, or none shows a tumour.
            InputError: any of the readers' errors.
        """
        if not root.is_dir():
            raise PathMissingError("the folder of masks does not exist", where=root)
        folder = root / "data" if (root / "data").is_dir() else root
        paths = sorted(folder.glob("case_*/segmentation.nii.gz"))
        used = [path for path in paths if path.parent.name not in exclude_patients]
        sections = tuple(one for path in used for one in _cut_case(path))
        if not sections:
            raise DatasetError(
                "no tumour to take a shape from",
                where=root,
                got=f"{len(paths)} masks, {len(paths) - len(used)} of them excluded",
                expected="case_XXXXX/segmentation.nii.gz with label 2",
            )
        return cls(sections)

    def without(self, patients: Collection[str]) -> LesionShapes:
        """The bank without the sections of some patients: those who validate or test.

        Raises:
            DatasetError: nothing is left.
        """
        return LesionShapes(tuple(one for one in self.sections if one.case_id not in patients))

    @classmethod
    def analytic(cls, seed: int = 0, count: int = 200) -> LesionShapes:
        """Perturbed ellipses (low-order Fourier contours) from 8 to 100 mm across, for when there are no masks."""
        generator = np.random.default_rng(seed)
        diameters_mm = np.geomspace(8.0, 100.0, count)
        return cls(
            tuple(
                Section(_blob(diameter_mm, generator), "analytic", float(generator.uniform(0.1, 1.0)))
                for diameter_mm in diameters_mm
            )
        )

    def draw(
        self, diameter_mm: float, scale: tuple[float, float], generator: np.random.Generator
    ) -> Section:
        """A section that a factor within `scale` brings to a diameter; the nearest if there is none.

        The case is drawn first, then its section, so that each patient's tumours count alike.
        """
        factors = diameter_mm / self.diameters_mm
        fitting = np.flatnonzero((factors >= scale[0]) & (factors <= scale[1]))
        if not fitting.size:
            return self.sections[int(np.argmin(np.abs(np.log(factors))))]
        cases = sorted({self.sections[number].case_id for number in fitting})
        case = cases[int(generator.integers(len(cases)))]
        mine = [number for number in fitting if self.sections[number].case_id == case]
        return self.sections[mine[int(generator.integers(len(mine)))]]

    def save(self, path: Path) -> None:
        """Write as a compressed NumPy file, atomically."""
        pixels = np.concatenate([one.mask.ravel() for one in self.sections])
        with replace_atomically(path) as temporary, temporary.open("wb") as handle:
            np.savez_compressed(
                handle,
                bits=np.packbits(pixels),
                shapes=np.array([one.mask.shape for one in self.sections], np.int32),
                case_ids=np.array([one.case_id for one in self.sections], np.str_),
                contact_shares=self.contact_shares,
            )

    @classmethod
    def load(cls, path: Path) -> LesionShapes:
        """Read what `save` wrote.

        Raises:
            PathMissingError: nothing is there.
            DatasetError: it is not a bank.
        """
        if not path.is_file():
            raise PathMissingError("the bank of lesions' shapes does not exist", where=path)

        def unreadable(got: str) -> DatasetError:
            return DatasetError("a bank of lesions' shapes cannot be read", where=path, got=got)

        names = ("bits", "shapes", "case_ids", "contact_shares")
        bits, shapes, case_ids, contact_shares = read_npz(path, names, unreadable)
        with named_errors(unreadable):
            sizes = [(int(rows), int(columns)) for rows, columns in shapes]
            if any(rows < 1 or columns < 1 for rows, columns in sizes):
                raise unreadable("a section without pixels")
            check_budget(8 * bits.size, path)
            ends = np.cumsum([rows * columns for rows, columns in sizes])
            # Without a count it fills up to whole bytes, and a wrong number of pixels is an error below.
            pixels = np.unpackbits(bits).astype(bool)
            masks = [*np.split(pixels, ends)][:-1]
            sections = tuple(
                Section(mask.reshape(size), str(case_id), float(share))
                for mask, size, case_id, share in zip(
                    masks, sizes, case_ids, contact_shares, strict=True
                )
            )
            if not all(one.mask.any() and 0 <= one.contact_share <= 1 for one in sections):
                raise unreadable("an empty section, or a share beyond 0 to 1")
        return cls(sections)


def _cut_case(path: Path) -> Iterator[Section]:
    """Up to `SECTIONS_PER_CASE` slices' sections of a case's tumours, evenly over its height."""
    try:
        label_map = read_label_map(path)
    except AffineError as error:
        raise AffineError(
            error.what,
            where=path,
            got=error.got,
            hint="Leave this mask out, or write it anew with one of them",
        ) from error
    spacing_mm = label_map.geometry.spacing_mm[1:]
    shown = np.flatnonzero((label_map.labels == TUMOUR).any(axis=(1, 2)))
    count = min(shown.size, SECTIONS_PER_CASE)
    for z in shown[np.linspace(0, shown.size - 1, count).round().astype(int)] if count else ():
        labels = label_map.labels[z]
        parts, count = connected_blobs(labels == TUMOUR)
        for number in range(1, count + 1):
            mask = parts == number
            if np.count_nonzero(mask) * spacing_mm[0] * spacing_mm[1] >= SECTION_MIN_MM2:
                resampled = _resample(mask, spacing_mm)
                if _filled_share(resampled) >= FILLED_MIN:
                    share = contact_share(mask, labels == KIDNEY)
                    yield Section(resampled, path.parent.name, share)


def contact_share(mask: BoolPlane, kidney: BoolPlane) -> float:
    """Share of a section's contour pixels that have kidney among their eight neighbours."""
    box = bounding_slices(mask, 1)
    mask, near = mask[box], np.pad(kidney[box], 1)
    height, width = mask.shape
    beside = np.zeros_like(mask)
    for row in range(3):
        for column in range(3):
            beside |= near[row : row + height, column : column + width]
    edge = contour(mask)
    return float(beside[edge].mean())


def _filled_share(mask: BoolPlane) -> float:
    """A section's area over that of the circle about its centre through its farthest pixel."""
    pixels = np.argwhere(mask)
    # Half a pixel more: a pixel's border, not its middle, is what the circle goes through.
    radius = float(np.linalg.norm(pixels - pixels.mean(axis=0), axis=1).max()) + 0.5
    return len(pixels) / (np.pi * radius**2)


def _resample(mask: BoolPlane, spacing_mm: tuple[float, float]) -> BoolPlane:
    mask = np.pad(mask[bounding_slices(mask)], 3)
    blurred = gaussian_blur(mask, 0.5 * SPACING_MM / min(spacing_mm))
    axes = [
        np.arange(0, length - 1 + 1e-6, SPACING_MM / spacing)
        for length, spacing in zip(mask.shape, spacing_mm, strict=True)
    ]
    rows, columns = np.meshgrid(*axes, indexing="ij")
    resampled = sample_linear(blurred, rows, columns) > 0.5
    if not resampled.any():  # thinner than a pixel somewhere: keep what is most of it
        resampled = sample_linear(blurred, rows, columns) >= blurred.max() * 0.5
    return resampled[bounding_slices(resampled)]


def _blob(diameter_mm: float, generator: np.random.Generator) -> BoolPlane:
    """An ellipse whose radius swings by low harmonics, brought to a diameter."""
    orders = np.arange(2, 7)
    swings = generator.normal(0, 0.12, orders.size) / (orders - 1)
    phases = generator.uniform(0, 2 * np.pi, orders.size)
    half = int(np.ceil(diameter_mm / SPACING_MM)) + 1
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    angle, radius_mm = np.arctan2(y, x), np.hypot(y, x) * SPACING_MM
    limit = 1 + (swings * np.cos(orders * angle[..., None] + phases)).sum(axis=-1)
    # The area of a polar contour is half the integral of its squared radius.
    limit *= diameter_mm / 2 / np.sqrt(1 + 0.5 * np.sum(swings**2))
    mask: BoolPlane = radius_mm <= limit
    return mask[bounding_slices(mask)]
