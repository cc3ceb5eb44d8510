"""The prepared store: slices on the network's grid, what is known about each case, and the split.

```
STORE/
  plan.json  split.json  store.json  cases/<case>.json  slices/<case>…
  slice_statistics.npz  intensities.csv  *.png  run.json
```

Two formats hold the slices. `npz` is the paper's: one compressed float32 NumPy file per slice.
`blosc2` holds a case in one int16 and one uint8 array whose chunks are slices: smaller, and read many
times faster. A case's slices appear together, when all are on disk, and it counts as done when its
`cases/<case>.json` exists, written after them.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from renalmap.dataset.source import CaseSource
from renalmap.dataset.split import Part, Split
from renalmap.errors import StoreError, TooLargeError, named_errors
from renalmap.extras import import_extra
from renalmap.imaging.arrays import read_npz
from renalmap.imaging.budget import check_budget
from renalmap.imaging.files import write_text_atomically
from renalmap.preprocess import InPlaneFit, Normalisation, Plan, SliceStatistics

StoreFormat = Literal["npz", "blosc2"]

INT16_RANGE = (-32768, 32767)

_LEAST_FREE_BYTES = 2_000_000
"""A write that fails on a disk with less space than a slice needs failed for lack of space."""

_BLOSC2_ARRAYS: tuple[tuple[str, Any], ...] = (("hu", np.int16), ("label", np.uint8))

STATISTICS_FILE = "slice_statistics.npz"
"""Written last: a store that has it is complete."""


class CaseEntry(BaseModel):
    """What the store knows about a case.

    The intensities are of the unclipped HU of all voxels: extremes and percentiles.
    `volume_mean_deviation_hu` is of the clipped HU, for the Plan's `volume_zscore`. `source` is what it was
    made from; None in stores made before that was recorded.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    case_id: str
    patient: str
    shape: tuple[int, int]
    spacing_mm: tuple[float, float, float] | None
    z_indices: tuple[int, ...]
    kidney_pixels: tuple[int, ...]
    tumour_pixels: tuple[int, ...]
    min_hu: float
    p01_hu: float
    p50_hu: float
    p99_hu: float
    max_hu: float
    outlier: bool
    volume_mean_deviation_hu: tuple[float, float]
    source: CaseSource | None = None

    def grid_spacing_mm(self, grid_size: int) -> tuple[float, float] | None:
        """Pixel spacing (y, x) of its slices on the grid; None if the slices do not give it."""
        if self.spacing_mm is None:
            return None
        fit = InPlaneFit(*self.shape, self.spacing_mm[1:], grid_size)
        return fit.grid_spacing_mm


class StoreSettings(BaseModel):
    """What a store was made with; two runs of `prepare` on one store must agree on it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    format: StoreFormat
    plan: Plan


class SliceStore(Protocol):
    """How slices are kept."""

    def write_case(self, case_id: str, slices: Any, expected: int) -> None:
        """Keep a case's slices, an iterable of (index, HU, labels), all or none; replace earlier ones."""

    def read(self, case_id: str, index: int) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """HU and labels of a case's slice by its position in `z_indices`; (grid, grid) each."""

    def count(self, case_id: str) -> int:
        """How many slices of a case can be read; 0 if there is none or they are damaged."""


class NpzSlices:
    """The paper's format: one compressed float32 file a slice."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def write_case(self, case_id: str, slices: Any, expected: int) -> None:
        """See `SliceStore`."""
        with _case_folder(self._root, case_id) as folder:
            found = 0
            for index, hu, labels in slices:
                with (folder / f"{index:05d}.npz").open("wb") as handle:
                    np.savez_compressed(handle, hu=hu.astype(np.float32), label=labels)
                found += 1
            _check_count(case_id, found, expected)

    def read(self, case_id: str, index: int) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """See `SliceStore`."""
        path = self._root / case_id / f"{index:05d}.npz"
        hu, labels = read_npz(path, ("hu", "label"), lambda got: _unreadable_slice(path, got))
        return hu, labels

    def count(self, case_id: str) -> int:
        """See `SliceStore`."""
        return sum(path.stat().st_size > 0 for path in (self._root / case_id).glob("[0-9]*.npz"))


class Blosc2Slices:
    """One int16 and one uint8 array per case, compressed slice by slice."""

    def __init__(self, root: Path) -> None:
        self._blosc2 = import_extra("blosc2", "this store", instead="prepare with --store npz")
        self._root = root
        self._open = lru_cache(maxsize=512)(self._open_array)

    def write_case(self, case_id: str, slices: Any, expected: int) -> None:
        """See `SliceStore`."""
        with _case_folder(self._root, case_id) as folder:
            arrays: list[Any] = []
            found = 0
            for index, hu, labels in slices:
                with _full_disk_named(folder):
                    if not arrays:
                        arrays = [
                            self._empty(folder / f"{name}.b2nd", (expected, *hu.shape), dtype)
                            for name, dtype in _BLOSC2_ARRAYS
                        ]
                    arrays[0][index] = np.clip(np.rint(hu), *INT16_RANGE).astype(np.int16)
                    arrays[1][index] = np.ascontiguousarray(labels)
                found += 1
            _check_count(case_id, found, expected)

    def read(self, case_id: str, index: int) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """See `SliceStore`."""
        with named_errors(lambda got: _unreadable_slice(self._root / case_id, got)):
            return self._open(case_id, "hu")[index], self._open(case_id, "label")[index]

    def count(self, case_id: str) -> int:
        """See `SliceStore`."""
        try:
            return min(int(self._open_array(case_id, name).shape[0]) for name, _ in _BLOSC2_ARRAYS)
        except (StoreError, TooLargeError):
            return 0

    def _open_array(self, case_id: str, name: str) -> Any:
        path = self._root / case_id / f"{name}.b2nd"
        with named_errors(lambda got: _unreadable_slice(path, got)):
            array = self._blosc2.open(str(path), mode="r")
            if array.dtype != dict(_BLOSC2_ARRAYS)[name] or array.ndim != 3:
                raise StoreError("this is not an array of slices", where=path, got=f"{array.dtype}")
            # Its chunks are slices; what is claimed beyond the shape is unpacked all the same.
            check_budget(max(prod(array.chunks), prod(array.shape[1:])) * array.dtype.itemsize, path)
            return array

    def _empty(self, path: Path, shape: tuple[int, ...], dtype: Any) -> Any:
        return self._blosc2.empty(
            shape,
            dtype=dtype,
            chunks=(1, *shape[1:]),
            urlpath=str(path),
            mode="w",
            # A slice is compressed in a millisecond; threads belong to cases.
            cparams={"nthreads": 1},
        )


def _unreadable_slice(path: Path, got: str) -> StoreError:
    return StoreError(
        "prepared slices cannot be read", where=path, got=got, hint="Prepare the case again"
    )


@contextmanager
def _full_disk_named(folder: Path) -> Iterator[None]:
    """Turn blosc2's RuntimeError, the same for every failed write, into what the system would have said."""
    try:
        yield
    except RuntimeError as error:
        if shutil.disk_usage(folder).free < _LEAST_FREE_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from error
        raise


@contextmanager
def _case_folder(root: Path, case_id: str) -> Iterator[Path]:
    """A folder that gets its name only when its contents are complete and on disk."""
    final, temporary = root / case_id, root / f".{case_id}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        for path in temporary.iterdir():
            with path.open("rb+") as handle:
                os.fsync(handle.fileno())
        shutil.rmtree(final, ignore_errors=True)
        temporary.replace(final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def clear_unfinished(root: Path) -> None:
    """Delete what killed processes left unfinished below a store's folder."""
    for folder in (root / "slices").glob(".*.tmp"):
        shutil.rmtree(folder)
    for folder in (root, root / "cases"):
        for file in folder.glob(".*.tmp.*"):  # `replace_atomically`'s
            file.unlink()


def _check_count(case_id: str, found: int, expected: int) -> None:
    if found != expected:
        raise StoreError(
            "a case does not have the expected number of slices",
            where=case_id,
            got=str(found),
            expected=str(expected),
        )


def slice_store(root: Path, store_format: StoreFormat) -> SliceStore:
    """The slices below a store's folder, in a format."""
    return NpzSlices(root / "slices") if store_format == "npz" else Blosc2Slices(root / "slices")


@dataclass(frozen=True, eq=False)
class Store:
    """A prepared store, open for reading.

    Attributes:
        root: its folder.
        settings: what it was made with.
        split: which patients are for training, validation and testing.
        entries: every case, sorted by id.
        statistics: the slice statistics of the training cases.
        slices: the pixels.
    """

    root: Path
    settings: StoreSettings
    split: Split
    entries: tuple[CaseEntry, ...]
    statistics: SliceStatistics
    slices: SliceStore

    @property
    def plan(self) -> Plan:
        """The Plan the store was made with."""
        return self.settings.plan

    def with_plan(self, plan: Plan) -> Store:
        """The same store, read with another Plan."""
        return replace(self, settings=self.settings.model_copy(update={"plan": plan}))

    def with_split(self, split: Split) -> Store:
        """The same store with other roles for its patients. The slice statistics stay."""
        return replace(self, split=split)

    def normalisation(self, entry: CaseEntry) -> Normalisation:
        """What the Plan does to a case's HU."""
        return Normalisation.from_plan(self.plan, self.statistics, entry.volume_mean_deviation_hu)

    def part(self, part: Part) -> tuple[CaseEntry, ...]:
        """The cases of one part of the split."""
        return tuple(entry for entry in self.entries if self.split.part_of(entry.patient) == part)

    @classmethod
    def open(cls, root: Path) -> Store:
        """Open a store that `prepare` completed.

        Raises:
            StoreError: it is missing, incomplete or damaged.
        """
        statistics_path = root / STATISTICS_FILE
        if not statistics_path.is_file():
            raise StoreError(
                "not a prepared store, or an unfinished one",
                where=root,
                expected=f"{STATISTICS_FILE}, which prepare writes last",
                hint="Run `renalmap prepare` again: it continues where it stopped",
            )
        settings = read_settings(root)
        if settings is None:
            raise StoreError("the store has no settings", where=root / "store.json")
        return cls(
            root=root,
            settings=settings,
            split=Split.load(root / "split.json"),
            entries=read_entries(root),
            statistics=SliceStatistics.load(statistics_path),
            slices=slice_store(root, settings.format),
        )


def read_settings(root: Path) -> StoreSettings | None:
    """The settings of a store, or None if it has none yet."""
    path = root / "store.json"
    if not path.is_file():
        return None
    with named_errors(
        lambda got: StoreError("the store's settings cannot be read", where=path, got=got)
    ):
        return StoreSettings.model_validate_json(path.read_text(encoding="utf-8"))


def read_entries(root: Path) -> tuple[CaseEntry, ...]:
    """The cases that are done, sorted by id."""
    with named_errors(
        lambda got: StoreError("a case's record cannot be read", where=root / "cases", got=got)
    ):
        return tuple(
            CaseEntry.model_validate_json(path.read_text(encoding="utf-8"))
            for path in sorted((root / "cases").glob("[!.]*.json"))  # a temporary file is not a record
        )


def write_entry(root: Path, entry: CaseEntry) -> None:
    """Declare a case done."""
    (root / "cases").mkdir(parents=True, exist_ok=True)
    write_text_atomically(_entry_path(root, entry.case_id), entry.model_dump_json() + "\n")


def remove_entry(root: Path, case_id: str) -> None:
    """Declare a case not done."""
    _entry_path(root, case_id).unlink(missing_ok=True)


def _entry_path(root: Path, case_id: str) -> Path:
    return root / "cases" / f"{case_id}.json"
