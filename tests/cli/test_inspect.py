from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from tests.processes import PATIENCE_S, wait_until

from renalmap.dataset.workers import _Pool


@pytest.fixture
def masks(tmp_path, write_scan):
    """Three masks without imaging; the last is empty."""
    labels = np.zeros((40, 64, 64), np.uint8)
    labels[8:36, 10:34, 4:28] = 1
    labels[8:36, 10:34, 36:60] = 1
    labels[10:20, 10:20, 10:20] = 2
    for number in range(3):
        mask = np.roll(labels, number, axis=2) if number < 2 else np.zeros_like(labels)
        write_scan(tmp_path / "kits" / f"case_{number:05d}" / "segmentation.nii.gz", mask)
    return tmp_path / "kits"


def test_an_error_ends_with_code_1_and_is_told(cli, masks):
    finished = cli("inspect", masks)
    assert finished.code == 1
    assert max(map(len, finished.stdout.splitlines())) <= 80
    for text in ("case_00001", "1 error", "the mask is empty", "no case has imaging", "By check"):
        assert text in finished.stdout


def test_json_is_all_there_is_on_standard_output(cli, masks):
    finished = cli("inspect", masks, "--json")
    assert (finished.code, finished.stderr) == (1, "")
    report = json.loads(finished.stdout)
    assert [case["case_id"] for case in report["cases"]] == [f"case_0000{n}" for n in range(3)]
    assert report["cases"][2]["findings"][0]["severity"] == "error"


def test_processes_find_the_same_and_a_page_is_written(cli, tmp_path, masks):
    alone = cli("inspect", masks, "--json").stdout
    page = tmp_path / "page.html"
    together = cli("inspect", masks, "--json", "--jobs", 2, "--html", page).stdout
    assert together == alone
    assert page.read_text().count("data:image/png") == 3


def test_without_errors_the_code_is_0(cli, masks):
    (masks / "case_00002" / "segmentation.nii.gz").unlink()
    finished = cli("inspect", masks, "--quiet")
    assert (finished.code, finished.stdout, finished.stderr) == (0, "", "")


def test_no_data_set_ends_with_code_2(cli, tmp_path):
    assert cli("inspect", tmp_path / "nowhere").code == 2
    finished = cli("inspect", tmp_path)
    assert finished.code == 2
    assert "nnU-Net" in finished.stderr


def test_a_killed_process_costs_its_own_case(cli, masks, monkeypatch):
    whole = json.loads(cli("inspect", masks, "--json").stdout)["cases"]
    start = _Pool._start

    def start_and_kill(pool, task):
        start(pool, task)
        if task.name == "case_00001":
            (at_work,) = [worker for worker in pool._workers if worker.task is task]
            os.kill(at_work.process.pid, signal.SIGKILL)

    monkeypatch.setattr(_Pool, "_start", start_and_kill)
    finished = cli("inspect", masks, "--json", "--jobs", 2)
    assert (finished.code, finished.stderr) == (1, "")
    cases = json.loads(finished.stdout)["cases"]
    assert [cases[0], cases[2]] == [whole[0], whole[2]]
    (finding,) = [each for each in cases[1]["findings"] if each["severity"] == "error"]
    assert finding["check"] == "not_inspected"
    assert finding["text"] == (
        "the process working on this case was ended (got signal 9 (SIGKILL), which the system sends when "
        "memory runs out). Lower --jobs"
    )
    assert cases[1]["mask"] == whole[1]["mask"]


def test_single_slices_are_refused(cli, tmp_path):
    np.savez(tmp_path / "a.npz", hu=np.zeros((4, 4)), label=np.zeros((4, 4), int))
    (tmp_path / "index.csv").write_text("name,case,z\na,a,0\n")
    finished = cli("inspect", tmp_path)
    assert finished.code == 2
    assert "single slices" in finished.stderr


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX's signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_to_end_ends_the_processes_that_were_started(masks, name):
    psutil = pytest.importorskip("psutil", reason="needs the extra cluster")
    for number in range(3, 300):  # of three it has seen all before the signal comes
        shutil.copytree(masks / "case_00000", masks / f"case_{number:05d}")
    command = [sys.executable, "-m", "renalmap.cli", "inspect", str(masks), "--jobs", "2"]

    def started():
        children = psutil.Process(process.pid).children()
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]

    def as_from_a_terminal():  # under nohup, SIGHUP would be ignored, as it should
        signal.signal(getattr(signal, name), signal.SIG_DFL)

    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=as_from_a_terminal,  # noqa: PLW1509 -- no other thread of this test runs
    ) as process:
        workers = wait_until(started, "the start of another process")
        process.send_signal(getattr(signal, name))
        _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 128 + getattr(signal, name)
    assert stderr == b""
    assert not any(worker.is_running() for worker in workers)
