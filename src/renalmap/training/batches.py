"""Batches: a pure function of the store, the settings and the step's number.

That makes a resumed run see exactly the batches an uninterrupted one sees, and lets threads make
them ahead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from renalmap.dataset.store import CaseEntry, Store
from renalmap.errors import StoreError
from renalmap.imaging.volume import Box
from renalmap.inference.ahead import map_ahead
from renalmap.labels import TUMOUR
from renalmap.preprocess import crop_boxes
from renalmap.preprocess.spatial import crop_box
from renalmap.training.augment import Warp, draw_warp, warp_batch
from renalmap.training.settings import TrainSettings


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

    Raises:
        StoreError: no training slice has kidney or tumour.
    """

    def __init__(self, store: Store, settings: TrainSettings) -> None:
        self._store = store
        self._settings = settings
        self._entries = store.part("train")
        self._pools = _make_pools(self._entries, settings.case_balance)
        if "foreground" not in self._pools:
            raise StoreError("no training slice shows kidney or tumour", where=store.root)

    def make(self, step: int) -> Batch:
        """The batch of a step, the same however often it is asked for."""
        generator = np.random.default_rng([self._settings.seed, step])
        settings = self._settings
        samples = [self._draw(generator, number) for number in range(settings.batch_size)]
        size = self._edge(step)
        boxes, warps, slices, masks = [], [], [], []
        for wants_tumour, case_number, index in samples:
            hu, labels = self._store.slices.read(self._entries[case_number].case_id, index)
            boxes.append(self._place(labels, size, generator, wants_tumour=wants_tumour))
            warps.append(draw_warp(settings.augment, generator))
            slices.append(torch.from_numpy(hu.astype(np.float32)))
            masks.append(torch.from_numpy(labels))
        entries = [self._entries[case_number] for _, case_number, _ in samples]
        images, targets = self._warp(slices, masks, boxes, warps)
        images = torch.stack(
            [
                normalise_patch(image, box, entry, self._store)
                for image, box, entry in zip(images, boxes, entries, strict=True)
            ]
        )
        if settings.stage == "localize":
            targets = (targets > 0).long()
        return Batch(images, targets)

    def _warp(
        self, slices: list[Tensor], masks: list[Tensor], boxes: list[Box], warps: list[Warp]
    ) -> tuple[Tensor, Tensor]:
        outside_hu = self._store.plan.outside_hu
        return warp_batch(torch.stack(slices), torch.stack(masks), boxes, warps, outside_hu)

    def _edge(self, step: int) -> int:
        plan, settings = self._store.plan, self._settings
        if settings.stage == "segment":
            return plan.crop_size
        finishing = step >= settings.steps - settings.whole_slice_steps
        if settings.patch_size is None or finishing:
            return plan.grid_size
        return min(settings.patch_size, plan.grid_size)

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
        size: int,
        generator: np.random.Generator,
        *,
        wants_tumour: bool,
    ) -> Box:
        plan, settings = self._store.plan, self._settings
        foreground = labels > 0
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
        return crop_box((centre[0] + jitter[0], centre[1] + jitter[1]), local)


def normalise_patch(image: Tensor, box: Box, entry: CaseEntry, store: Store) -> Tensor:
    """Normalise HU (1, H, W) that will lie at `box` on the grid, as the Plan says."""
    normalisation = store.normalisation(entry).at(box)
    return torch.from_numpy(normalisation(image.numpy()))


def stream_batches(maker: BatchMaker, start: int, stop: int, ahead: int) -> Iterator[Batch]:
    """Batches of the steps from `start` to `stop`, made ahead by threads."""
    steps = range(start, stop)
    return (batch for _, batch in map_ahead(maker.make, steps, threads=ahead, ahead=ahead))


def _make_pools(entries: Sequence[CaseEntry], balance: float) -> dict[str, _Pool]:
    members: dict[str, list[tuple[int, int]]] = {"foreground": [], "tumour": [], "empty": []}
    for number, entry in enumerate(entries):
        pixels = zip(entry.kidney_pixels, entry.tumour_pixels, strict=True)
        for index, (kidney, tumour) in enumerate(pixels):
            members["foreground" if kidney + tumour else "empty"].append((number, index))
            if tumour:
                members["tumour"].append((number, index))
    return {kind: _make_pool(found, balance) for kind, found in members.items() if found}


def _make_pool(members: list[tuple[int, int]], balance: float) -> _Pool:
    cases, indices = np.array(members, dtype=np.intp).T
    weights = np.bincount(cases)[cases].astype(np.float64) ** -balance
    return _Pool(cases, indices, weights / weights.sum())
