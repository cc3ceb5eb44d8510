"""Small cohorts, and a real Dask scheduler with real workers in processes of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.processes import DaskProcesses, end

from renalmap.imaging import write_volume
from renalmap.phantom import PhantomConfig, make_phantom


@pytest.fixture(scope="session")
def hu() -> NDArray[np.int16]:
    """A body with two kidneys and a tumour, axes (z, y, x), for the hand-made bundle."""
    hu = np.full((4, 128, 128), 40, np.int16)
    hu[:, :4] = -1000
    hu[1:3, 50:80, 15:40] = 200
    hu[1:3, 60:70, 20:30] = 100
    hu[1:3, 50:80, 88:113] = 200
    return hu


@pytest.fixture(scope="session")
def model(make_bundle: Callable[..., Path]) -> Path:
    """The hand-made bundle."""
    return make_bundle()


@pytest.fixture
def cohort(tmp_path: Path, write_scan: Callable[..., Path], hu: NDArray[np.int16]) -> Path:
    """A folder of three scans: a, b, c."""
    for name in "abc":
        write_scan(tmp_path / "cohort" / f"{name}.nii.gz", hu)
    return tmp_path / "cohort"


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scan that the bundled model works on for a second or more."""
    config = PhantomConfig(shape_zyx=(8, 128, 128), spacing_mm_zyx=(10.0, 3.0, 3.0))
    path = tmp_path_factory.mktemp("phantom") / "scan.nii.gz"
    write_volume(make_phantom(config, np.random.default_rng(0)).scan, path)
    return path


@pytest.fixture(scope="session")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskProcesses]:
    """A scheduler that has no workers."""
    pytest.importorskip("distributed", reason="needs the extra cluster")
    started = DaskProcesses.start(tmp_path_factory.mktemp("dask"))
    yield started
    end(started.scheduler)


@pytest.fixture
def dask(scheduler: DaskProcesses) -> Iterator[DaskProcesses]:
    """The scheduler; workers that a test starts end with it."""
    yield scheduler
    scheduler.stop_workers()
