"""The yardstick: the cascade as the paper has it, PyTorch eager, one slice after the other.

    python -m benchmarks.eager runs/bench/phantom_0100 --threads 2 --out labels.nii.gz

Stage 1 at full resolution on every slice; stage 2 on a 256x256 crop about every blob. The weights are
random, so the crops are where the phantom's kidneys are, and its labels are what is written.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from benchmarks.phantoms import LABELS_NAME, SCAN_NAME
from renalmap.bundle import Bundle, default_bundle_path
from renalmap.imaging import LabelMap, Volume, read_label_map, read_volume, write_label_map
from renalmap.networks.enet import ENet
from renalmap.preprocess import Normalisation, crop_boxes, cut_crop


class Clock:
    """Seconds by part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what happens inside as this part's."""
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 3)


@torch.inference_mode()
def segment(volume: Volume, labels: LabelMap, clock: Clock) -> None:
    """Both stages, one slice at a time."""
    bundle = Bundle.open(default_bundle_path())
    normalisation = Normalisation.from_plan(bundle.plan, bundle.statistics, None)
    localizer, segmenter = ENet(1, 2).eval(), ENet(1, 3).eval()
    with clock.part("stage1"):
        for plane in volume.hu:
            image = torch.from_numpy(normalisation(plane))
            localizer(image[None, None]).argmax(dim=1)
    with clock.part("stage2"):
        for plane, foreground in zip(volume.hu, labels.labels > 0, strict=True):
            if not foreground.any():
                continue
            whole = normalisation(plane)
            for box in crop_boxes(foreground, bundle.plan):
                crop = torch.from_numpy(cut_crop(whole, box).copy())
                segmenter(crop[None, None]).argmax(dim=1)


def main() -> None:
    """Segment one phantom and print the seconds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    clock = Clock()
    labels = read_label_map(arguments.folder / LABELS_NAME)
    with clock.part("read"):
        volume = read_volume(arguments.folder / SCAN_NAME)
    segment(volume, labels, clock)
    with clock.part("write"):
        write_label_map(labels, arguments.out, overwrite=True)
    print(json.dumps(clock.seconds))  # noqa: T201


if __name__ == "__main__":
    main()
