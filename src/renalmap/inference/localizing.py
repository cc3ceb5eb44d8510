"""Stage 1: the localizer on the slices that may show a kidney."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from renalmap.imaging.connected import find_box
from renalmap.inference.ahead import Threads
from renalmap.inference.components import DroppedComponent, drop_small, drop_unconnected
from renalmap.inference.flipping import flip_averaged
from renalmap.inference.grid import ScanOnGrid
from renalmap.inference.probability import pack, to_bytes, unpack
from renalmap.inference.search import HIT_SHARE, SliceSearch
from renalmap.inference.session import Session
from renalmap.labels import BACKGROUND, KIDNEY
from renalmap.preprocess import Plan

ByteArray = NDArray[np.uint8]

_PERHAPS: Final = 128
"""Label between stage 1's two thresholds, until it is known what it is connected to. No label of KiTS."""


@dataclass(frozen=True, eq=False)
class Localizer:
    """Stage 1 on the slices of one scan; each is examined once.

    Attributes:
        session: runs the localizer.
        scan: its slices.
    """

    session: Session
    scan: ScanOnGrid
    _packed: dict[int, bytes] = field(default_factory=dict)

    def look(self, indices: Sequence[int]) -> list[ByteArray]:
        """The foreground's probability in slices, (grid, grid) each, 255 for certainty."""
        unseen = [z for z in indices if z not in self._packed]
        if unseen:
            images = np.stack([self.scan.image(z)[None] for z in unseen])
            mirrored = self.scan.plan.flip_averaging == "both"
            run = self.session.run
            foreground = (flip_averaged(run, images) if mirrored else run(images))[:, 0]
            for z, probability in zip(unseen, foreground, strict=True):
                self._packed[z] = pack(to_bytes(probability))
        grid = (self.scan.plan.grid_size,) * 2
        return [unpack(self._packed[z], grid) for z in indices]

    @property
    def seen(self) -> frozenset[int]:
        """The slices that were examined."""
        return frozenset(self._packed)


def localize(
    localizer: Localizer, search: SliceSearch, threads: Threads, step: Callable[[int, int], None]
) -> ByteArray:
    """Stage 1's foreground before any of it is dropped.

    Args:
        localizer: of the scan.
        search: which slices are examined.
        threads: share the slices out.
        step: called after every slice with the slices done and in all.

    Returns:
        Labels (z, grid, grid): kidney, perhaps kidney, or background.
    """
    scan, plan = localizer.scan, localizer.scan.plan
    labels = np.zeros((scan.depth, plan.grid_size, plan.grid_size), np.uint8)
    least = max(1.0, HIT_SHARE * plan.component_min_area_mm2 / scan.pixel_mm2)

    def work(indices: Sequence[int]) -> list[ByteArray]:
        return [_foreground(each, plan) for each in localizer.look(indices)]

    done = 0
    while pending := search.pending():
        total = done + len(pending)
        for indices, slices in threads.map(work, threads.batched(pending)):
            for z, found in zip(indices, slices, strict=True):
                if found.any():  # pages that nothing is written to take no memory
                    labels[z] = found
                search.note(z, found=bool(np.count_nonzero(found) >= least))
                done += 1
                step(done, total)
    return labels


def keep_foreground(labels: ByteArray, scan: ScanOnGrid) -> tuple[DroppedComponent, ...]:
    """Of stage 1's foreground keep what is sure or joined to it, and large enough; in place."""
    box = find_box(labels)
    if box is None:
        return ()
    inside = labels[box.slices]
    if scan.plan.localizer_low_threshold is not None:
        drop_unconnected(inside, KIDNEY)
    return drop_small(inside, scan.placement(box.start), scan.plan)


def _foreground(probability: ByteArray, plan: Plan) -> ByteArray:
    found = (probability >= _level(plan.localizer_threshold)).astype(np.uint8) * np.uint8(KIDNEY)
    low = plan.localizer_low_threshold
    if low is not None:
        found[(probability >= _level(low)) & (found == BACKGROUND)] = _PERHAPS
    return found


def _level(probability: float) -> int:
    """The lowest byte of `to_bytes` that stands for at least this probability."""
    return int(np.ceil(255.0 * probability))
