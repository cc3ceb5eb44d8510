"""The cascade: localizer on every slice, segmenter on crops, masks put back."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from renalmap.anatomy.body import BodyTrack, track_body
from renalmap.bundle import LOCALIZER_CLASSES, SEGMENTER_CLASSES, Bundle
from renalmap.config import parse_settings
from renalmap.errors import BundleError, DimensionError
from renalmap.imaging import LabelMap, Volume
from renalmap.imaging.connected import find_box
from renalmap.imaging.volume import Box
from renalmap.inference.ahead import Threads
from renalmap.inference.components import DroppedComponent
from renalmap.inference.cropping import CroppedSlice, around, lay_over, place_crops, segment_crops
from renalmap.inference.following import FollowedSection, Follower
from renalmap.inference.grid import ScanOnGrid
from renalmap.inference.localizing import Localizer, keep_foreground, localize
from renalmap.inference.probability import GridProbabilities, RegionProbability
from renalmap.inference.rules import RulesOutcome, ScanFacts, apply_rules
from renalmap.inference.search import SliceSearch, search_pitch
from renalmap.inference.session import Runtime, Session, available_cores, open_session, try_session
from renalmap.inference.smoothing import (
    gaussian_weights,
    likeliest,
    reach_slices,
    smooth_across_slices,
)
from renalmap.labels import BACKGROUND
from renalmap.preprocess import Plan
from renalmap.preprocess.plan import FlipAveraging, KeepRule
from renalmap.progress import Progress

ByteArray = NDArray[np.uint8]

SMALLEST_SLICE_MM: Final = 10.0

_TRIAL_EDGE: Final = 64
"""Of the slice that shows whether a graph works: it takes a few milliseconds."""


@dataclass(frozen=True)
class SegmentOptions:
    """How to run. Labels do not depend on `threads` or `batch_size`.

    Attributes:
        threads: slices processed at once; None takes one per core.
        batch_size: slices given to the runtime in one call; more costs memory and gains nothing.
        stage1_only: stop after the localizer; all foreground is labelled kidney.
        exhaustive: stage 1 looks at every slice, not only where the search finds kidneys.
        flip_averaging, smoothing_sigma_mm, keep: instead of the Plan's, unless None.
    """

    threads: int | None = None
    batch_size: int = 1
    stage1_only: bool = False
    exhaustive: bool = False
    flip_averaging: FlipAveraging | None = None
    smoothing_sigma_mm: float | None = None
    keep: KeepRule | None = None

    def applied_to(self, plan: Plan) -> Plan:
        """The Plan with what these options change of it.

        Raises:
            ConfigError: an option's value is not one that the Plan allows.
        """
        changes = {
            "flip_averaging": self.flip_averaging,
            "smoothing_sigma_mm": self.smoothing_sigma_mm,
            "keep": self.keep,
        }
        given = {name: value for name, value in changes.items() if value is not None}
        return parse_settings(Plan, plan.model_dump() | given, where=None)


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What the cascade found.

    Attributes:
        label_map: on the scan's canonical grid.
        dropped: components that were taken for mistakes, of both stages.
        seconds: by part: stage1, stage2, postprocess.
        probabilities: of "kidney" (kidney or tumour) and "tumour", in the box about what stage 1 kept and
            about the crops: stage 2's where it looked, elsewhere stage 1's of kidney.
        body: where the trunk lies.
        stage1_dropped: those of `dropped` that stage 1 found.
        notes: what a reader of the labels should know, a sentence each.
    """

    label_map: LabelMap
    dropped: tuple[DroppedComponent, ...]
    seconds: dict[str, float]
    probabilities: Mapping[str, RegionProbability]
    body: BodyTrack
    stage1_dropped: tuple[DroppedComponent, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def kidney_found(self) -> bool:
        """Whether any voxel is kidney or tumour."""
        return bool(self.label_map.labels.any())


class Cascade:
    """A bundle loaded once, for many scans.

    Args:
        bundle: verified.
        runtime: what runs its graphs.

    Raises:
        BundleError: the graphs and the Plan do not fit, or a graph does not work.
        ConfigError: the device is not available.
        MissingDependencyError: the engine is not installed.
    """

    def __init__(self, bundle: Bundle, runtime: Runtime = Runtime()) -> None:
        self._bundle = bundle
        self._localizer = open_session(bundle.localizer, runtime, LOCALIZER_CLASSES)
        self._segmenter = open_session(bundle.segmenter, runtime, SEGMENTER_CLASSES)
        plan = bundle.plan
        if plan.narrow_crop_size is not None and not self._segmenter.free_size:
            raise BundleError(
                "the bundle's Plan has crops of two sizes, its segmenter takes one",
                where=bundle.segmenter,
                hint="Export the bundle again with this version",
            )
        if (
            runtime.engine == "onnxruntime"
        ):  # OpenVINO compiles for a second; there the first slice is the trial
            for session, edge in ((self._localizer, plan.grid_size), (self._segmenter, plan.crop_size)):
                try_session(session, min(edge, _TRIAL_EDGE) if session.free_size else edge)
        self._localizer.prepare(plan.grid_size, plan.grid_size)
        for crop_edge in (plan.narrow_crop_size, plan.crop_size):
            if crop_edge is not None:
                self._segmenter.prepare(crop_edge, crop_edge)

    def segment(
        self,
        volume: Volume,
        options: SegmentOptions = SegmentOptions(),
        progress: Progress = lambda *_: None,
    ) -> Segmentation:
        """Segment a scan.

        Args:
            volume: axes (z, y, x), HU.
            options: how to run.
            progress: called after every slice of either stage.

        Returns:
            Labels on the scan's canonical grid; all background where no kidney was found.

        Raises:
            DimensionError: its slices are too small to show a kidney.
        """
        _check_slices(volume)
        plan = options.applied_to(self._bundle.plan)
        scan = ScanOnGrid.of(volume, plan, self._bundle.statistics)
        run = _Run(scan, options, progress)
        localizer = Localizer(self._localizer, scan)
        with run.timed("stage1"):
            labels = run.localize(localizer)
        with run.timed("postprocess"):
            stage1_dropped = tuple(each.moved(scan.on_scan) for each in keep_foreground(labels, scan))
        seen = Seen()
        if not options.stage1_only:
            with run.timed("stage2"):
                seen = run.segment_crops(self._segmenter, localizer, labels)
        with run.timed("postprocess"):
            probability = gather(scan, localizer, labels, seen)
            smooth(scan, labels, probability, seen)
            outcome = run.apply_rules(labels, probability)
            label_map = LabelMap(scan.labels_on_scan(labels), volume.geometry, volume.name)
            probabilities = probability.on_scan(scan.fit)
        return Segmentation(
            label_map=label_map,
            dropped=(*stage1_dropped, *(each.moved(scan.on_scan) for each in outcome.dropped)),
            seconds=run.seconds,
            probabilities=probabilities,
            body=run.body,
            stage1_dropped=stage1_dropped,
            notes=outcome.notes,
        )


def _check_slices(volume: Volume) -> None:
    """Refuse slices too small for a kidney, before the networks look at thousands of them."""
    _, *in_plane = zip(volume.geometry.shape, volume.geometry.spacing_mm, strict=True)
    extent_mm = [size * step_mm for size, step_mm in in_plane]
    if min(extent_mm) < SMALLEST_SLICE_MM:
        raise DimensionError(
            "the axial slices are too small to show a kidney",
            where=volume.name,
            got=f"{' x '.join(f'{each:.3g}' for each in extent_mm)} mm",
            expected=f"at least {SMALLEST_SLICE_MM:g} mm either way",
        )


@dataclass(frozen=True, eq=False)
class Seen:
    """What stage 2 saw.

    Attributes:
        crops: where it looked about stage 1's blobs, by slice.
        slices: what it saw there.
        followed: the sections it found beyond.
    """

    crops: Mapping[int, tuple[Box, ...]] = field(default_factory=dict)
    slices: Mapping[int, CroppedSlice] = field(default_factory=dict)
    followed: tuple[FollowedSection, ...] = ()

    @property
    def boxes(self) -> dict[int, list[Box]]:
        """Where it looked and labelled, by slice."""
        boxes = {z: list(crops) for z, crops in self.crops.items()}
        for found in self.followed:
            boxes.setdefault(found.section.z, []).append(found.section.box)
        return boxes


@dataclass(frozen=True, eq=False)
class _Run:
    """One scan's way through the networks: what its stages share."""

    scan: ScanOnGrid
    options: SegmentOptions
    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - start

    @property
    def threads(self) -> Threads:
        return Threads(self.options.threads or available_cores(), self.options.batch_size)

    @cached_property
    def body(self) -> BodyTrack:
        """Where the trunk lies."""
        return track_body(self.scan.volume)

    def localize(self, localizer: Localizer) -> ByteArray:
        """Stage 1's labels, in all slices that may show a kidney."""
        scan = self.scan
        search = SliceSearch(scan.depth, pitch=1, near=0)
        if not self.options.exhaustive:
            pitch = search_pitch(scan.depth, scan.slice_distance_mm)
            search = SliceSearch(scan.depth, pitch, near=max(pitch - 1, _reach(scan)))
        return localize(localizer, search, self.threads, partial(self.progress, "stage 1"))

    def segment_crops(self, segmenter: Session, localizer: Localizer, labels: ByteArray) -> Seen:
        """Lay stage 2's labels over stage 1's, and follow kidneys beyond them."""
        crop = partial(segment_crops, segmenter, self.scan)
        crops = place_crops(labels, self.scan)
        slices = {}
        for done, (z, seen) in enumerate(self.threads.map(lambda z: crop(z, crops[z]), crops), start=1):
            slices[z] = seen
            self.progress("stage 2", done, len(crops))
        lay_over(labels, slices)
        if self.scan.plan.follow_gap_mm == 0:
            return Seen(crops, slices)
        follower = Follower(self.scan, crop, lambda z: localizer.look((z,))[0])
        return Seen(crops, slices, tuple(follower.follow(labels, self.threads)))

    def apply_rules(self, labels: ByteArray, probability: GridProbabilities) -> RulesOutcome:
        """The part of the networks' labels that is kept; outside the box there is only background."""
        if probability.kidney.size == 0:
            return RulesOutcome((), ())
        return apply_rules(
            labels[probability.slices],
            probability,
            self.scan.placement(probability.origin_zyx),
            self.scan.plan,
            ScanFacts(
                lambda: self._midline_x(probability), lambda index: _hu_of(self.scan, probability, index)
            ),
            stage1_only=self.options.stage1_only,
        )

    def _midline_x(self, probability: GridProbabilities) -> float:
        """The body's midline at the kidneys' level, a column of the grid."""
        z = probability.slices[0]
        return self.scan.column(float(np.median(self.body.at(np.arange(z.start, z.stop)))))


def gather(scan: ScanOnGrid, localizer: Localizer, labels: ByteArray, seen: Seen) -> GridProbabilities:
    """Both networks' probabilities in one box: stage 2's where it looked, elsewhere stage 1's of kidney.

    The box is about all labels and crops, and as far up and down as is smoothed.

    Args:
        scan: its grid.
        localizer: what stage 1 saw.
        labels: (z, grid, grid). What stage 1 found and is background there was dropped.
        seen: by stage 2.
    """
    box = find_box(labels)
    if box is None and not seen.crops:
        return GridProbabilities.zeros(None)
    probability = GridProbabilities.zeros(_about(scan, box, seen))
    dropped_from = 255 * scan.plan.localizer_threshold
    span, *in_plane = probability.slices
    for z in localizer.seen & set(range(span.start, span.stop)):
        stage1 = localizer.look((z,))[0][*in_plane]
        dropped = (stage1 >= dropped_from) & (labels[z][*in_plane] == BACKGROUND)
        probability.kidney[z - span.start] = np.where(dropped, 0, stage1)
    corner = probability.origin_zyx[1:]
    for z, crop in seen.slices.items():
        place = (z - span.start, *crop.box.seen_from(corner).slices)
        np.copyto(probability.kidney[place], crop.kidney, where=crop.covered)
        np.copyto(probability.tumour[place], crop.tumour, where=crop.covered)
    for found in seen.followed:
        place = (found.section.z - span.start, *found.section.box.seen_from(corner).slices)
        np.copyto(probability.kidney[place], found.kidney, where=found.section.inside)
        np.copyto(probability.tumour[place], found.tumour, where=found.section.inside)
    return probability


def smooth(scan: ScanOnGrid, labels: ByteArray, found: GridProbabilities, seen: Seen) -> None:
    """Smooth across slices and label anew, in place, wherever stage 2 looked within the Gaussian's reach."""
    reach, boxes = _reach(scan), seen.boxes
    if reach == 0 or not boxes:
        return
    weights = gaussian_weights(scan.plan.smoothing_sigma_mm, scan.slice_distance_mm)
    smooth_across_slices(found.kidney, weights)
    smooth_across_slices(found.tumour, weights)
    span, rows, columns = found.slices
    for z in range(span.start, span.stop):
        looked_at = np.zeros(labels[z].shape, np.bool_)
        for near in range(z - reach, z + reach + 1):
            for box in boxes.get(near, ()):
                looked_at[box.slices] = True
        kidney, tumour = found.kidney[z - span.start], found.tumour[z - span.start]
        anew = likeliest(255 - kidney, kidney - tumour, tumour)
        np.copyto(labels[z, rows, columns], anew, where=looked_at[rows, columns])


def _about(scan: ScanOnGrid, box: Box | None, seen: Seen) -> Box:
    """The box about what stage 1 kept, about the crops, and as far up and down as is smoothed."""
    crops = [each for boxes in seen.boxes.values() for each in boxes]
    in_plane = [] if box is None else [Box(box.start[1:], box.stop[1:])]
    plane = around((*in_plane, *crops))
    slices = [*seen.boxes, *([] if box is None else [box.start[0], box.stop[0] - 1])]
    reach = _reach(scan) if crops else 0
    return Box(
        (max(0, min(slices) - reach), *plane.start),
        (min(scan.depth, max(slices) + 1 + reach), *plane.stop),
    )


def _hu_of(scan: ScanOnGrid, probability: GridProbabilities, index: int) -> NDArray[np.float32]:
    """HU of a slice of the box about all that was found."""
    span, *in_plane = probability.slices
    return scan.hu(span.start + index)[*in_plane]


def _reach(scan: ScanOnGrid) -> int:
    return min(scan.depth, reach_slices(scan.plan.smoothing_sigma_mm, scan.slice_distance_mm))
