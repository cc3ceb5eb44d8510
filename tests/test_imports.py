"""What each use of the package loads: to segment a scan needs neither torch nor a picture library."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from renalmap.inference.session import ENGINES, is_installed

HEAVY = (
    "torch",
    "monai",
    "lightning_fabric",
    "matplotlib",
    "PIL",
    "scipy",
    "onnx",
    "blosc2",
    "highdicom",
    "surface_distance",
    "httpx",
    "dask",
    "distributed",
    "dask_jobqueue",
    "pyarrow",
)


WATCHED = (*HEAVY, "numpy", "onnxruntime", "openvino", "nibabel", "pydicom", "pydantic", "rich", "typer")


def loaded_by(program: str, *arguments: object) -> set[str]:
    """Which of the watched packages are in memory after a program has run in a Python of its own."""
    program += f"\nprint(json.dumps([name for name in {WATCHED} if sys.modules.get(name)]))"
    finished = subprocess.run(
        [sys.executable, "-c", "import json, sys\n" + program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return set(json.loads(finished.stdout.splitlines()[-1]))


def test_the_package_by_itself_loads_nothing():
    assert loaded_by("import renalmap") == set()


def test_help_loads_no_library_that_computes():
    program = """
from renalmap.cli import main
sys.argv = ["renalmap", *sys.argv[1:]]
try:
    main()
except SystemExit as ended:
    assert not ended.code
"""
    for arguments in ((), ("segment",), ("train",), ("fetch",)):
        assert loaded_by(program, *arguments, "--help") <= {"rich", "typer", "pydantic"}


@pytest.mark.parametrize("module", ["renalmap.api.segment", "renalmap.api.train"])
def test_the_api_loads_no_heavy_library(module):
    assert loaded_by(f"import {module}") == {"numpy", "pydantic"}


@pytest.mark.parametrize("engine", ENGINES)
def test_segmenting_needs_no_heavy_library(tmp_path, make_bundle, write_scan, engine):
    if not is_installed(engine):
        pytest.skip(f"needs the extra {engine}")
    hu = np.full((3, 128, 128), -1000, np.int16)
    hu[:, 40:60, 40:60] = 200
    scan = write_scan(tmp_path / "scan.nii.gz", hu)
    # nibabel loads scipy and pydicom where they are; so the heavy ones are hidden, not only watched.
    program = f"""
from pathlib import Path
sys.modules.update(dict.fromkeys({HEAVY}))
from renalmap.api.request import SegmentRequest
from renalmap.api.segment import segment
scan, out, model = map(Path, sys.argv[1:])
assert segment([scan], out, SegmentRequest(model, engine="{engine}")).cases[0].status == "ok"
"""
    loaded = loaded_by(program, scan, tmp_path / "out.nii.gz", make_bundle())
    assert loaded <= {"numpy", "pydantic", engine, "nibabel", "pydicom"}
