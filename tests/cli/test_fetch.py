from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from tests.mirror import HTML, Fault
from tests.processes import PATIENCE_S, wait_until

LAST = "data/case_00001/imaging.nii.gz"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "kits"


@pytest.fixture
def fetch(cli, mirror, out):
    def run(*arguments, dataset="kits19", url=None):
        return cli("fetch", dataset, "--out", out, "--base-url", url or mirror.url, *arguments)

    return run


def test_cases_are_fetched_and_counted(cli, mirror, fetch, out):
    finished = fetch("--cases", "0-1")
    assert (finished.code, finished.stderr) == (0, "")
    lines = [line.split() for line in finished.stdout.splitlines()]
    assert ["imaging.nii.gz", "0", "2", "0", "0", "0"] in lines
    assert ["segmentation.nii.gz", "0", "2", "0", "0", "0"] in lines
    assert max(map(len, finished.stdout.splitlines())) <= 80
    again = fetch("--cases", "0-1", "--quiet")
    assert (again.code, again.stdout, again.stderr) == (0, "", "")
    prepared = cli("prepare", out, "--out", out / "store", "--n-test", 5)
    assert "Lower --n-test" in prepared.stderr  # it found two patients


def test_a_file_that_fails_is_named_at_the_end_and_others_are_there(mirror, fetch, out):
    mirror.always[f"/{LAST}"] = Fault(body=HTML)
    finished = fetch("--cases", "0-2")
    assert finished.code == 1
    assert "Not complete: case_00001" in finished.stdout
    assert finished.stderr.startswith(f"error: {mirror.url}/{LAST}: the server sent a web page")
    assert finished.stderr.count("error: ") == 1
    assert len(list(out.rglob("*.nii.gz"))) == 5


def test_json_holds_every_file_and_nothing_else_is_printed(mirror, fetch, out):
    mirror.always[f"/{LAST}"] = Fault(status=404)
    finished = fetch("--cases", "1", "--json")
    assert finished.code == 1
    report = json.loads(finished.stdout)
    assert (report["dataset"], report["complete"]) == ("kits19", False)
    assert report["manifest"] == str(out / "fetch.json")
    by_path = {file["path"]: file for file in report["files"]}
    assert by_path[LAST]["status"] == "failed"
    assert "404" in by_path[LAST]["error"]
    assert by_path["data/kits.json"]["status"] == "fetched"


def test_a_changed_file_is_said(fetch, out):
    fetch("--cases", "1", "--masks-only")
    mask = out / "data" / "case_00001" / "segmentation.nii.gz"
    mask.write_bytes(b"\x1f\x8b edited")
    finished = fetch("--cases", "1", "--masks-only")
    assert finished.code == 0
    assert finished.stderr.startswith(f"warning: {mask}: ")
    assert "SHA-256 has changed" in finished.stderr
    assert "refetched" in finished.stderr


def test_the_mirror_may_stand_in_the_environment(cli, mirror, out, monkeypatch):
    monkeypatch.setenv("RENALMAP_FETCH_BASE_URL", mirror.url)
    finished = cli("fetch", "kits23", "--out", out, "--cases", "1", "--masks-only", "--json")
    assert finished.code == 0
    assert all(file["url"].startswith(mirror.url) for file in json.loads(finished.stdout)["files"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--cases", "0-210"), "no case 210"),
        (("--cases", "x"), "not a list of case numbers"),
        (("--imaging-url", "mirror"), "a mirror's address"),
        (("--jobs", "0"), "--jobs"),
    ],
)
def test_what_cannot_be_meant_ends_with_code_2(fetch, out, mirror, arguments, message):
    finished = fetch(*arguments)
    assert finished.code == 2
    assert finished.stdout == ""
    assert message in finished.stderr
    assert not out.exists()
    assert mirror.asked == []


def test_an_unknown_data_set_ends_with_code_2(fetch):
    assert fetch(dataset="kits20").code == 2


def test_a_file_where_the_folder_should_be_ends_with_code_2(fetch, out):
    out.write_text("")
    finished = fetch("--cases", "0")
    assert finished.code == 2
    assert "the output is a file" in finished.stderr


def test_a_dead_mirror_is_one_line(fetch, mirror):
    mirror.close()
    finished = fetch("--attempts", "2", "--stall-s", "0.5")
    assert finished.code == 1
    assert finished.stderr.count("\n") == 1
    assert "cannot be reached" in finished.stderr


def test_without_httpx_the_extra_is_named(fetch, out, monkeypatch):
    monkeypatch.setitem(sys.modules, "httpx", None)
    finished = fetch("--cases", "0")
    assert finished.code == 2
    assert "pip install 'renalmap[fetch]'" in finished.stderr
    assert not out.exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has other signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_an_interrupted_run_keeps_what_it_has_and_goes_on(mirror, fetch, out, number, code):
    mirror.faults[f"/{LAST}"] = [Fault(stall_at=30_000)]
    command = [sys.executable, "-m", "renalmap.cli", "fetch", "kits19", "--out", out, "--cases", "0-1"]
    process = subprocess.Popen(
        [*command, "--base-url", mirror.url, "--jobs", "1"],
        stderr=subprocess.PIPE,
        text=True,
        # Tests that run in a shell's background ignore Ctrl-C, and so would their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    part = out / f"{LAST}.part"
    wait_until(
        lambda: process.poll() is not None or (part.exists() and part.stat().st_size == 30_000),
        "the server's stall",
    )
    assert process.poll() is None
    process.send_signal(number)
    try:
        _, errors = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert process.returncode == code
    assert "Traceback" not in errors
    assert ("continues from here" in errors) == (code == 130)
    assert part.stat().st_size == 30_000
    assert fetch("--cases", "0-1").code == 0
    assert mirror.gets(f"/{LAST}")[-1].range == "bytes=30000-"
    assert len(mirror.gets("/data/case_00000/imaging.nii.gz")) == 1
    assert (out / LAST).read_bytes() == mirror.files[f"/{LAST}"]
    assert not part.exists()
