"""Cohorts on a real Dask scheduler with real worker processes, some of which are killed."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import socket
import threading
from dataclasses import replace

import pytest
from tests.processes import DaskProcesses, finish, read_json, segment, start_segment, wait_until

from renalmap.api.cohort.cluster import run_on_cluster
from renalmap.api.cohort.connecting import ClusterRequest, connected
from renalmap.api.cohort.scan import CaseOutcome
from renalmap.api.cohort.targets import RunSettings
from renalmap.api.outputs import Target
from renalmap.api.request import SegmentRequest
from renalmap.api.segment import segment as segment_files
from renalmap.bundle import Bundle, default_bundle_path
from renalmap.errors import ClusterError
from renalmap.imaging import read_label_map
from renalmap.inference.cascade import SegmentOptions

pytest.importorskip("distributed", reason="needs the extra cluster")


def copies(phantom, folder, *names):
    folder.mkdir()
    for name in names:
        shutil.copy(phantom, folder / f"{name}.nii.gz")
    return folder


def marker(out, name):
    return read_json(out / f".{name}_seg.in-work.json")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def is_gone(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def cases_of(ended):
    return {case["name"]: case for case in json.loads(ended.stdout)["cases"]}


def test_a_worker_killed_in_the_middle_of_a_scan_neither_loses_nor_doubles_it(tmp_path, phantom, dask):
    cohort, out = copies(phantom, tmp_path / "cohort", *"abc"), tmp_path / "out"
    command = (cohort, "--out", out, "--cluster", dask.address, "--threads", 1, "--json")
    dask.start_workers(2)
    process = start_segment(*command, "--table", tmp_path / "t.csv")
    victim = wait_until(lambda: marker(out, "b"), "the start of scan b")
    os.kill(victim["pid"], signal.SIGKILL)
    ended = finish(process)
    assert ended.code == 0, ended.stderr
    cases = cases_of(ended)
    assert {name: case["status"] for name, case in cases.items()} == dict.fromkeys("abc", "ok")
    assert {name: case["attempts"] for name, case in cases.items()} == {"a": 1, "b": 2, "c": 1}
    assert names(out) == [f"{n}_seg.{end}" for n in "abc" for end in ("nii.gz", "sidecar.json")]
    assert (tmp_path / "t.csv").read_text().count("\n") == 4

    # The bundle was loaded once by each process that finished a scan, and never by the one that is dead.
    by_worker: dict[str, list[float]] = {}
    for case in cases.values():
        by_worker.setdefault(case["worker"], []).append(case["load_s"])
    assert all(sum(load_s > 0 for load_s in loads) == 1 for loads in by_worker.values())
    assert f"{victim['host']}:{victim['pid']}" not in by_worker

    alone = tmp_path / "alone.nii.gz"
    segment_files([phantom], alone, SegmentRequest(options=SegmentOptions(threads=1)))
    for name in "abc":
        assert (out / f"{name}_seg.nii.gz").read_bytes() == alone.read_bytes()

    # Done is done, here as there: neither needs a worker, and the bundle's engine is the same.
    dask.stop_workers()
    for arguments in (command, (cohort, "--out", out, "--json")):
        again = segment(*arguments, "--resume")
        assert again.code == 0, again.stderr
        assert all(case["skipped"] for case in cases_of(again).values())


def test_a_scan_that_kills_its_workers_is_given_up_and_the_others_go_on(tmp_path, phantom, dask):
    cohort, out = copies(phantom, tmp_path / "cohort", "bad", "good"), tmp_path / "out"
    killed = set()
    over = threading.Event()

    def kill_who_takes_the_bad_one():
        while not over.wait(0.005):
            found = marker(out, "bad")
            if found is not None and found["pid"] not in killed:
                os.kill(found["pid"], signal.SIGKILL)
                killed.add(found["pid"])

    dask.start_workers(3)
    killer = threading.Thread(target=kill_who_takes_the_bad_one)
    killer.start()
    try:
        ended = segment(
            *(cohort, "--out", out, "--cluster", dask.address, "--retries", 1, "--threads", 1, "--json")
        )
    finally:
        over.set()
        killer.join()
    assert ended.code == 1
    cases = cases_of(ended)
    assert (cases["bad"]["status"], cases["bad"]["attempts"]) == ("failed", 2)
    assert (cases["good"]["status"], cases["good"]["attempts"]) == ("ok", 1)
    assert len(killed) == 2
    assert f"{cohort / 'bad.nii.gz'}: the worker died each time it processed the scan" in ended.stderr
    assert names(out) == ["good_seg.nii.gz", "good_seg.sidecar.json"]


def test_the_only_worker_dies_once(tmp_path, phantom):
    """Its successor has another address, for which Dask does not wait."""
    cohort, out = copies(phantom, tmp_path / "cohort", *"ab"), tmp_path / "out"
    process = start_segment(
        *(cohort, "--out", out, "--cluster", "local", "--workers", 1, "--threads", 1, "--json")
    )
    victim = wait_until(lambda: marker(out, "a"), "the start of scan a")
    os.kill(victim["pid"], signal.SIGKILL)
    ended = finish(process)
    assert ended.code == 0, ended.stderr
    assert {name: case["attempts"] for name, case in cases_of(ended).items()} == {"a": 2, "b": 1}
    assert names(out) == [f"{n}_seg.{end}" for n in "ab" for end in ("nii.gz", "sidecar.json")]


def test_the_only_worker_dies_and_none_comes(tmp_path, phantom, dask):
    cohort, out = copies(phantom, tmp_path / "cohort", *"ab"), tmp_path / "out"
    dask.start_workers(1)
    process = start_segment(
        *(cohort, "--out", out, "--cluster", dask.address, "--threads", 1, "--cluster-timeout", 2)
    )
    victim = wait_until(lambda: marker(out, "a"), "the start of scan a")
    os.kill(victim["pid"], signal.SIGKILL)
    ended = finish(process)
    assert ended.code == 2
    assert "error: the scheduler has no workers (got none for 2 s)" in ended.stderr


def test_a_local_cluster_lets_nobody_in(tmp_path, cohort, model):
    """Another user's process on this machine, with Dask's own client."""
    pytest.importorskip("cryptography", reason="needs the extra cluster")
    from distributed import Client

    with connected(ClusterRequest("local", workers=1), 1, 1) as client:
        address = client.scheduler.address
        assert address.startswith("tls://127.0.0.1:")
        assert client.submit(int, "5").result() == 5
        for stranger in (address, address.replace("tls", "tcp")):
            with pytest.raises((OSError, TypeError, ValueError)):
                Client(stranger, timeout=2)


def test_ctrl_c_ends_a_local_cluster_and_leaves_what_is_finished(tmp_path, phantom):
    """Scans enough that some are left however late the signal comes."""
    scans = "abcdefgh"
    cohort, out = copies(phantom, tmp_path / "cohort", *scans), tmp_path / "out"
    command = (cohort, "--out", out, "--threads", 1)
    process = start_segment(*command, "--cluster", "local", "--workers", 1)
    wait_until(lambda: marker(out, "b"), "the second scan's start")
    os.killpg(process.pid, signal.SIGINT)
    ended = finish(process)
    assert ended.code == 130
    text = r"Stopped: [1-7] of 8 scans are finished and kept; --resume continues from there"
    assert re.search(text, ended.stderr)
    assert "Traceback" not in ended.stderr
    wait_until(lambda: is_gone(process.pid), "the end of the workers")
    assert (out / "a_seg.sidecar.json").exists()
    resumed = segment(*command, "--resume", "--json")
    assert resumed.code == 0, resumed.stderr
    cases = cases_of(resumed)  # the worker may have finished one more while it was being ended
    assert cases["a"]["skipped"]
    assert {case["status"] for case in cases.values()} == {"ok"}
    assert names(out) == [f"{n}_seg.{end}" for n in scans for end in ("nii.gz", "sidecar.json")]
    assert read_label_map(out / "h_seg.nii.gz").labels.any()


def test_a_scheduler_that_dies(tmp_path, phantom):
    cohort, out = copies(phantom, tmp_path / "cohort", *"ab"), tmp_path / "out"
    dask = DaskProcesses.start(tmp_path)
    dask.start_workers(1)
    try:
        process = start_segment(cohort, "--out", out, "--cluster", dask.address, "--threads", 1)
        wait_until(lambda: marker(out, "b"), "the second scan's start")
        dask.scheduler.kill()
        ended = finish(process)
    finally:
        dask.scheduler.kill()
        dask.scheduler.wait()
        dask.stop_workers()
    assert ended.code == 2
    assert "error: the scheduler is gone" in ended.stderr
    assert "What is finished is kept; --resume continues from there" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert (out / "a_seg.sidecar.json").exists()


def test_a_scheduler_that_is_not_there(tmp_path, cohort, model):
    with socket.socket() as unused:  # bound and not listening: connections are refused
        unused.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{unused.getsockname()[1]}"
        ended = segment(
            *(cohort, "--out", tmp_path / "out", "--model", model),
            *("--cluster", address, "--cluster-timeout", 1),
        )
    assert ended.code == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith(f"error: {address}: the scheduler cannot be reached")
    assert "waited up to 1 s" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_what_answers_is_no_scheduler(tmp_path, cohort, model):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        ended = segment(
            *(cohort, "--out", tmp_path / "out", "--model", model),
            *("--cluster", address, "--cluster-timeout", 1),
        )
    assert ended.code == 2
    assert "the scheduler cannot be reached" in ended.stderr


def test_tls_without_certificates(tmp_path, cohort, model):
    ended = segment(
        *(cohort, "--out", tmp_path / "out", "--model", model),
        *("--cluster", "tls://127.0.0.1:8786", "--cluster-timeout", 1),
    )
    assert ended.code == 2
    assert "Name the certificates in Dask's configuration (distributed.comm.tls)" in ended.stderr


def test_a_scheduler_without_workers(tmp_path, cohort, model, dask):
    ended = segment(
        *(cohort, "--out", tmp_path / "out", "--model", model),
        *("--cluster", dask.address, "--cluster-timeout", 1),
    )
    assert ended.code == 2
    assert "error: the scheduler has no workers (got none for 1 s)" in ended.stderr
    assert names(tmp_path / "out") == []


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_worker_that_cannot_serve_the_run_is_refused_with_the_reason(tmp_path, phantom, dask):
    """Each difference there can be between a worker's machine and ours, told by a real worker."""
    dask.start_workers(1)
    request = ClusterRequest(dask.address)
    settings = RunSettings.of(
        SegmentRequest(), Bundle.open(default_bundle_path()), secrets.token_hex(8), 1
    )
    out = tmp_path / "out"
    out.mkdir()
    job = Target("a", phantom, out / "a_seg.nii.gz", "a")

    def refusal(settings, job):
        with pytest.raises(ClusterError) as caught:
            run_on_cluster([job], settings, request, lambda _: None, lambda _: None)
        assert "Workers need the same RenalMap, bundle and paths" in str(caught.value)
        return caught.value.got

    digest = settings.bundle_sha256[:12]
    assert f"is a different one ({digest}, not 000000000000)" in refusal(
        replace(settings, bundle_sha256="0" * 64), job
    )
    assert "it has RenalMap" in refusal(replace(settings, renalmap_version="9.9"), job)
    missing = tmp_path / "not" / "mounted"
    elsewhere = replace(settings, request=replace(settings.request, model=missing))
    assert f"{missing}: the bundle does not exist" in refusal(elsewhere, job)
    assert refusal(settings, replace(job, output=missing / "a.nii.gz")) == f"it cannot see {missing}"
    assert refusal(settings, replace(job, scan=missing)) == f"it cannot see {missing}"

    # A single scan that the worker does not see does not stop the others.
    cases: list[CaseOutcome] = []
    unseen = Target("b", tmp_path / "gone.nii.gz", out / "b_seg.nii.gz", "b")
    run_on_cluster([job, unseen], settings, request, cases.append, lambda _: None)
    good, bad = sorted(cases, key=lambda case: case.name)
    assert (good.status, bad.status) == ("ok", "failed")
    assert f"{unseen.scan}: the worker cannot see the scan (got worker tcp://127.0.0.1:" in str(
        bad.error
    )
    assert names(out) == ["a_seg.nii.gz", "a_seg.sidecar.json"]
