"""The command line run as users run it: its entry point, its exit code, its two streams."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from renalmap.cli import main

WriteScan = Callable[..., Path]


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


RunCli = Callable[..., Finished]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunCli:
    """A function that runs `renalmap` with arguments, in this process: a start costs a second."""

    def run(*arguments: object) -> Finished:
        monkeypatch.setattr(sys, "argv", ["renalmap", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Finished(int(ended.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def model(make_bundle: Callable[..., Path]) -> Path:
    """A bundle of hand-made graphs."""
    return make_bundle()


@pytest.fixture
def hu() -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    """A body with two kidneys and a tumour in the right one, axes (z, y, x)."""
    hu = np.full((4, 128, 128), 40, np.int16)
    hu[:, :4] = -1000
    hu[1:3, 50:80, 15:40] = 200
    hu[1:3, 60:70, 20:30] = 100
    hu[1:3, 50:80, 88:113] = 200
    return hu


@pytest.fixture
def scan(tmp_path: Path, write_scan: WriteScan, hu: np.ndarray) -> Path:
    """It as a file."""
    return write_scan(tmp_path / "scan.nii.gz", hu)
