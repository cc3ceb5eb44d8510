"""What preparing will need, from headers alone: memory and disk; and how much memory there is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from renalmap.dataset.cases import Case, read_case_geometry
from renalmap.dataset.store import StoreFormat
from renalmap.imaging.budget import cgroup_memory, meminfo_bytes
from renalmap.imaging.nifti import CHUNK_BYTES

_PROCESS_BYTES: Final = 150_000_000
"""An interpreter with everything it needs to read and write."""
_CHUNK_COPIES: Final = 6
"""Of the piece of a file that is being read: inflated, as an array, rescaled."""
_SLICE_BYTES_PER_PIXEL: Final = 40
_MASK_BYTES: Final = 1
_STORED_BYTES_PER_PIXEL: Final[dict[StoreFormat, float]] = {"npz": 1.4, "blosc2": 1.0}
"""HU and label, compressed: 1.2 and 0.85 of phantoms and of HCC_006 (benchmarks/store_formats.py)."""

_UNKNOWN_MEMORY_BYTES: Final = 4_000_000_000


@dataclass(frozen=True)
class CaseEstimate:
    """What a case will need.

    Attributes:
        slices: how many it has.
        memory_bytes: at the peak, of a process that prepares it.
    """

    slices: int
    memory_bytes: int


def estimate_case(case: Case, grid_size: int) -> CaseEstimate:
    """Read a case's headers.

    A scan is in memory once, as int16 or, where its file can hold fractions, as float32 (most files of
    floats hold whole numbers, so theirs is an upper bound), and its mask as uint8. Single slices stream.

    Raises:
        NoImagesError: there is a mask and no imaging.
        InputError: any of the readers' errors.
    """
    fixed = _PROCESS_BYTES + _CHUNK_COPIES * CHUNK_BYTES + _SLICE_BYTES_PER_PIXEL * grid_size**2
    if case.slice_files:
        return CaseEstimate(len(case.slice_files), fixed)
    geometry = read_case_geometry(case)
    header = geometry.source.header
    dtype = np.dtype(np.float32) if header is None else header.get_data_dtype()
    hu_bytes = 2 if np.can_cast(dtype, np.int16) else 4
    voxels = int(np.prod(geometry.shape, dtype=np.int64))
    return CaseEstimate(geometry.shape[0], fixed + voxels * (hu_bytes + _MASK_BYTES))


def estimate_store_bytes(slices: int, grid_size: int, store_format: StoreFormat) -> int:
    """About how much disk space so many slices will need; an upper estimate."""
    return round(slices * grid_size**2 * _STORED_BYTES_PER_PIXEL[store_format])


def available_memory_bytes(root: Path = Path("/")) -> int:
    """Memory available now: what is free, and what this process's group is still allowed.

    A batch system such as Slurm gives a job less than the machine has. 4 GB if the system does not say.

    Args:
        root: where `/proc` and `/sys` are.
    """
    free = meminfo_bytes("MemAvailable", root)
    found = [limit - used for limit, used in cgroup_memory(root)] + ([] if free is None else [free])
    return max(1, min(found, default=_UNKNOWN_MEMORY_BYTES))
