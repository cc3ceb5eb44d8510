"""What was left out of the series that is read, and whether it looks like slices of it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from renalmap.errors import InputError, MissingSliceError
from renalmap.imaging.dicom.catalogue import (
    BESIDE,
    PROJECTION,
    Catalogue,
    Series,
    counts_through,
    gaps_mm,
    series_key,
)
from renalmap.imaging.dicom.choice import Chosen, DicomChoice
from renalmap.imaging.dicom.headers import COPY, SkippedImage, SliceHeader
from renalmap.imaging.dicom.kinds import COLOUR, CT_CLASSES, SCOUT, SCREENSHOT
from renalmap.imaging.dicom.reading_headers import read_headers
from renalmap.imaging.dicom_files.files import DicomFile
from renalmap.imaging.dicom_files.fileset import DICOM_SUFFIXES, NO_FILE, is_archive_name, shorten

_SAME_BYTES: Final = 256
"""Files of uncompressed slices differ by no more, as only their headers vary."""
_SAME_GAP: Final = 0.25
"""By this share of a gap the next series may begin too near or too far."""
_ON_LINE_MM: Final = 1.0

_Found = tuple[bool, str, str]
"""Whether it looks like a slice, why it was left out, its name."""


@dataclass(frozen=True)
class LeftOut:
    """Something that was left out of the series that is read.

    Attributes:
        what: the reason, for the user.
        names: of files, folders or series.
        looks_like_slices: whether the series may be incomplete without it.
    """

    what: str
    names: tuple[str, ...]
    looks_like_slices: bool

    def __str__(self) -> str:
        return f"{len(self.names)} x {self.what}: {shorten(self.names)}"


def find_left_out(catalogue: Catalogue, chosen: Chosen, choice: DicomChoice) -> tuple[LeftOut, ...]:
    """What was left out of the chosen series, what looks like its slices first.

    Files that have nothing to do with the series are not listed.
    """
    files = catalogue.files
    found: list[_Found] = [
        *((True, "image that the DICOMDIR lists, not there", name) for name in files.missing),
        *((True, "folder that cannot be read", name) for name in files.unreadable),
        *_other_files(catalogue, chosen),
        *_its_images(chosen),
        *_aside(catalogue, chosen),
        *_going_on(catalogue, chosen, choice),
    ]
    kinds = dict.fromkeys((like, what) for like, what, _ in sorted(found, key=lambda each: not each[0]))
    return tuple(
        LeftOut(what, tuple(each[2] for each in found if each[:2] == (like, what)), like)
        for like, what in kinds
    )


def check_nothing_missing(left_out: Sequence[LeftOut], choice: DicomChoice, where: Path) -> None:
    """Refuse a series of which slices seem to have been left out, unless that is allowed.

    Raises:
        MissingSliceError: what was left out looks like slices of it.
    """
    suspects = [each for each in left_out if each.looks_like_slices]
    if suspects and not choice.allow_missing_slices:
        raise MissingSliceError(
            "slices of the series seem to be missing",
            where=where,
            got="; ".join(map(str, suspects)),
            expected="every slice of the series, readable",
            hint="Copy or export the whole series again; --allow-missing-slices takes what can be read",
        )


def describe_left_out(left_out: Sequence[LeftOut]) -> list[str]:
    """A sentence each, without the path."""
    return [
        f"left out although it looks like part of the series, which may be incomplete: {each}"
        if each.looks_like_slices
        else f"left out of the series: {each}"
        for each in left_out
    ]


def _other_files(catalogue: Catalogue, chosen: Chosen) -> Iterator[_Found]:
    """Files that are not DICOM, or cannot be opened, and look like slices of the series by name or size."""
    own = [each.of.file for each in chosen.slices]
    homes, names = {file.folder for file in own}, {file.name for file in own}
    patterns = {_pattern(file.name) for file in own}
    foreign = {file.folder for file in _files_of(catalogue.series)} - homes
    closed = [each for each in catalogue.files.aside if each.reason == NO_FILE]
    others = [*catalogue.others, *closed]
    sizes = [each.path.stat().st_size for each in own if each.member is None] if others else []
    in_folder: dict[str, set[str]] = {}
    for other in others:
        in_folder.setdefault(other.file.folder, set()).add(other.file.name)
    for other in others:
        folder, name = other.file.folder, other.file.name
        alike = any(
            "#" in each and re.match(f"{re.escape(each)}(\\.|$)", _pattern(name)) for each in patterns
        )
        named_dicom = Path(name).suffix.lower() in DICOM_SUFFIXES
        if any(folder == home or folder.startswith(home + os.sep) for home in homes):
            like = alike or named_dicom or _is_of_their_size(other.file, sizes)
        else:  # a folder of its own: of this series unless it counts from the start again
            like = alike and folder not in foreign and not in_folder[folder] & names
        if like:
            yield True, f"file that looks like a slice, {other.reason}", name
        elif named_dicom:
            yield False, f"file of another folder, {other.reason}", name
        elif is_archive_name(other.file.path) and folder in homes:
            yield False, "archive beside its slices, not looked into", name


def _files_of(series: Sequence[Series]) -> Iterator[DicomFile]:
    for each in series:
        yield from (one.of.file for one in each.slices)
        yield from (one.of.file for one in each.left_out)


def _pattern(name: str) -> str:
    """A file's name with # for its numbers, hashes and UIDs."""
    return re.sub(r"#([._-]#)+", "#", re.sub(r"[0-9a-f]{8,}|\d+", "#", name.lower()))


def _is_of_their_size(file: DicomFile, sizes: Sequence[int]) -> bool:
    """Whether it is as large as the slices, if those are of one size."""
    if not sizes or file.member is not None or not file.path.is_file():
        return False
    size = file.path.stat().st_size
    return max(size, *sizes) - min(size, *sizes) <= _SAME_BYTES


def _its_images(chosen: Chosen) -> Iterator[_Found]:
    """Images of the same series that are not slices to segment."""
    first = chosen.slices[0]
    files = {each.of.file for each in chosen.slices}
    patterns = {_pattern(file.name) for file in files}
    numbers = {each.of.instance_number for each in chosen.slices} - {None}

    def looks_like_a_slice(image: SkippedImage) -> bool:
        known = image.reason in {SCOUT, PROJECTION, COLOUR} or image.reason.endswith(BESIDE)
        known = known or (image.reason == SCREENSHOT and "SECONDARY" not in first.image_type)
        known = known or (image.of.sop_class_uid not in {"", *CT_CLASSES} and not image.placed)
        if known or image.of.rows_columns != first.of.rows_columns or image.of.samples_per_pixel > 1:
            return False
        number = image.of.instance_number
        counted_on = number is not None and bool(numbers) and number not in numbers
        return (
            image.placed
            or counted_on
            or image.of.file in files
            or _pattern(image.of.file.name) in patterns
        )

    for image in chosen.series.left_out:
        if image.reason != COPY:
            yield looks_like_a_slice(image), f"image of it, {image.reason}", image.of.file.name


def _aside(catalogue: Catalogue, chosen: Chosen) -> Iterator[_Found]:
    """Files that were not read, such as hidden ones, and hold further slices of the series."""
    key, used = series_key(chosen.series.of), {_identity(each) for each in chosen.series.slices}
    for aside in catalogue.files.aside:
        if aside.reason == NO_FILE:
            continue
        try:
            slices = read_headers([aside.file]).slices
        except InputError:  # damaged, and not asked for
            continue
        if any(series_key(each.of) == key and _identity(each) not in used for each in slices):
            yield True, f"file with slices of it, {aside.reason}", aside.file.name


def _identity(header: SliceHeader) -> tuple[str | float, ...]:
    return (header.of.sop_instance_uid, *header.position_mm.tolist())


def _going_on(catalogue: Catalogue, chosen: Chosen, choice: DicomChoice) -> Iterator[_Found]:
    """Other series whose slices continue the chosen one's."""
    mine = chosen.series.of
    for other in catalogue.series:
        if other is not chosen.series and other.slices and _goes_on(chosen.slices, other.slices):
            numbered = (
                other.of.series_number == mine.series_number or other.of.description == mine.description
            )
            yield numbered and choice.series is None, "series that continues it", str(other)


def _goes_on(mine: Sequence[SliceHeader], other: Sequence[SliceHeader]) -> bool:
    """Whether two series are one stack: of one kind, and together as evenly spaced as the first alone."""
    one, two = mine[0], other[0]
    same = all(
        a == b
        for a, b in (
            (one.of.study_uid, two.of.study_uid),
            (one.of.rows_columns, two.of.rows_columns),
            (one.of.frame_of_reference_uid, two.of.frame_of_reference_uid),
            (one.kernel, two.kernel),
        )
    )
    if len(mine) < 2 or not same or not np.allclose(one.orientation, two.orientation, atol=1e-3):
        return False
    if not np.allclose(one.spacing_mm, two.spacing_mm, rtol=1e-3):
        return False
    gaps = gaps_mm([*mine, *other])
    if np.ptp(gaps) > _SAME_GAP * float(np.median(gaps)):
        return False
    low, high = (pick(mine, key=lambda each: each.height_mm) for pick in (min, max))
    step_mm = (high.position_mm - low.position_mm) / (high.height_mm - low.height_mm)
    there_mm = low.position_mm + step_mm * (two.height_mm - low.height_mm)
    if np.abs(two.position_mm - there_mm).max() > _ON_LINE_MM:
        return False
    inside = any(low.height_mm < each.height_mm < high.height_mm for each in other)
    return not inside or counts_through([*mine, *other])
