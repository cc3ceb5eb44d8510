"""Peak memory of `renalmap prepare` on a case as long as KiTS19's longest (1,059 slices).

    python benchmarks/prepare_memory.py [--slices 1059] [--store npz]

The case is a phantom's slices repeated; a second, short case makes a split possible.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer

from renalmap.imaging import LabelMap, Volume, build_geometry, write_label_map, write_volume
from renalmap.phantom import PhantomConfig, make_phantom

SOURCE = PhantomConfig(shape_zyx=(24, 512, 512), spacing_mm_zyx=(8.0, 0.78, 0.78))


def write_case(folder: Path, depth: int) -> None:
    """Write a case of `depth` slices, stored slices first as KiTS19's."""
    phantom = make_phantom(SOURCE, np.random.default_rng(0))
    order = np.arange(depth) % SOURCE.shape_zyx[0]
    affine = np.array([[0, 0, -0.78, 0], [0, -0.78, 0, 0], [-0.5, 0, 0, 0], [0, 0, 0, 1.0]])
    geometry = build_geometry((depth, 512, 512), affine)
    folder.mkdir(parents=True)
    write_volume(Volume(phantom.scan.hu[order], geometry), folder / "imaging.nii.gz")
    write_label_map(LabelMap(phantom.labels.labels[order], geometry), folder / "segmentation.nii.gz")


def main(
    slices: Annotated[int, typer.Option(min=1)] = 1059,
    store: Annotated[Literal["npz", "blosc2"], typer.Option()] = "npz",
) -> None:
    """Print the peak resident size and the rate."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_case(root / "data" / "case_00000", slices)
        write_case(root / "data" / "case_00001", 8)
        command = [sys.executable, "-m", "renalmap.cli", "prepare", str(root / "data")]
        options = [
            "--out",
            str(root / "store"),
            "--n-test",
            "0",
            "--n-validation",
            "1",
            "--store",
            store,
        ]
        start = time.perf_counter()
        subprocess.run([*command, *options], check=True, capture_output=True)  # noqa: S603 -- our own
        elapsed = time.perf_counter() - start
    peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    typer.echo(f"{slices} slices, {store}: peak {peak_mb:.0f} MB, {(slices + 8) / elapsed:.1f} slices/s")


if __name__ == "__main__":
    typer.run(main)
