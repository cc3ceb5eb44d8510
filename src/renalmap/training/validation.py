"""Validation: Dice per case over all its slices together, never the mean of slices' Dice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from renalmap.dataset.store import CaseEntry, Store
from renalmap.labels import REGIONS, UNKNOWN, is_foreground, is_known
from renalmap.preprocess import crop_boxes, cut_crop
from renalmap.training.launch import ALONE, Launch
from renalmap.training.pooling import sum_over_processes
from renalmap.training.settings import Stage

LOCALIZER_REGIONS: Mapping[str, frozenset[int]] = {"kidney": frozenset({1})}
SEGMENTER_REGIONS: Mapping[str, frozenset[int]] = {name: REGIONS[name] for name in ("kidney", "tumour")}


@dataclass(frozen=True)
class ValidationResult:
    """Means over validation cases.

    Attributes:
        dice: by region: the mean over the cases that have the region; NaN if none has.
        cases: by region: the number of these cases.
    """

    dice: Mapping[str, float]
    cases: Mapping[str, int]

    @property
    def score(self) -> float:
        """What "best" means: the mean over the regions that some case has (KiTS's composite)."""
        known = [value for value in self.dice.values() if not np.isnan(value)]
        return float(np.mean(known)) if known else 0.0

    def __str__(self) -> str:
        return ", ".join(f"{name} Dice {value:.3f}" for name, value in self.dice.items())


def validate(
    network: nn.Module,
    store: Store,
    stage: Stage,
    stride: int,
    device: torch.device,
    launch: Launch = ALONE,
) -> ValidationResult:
    """Score a network on the store's validation cases, which the processes share.

    Stage 1 sees whole slices. Stage 2 sees crops about the reference's blobs, without jitter; `renalmap test`
    shows how it works behind a real stage 1.

    Args:
        network: takes (N, 1, H, W), gives logits.
        store: prepared.
        stage: which task the network has.
        stride: every k-th slice of a case is scored.
        device: where the network is.
        launch: which cases are scored here; every process gets the result of all.
    """
    regions = LOCALIZER_REGIONS if stage == "localize" else SEGMENTER_REGIONS
    entries = store.part("validation")
    counts = torch.zeros(len(entries), len(regions), 3, dtype=torch.int64)
    for number in launch.share(len(entries)):
        inputs = _inputs(store, entries[number], stage, stride)
        counts[number] = _count_pixels(network, inputs, regions, device)
    found: dict[str, list[float]] = {name: [] for name in regions}
    for case in sum_over_processes(counts.to(device)).tolist():
        for name, (both, ours, theirs) in zip(regions, case, strict=True):
            if theirs > 0:
                found[name].append(2 * both / (ours + theirs))
    return ValidationResult(
        dice={
            name: float(np.mean(values)) if values else float("nan") for name, values in found.items()
        },
        cases={name: len(values) for name, values in found.items()},
    )


def _count_pixels(
    network: nn.Module,
    inputs: Iterator[tuple[NDArray[np.float32], NDArray[np.uint8]]],
    regions: Mapping[str, frozenset[int]],
    device: torch.device,
) -> Tensor:
    """Pixels that are in both, in ours, in the reference, by region: (regions, 3)."""
    counts = np.zeros((len(regions), 3), np.int64)
    for images, targets in inputs:
        with torch.inference_mode():
            logits = network(torch.from_numpy(images)[None, None].to(device))
        predicted = logits[0].argmax(dim=0).cpu().numpy()
        known = is_known(targets)
        for number, labels in enumerate(regions.values()):
            ours, theirs = np.isin(predicted, list(labels)) & known, np.isin(targets, list(labels))
            counts[number] += ((ours & theirs).sum(), ours.sum(), theirs.sum())
    return torch.from_numpy(counts)


def _inputs(
    store: Store, entry: CaseEntry, stage: Stage, stride: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint8]]]:
    normalisation = store.normalisation(entry)
    for index in range(0, len(entry.z_indices), stride):
        hu, labels = store.slices.read(entry.case_id, index)
        normalised = normalisation(hu)
        if stage == "localize":
            yield normalised, np.where(is_known(labels), labels > 0, UNKNOWN).astype(np.uint8)
        else:
            for box in crop_boxes(is_foreground(labels), store.plan):
                yield np.ascontiguousarray(cut_crop(normalised, box)), cut_crop(labels, box)
