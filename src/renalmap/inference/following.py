"""Stage 2 follows kidneys through z: into slices where stage 1 saw nothing, until the kidney ends.

A section is taken for the kidney's next one only while it lies over the one before, hardly grows, is as bright
as the kidney, and stage 2 is sure of it; and only for so long without stage 1's agreement. Spleen, liver and bowel
begin where one of these fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from renalmap.imaging.connected import connected_blobs
from renalmap.imaging.masks import bounding_slices
from renalmap.imaging.volume import Box, part_of_grid
from renalmap.inference.ahead import Threads
from renalmap.inference.components import Component, find_components
from renalmap.inference.cropping import CroppedSlice
from renalmap.inference.grid import ScanOnGrid
from renalmap.labels import KIDNEY
from renalmap.preprocess.spatial import crop_about

ByteArray = NDArray[np.uint8]
BoolArray = NDArray[np.bool_]

Refusal = Literal["nothing there", "too small", "apart", "grown", "unsure", "other brightness"]
"""Why a section is not taken to be the kidney's."""

LEAST_MM2 = 20.0
"""Smaller sections are a kidney's last slice, or noise."""

ROOM_MM2 = 60.0
"""By how much a section may grow whatever its size: the tips of poles are small."""

SECTIONS_LOOKED_AT = 5
"""From so many sections of a component, evenly spread, its brightness is taken."""


@dataclass(frozen=True, eq=False)
class Section:
    """A blob of kidney and tumour in a slice.

    Attributes:
        z: the slice.
        box: about it, a region (y, x) of the grid.
        inside: bool, of the box's shape.
    """

    z: int
    box: Box
    inside: BoolArray

    @classmethod
    def of(cls, z: int, corner: Sequence[int], mask: BoolArray) -> Section:
        """What a mask (y, x), which starts at `corner` of the grid, marks of a slice."""
        around = bounding_slices(mask)
        start = tuple(low + span.start for low, span in zip(corner, around, strict=True))
        inside = mask[around]
        stop = tuple(low + size for low, size in zip(start, inside.shape, strict=True))
        return cls(z, Box(start, stop), inside)

    @property
    def pixels(self) -> int:
        """How many it has."""
        return int(np.count_nonzero(self.inside))

    def over(self, plane: NDArray[np.generic]) -> NDArray[np.generic]:
        """A slice's values in it: one axis."""
        return plane[self.box.slices][self.inside]

    def on(self, box: Box) -> BoolArray:
        """The part of it that lies in another box of the grid."""
        return part_of_grid(self.inside, self.box.start, box)


@dataclass(frozen=True, eq=False)
class FollowedSection:
    """A section that stage 2 found by following.

    Attributes:
        section: where it is.
        labels: kidney or tumour inside it, of its box's shape; background elsewhere.
        kidney, tumour: their probabilities there.
    """

    section: Section
    labels: ByteArray
    kidney: ByteArray
    tumour: ByteArray

    def within(self, section: Section) -> FollowedSection:
        """The same labels and probabilities in a smaller section of the same box."""
        values = (self.labels, self.kidney, self.tumour)
        labels, kidney, tumour = (np.where(section.inside, each, 0).astype(np.uint8) for each in values)
        return FollowedSection(section, labels, kidney, tumour)


@dataclass(frozen=True, eq=False)
class Track:
    """A kidney that is being followed one way.

    Attributes:
        last: the section that was found last.
        way: 1 towards the head, -1 towards the feet.
        hu: the kidney's median.
        at: the slice examined last.
        unsupported_mm: since stage 1 agreed.
    """

    last: Section
    way: int
    hu: float
    at: int
    unsupported_mm: float = 0.0


class Follower:
    """Follows kidneys through one scan.

    Args:
        scan: its slices.
        crop: runs stage 2 on crops of a slice.
        stage1: gives stage 1's probability of a slice, (grid, grid), 255 for certainty.
    """

    def __init__(
        self,
        scan: ScanOnGrid,
        crop: Callable[[int, tuple[Box, ...]], CroppedSlice],
        stage1: Callable[[int], ByteArray],
    ) -> None:
        self._scan, self._crop, self._stage1 = scan, crop, stage1

    def follow(self, labels: ByteArray, threads: Threads) -> list[FollowedSection]:
        """Follow every kidney up and down from the slices that show it, and write what is found.

        Args:
            labels: (z, grid, grid), stage 2's laid over stage 1's; completed in place.
            threads: share the tracks out.

        Returns:
            What was found, in the order in which it was.
        """
        found: list[FollowedSection] = []
        tracks = list(self._tracks(labels))
        while tracks:
            going = []
            for track, step in threads.map(self._step, tracks):
                if step is not None:
                    found.extend(self._write(labels, track, step))
                further = self._further(labels, track, step)
                if further is not None:
                    going.append(further)
            tracks = going
        return found

    def _tracks(self, labels: ByteArray) -> Iterator[Track]:
        """One for every section with nothing over it in the next slice, of components that are large enough."""
        plan, placement = self._scan.plan, self._scan.placement()
        for component in find_components(labels, placement):
            if component.volume_ml < plan.component_min_ml:
                continue
            hu = self._brightness(component, labels)
            for section in sections_of(component):
                for way in (-1, 1):
                    z = section.z + way
                    if 0 <= z < self._scan.depth and not section.over(labels[z]).any():
                        yield Track(section, way, hu, section.z)

    def _brightness(self, component: Component, labels: ByteArray) -> float:
        """A component's median HU, of its kidney where it has some."""
        start, *corner = component.box.start
        depth, *shape = component.box.shape
        inside, values = component.inside, []
        box = Box(tuple(corner), tuple(low + size for low, size in zip(corner, shape, strict=True)))
        for index in np.unique(np.linspace(0, depth - 1, SECTIONS_LOOKED_AT + 2).astype(int)[1:-1]):
            hu = self._scan.hu(start + index)[box.slices]
            kidney = inside[index] & (labels[start + index][box.slices] == KIDNEY)
            values.append(hu[kidney if kidney.any() else inside[index]])
        return float(np.median(np.concatenate(values)))

    def _step(self, track: Track) -> FollowedSection | None:
        """The kidney's section in the next slice; None if nothing there surely belongs to it."""
        z = track.at + track.way
        seen = self._crop(z, (self._crop_about(track.last),))
        distance_mm = abs(z - track.last.z) * self._scan.slice_distance_mm
        judged = judge_section(self._scan, track, seen, z, distance_mm)
        return None if isinstance(judged, str) else judged

    def _crop_about(self, section: Section) -> Box:
        counts = section.inside.sum(axis=1), section.inside.sum(axis=0)
        y, x = (
            low + float(np.average(np.arange(count.size), weights=count))
            for low, count in zip(section.box.start, counts, strict=True)
        )
        return crop_about((y, x), section.box.slices, self._scan.plan)

    def _further(self, labels: ByteArray, track: Track, step: FollowedSection | None) -> Track | None:
        """The track after a step; None where it ends."""
        plan, z = self._scan.plan, track.at + track.way
        beyond = z + track.way
        if not 0 <= beyond < self._scan.depth:
            return None
        last, unsupported_mm = track.last, track.unsupported_mm + self._scan.slice_distance_mm
        if step is not None:
            last = step.section
            agreement = float(last.over(self._stage1(z)).mean()) / 255.0
            if agreement >= plan.follow_agreement:
                unsupported_mm = 0.0
        elif abs(beyond - last.z) * self._scan.slice_distance_mm > plan.follow_gap_mm:
            return None
        if unsupported_mm > plan.follow_unsupported_mm or last.over(labels[beyond]).any():
            return None  # too far from all that stage 1 saw, or joined to what was known
        return replace(track, last=last, at=z, unsupported_mm=unsupported_mm)

    def _write(
        self, labels: ByteArray, track: Track, step: FollowedSection
    ) -> Iterator[FollowedSection]:
        """Write a section, and between it and the last one what they share."""
        section = step.section
        shared = section.inside & track.last.on(section.box)
        for z in range(track.last.z + track.way, section.z, track.way):
            if shared.any():
                yield _written(labels, step.within(Section(z, section.box, shared)))
        yield _written(labels, step)


def judge_section(
    scan: ScanOnGrid, track: Track, seen: CroppedSlice, z: int, distance_mm: float
) -> FollowedSection | Refusal:
    """Whether what stage 2 sees in the next slice is the kidney's next section.

    Args:
        scan: whose Plan has the limits.
        track: what is followed.
        seen: stage 2's crop.
        z: the slice it is of.
        distance_mm: from the last section.

    Returns:
        The section: the blobs that lie over the last one. Or why there is none.
    """
    plan = scan.plan
    before = track.last.on(seen.box)
    numbers, _ = connected_blobs(seen.labels > 0)
    touching = np.unique(numbers[before])
    inside = np.isin(numbers, touching[touching > 0])
    pixels = int(np.count_nonzero(inside))
    if pixels == 0:
        return "nothing there"
    grown = track.last.pixels * (1.0 + plan.follow_growth_per_mm * distance_mm)
    hu = scan.hu(z)[seen.box.slices]
    kidney = inside & (seen.labels == KIDNEY)
    hu_off = abs(float(np.median(hu[kidney])) - track.hu) if kidney.any() else 0.0
    least_shared = plan.follow_min_overlap * min(pixels, track.last.pixels)
    refusals: dict[Refusal, bool] = {
        "too small": pixels * scan.pixel_mm2 < LEAST_MM2,
        "apart": int(np.count_nonzero(inside & before)) < least_shared,
        "grown": pixels > grown + ROOM_MM2 / scan.pixel_mm2,
        "unsure": float(seen.kidney[inside].mean()) < 255.0 * plan.follow_min_probability,
        "other brightness": hu_off > plan.follow_hu,
    }
    refused = next((reason for reason, holds in refusals.items() if holds), None)
    if refused is not None:
        return refused
    section = Section.of(z, seen.box.start, inside)
    place = section.box.seen_from(seen.box.start).slices
    found = FollowedSection(section, seen.labels[place], seen.kidney[place], seen.tumour[place])
    return found.within(section)


def sections_of(component: Component) -> Iterator[Section]:
    """The 8-connected blobs of a component, slice by slice."""
    start, *corner = component.box.start
    for index, plane in enumerate(component.inside):
        numbers, count = connected_blobs(plane)
        for number in range(1, count + 1):
            yield Section.of(start + index, corner, numbers == number)


def _written(labels: ByteArray, found: FollowedSection) -> FollowedSection:
    section = found.section
    np.copyto(labels[section.z][section.box.slices], found.labels, where=section.inside)
    return found
