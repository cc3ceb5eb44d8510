"""The Plan's normalisation of a batch on any device: the numbers of `renalmap.preprocess`, applied by torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from renalmap.dataset.store import CaseEntry, Store
from renalmap.imaging.volume import Box
from renalmap.preprocess import Normalisation


class Normaliser:
    """Normalises patches of several cases on a grid that may be reduced.

    On the CPU the result is the same, bit for bit, as that of `Normalisation`.
    """

    def __init__(self, store: Store, reduction: int = 1) -> None:
        self._by_case = store.plan.normalisation == "volume_zscore"
        self._made: dict[str, Normalisation] = {}
        for entry in store.entries:
            if self._key(entry) not in self._made:
                self._made[self._key(entry)] = store.normalisation(entry).reduced(reduction)
        self._slices: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def __call__(self, images: Tensor, boxes: Sequence[Box], entries: Sequence[CaseEntry]) -> Tensor:
        """Normalise HU (N, 1, H, W) in place; each image's box lies on the (reduced) grid."""
        normalisations = [self._made[self._key(entry)] for entry in entries]
        clip_range_hu = normalisations[0].clip_range_hu
        if clip_range_hu is not None:
            images.clamp_(*clip_range_hu)
        if normalisations[0].mean_hu.ndim > 0:
            mean_hu, deviation_hu = (
                torch.stack([values[box.slices] for box in boxes])[:, None]
                for values in self._slices_on(images.device, normalisations[0])
            )
        else:
            numbers = np.array([[case.mean_hu, case.deviation_hu] for case in normalisations])
            mean_hu, deviation_hu = torch.from_numpy(numbers).to(images.device).T.reshape(2, -1, 1, 1, 1)
        return images.sub_(mean_hu).div_(deviation_hu)

    def _key(self, entry: CaseEntry) -> str:
        return entry.case_id if self._by_case else "all"

    def _slices_on(self, device: torch.device, normalisation: Normalisation) -> tuple[Tensor, Tensor]:
        if device not in self._slices:
            slices = (normalisation.mean_hu, normalisation.deviation_hu)
            mean_hu, deviation_hu = (torch.from_numpy(values).to(device) for values in slices)
            self._slices[device] = (mean_hu, deviation_hu)
        return self._slices[device]
