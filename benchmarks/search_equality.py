"""Does looking at every slice find more? Labels of the search against those of the exhaustive run.

    python -m benchmarks.search_equality --phantoms 50    # and the scans of ../shared/data, where they are

Not a timing: `benchmarks.suite` measures those. Exits with 1 if a voxel differs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from renalmap.bundle import Bundle, default_bundle_path
from renalmap.imaging import Volume, read_volume
from renalmap.imaging.files import write_text_atomically
from renalmap.inference.cascade import Cascade, SegmentOptions
from renalmap.phantom import PhantomConfig, make_phantom

DATA = Path("../shared/data")
REAL = (
    ("dicom/HCC_006", None),
    ("dicom/HCC_002_two_acquisitions", 1),
    ("dicom/HCC_002_two_acquisitions", 2),
    ("dicom/stripped_tags_20_slices", None),
    ("scans/HCC_009.nii.gz", None),
    ("scans/unenhanced_3mm.nii.gz", None),
)
RESULT = Path(__file__).parent / "results" / "search_equality.json"


def real_scans() -> Iterator[tuple[str, Volume]]:
    """The scans at hand; none where there is no data."""
    for path, acquisition in REAL:
        if (DATA / path).exists():
            name = path if acquisition is None else f"{path}, acquisition {acquisition}"
            yield name, read_volume(DATA / path, acquisition=acquisition)


def phantom_scans(count: int) -> Iterator[tuple[str, Volume]]:
    """Random patients, slice distances from 1 to 6 mm, in all phases and with random tissues."""
    generator = np.random.default_rng(50)
    for number in range(count):
        spacing_mm = float(generator.uniform(1.0, 6.0))
        config = PhantomConfig(
            shape_zyx=(round(300.0 / spacing_mm), 512, 512),
            spacing_mm_zyx=(spacing_mm, 0.78, 0.78),
            tumours=int(generator.integers(0, 4)),
            cysts=int(generator.integers(0, 4)),
            noise_hu=float(generator.uniform(5.0, 30.0)),
            randomise_tissues=bool(generator.random() < 0.5),
        )
        yield f"phantom {number}", make_phantom(config, generator).scan


def compare(cascade: Cascade, name: str, volume: Volume) -> dict[str, str | int]:
    """One scan, both ways."""
    looked: list[int] = []
    found = cascade.segment(
        volume,
        progress=lambda what, done, _: looked.append(done) if what == "stage 1" else None,
    )
    everywhere = cascade.segment(volume, SegmentOptions(exhaustive=True)).label_map.labels
    return {
        "scan": name,
        "slices": volume.hu.shape[0],
        "looked_at": looked[-1],
        "called_voxels": int(np.count_nonzero(everywhere)),
        "differing_voxels": int(np.count_nonzero(found.label_map.labels != everywhere)),
    }


def main() -> None:
    """Compare, print, write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--phantoms", type=int, default=50)
    count = parser.parse_args().phantoms
    cascade = Cascade(Bundle.open(default_bundle_path()))
    rows = [compare(cascade, *scan) for scan in real_scans()]
    phantoms = track(phantom_scans(count), "phantoms", total=count, console=Console(stderr=True))
    rows += [compare(cascade, *scan) for scan in phantoms]
    table = Table("scan", "slices", "looked at", "called voxels", "differing voxels")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console().print(table)
    share = sum(int(row["looked_at"]) for row in rows) / sum(int(row["slices"]) for row in rows)
    differing = sum(int(row["differing_voxels"]) for row in rows)
    Console().print(f"{len(rows)} scans: {share:.0%} of the slices looked at, {differing} voxels differ")
    write_text_atomically(RESULT, json.dumps(rows, indent=1) + "\n")
    sys.exit(differing > 0)


if __name__ == "__main__":
    main()
