"""Validation: Dice per case over all its slices together, never the mean of slices' Dice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from renalmap.dataset.store import CaseEntry, Store
from renalmap.labels import REGIONS
from renalmap.preprocess import crop_boxes, cut_crop
from renalmap.training.settings import Stage

LOCALIZER_REGIONS: Mapping[str, frozenset[int]] = {"kidney": frozenset({1})}
SEGMENTER_REGIONS: Mapping[str, frozenset[int]] = {name: REGIONS[name] for name in ("kidney", "tumour")}


@dataclass(frozen=True)
class ValidationResult:
    """Means over validation cases.

    Attributes:
        dice: by region; the mean over the cases that have the region, NaN if none has.
        cases: by region, how many those are.
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
    network: nn.Module, store: Store, stage: Stage, stride: int, device: torch.device
) -> ValidationResult:
    """Score a network on the store's validation cases.

    Stage 1 sees whole slices. Stage 2 sees crops about the reference's blobs, without jitter: what it
    does behind a real stage 1 is `renalmap evaluate`'s business.

    Args:
        network: takes (N, 1, H, W), gives logits.
        store: prepared.
        stage: which task the network has.
        stride: every k-th slice of a case is scored.
        device: where the network is.
    """
    regions = LOCALIZER_REGIONS if stage == "localize" else SEGMENTER_REGIONS
    found: dict[str, list[float]] = {name: [] for name in regions}
    for entry in store.part("validation"):
        counts = {name: np.zeros(3) for name in regions}
        for images, targets in _inputs(store, entry, stage, stride):
            with torch.inference_mode():
                logits = network(torch.from_numpy(images)[None, None].to(device))
            predicted = logits[0].argmax(dim=0).cpu().numpy()
            for name, labels in regions.items():
                ours, theirs = np.isin(predicted, list(labels)), np.isin(targets, list(labels))
                counts[name] += ((ours & theirs).sum(), ours.sum(), theirs.sum())
        for name, (both, ours_total, theirs_total) in counts.items():
            if theirs_total > 0:
                found[name].append(float(2 * both / (ours_total + theirs_total)))
    return ValidationResult(
        dice={
            name: float(np.mean(values)) if values else float("nan") for name, values in found.items()
        },
        cases={name: len(values) for name, values in found.items()},
    )


def _inputs(
    store: Store, entry: CaseEntry, stage: Stage, stride: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint8]]]:
    normalisation = store.normalisation(entry)
    for index in range(0, len(entry.z_indices), stride):
        hu, labels = store.slices.read(entry.case_id, index)
        normalised = normalisation(hu)
        if stage == "localize":
            yield normalised, (labels > 0).astype(np.uint8)
        else:
            for box in crop_boxes(labels > 0, store.plan):
                yield np.ascontiguousarray(cut_crop(normalised, box)), cut_crop(labels, box)
