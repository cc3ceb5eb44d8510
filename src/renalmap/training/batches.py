"""Batches. Each sample is a pure function of the store, the settings, the number of the step and its own.

So a resumed run sees exactly the batches that an uninterrupted one sees, threads can make them ahead, and any
number of processes can share one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from renalmap.dataset.store import CaseEntry, Store
from renalmap.errors import StoreError
from renalmap.imaging.masks import bounding_slices
from renalmap.imaging.volume import Box
from renalmap.inference.ahead import map_ahead
from renalmap.labels import TUMOUR, UNKNOWN, is_foreground, is_known
from renalmap.preprocess import crop_boxes
from renalmap.preprocess.spatial import crop_box
from renalmap.training.augment import Warp, draw_warp, warp_batch
from renalmap.training.launch import ALONE, Launch
from renalmap.training.normaliser import Normaliser
from renalmap.training.settings import TrainSettings
from renalmap.training.stages import reduce_slice, stage_plan
from renalmap.training.synthesis import Synthesiser

Made = TypeVar("Made")

ASSUMED_SPACING_MM = (0.78, 0.78)
"""Of slices whose spacing is not known: the median of KiTS19."""


@dataclass(frozen=True, eq=False)
class Batch:
    """What the network and the loss take.

    Attributes:
        images: (N, 1, H, W) float32, normalised.
        targets: (N, 1, H, W) long: the stage's classes.
    """

    images: Tensor
    targets: Tensor


@dataclass(frozen=True, eq=False)
class Draw:
    """A batch before its pixels are touched: what is random is decided.

    Attributes:
        slices: (N, grid, grid) float32, HU as the stage sees them.
        masks: (N, grid, grid) uint8.
        boxes: where each sample is cut.
        warps: how each is changed.
        entries: whose slices they are.
    """

    slices: Tensor
    masks: Tensor
    boxes: list[Box]
    warps: list[Warp]
    entries: list[CaseEntry]


@dataclass(frozen=True, eq=False)
class _Pool:
    """Slices that may be drawn, and how likely each is."""

    case_numbers: NDArray[np.intp]
    slice_indices: NDArray[np.intp]
    probabilities: NDArray[np.float64]

    def draw(self, generator: np.random.Generator) -> tuple[int, int]:
        chosen = int(generator.choice(self.case_numbers.size, p=self.probabilities))
        return int(self.case_numbers[chosen]), int(self.slice_indices[chosen])


class BatchMaker:
    """Makes the batch of any step.

    Args:
        store: the prepared store; its training cases are drawn from.
        settings: of the run.
        synthesiser: changes slices as `settings.synthesis` says, before any warp; None leaves them.
        launch: which samples of every batch are made here.

    Raises:
        StoreError: no training slice has kidney or tumour.
    """

    def __init__(
        self,
        store: Store,
        settings: TrainSettings,
        synthesiser: Synthesiser | None = None,
        launch: Launch = ALONE,
    ) -> None:
        self._store = store
        self._settings = settings
        self._synthesiser = synthesiser
        self._plan = stage_plan(store.plan, settings.stage)
        self._reduction = store.plan.grid_size // self._plan.grid_size
        self._normaliser = Normaliser(store, self._reduction)
        self._numbers = launch.share(settings.batch_size)
        self._entries = store.part("train")
        self._pools = _make_pools(self._entries, settings)
        if "foreground" not in self._pools:
            raise StoreError("no training slice shows kidney or tumour", where=store.root)

    def make(self, step: int) -> Batch:
        """The batch of a step, or this process's share of it, the same however often it is requested."""
        return self.finish(self.draw(step), torch.device("cpu"))

    def draw(self, step: int) -> Draw:
        """Everything random in a step's batch, and the slices it is cut from."""
        settings, size = self._settings, self._edge(step)
        entries, boxes, warps, slices, masks = [], [], [], [], []
        for number in self._numbers:
            # A sample's own generator: whichever process makes it, it is the same.
            generator = np.random.default_rng([settings.seed, step, number])
            wants_tumour, case_number, index = self._draw(generator, number)
            entries.append(self._entries[case_number])
            hu, labels = self._read(entries[-1], index, generator)
            wanted = self._wanted(labels, entries[-1], index)
            boxes.append(self._place(labels, wanted, size, generator, wants_tumour=wants_tumour))
            warps.append(draw_warp(settings.augment, generator))
            slices.append(torch.from_numpy(hu))
            masks.append(torch.from_numpy(labels))
        return Draw(torch.stack(slices), torch.stack(masks), boxes, warps, entries)

    def finish(self, draw: Draw, device: torch.device) -> Batch:
        """Warp, cut and normalise a draw on a device."""
        images, targets = warp_batch(
            draw.slices.to(device),
            draw.masks.to(device),
            draw.boxes,
            draw.warps,
            self._store.plan.outside_hu,
        )
        images = self._normaliser(images, draw.boxes, draw.entries)
        if self._settings.stage == "localize":
            targets = torch.where(targets == UNKNOWN, targets, (targets > 0).long())
        return Batch(images, targets)

    def _read(
        self, entry: CaseEntry, index: int, generator: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """A slice as the stage sees it: perhaps with synthetic lesions, perhaps reduced."""
        stored, labels = self._store.slices.read(entry.case_id, index)
        hu = stored.astype(np.float32)
        known = is_known(labels)
        if self._synthesiser is not None:
            spacing_mm = entry.grid_spacing_mm(self._store.plan.grid_size)
            hu, labels = self._synthesiser.apply(
                hu, np.where(known, labels, 0), spacing_mm or ASSUMED_SPACING_MM, generator
            )
        if not known.all():
            labels = np.where(known, labels, UNKNOWN)
            if generator.random() < self._settings.augment.mirror_unknown:
                hu = mirrored_beyond(hu, known)
        return reduce_slice(hu, labels, self._store.plan, self._reduction)

    def _wanted(self, labels: NDArray[np.uint8], entry: CaseEntry, index: int) -> NDArray[np.bool_]:
        """What the patch or crop is to be centred on: the foreground.

        If a slice of stage 2 has none and `near_mm` is set, that of the nearest slice with some. If there is
        none at all, the crop may lie anywhere.
        """
        foreground = is_foreground(labels)
        if self._settings.near_mm is not None and not foreground.any():
            shown = np.flatnonzero(np.add(entry.kidney_pixels, entry.tumour_pixels))
            if shown.size:
                nearest = int(shown[np.abs(shown - index).argmin()])
                return is_foreground(self._store.slices.read(entry.case_id, nearest)[1])
        return foreground

    def _edge(self, step: int) -> int:
        settings = self._settings
        whole = self._plan.crop_size if settings.stage == "segment" else self._plan.grid_size
        if settings.patch_size is None or settings.is_finishing(step):
            return whole
        return min(settings.patch_size, whole)

    def _draw(self, generator: np.random.Generator, number: int) -> tuple[bool, int, int]:
        """Whether the sample of this number must show tumour, and a slice for it.

        Shares are kept exactly, not on average.
        """
        settings = self._settings
        rank = (number + generator.random()) / settings.batch_size
        kinds = ["foreground"]
        if rank < settings.tumour_share:
            kinds = ["tumour", "foreground"]
        elif rank >= settings.drawn_foreground_share:
            kinds = ["empty", "foreground"]
        kind = next(kind for kind in kinds if kind in self._pools)
        return kind == "tumour", *self._pools[kind].draw(generator)

    def _place(
        self,
        labels: NDArray[np.uint8],
        foreground: NDArray[np.bool_],
        size: int,
        generator: np.random.Generator,
        *,
        wants_tumour: bool,
    ) -> Box:
        plan, settings = self._plan, self._settings
        if size == plan.grid_size:
            return Box((0, 0), (size, size))
        local = plan.model_copy(update={"crop_size": size})
        if not foreground.any():
            # Patches without foreground come from anywhere, the middle somewhat more often.
            y, x = generator.triangular(0, plan.grid_size / 2, plan.grid_size, 2)
            return crop_box((y, x), local)
        if settings.stage == "segment":
            boxes = crop_boxes(foreground, plan)
            if wants_tumour:  # the other kidney's crop may show none
                boxes = tuple(box for box in boxes if TUMOUR in labels[box.slices]) or boxes
            box = boxes[int(generator.integers(len(boxes)))]
            centre = [(low + high) / 2 for low, high in zip(box.start, box.stop, strict=True)]
        else:
            rows, columns = np.nonzero(foreground)
            chosen = int(generator.integers(rows.size))
            centre = [float(rows[chosen]), float(columns[chosen])]
        jitter = generator.integers(-settings.centre_jitter, settings.centre_jitter + 1, 2)
        box = crop_box((centre[0] + jitter[0], centre[1] + jitter[1]), local)
        known = is_known(labels)
        return box if known.all() else moved_into(box, bounding_slices(known))


def stream_ahead(make: Callable[[int], Made], start: int, stop: int, ahead: int) -> Iterator[Made]:
    """What `make` makes of the steps from `start` to `stop`, made ahead of their use by threads."""
    return (made for _, made in map_ahead(make, range(start, stop), threads=ahead, ahead=ahead))


def moved_into(box: Box, known: tuple[slice, ...]) -> Box:
    """A box moved so that it lies in what is known of a slice, or holds it where that is smaller."""
    start = []
    for low, high, span in zip(box.start, box.stop, known, strict=True):
        ends = sorted((span.start, span.stop - (high - low)))
        start.append(min(max(low, ends[0]), ends[1]))
    return Box(tuple(start), tuple(low + edge for low, edge in zip(start, box.shape, strict=True)))


def mirrored_beyond(hu: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """A slice continued by its mirror image beyond the rectangle that is known."""
    rectangle = bounding_slices(known)
    index = []
    for span, size in zip(rectangle, hu.shape, strict=True):
        length = span.stop - span.start
        steps = np.abs((np.arange(size) - span.start) % (2 * length))
        index.append(span.start + np.minimum(steps, 2 * length - 1 - steps))
    mirrored: NDArray[np.float32] = hu[np.ix_(*index)]
    return mirrored


def _make_pools(entries: Sequence[CaseEntry], settings: TrainSettings) -> dict[str, _Pool]:
    members: dict[str, list[tuple[int, int]]] = {"foreground": [], "tumour": [], "empty": []}
    factors = np.array([_factor(entry.case_id, settings.case_weights) for entry in entries])
    for number, entry in enumerate(entries):
        if factors[number] == 0:
            continue
        near = _near_kidney(entry, settings.near_mm)
        pixels = zip(entry.kidney_pixels, entry.tumour_pixels, strict=True)
        for index, (kidney, tumour) in enumerate(pixels):
            if kidney + tumour or near[index]:
                members["foreground" if kidney + tumour else "empty"].append((number, index))
            if tumour:
                members["tumour"].append((number, index))
    balance = settings.case_balance
    pools = {kind: _make_pool(found, balance, factors) for kind, found in members.items() if found}
    if settings.tumour_bins_mm and "tumour" in pools:
        pools["tumour"] = _share_out(pools["tumour"], entries, settings.tumour_bins_mm)
    return pools


def _near_kidney(entry: CaseEntry, near_mm: float | None) -> NDArray[np.bool_]:
    """Which slices lie at most this far from one with kidney; all if the spacing is not known."""
    positions = np.array(entry.z_indices)
    shown = positions[np.add(entry.kidney_pixels, entry.tumour_pixels) > 0]
    if near_mm is None or entry.spacing_mm is None or not shown.size:
        return np.ones(positions.size, np.bool_)
    gaps = np.abs(positions[:, None] - shown[None]).min(axis=1)
    near: NDArray[np.bool_] = gaps * entry.spacing_mm[0] <= near_mm
    return near


def _share_out(pool: _Pool, entries: Sequence[CaseEntry], limits_mm: tuple[float, ...]) -> _Pool:
    """The same slices, drawn equally often from every bin of tumour sizes that is not empty."""
    diameters = np.array([_tumour_diameter_mm(entry) for entry in entries])
    bins = np.digitize(diameters[pool.case_numbers], limits_mm)
    totals = np.bincount(bins, weights=pool.probabilities)
    shared = pool.probabilities / totals[bins]
    return replace(pool, probabilities=shared / shared.sum())


def _tumour_diameter_mm(entry: CaseEntry) -> float:
    """Equivalent diameter of a case's largest tumour section."""
    y_mm, x_mm = ASSUMED_SPACING_MM if entry.spacing_mm is None else entry.spacing_mm[1:]
    return 2.0 * float(np.sqrt(max(entry.tumour_pixels) * y_mm * x_mm / np.pi))


def _make_pool(members: list[tuple[int, int]], balance: float, factors: NDArray[np.float64]) -> _Pool:
    cases, indices = np.array(members, dtype=np.intp).T
    weights = np.bincount(cases)[cases].astype(np.float64) ** -balance * factors[cases]
    return _Pool(cases, indices, weights / weights.sum())


def _factor(case_id: str, weights: Mapping[str, float]) -> float:
    matching = (factor for pattern, factor in weights.items() if fnmatchcase(case_id, pattern))
    return next(matching, 1.0)
