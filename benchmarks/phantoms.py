"""The CTs that are segmented: one synthetic patient, the same 300 mm of her at any number of slices.

    python -m benchmarks.phantoms --slices 100 --out runs/bench/phantom_0100

So every length has the same share of slices with kidney, and time may be asked to be linear in slices.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Final

SCAN_NAME: Final = "imaging.nii.gz"
LABELS_NAME: Final = "segmentation.nii.gz"
_LENGTH_MM: Final = 300.0
_PIXEL_MM: Final = 0.78
_SEED: Final = 4


def phantom_folder(work: Path, slices: int) -> Path:
    """Where the phantom of that many slices is kept."""
    return work / f"phantom_{slices:04d}"


def write_phantom(folder: Path, slices: int) -> None:
    """Write a CT of `slices` slices of 512x512 and its labels; seconds a hundred slices, so it is kept."""
    import numpy as np  # noqa: PLC0415 -- the suite imports this module and must stay small

    from renalmap.imaging import write_label_map, write_volume  # noqa: PLC0415
    from renalmap.phantom import PhantomConfig, make_phantom  # noqa: PLC0415

    spacing_mm = (_LENGTH_MM / slices, _PIXEL_MM, _PIXEL_MM)
    config = PhantomConfig(shape_zyx=(slices, 512, 512), spacing_mm_zyx=spacing_mm)
    phantom = make_phantom(config, np.random.default_rng(_SEED))
    name = folder.name
    folder.mkdir(parents=True, exist_ok=True)
    # The scan last: a folder with it is complete.
    write_label_map(replace(phantom.labels, name=name), folder / LABELS_NAME, overwrite=True)
    write_volume(replace(phantom.scan, name=name), folder / SCAN_NAME)


def main() -> None:
    """Write one phantom."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--slices", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    write_phantom(arguments.out, arguments.slices)


if __name__ == "__main__":
    main()
