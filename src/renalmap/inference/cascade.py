"""The cascade: localizer on every slice, segmenter on crops, masks laid back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from renalmap.bundle import Bundle
from renalmap.imaging import LabelMap, Volume
from renalmap.inference.ahead import map_ahead
from renalmap.inference.components import DroppedComponent, keep_components
from renalmap.inference.session import Device, OnnxSession, available_cores
from renalmap.labels import BACKGROUND, KIDNEY, TUMOUR
from renalmap.preprocess import InPlaneFit, Normalisation, crop_boxes, cut_crop, paste_crop
from renalmap.preprocess.intensity import volume_mean_deviation_hu

Progress = Callable[[str, int, int], None]
"""Told (what is being done, slices done, slices in all)."""

_Input = TypeVar("_Input")
_Output = TypeVar("_Output")


@dataclass(frozen=True)
class SegmentOptions:
    """How to run, not what to compute: labels do not depend on `threads` or `batch_size`.

    Attributes:
        threads: slices in work at once; None takes one a core.
        batch_size: slices given to the runtime in one call; more costs memory and gains nothing.
        stage1_only: stop after the localizer; all foreground is labelled kidney.
        probabilities: keep probability maps of kidney (with tumour) and tumour.
    """

    threads: int | None = None
    batch_size: int = 1
    stage1_only: bool = False
    probabilities: bool = False


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What the cascade found.

    Attributes:
        label_map: on the scan's canonical grid.
        dropped: components that were taken for mistakes, of both stages.
        seconds: by part: stage1, stage2, postprocess.
        probabilities: by region, uint8 on the scan's grid, 255 for certainty; empty unless asked for.
    """

    label_map: LabelMap
    dropped: tuple[DroppedComponent, ...]
    seconds: dict[str, float]
    probabilities: dict[str, NDArray[np.uint8]]

    @property
    def kidney_found(self) -> bool:
        """Whether any voxel is kidney or tumour."""
        return bool(self.label_map.labels.any())


class Cascade:
    """A bundle loaded once, for many scans.

    Args:
        bundle: verified.
        device: `cpu` or `cuda`.

    Raises:
        ConfigError: the device is not available.
    """

    def __init__(self, bundle: Bundle, device: Device = "cpu") -> None:
        self._bundle = bundle
        self._localizer = OnnxSession(bundle.localizer, device)
        self._segmenter = OnnxSession(bundle.segmenter, device)

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
            run.drop_components()
        if not options.stage1_only:
            with run.timed("stage2"):
                run.segment_crops(self._segmenter)
            with run.timed("postprocess"):
                run.drop_components(run.labels == KIDNEY)
        with run.timed("postprocess"):
            return run.finish()


@dataclass
class _Run:
    """One scan's way through the cascade. `labels` lies on the network's grid."""

    bundle: Bundle
    volume: Volume
    options: SegmentOptions
    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)
    dropped: list[DroppedComponent] = field(default_factory=list)

    def __post_init__(self) -> None:
        plan = self.bundle.plan
        _, rows, columns = self.volume.geometry.shape
        spacing_mm = self.volume.geometry.spacing_mm
        self.fit = InPlaneFit(rows, columns, (spacing_mm[1], spacing_mm[2]), plan.grid_size)
        own = None
        if plan.normalisation == "volume_zscore":
            own = volume_mean_deviation_hu(self.volume.hu, plan)
        self.normalisation = Normalisation.from_plan(plan, self.bundle.statistics, own)
        self.depth = self.volume.geometry.shape[0]
        self.labels = np.zeros((self.depth, plan.grid_size, plan.grid_size), np.uint8)
        self.maps: dict[str, NDArray[np.uint8]] = {}
        if self.options.probabilities:
            self.maps = {name: np.zeros_like(self.labels) for name in ("kidney", "tumour")}

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - start

    def localize(self, session: OnnxSession) -> None:
        def work(indices: Sequence[int]) -> NDArray[np.float32]:
            return session.run(np.stack([self._input(z)[None] for z in indices]))

        batches = _batched(range(self.depth), self.options.batch_size)
        for indices, foreground in self._in_threads(work, batches):
            for z, probability in zip(indices, foreground[:, 0], strict=True):
                self.labels[z] = np.where(
                    probability >= self.bundle.plan.localizer_threshold, KIDNEY, BACKGROUND
                )
                if self.maps:
                    self.maps["kidney"][z] = _to_uint8(probability)
                self.progress("stage 1", z + 1, self.depth)

    def drop_components(self, kidney: NDArray[np.bool_] | None = None) -> None:
        plan, spacing_mm = self.bundle.plan, self._grid_spacing_mm()
        kept, dropped = keep_components(self.labels > 0, spacing_mm, plan, kidney)
        self.labels[~kept] = BACKGROUND
        self.dropped.extend(dropped)

    def segment_crops(self, session: OnnxSession) -> None:
        def work(z: Sequence[int]) -> list[NDArray[Any]]:
            return [self._segment_slice(session, index) for index in z]

        found = np.flatnonzero(self.labels.any(axis=(1, 2))).tolist()
        done = 0
        for indices, slices in self._in_threads(work, _batched(found, self.options.batch_size)):
            for z, labels in zip(indices, slices, strict=True):
                self.labels[z] = labels
                done += 1
                self.progress("stage 2", done, len(found))

    def finish(self) -> Segmentation:
        name, geometry = self.volume.name, self.volume.geometry
        return Segmentation(
            label_map=LabelMap(self._to_scan(self.labels), geometry, name),
            dropped=tuple(self.dropped),
            seconds=self.seconds,
            probabilities={region: self._to_scan(values) for region, values in self.maps.items()},
        )

    def _segment_slice(self, session: OnnxSession, z: int) -> NDArray[np.uint8]:
        """Stage 2's labels laid over stage 1's; where crops overlap, their probabilities are added."""
        stage1 = self.labels[z]
        image = self._input(z)
        summed = np.zeros((3, *stage1.shape), np.float32)
        for box in crop_boxes(stage1 > 0, self.bundle.plan):
            crop = np.ascontiguousarray(cut_crop(image, box))[None, None]
            paste_crop(summed, cut_crop(summed, box) + session.run(crop)[0], box)
        total = summed.sum(axis=0)
        covered = total > 0
        if self.maps:
            kidney = summed[KIDNEY] + summed[TUMOUR]
            self.maps["kidney"][z][covered] = _to_uint8(kidney[covered] / total[covered])
            self.maps["tumour"][z][covered] = _to_uint8(summed[TUMOUR][covered] / total[covered])
        merged: NDArray[np.uint8] = np.where(covered, summed.argmax(axis=0), stage1).astype(np.uint8)
        return merged

    def _input(self, z: int) -> NDArray[np.float32]:
        on_grid = self.fit.to_grid(self.volume.hu[z], self.bundle.plan.outside_hu)
        return self.normalisation(on_grid)

    def _to_scan(self, on_grid: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self.fit.is_identity:
            return on_grid
        scan = np.empty(self.volume.geometry.shape, np.uint8)
        for z in range(self.depth):
            scan[z] = self.fit.from_grid(on_grid[z])
        return scan

    def _grid_spacing_mm(self) -> tuple[float, float, float]:
        z_mm, y_mm, x_mm = self.volume.geometry.spacing_mm
        height, width = self.fit.box.shape
        return (z_mm, y_mm * self.fit.rows / height, x_mm * self.fit.columns / width)

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


def _to_uint8(probability: NDArray[np.float32]) -> NDArray[np.uint8]:
    scaled: NDArray[np.uint8] = np.rint(probability * 255.0).astype(np.uint8)
    return scaled
