"""The cascade: localizer on every slice, segmenter on crops, masks laid back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from renalmap.bundle import Bundle
from renalmap.errors import BundleError
from renalmap.imaging import LabelMap, Volume
from renalmap.imaging.connected import find_box
from renalmap.imaging.volume import Box
from renalmap.inference.ahead import map_ahead
from renalmap.inference.components import (
    DroppedComponent,
    drop_small,
    drop_unconnected,
)
from renalmap.inference.flipping import flip_averaged
from renalmap.inference.placement import Placement
from renalmap.inference.probability import (
    GridProbabilities,
    RegionProbability,
    pack,
    to_bytes,
    unpack,
)
from renalmap.inference.rules import ScanFacts, apply_rules
from renalmap.inference.search import HIT_SHARE, SliceSearch, search_pitch
from renalmap.inference.session import Runtime, Session, available_cores, open_session
from renalmap.inference.smoothing import (
    gaussian_weights,
    likeliest,
    reach_slices,
    smooth_across_slices,
)
from renalmap.labels import BACKGROUND, KIDNEY
from renalmap.measure.midline import BodyTrack, track_body
from renalmap.preprocess import InPlaneFit, Normalisation, Plan, crop_boxes, cut_crop
from renalmap.preprocess.intensity import volume_mean_deviation_hu
from renalmap.preprocess.plan import FlipAveraging, KeepRule
from renalmap.progress import Progress

"""Told (what is being done, slices done, slices in all)."""

_PERHAPS: Final = 3
"""Stage 1's label between its two thresholds, until it is known what it is connected to."""

_Input = TypeVar("_Input")
_Output = TypeVar("_Output")


@dataclass(frozen=True)
class SegmentOptions:
    """How to run. Labels do not depend on `threads` or `batch_size`.

    Attributes:
        threads: slices in work at once; None takes one a core.
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
        """The Plan with what these options change of it."""
        changes = {
            "flip_averaging": self.flip_averaging,
            "smoothing_sigma_mm": self.smoothing_sigma_mm,
            "keep": self.keep,
        }
        given = {name: value for name, value in changes.items() if value is not None}
        return Plan.model_validate(plan.model_dump() | given)


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
        BundleError: the graphs and the Plan do not fit.
        ConfigError: the device is not available.
        MissingDependencyError: the engine is not installed.
    """

    def __init__(self, bundle: Bundle, runtime: Runtime = Runtime()) -> None:
        self._bundle = bundle
        self._localizer = open_session(bundle.localizer, runtime)
        self._segmenter = open_session(bundle.segmenter, runtime)
        plan = bundle.plan
        if plan.narrow_crop_size is not None and not self._segmenter.free_size:
            raise BundleError(
                "the bundle's Plan has crops of two sizes, its segmenter takes one",
                where=bundle.segmenter,
                hint="Export the bundle again with this version",
            )
        self._localizer.prepare(plan.grid_size, plan.grid_size)
        for edge in (plan.narrow_crop_size, plan.crop_size):
            if edge is not None:
                self._segmenter.prepare(edge, edge)

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
        """
        run = _Run(self._bundle, volume, options, progress)
        with run.timed("stage1"):
            run.localize(self._localizer)
        with run.timed("postprocess"):
            run.keep_foreground()
            run.place_crops()
        if not options.stage1_only:
            with run.timed("stage2"):
                run.segment_crops(self._segmenter)
        with run.timed("postprocess"):
            run.smooth()
            run.apply_rules()
            return run.finish()


@dataclass
class _Run:
    """One scan's way through the cascade. `labels` lies on the network's grid."""

    bundle: Bundle
    volume: Volume
    options: SegmentOptions
    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)
    stage1_dropped: tuple[DroppedComponent, ...] = ()
    dropped: tuple[DroppedComponent, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.plan = plan = self.options.applied_to(self.bundle.plan)
        _, rows, columns = self.volume.geometry.shape
        spacing_mm = self.volume.geometry.spacing_mm
        self.fit = InPlaneFit(rows, columns, (spacing_mm[1], spacing_mm[2]), plan.grid_size)
        own = None
        if plan.normalisation == "volume_zscore":
            own = volume_mean_deviation_hu(self.volume.hu, plan)
        self.normalisation = Normalisation.from_plan(plan, self.bundle.statistics, own)
        self.depth = self.volume.geometry.shape[0]
        self.labels = np.zeros((self.depth, plan.grid_size, plan.grid_size), np.uint8)
        self.packed: dict[int, bytes] = {}
        self.crops: dict[int, tuple[Box, ...]] = {}
        self.probability = GridProbabilities.zeros(None)

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - start

    def localize(self, session: Session) -> None:
        """Stage 1's labels: kidney, perhaps, or background, in all slices that may show a kidney."""
        search = SliceSearch(self.depth, pitch=1, near=0)
        if not self.options.exhaustive:
            pitch = search_pitch(self.depth, self.volume.geometry.spacing_mm[0])
            search = SliceSearch(self.depth, pitch, near=max(pitch - 1, self._reach))

        def work(indices: Sequence[int]) -> list[tuple[NDArray[np.uint8], bytes]]:
            images = np.stack([self._input(z)[None] for z in indices])
            mirrored = self.plan.flip_averaging == "both"
            foreground = flip_averaged(session.run, images) if mirrored else session.run(images)
            return [(self._foreground(each), pack(to_bytes(each))) for each in foreground[:, 0]]

        least_mm2 = HIT_SHARE * self.plan.component_min_area_mm2
        least = max(1.0, least_mm2 / self._placement((0, 0, 0)).pixel_mm2)
        while pending := search.pending():
            total = len(self.packed) + len(pending)
            for indices, slices in self._in_threads(work, _batched(pending, self.options.batch_size)):
                for z, (found, packed) in zip(indices, slices, strict=True):
                    if found.any():  # pages that nothing is written to take no memory
                        self.labels[z] = found
                    self.packed[z] = packed
                    search.note(z, found=bool(np.count_nonzero(found) >= least))
                    self.progress("stage 1", len(self.packed), total)

    def keep_foreground(self) -> None:
        """Of stage 1's foreground keep what is sure or joined to it, and large enough."""
        box = find_box(self.labels)
        if box is None:
            return
        labels = self.labels[box.slices]
        if self.plan.localizer_low_threshold is not None:
            drop_unconnected(labels, KIDNEY)
        self.stage1_dropped = drop_small(labels, self._placement(box.start), self.plan)

    def place_crops(self) -> None:
        """Decide where stage 2 looks, and keep stage 1's probabilities in the box about it all."""
        box = find_box(self.labels)
        if box is None:
            return
        if not self.options.stage1_only:
            for z in np.flatnonzero(self.labels.any(axis=(1, 2))).tolist():
                self.crops[z] = crop_boxes(self.labels[z] > 0, self.plan)
        self.probability = GridProbabilities.zeros(self._about(box))
        # What was dropped is no kidney, whatever stage 1 thought of it.
        dropped_from = 255 * self.plan.localizer_threshold
        span, rows, columns = self.probability.slices
        for index, kidney in zip(range(span.start, span.stop), self.probability.kidney, strict=True):
            if index not in self.packed:  # far from all that was found
                continue
            stage1 = unpack(self.packed[index], self.labels[index].shape)[rows, columns]
            dropped = (stage1 >= dropped_from) & (self.labels[index, rows, columns] == BACKGROUND)
            kidney[:] = np.where(dropped, 0, stage1)
        self.packed.clear()

    def segment_crops(self, session: Session) -> None:
        def work(z: Sequence[int]) -> list[NDArray[np.uint8]]:
            return [self._segment_slice(session, index) for index in z]

        done = 0
        for indices, slices in self._in_threads(work, _batched(self.crops, self.options.batch_size)):
            for z, labels in zip(indices, slices, strict=True):
                self.labels[z] = labels
                done += 1
                self.progress("stage 2", done, len(self.crops))

    def smooth(self) -> None:
        """Smooth across slices and label anew, wherever stage 2 looked within the Gaussian's reach."""
        if self._reach == 0 or not self.crops:
            return
        weights = gaussian_weights(self.plan.smoothing_sigma_mm, self.volume.geometry.spacing_mm[0])
        found = self.probability
        smooth_across_slices(found.kidney, weights)
        smooth_across_slices(found.tumour, weights)
        span, rows, columns = found.slices
        for index in range(span.start, span.stop):
            seen = np.zeros(self.labels[index].shape, bool)
            for near in range(index - self._reach, index + self._reach + 1):
                for box in self.crops.get(near, ()):
                    seen[box.slices] = True
            kidney, tumour = found.kidney[index - span.start], found.tumour[index - span.start]
            labels = likeliest(255 - kidney, kidney - tumour, tumour)
            np.copyto(self.labels[index, rows, columns], labels, where=seen[rows, columns])

    def apply_rules(self) -> None:
        """What of the networks' labels stays; nothing but background lies outside the box."""
        if self.probability.kidney.size == 0:
            return
        outcome = apply_rules(
            self.labels[self.probability.slices],
            self.probability,
            self._placement(self.probability.origin_zyx),
            self.plan,
            ScanFacts(self._midline_x, self._hu_of_box),
            stage1_only=self.options.stage1_only,
        )
        self.dropped, self.notes = outcome.dropped, outcome.notes

    def finish(self) -> Segmentation:
        name, geometry = self.volume.name, self.volume.geometry
        return Segmentation(
            label_map=LabelMap(self._to_scan(self.labels), geometry, name),
            dropped=(*self.stage1_dropped, *self.dropped),
            seconds=self.seconds,
            probabilities=self.probability.on_scan(self.fit),
            body=self.body,
            stage1_dropped=self.stage1_dropped,
            notes=self.notes,
        )

    def _segment_slice(self, session: Session, z: int) -> NDArray[np.uint8]:
        """Stage 2's labels laid over stage 1's; where crops overlap, their probabilities are added."""
        image = self._input(z)
        found = self.probability  # its box holds all crops
        first, *corner = found.origin_zyx
        summed = np.zeros((3, *found.kidney.shape[1:]), np.float32)
        for box in self.crops[z]:
            crop = np.ascontiguousarray(cut_crop(image, box))[None, None]
            once = self.plan.flip_averaging == "none"
            classes = session.run(crop) if once else flip_averaged(session.run, crop)
            cut_crop(summed, box.seen_from(corner))[:] += classes[0]
        total = summed.sum(axis=0)
        covered = total > 0
        background, kidney, tumour = summed[:, covered]
        found.kidney[z - first][covered] = to_bytes((kidney + tumour) / total[covered])
        found.tumour[z - first][covered] = to_bytes(tumour / total[covered])
        merged: NDArray[np.uint8] = self.labels[z].copy()
        merged[*found.slices[1:]][covered] = likeliest(background, kidney, tumour)
        return merged

    def _input(self, z: int) -> NDArray[np.float32]:
        return self.normalisation(self._on_grid(z))

    def _on_grid(self, z: int) -> NDArray[np.float32]:
        return self.fit.to_grid(self.volume.hu[z], self.plan.outside_hu)

    def _hu_of_box(self, index: int) -> NDArray[np.float32]:
        """HU of a slice of the box about all that was found."""
        span, *in_plane = self.probability.slices
        return self._on_grid(span.start + index)[*in_plane]

    def _to_scan(self, on_grid: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self.fit.is_identity:
            return on_grid
        scan = np.empty(self.volume.geometry.shape, np.uint8)
        for z in range(self.depth):
            scan[z] = self.fit.from_grid(on_grid[z])
        return scan

    def _foreground(self, probability: NDArray[np.float32]) -> NDArray[np.uint8]:
        found = (probability >= self.plan.localizer_threshold).astype(np.uint8) * np.uint8(KIDNEY)
        low = self.plan.localizer_low_threshold
        if low is not None:
            found[(probability >= low) & (found == BACKGROUND)] = _PERHAPS
        return found

    @property
    def body(self) -> BodyTrack:
        """Where the trunk lies."""
        return track_body(self.volume)

    @property
    def _reach(self) -> int:
        return reach_slices(self.plan.smoothing_sigma_mm, self.volume.geometry.spacing_mm[0])

    def _placement(self, origin_zyx: Sequence[int]) -> Placement:
        z, y, x = origin_zyx
        spacing_mm = (self.volume.geometry.spacing_mm[0], *self.fit.grid_spacing_mm)
        return Placement((z, y, x), self.depth, spacing_mm)

    def _about(self, box: Box) -> Box:
        """The box about what stage 1 kept, about the crops, and as far up and down as is smoothed."""
        crops = [crop for each in self.crops.values() for crop in each]
        starts = [box.start[1:], *(crop.start for crop in crops)]
        stops = [box.stop[1:], *(crop.stop for crop in crops)]
        reach = self._reach if crops else 0
        return Box(
            (max(0, box.start[0] - reach), *np.min(starts, axis=0).tolist()),
            (min(self.depth, box.stop[0] + reach), *np.max(stops, axis=0).tolist()),
        )

    def _midline_x(self) -> float:
        """The body's midline at the kidneys' level, a column of the grid."""
        z = self.probability.slices[0]
        column = float(np.median(self.body.at(np.arange(z.start, z.stop))))
        scale = self.fit.box.shape[1] / self.fit.columns
        return self.fit.box.start[1] + (column + 0.5) * scale - 0.5

    def _in_threads(
        self, work: Callable[[_Input], _Output], inputs: Iterable[_Input]
    ) -> Iterator[tuple[_Input, _Output]]:
        """Results in order, with no more inputs in flight than threads need."""
        threads = self.options.threads or available_cores()
        return map_ahead(work, inputs, threads=threads, ahead=2 * threads)


def _batched(items: Iterable[int], size: int) -> Iterator[tuple[int, ...]]:
    iterator = iter(items)
    while batch := tuple(islice(iterator, size)):
        yield batch
