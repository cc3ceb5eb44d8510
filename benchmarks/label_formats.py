"""Size, and processor time to write and to read, of one label map as NIfTI and as DICOM SEG.

    python -m benchmarks.label_formats SERIES LABELS.nii.gz

The best of five, in one process and taking turns, since machines are never idle. Libraries are loaded before.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console

from renalmap import __version__
from renalmap.anatomy import Anatomy
from renalmap.api.dicom_seg import dicom_source_of, name_structures
from renalmap.imaging import LabelMap, read_label_map, read_volume, write_label_map
from renalmap.imaging.dicom_seg.writing import (
    SegAlgorithm,
    SegmentationType,
    build_dicom_seg,
    write_dicom,
)

_ROUNDS: Final = 5
_NO_BUNDLE: Final = "0" * 64


def measure(series: Path, labels: Path, folder: Path) -> None:
    """Print a row for each format; files go into the folder."""
    volume = read_volume(series)
    label_map = LabelMap(read_label_map(labels).labels, volume.geometry)
    structures, source = name_structures(Anatomy.of(label_map, volume)), dicom_source_of(volume, series)

    def save(path: Path, kind: SegmentationType) -> None:
        dataset = build_dicom_seg(structures, source, SegAlgorithm(__version__, _NO_BUNDLE), kind)
        write_dicom(dataset, path, overwrite=True)

    writers: dict[str, Callable[..., None]] = {
        "labels.nii.gz": partial(write_label_map, label_map, overwrite=True),
        "binary.dcm": partial(save, kind="binary"),
        "labelmap.dcm": partial(save, kind="labelmap"),
    }
    write_s: dict[str, list[float]] = {name: [] for name in writers}
    read_s: dict[str, list[float]] = {name: [] for name in writers}
    for _ in range(_ROUNDS + 1):
        for name, writer in writers.items():
            path = folder / name
            write_s[name].append(_processor_s(partial(writer, path)))
            read_s[name].append(_processor_s(partial(read_label_map, path)))
    for name in writers:
        size = (folder / name).stat().st_size
        best = min(write_s[name][1:]), min(read_s[name][1:])
        Console().print(f"{name:14} {size / 1e6:6.2f} MB  write {best[0]:.2f} s  read {best[1]:.2f} s")


def _processor_s(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        measure(Path(sys.argv[1]), Path(sys.argv[2]), Path(name))
