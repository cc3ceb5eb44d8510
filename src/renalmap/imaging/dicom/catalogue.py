"""What a path contains: its series, their acquisitions, and what cannot be segmented."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from renalmap.errors import NoImagesError
from renalmap.imaging.dicom.headers import (
    NOT_DICOM,
    FileHeader,
    SkippedImage,
    SliceHeader,
)
from renalmap.imaging.dicom.kinds import Kernel, is_projection, kernel_kind, phase_from_words
from renalmap.imaging.dicom.reading_headers import read_headers
from renalmap.imaging.dicom_files.fileset import FileAside, FileSet, find_files
from renalmap.imaging.orientation import MAX_OBLIQUE_DEGREES

logger = logging.getLogger(__name__)

PROJECTION: Final = "projection"
BESIDE: Final = "beside the others"

_ALIKE: Final = 0.75
"""Slices of one stack lie at least this share of their mean distance apart."""
_TOUCHING: Final = 1.1
"""Slices so many times as thick as their distance do not overlap yet."""
_HOLE: Final = 1.5
"""Where a gap is so many times another, a slice is missing."""


@dataclass(frozen=True, eq=False)
class Acquisition:
    """The slices of a series that share an AcquisitionNumber.

    Attributes:
        number: AcquisitionNumber, or None.
        slices: at least one, in the order of the files.
    """

    number: int | None
    slices: tuple[SliceHeader, ...]

    @cached_property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Along (across slices: the median gap, rows, columns); the first is NaN for a single slice."""
        heights_mm = np.sort([each.position_mm @ self.slices[0].normal for each in self.slices])
        across_mm = float(np.median(np.diff(heights_mm))) if len(heights_mm) > 1 else float("nan")
        return (across_mm, *self.slices[0].spacing_mm)

    @property
    def phase(self) -> str | None:
        """The contrast phase that the descriptions name, if they name one."""
        first = self.slices[0].of
        return phase_from_words(first.description, first.protocol)

    def __str__(self) -> str:
        number = "without a number" if self.number is None else str(self.number)
        across, rows, columns = self.spacing_mm
        text = (
            f"acquisition {number}: {len(self.slices)} slices, "
            f"{across:.3g} x {rows:.3g} x {columns:.3g} mm"
        )
        described = self.slices[0].of.description
        return f"{text}, {described!r}" if described else text


@dataclass(frozen=True, eq=False)
class Series:
    """One series: its CT slices, and the images left out.

    Attributes:
        of: the part of its first file.
        acquisitions: by AcquisitionNumber in the order of the files; empty if no slice is left.
        left_out: its other images; of slices in several directions, those of the fewer.
    """

    of: FileHeader
    acquisitions: tuple[Acquisition, ...]
    left_out: tuple[SkippedImage, ...]

    @property
    def skipped(self) -> dict[str, int]:
        """How many of its images were left out, by reason."""
        return dict(Counter(each.reason for each in self.left_out))

    @cached_property
    def slices(self) -> tuple[SliceHeader, ...]:
        """All its CT slices."""
        return tuple(each for acquisition in self.acquisitions for each in acquisition.slices)

    @property
    def kernel(self) -> str:
        """ConvolutionKernel of its first slice, or empty."""
        return self.slices[0].kernel if self.slices else ""

    @property
    def kernel_kind(self) -> Kernel:
        """What its kernel is meant for; see `kernel_kind`."""
        return kernel_kind(self.kernel, self.of.description)

    @property
    def is_original(self) -> bool:
        """Whether its slices were computed from measured data, not from other slices."""
        return bool(self.slices) and "DERIVED" not in self.slices[0].image_type

    @property
    def orientation(self) -> str | None:
        """`axial`, `coronal` or `sagittal`, by the nearest; None without slices."""
        return _view(self.slices[0]) if self.slices else None

    @cached_property
    def why_not(self) -> str | None:
        """Why it is not segmented unless requested with `--series`; None if it may be."""
        if not self.slices:
            return ", ".join(f"{reason}" for reason in self.skipped) or "no image"
        if is_projection(self.slices[0].image_type):
            return PROJECTION
        if self.orientation != "axial" or off_axial_degrees(self.slices[0]) > MAX_OBLIQUE_DEGREES:
            return f"{self.orientation}, not axial" if self.orientation != "axial" else "oblique"
        if len(self.slices) == 1:
            return "a single slice"
        return None

    @property
    def is_one_volume(self) -> bool:
        """Whether its acquisitions, if there are several, are one stack.

        They are if they cover different parts of the body, and if they only number the slices of one stack.
        """
        if len(self.acquisitions) < 2 or not _overlap(self.acquisitions):
            return True
        return self.interleaves and are_one_stack([each.slices for each in self.acquisitions])

    @cached_property
    def interleaves(self) -> bool:
        """Whether slices of its acquisitions alternate, no two at one place."""
        return (
            len(self.acquisitions) > 1 and _overlap(self.acquisitions) and is_evenly_filled(self.slices)
        )

    @property
    def flag(self) -> str:
        """The option that chooses it."""
        number = self.of.series_number
        if number is not None:
            return f"--series {number}"
        return f"--series {self.of.series_uid}" if self.of.series_uid else "its folder alone"

    def __str__(self) -> str:
        described = f" {self.of.description!r}" if self.of.description else ""
        head = f"series {_name(self.of)}{described}"
        if self.why_not is not None:
            return f"{head}: {self.why_not}"
        across, rows, columns = self.acquisitions[0].spacing_mm
        kernel = f", kernel {self.kernel}" if self.kernel else ""
        return f"{head}: {len(self.slices)} slices, {across:.3g} x {rows:.3g} x {columns:.3g} mm{kernel}"


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Everything behind a path.

    Attributes:
        files: which files it stands for.
        series: in the order of the files.
        others: files that are not DICOM.
    """

    files: FileSet
    series: tuple[Series, ...]
    others: tuple[FileAside, ...]

    @property
    def where(self) -> Path:
        """The path, for messages."""
        return self.files.where


def read_catalogue(path: Path) -> Catalogue:
    """List what a folder, a `.zip`, a DICOMDIR or a DICOM file holds; headers only.

    Raises:
        NoImagesError: there is no DICOM file.
        UnsafeArchiveError, TruncatedFileError: see `find_files` and `read_headers`.
    """
    files = find_files(path)
    headers = read_headers(files.files)
    if any(headers.odd):
        counts = sum(headers.odd), sum(map(bool, headers.odd))
        logger.warning(
            "%s: %d values in %d DICOM headers break the standard; read as they are", path, *counts
        )
    if not headers.slices and not headers.skipped:
        raise _no_images(files, headers.others)
    return Catalogue(files, _group(headers.slices, headers.skipped), headers.others)


def off_axial_degrees(header: SliceHeader) -> float:
    """Angle between a slice's normal and the body's axis."""
    return float(np.degrees(np.arccos(min(1.0, abs(float(header.normal[2]))))))


def _view(header: SliceHeader) -> str:
    return ("sagittal", "coronal", "axial")[int(np.abs(header.normal).argmax())]


def is_evenly_filled(slices: Sequence[SliceHeader]) -> bool:
    """Whether slices, taken together, lie about equally far apart, no two of them at one place."""
    gaps = gaps_mm(slices)
    return len(gaps) > 0 and bool(gaps.min() >= _ALIKE * gaps.mean() > 0.0)


def are_one_stack(parts: Sequence[Sequence[SliceHeader]]) -> bool:
    """Whether parts that interleave evenly are one stack, and not phases half a gap apart.

    They are if InstanceNumbers count through all of them, if a part by itself has holes, or if the slices would
    overlap in neither.
    """
    every = [each for part in parts for each in part]
    thickness_mm, gaps = every[0].thickness_mm, [gaps_mm(part) for part in parts]
    thin = thickness_mm is not None and 0.0 < thickness_mm <= _TOUCHING * float(gaps_mm(every).mean())
    return thin or counts_through(every) or any(len(g) and g.max() > _HOLE * g.min() for g in gaps)


def counts_through(slices: Sequence[SliceHeader]) -> bool:
    """Whether InstanceNumbers, or those of frames, rise or fall from the lowest slice to the highest."""
    ordered = sorted(slices, key=lambda each: each.height_mm)
    numbers = [each.of.instance_number if each.frame is None else each.frame for each in ordered]
    steps = {(a < b) - (a > b) if a is not None and b is not None else 0 for a, b in pairwise(numbers)}
    return steps in ({1}, {-1})


def gaps_mm(slices: Sequence[SliceHeader]) -> NDArray[np.float64]:
    """Distances from slice to slice along the first one's normal."""
    normal = slices[0].normal
    return np.diff(np.sort([float(each.position_mm @ normal) for each in slices]))


def _no_images(files: FileSet, others: Sequence[FileAside]) -> NoImagesError:
    kinds = Counter(
        (Path(each.file.name).suffix or "no suffix", each.reason) for each in (*others, *files.aside)
    )
    listed = [
        f"{count} x {kind}" + (f" ({reason})" if reason != NOT_DICOM else "")
        for (kind, reason), count in sorted(kinds.items())
    ]
    return NoImagesError(
        "there is no DICOM slice",
        where=files.where,
        got=", ".join([*listed, *files.unreadable]) or "no file",
        expected="DICOM slices with a position in the patient",
        hint="Give the folder or the .zip that holds the slices, or a NIfTI file",
    )


def _group(slices: Sequence[SliceHeader], skipped: Sequence[SkippedImage]) -> tuple[Series, ...]:
    firsts: dict[tuple[str, str], FileHeader] = {}
    members: dict[tuple[str, str], list[SliceHeader]] = {}
    left_out: dict[tuple[str, str], list[SkippedImage]] = {}
    every: tuple[SliceHeader | SkippedImage, ...] = (*slices, *skipped)
    for each in every:
        key = series_key(each.of)
        firsts.setdefault(key, each.of)
        if isinstance(each, SliceHeader):
            members.setdefault(key, []).append(each)
        else:
            left_out.setdefault(key, []).append(each)
    made = []
    for key, first in firsts.items():
        body, aside = _main_body(members.get(key, ()))
        made.append(Series(first, _acquisitions(body), (*left_out.get(key, ()), *aside)))
    return tuple(made)


def _main_body(slices: Sequence[SliceHeader]) -> tuple[Sequence[SliceHeader], list[SkippedImage]]:
    """Of slices in several directions, or some of them projections: the most, and the others as left out.

    GE keeps a coronal overview with burnt-in lines in each axial series.
    """
    groups: list[list[SliceHeader]] = []
    for each in slices:
        for group in groups:
            if _are_alike(group[0], each):
                group.append(each)
                break
        else:
            groups.append([each])
    groups.sort(key=len, reverse=True)
    if len(groups) < 2 or len(groups[0]) == len(groups[1]):
        return slices, []
    aside = [
        SkippedImage(
            each.of, PROJECTION if is_projection(each.image_type) else f"{_view(each)} {BESIDE}"
        )
        for group in groups[1:]
        for each in group
    ]
    return groups[0], aside


def _are_alike(one: SliceHeader, other: SliceHeader) -> bool:
    parallel = abs(float(one.normal @ other.normal)) > np.cos(np.radians(MAX_OBLIQUE_DEGREES))
    return parallel and is_projection(one.image_type) == is_projection(other.image_type)


def series_key(header: FileHeader) -> tuple[str, str]:
    """What distinguishes series; if the UID was stripped, the folder."""
    return header.study_uid, header.series_uid or f"in {header.file.folder}"


def _acquisitions(slices: Iterable[SliceHeader]) -> tuple[Acquisition, ...]:
    numbers: dict[int | None, list[SliceHeader]] = {}
    for each in slices:
        numbers.setdefault(each.acquisition, []).append(each)
    return tuple(Acquisition(number, tuple(found)) for number, found in numbers.items())


def _overlap(acquisitions: Sequence[Acquisition]) -> bool:
    """Whether two acquisitions overlap along the normal."""
    normal = acquisitions[0].slices[0].normal
    heights = [[float(each.position_mm @ normal) for each in one.slices] for one in acquisitions]
    stretches = sorted((min(values), max(values)) for values in heights)
    return any(later[0] <= earlier[1] for earlier, later in pairwise(stretches))


def _name(header: FileHeader) -> str:
    if header.series_number is not None:
        return str(header.series_number)
    return header.series_uid or "without a UID"
