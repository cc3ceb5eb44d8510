"""`renalmap prepare` on many cases: killed, continued, and with broken cases among the good ones."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from tests.processes import PATIENCE_S, wait_until

CASES = 5
PLAN = "grid_size = 192\ncrop_size = 64\n"
SIGNAL_9 = "the process working on this case was ended (got signal 9 (SIGKILL), which the system sends"

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/task").is_dir(), reason="reads /proc, so Linux only"
)


def write_case(folder: Path, seed: int, slices: int = 16, *, label: int = 2, shift: float = 0.0) -> None:
    """A scan and its mask as KiTS19 stores them: slices first."""
    affine = np.array([[0, 0, -2.0, 0], [0, -2.0, 0, 0], [-5.0, 0, 0, 0], [0, 0, 0, 1]])
    hu = np.random.default_rng(seed).integers(-1000, 1200, (slices, 192, 192), np.int16)
    labels = np.zeros(hu.shape, np.uint8)
    labels[2:, 60:90, 40:70] = 1
    labels[4:, 60:80, 40:60] = label
    folder.mkdir(parents=True)
    nib.save(nib.Nifti1Image(hu, affine), folder / "imaging.nii.gz")
    affine[0, 3] = shift
    nib.save(nib.Nifti1Image(labels, affine), folder / "segmentation.nii.gz")


@pytest.fixture(scope="module")
def kits(tmp_path_factory):
    root = tmp_path_factory.mktemp("kits")
    for number in range(CASES):
        write_case(root / "data" / f"case_{number:05d}", number)
    (root / "plan.toml").write_text(PLAN)
    return root


def arguments(kits: Path, store: Path, *more: object) -> list[object]:
    plan = ("--config", kits / "plan.toml", "--n-test", 1, "--n-validation", 1)
    return ["prepare", kits, "--out", store, *plan, *more]


def bytes_of(store: Path) -> dict[str, bytes]:
    """What must not depend on how a store came about: all but the run's record and the drawings of it."""
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in store.rglob("*")
        if path.is_file() and path.name not in {"run.json", "intensities.png", "slice_statistics.png"}
    }


@pytest.fixture(scope="module")
def whole(kits, tmp_path_factory):
    """The bytes of a store that was made in one go, one case after the other."""
    store = tmp_path_factory.mktemp("whole") / "store"
    command = [
        sys.executable,
        "-m",
        "renalmap.cli",
        *map(str, arguments(kits, store, "--jobs", 1, "-q")),
    ]
    subprocess.run(command, check=True)
    return bytes_of(store)


def start(kits: Path, store: Path) -> subprocess.Popen[str]:
    command = map(str, arguments(kits, store, "--jobs", 2))
    return subprocess.Popen(
        [sys.executable, "-m", "renalmap.cli", *command], stderr=subprocess.PIPE, text=True
    )


def finished(store: Path) -> set[str]:
    return {path.stem for path in (store / "cases").glob("case_*.json")}


def wait_for_a_case(store: Path, process: subprocess.Popen[str]) -> None:
    wait_until(lambda: finished(store) or process.poll() is not None, "the first case")
    assert process.poll() is None, process.communicate()


def workers(process: subprocess.Popen[str]) -> list[int]:
    """The processes that prepare cases, not Python's own keeper of semaphores."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    commands = {int(child): Path(f"/proc/{child}/cmdline").read_bytes() for child in children}
    return [child for child, command in commands.items() if b"spawn_main" in command]


@needs_proc
def test_a_killed_run_leaves_what_was_finished_and_goes_on(cli, kits, whole, tmp_path):
    store = tmp_path / "store"
    process = start(kits, store)
    try:
        wait_for_a_case(store, process)
        children = workers(process)
        process.kill()
        process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    kept = finished(store)
    assert 1 <= len(kept) < CASES, "it was killed in the middle"
    assert not (store / "slice_statistics.npz").exists()
    wait_until(
        lambda: not any(Path(f"/proc/{child}").exists() for child in children),
        "the end of the processes after their parent's",
    )

    result = cli(*arguments(kits, store, "--jobs", 2, "--json"))
    assert (result.code, result.stderr) == (0, "")
    assert json.loads(result.stdout)["prepared_cases"] == CASES - len(kept)
    assert bytes_of(store) == whole


@needs_proc
def test_a_killed_process_costs_one_case(cli, kits, whole, tmp_path):
    store = tmp_path / "store"
    process = start(kits, store)
    try:
        wait_for_a_case(store, process)
        os.kill(workers(process)[0], signal.SIGKILL)
        _, errors = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert process.returncode == 1
    lines = errors.splitlines()
    assert len(lines) == 2, errors
    (lost,) = {f"case_{number:05d}" for number in range(CASES)} - finished(store)
    assert lines[0].startswith(f"error: {lost}: {SIGNAL_9}")
    assert f"1 of {CASES} cases failed (got {lost})" in lines[1]

    result = cli(*arguments(kits, store, "--jobs", 2, "--json"))
    assert json.loads(result.stdout)["prepared_cases"] == 1
    assert bytes_of(store) == whole


@pytest.fixture
def mixed(tmp_path):
    """Three good cases, and four that are each wrong in another way."""
    root = tmp_path / "mixed"
    data = root / "data"
    for number in (0, 2, 4):
        write_case(data / f"case_{number:05d}", number, slices=6)
    write_case(data / "case_00001", 1, slices=6)
    (data / "case_00001" / "imaging.nii.gz").unlink()
    write_case(data / "case_00003", 3, slices=6, label=7)
    write_case(data / "case_00005", 5, slices=6, shift=30.0)
    write_case(data / "case_00006", 6, slices=6)
    scan = data / "case_00006" / "imaging.nii.gz"
    scan.write_bytes(scan.read_bytes()[:20_000])
    (root / "plan.toml").write_text(PLAN)
    return root


def test_each_broken_case_is_one_error_and_the_rest_is_done(cli, mixed, tmp_path):
    store = tmp_path / "store"
    result = cli(*arguments(mixed, store, "--jobs", 2))
    assert result.code == 1
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    for line, text in zip(
        lines,
        (
            "case_00001/segmentation.nii.gz: a mask without imaging",
            "case_00003/segmentation.nii.gz: a mask holds labels that are not allowed (got uint8 from 0 to 7",
            "error: case_00005: image and mask are on different grids",
            "case_00006/imaging.nii.gz: the file is truncated or damaged",
            "error: 4 of 7 cases failed (got case_00001, case_00003, case_00005, case_00006)",
        ),
        strict=True,
    ):
        assert line.startswith("error: ")
        assert text in line
    assert finished(store) == {"case_00000", "case_00002", "case_00004"}

    result = cli(
        *arguments(mixed, store, "--exclude", "case_00001,case_00003,case_00005,case_00006", "--json")
    )
    assert result.code == 0
    report = json.loads(result.stdout)
    assert report["prepared_cases"] == 0
    assert sum(part["slices"] for part in report["parts"].values()) == 18


def test_a_mask_alone_is_no_data_set(cli, kits, tmp_path):
    root = tmp_path / "masks"
    write_case(root / "data" / "case_00000", 0, slices=6)
    (root / "data" / "case_00000" / "imaging.nii.gz").unlink()
    result = cli("prepare", root, "--out", tmp_path / "store")
    assert result.code == 2
    assert result.stderr.count("\n") == 1
    assert "a mask without imaging" in result.stderr
    assert "renalmap fetch" in result.stderr
    assert not (tmp_path / "store").exists()


def test_a_case_to_leave_out_must_exist_and_not_be_in_the_store(cli, kits, tmp_path):
    store = tmp_path / "store"
    unknown = cli(*arguments(kits, store, "--exclude", "case_99999"))
    assert unknown.code == 2
    assert "cases to leave out are not in the data sets (got case_99999" in unknown.stderr
    assert cli(*arguments(kits, store, "--jobs", 1, "-q")).code == 0
    there = cli(*arguments(kits, store, "--exclude", "case_00001"))
    assert there.code == 2
    assert "cases to leave out are already in the store (got case_00001)" in there.stderr


def test_the_rate_is_told(cli, kits, tmp_path):
    result = cli(*arguments(kits, tmp_path / "store", "--jobs", 2, "--memory-gb", 1.5, "--json"))
    report = json.loads(result.stdout)
    assert (report["prepared_slices"], report["jobs"], report["memory_gb"]) == (CASES * 16, 2, 1.5)
    assert report["slices_per_s"] == pytest.approx(CASES * 16 / report["seconds"], rel=0.01)
    again = cli(*arguments(kits, tmp_path / "store"))
    assert again.code == 0
    assert "slices/s" not in again.stdout


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if os.name == "nt" or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("may not mount a small file system here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_disk_that_fills_up_is_one_error_and_costs_nothing_finished(cli, kits, small_disk, jobs):
    """The estimate says 2.9 MB of 3; the noise of these scans compresses worse than any patient's."""
    store = small_disk / "store"
    result = cli(*arguments(kits, store, "--store", "blosc2", "--jobs", jobs))
    assert result.code == 2
    assert "the disk is full (got while case_" in result.stderr
    assert "the same command continues" in result.stderr
    kept = finished(store)
    assert len(kept) < CASES
    for case in kept:
        assert (store / "slices" / case / "label.b2nd").exists()
