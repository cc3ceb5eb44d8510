"""Size and random-read rate of the two store formats.

    python benchmarks/store_formats.py [--slices 200] [--reads 400] [--json FILE]

Both hold the same slices of phantoms; reads of the two alternate in one run, because the machine's
speed drifts. The files are in the page cache: this measures decompression, not the disk.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from renalmap.dataset.store import StoreFormat, slice_store
from renalmap.phantom import PhantomConfig, make_phantom

FORMATS: tuple[StoreFormat, ...] = ("npz", "blosc2")
DEPTH = 50


def phantom_slices(case: int) -> Iterator[tuple[int, NDArray[np.int16], NDArray[np.uint8]]]:
    """A phantom's slices as the store takes them."""
    config = PhantomConfig(shape_zyx=(DEPTH, 512, 512), spacing_mm_zyx=(4.0, 0.78, 0.78))
    phantom = make_phantom(config, np.random.default_rng(case))
    for z in range(DEPTH):
        yield z, np.asarray(phantom.scan.hu[z], np.int16), phantom.labels.labels[z]


def measure(root: Path, cases: int, reads: int) -> dict[str, dict[str, Any]]:
    """Write both formats, then read random slices of both in turn."""
    stores = {name: slice_store(root / name, name) for name in FORMATS}
    results: dict[str, dict[str, Any]] = {name: {"read_ms": []} for name in FORMATS}
    for case in range(cases):
        slices = list(phantom_slices(case))
        for name, store in stores.items():
            start = time.perf_counter()
            store.write_case(f"case_{case:05d}", slices, DEPTH)
            elapsed = time.perf_counter() - start
            results[name]["write_ms_per_slice"] = 1000 * elapsed / DEPTH
    for name in FORMATS:
        size = sum(path.stat().st_size for path in (root / name).rglob("*") if path.is_file())
        results[name]["kb_per_slice"] = size / 1000 / (cases * DEPTH)
    generator = np.random.default_rng(0)
    for _ in range(reads):
        case, z = int(generator.integers(cases)), int(generator.integers(DEPTH))
        for name, store in stores.items():
            start = time.perf_counter()
            store.read(f"case_{case:05d}", z)
            results[name]["read_ms"].append(1000 * (time.perf_counter() - start))
    return results


def main(
    slices: Annotated[int, typer.Option(min=DEPTH)] = 200,
    reads: Annotated[int, typer.Option(min=10)] = 400,
    json_file: Annotated[Path | None, typer.Option("--json")] = None,
) -> None:
    """Print the table, and keep the figures as JSON if asked."""
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder), slices // DEPTH, reads)
    table = Table(
        title=f"{slices // DEPTH * DEPTH} phantom slices of 512x512, {reads} random reads each"
    )
    for column in (
        "format",
        "kB per slice",
        "write ms",
        "read ms: median",
        "5 %",
        "95 %",
        "slices per s",
    ):
        table.add_column(column, justify="right")
    for name, result in results.items():
        low, median, high = np.percentile(result["read_ms"], (5, 50, 95))
        result |= {"read_ms_p05": low, "read_ms_median": median, "read_ms_p95": high}
        del result["read_ms"]
        table.add_row(
            name,
            f"{result['kb_per_slice']:.0f}",
            f"{result['write_ms_per_slice']:.1f}",
            *[f"{value:.2f}" for value in (median, low, high)],
            f"{1000 / median:.0f}",
        )
    Console().print(table)
    if json_file is not None:
        json_file.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
