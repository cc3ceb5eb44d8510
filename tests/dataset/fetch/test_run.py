"""Fetching from a server that misbehaves in every way that real ones do."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import time
from email.utils import formatdate

import pytest
from tests.mirror import HTML, LFS_POINTER, Fault, nifti_bytes

from renalmap.dataset.cases import find_cases
from renalmap.dataset.fetch import run as run_module
from renalmap.dataset.fetch.manifest import Manifest, locked
from renalmap.dataset.fetch.run import Run, fetch_files
from renalmap.dataset.fetch.sources import Mirrors, list_files
from renalmap.dataset.fetch.transfer import Patience, UnreachableError
from renalmap.errors import (
    ContentError,
    DatasetError,
    DiskSpaceError,
    FolderInUseError,
    NetworkError,
)

IMAGING = "/data/case_00000/imaging.nii.gz"
MASK = "/data/case_00000/segmentation.nii.gz"
HASTY = Patience(attempts=3, connect_s=5.0, stall_s=5.0, backoff_s=0.01, longest_wait_s=5.0)
WATCHFUL = Patience(attempts=20, connect_s=5.0, stall_s=0.2, backoff_s=0.01)


@pytest.fixture
def fetch(mirror, tmp_path):
    def run(cases=(0,), *, jobs=2, patience=HASTY, progress=lambda *_: None, masks_only=False, url=None):
        files = list_files("kits19", cases, Mirrors(url or mirror.url), masks_only=masks_only)
        outcomes = fetch_files(files, Run("kits19", tmp_path / "kits", jobs, patience), progress)
        return {f"/{outcome.file.path}": outcome for outcome in outcomes}

    return run


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "kits"


def statuses(outcomes):
    return [outcome.status for outcome in outcomes.values()]


def assert_whole(mirror, folder, paths=(IMAGING,)):
    for path in paths:
        assert (folder / path[1:]).read_bytes() == mirror.files[path]
    assert not list(folder.rglob("*.part"))


def test_a_data_set_is_fetched_into_the_layout_that_prepare_takes(mirror, fetch, folder):
    assert statuses(fetch((0, 1, 2))) == ["fetched"] * 7
    assert_whole(mirror, folder, mirror.files)
    assert [case.case_id for case in find_cases(folder)] == ["case_00000", "case_00001", "case_00002"]
    manifest = json.loads((folder / "fetch.json").read_text())
    assert manifest["partial"] == {}
    for path, content in mirror.files.items():
        entry = manifest["files"][path[1:]]
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        assert (entry["size"], entry["url"]) == (len(content), mirror.url + path)


def test_a_second_run_checks_and_asks_the_server_nothing(mirror, fetch):
    fetch((0, 1))
    mirror.asked.clear()
    assert statuses(fetch((0, 1))) == ["kept"] * 5
    assert mirror.asked == []


def test_more_cases_are_added_to_those_that_are_there(mirror, fetch, folder):
    fetch((0,))
    assert statuses(fetch((0, 1))) == ["kept"] * 3 + ["fetched"] * 2
    assert len(mirror.gets(IMAGING)) == 1
    assert_whole(mirror, folder)


def test_masks_alone_and_imaging_later(mirror, fetch, folder):
    assert statuses(fetch((0, 1), masks_only=True)) == ["fetched"] * 3
    assert not list(folder.rglob("imaging.nii.gz"))
    assert statuses(fetch((0,))) == ["kept", "kept", "fetched"]
    assert_whole(mirror, folder)


def test_a_password_is_recorded_nowhere(mirror, fetch, folder, caplog):
    caplog.set_level("INFO")
    mirror.always[IMAGING] = Fault(status=404)
    outcomes = fetch(url=mirror.url.replace("//", "//me:secret@"))
    assert "404" in outcomes[IMAGING].error
    assert "secret" not in outcomes[IMAGING].error
    assert "secret" not in (folder / "fetch.json").read_text()
    assert "secret" not in caplog.text


def test_a_cut_connection_is_resumed_where_it_broke(mirror, fetch, folder):
    mirror.faults[IMAGING] = [Fault(cut_at=50_000), Fault(cut_at=40_000)]
    assert fetch()[IMAGING].status == "fetched"
    assert [asked.range for asked in mirror.gets(IMAGING)] == ["", "bytes=50000-", "bytes=90000-"]
    assert all(asked.if_range.startswith('"') for asked in mirror.gets(IMAGING)[1:])
    assert_whole(mirror, folder)


def test_a_connection_that_breaks_often_is_followed_as_long_as_it_brings_something(
    mirror, fetch, folder
):
    mirror.faults[IMAGING] = [Fault(cut_at=10_000)] * (2 * HASTY.attempts)
    assert fetch()[IMAGING].status == "fetched"
    assert_whole(mirror, folder)


def test_a_stalled_connection_is_dropped_and_resumed(mirror, fetch, folder):
    mirror.faults[IMAGING] = [Fault(stall_at=30_000)]
    assert fetch(patience=WATCHFUL)[IMAGING].status == "fetched"
    assert mirror.gets(IMAGING)[1].range == "bytes=30000-"
    assert_whole(mirror, folder)


def test_a_connection_that_drips_is_dropped_too(mirror, fetch, folder):
    mirror.faults[IMAGING] = [Fault(drips=True)]
    assert fetch(patience=WATCHFUL)[IMAGING].status == "fetched"
    assert len(mirror.gets(IMAGING)) >= 2
    assert_whole(mirror, folder)


def test_the_next_run_goes_on_where_the_last_one_gave_up(mirror, fetch, folder):
    mirror.faults[IMAGING] = [Fault(cut_at=50_000), *[Fault(status=503)] * 2]
    failed = fetch()[IMAGING]
    assert failed.status == "failed"
    assert "503" in failed.error
    assert not (folder / IMAGING[1:]).exists()
    assert (folder / f"{IMAGING[1:]}.part").stat().st_size == 50_000
    mirror.asked.clear()
    assert fetch()[IMAGING].status == "fetched"
    assert [asked.range for asked in mirror.gets(IMAGING)] == ["bytes=50000-"]
    assert_whole(mirror, folder)


def test_a_file_that_changed_in_between_starts_over(mirror, fetch, folder):
    mirror.faults[IMAGING] = [Fault(cut_at=50_000), *[Fault(status=500)] * 2]
    fetch()
    mirror.files[IMAGING] = nifti_bytes(seed=99)
    assert fetch()[IMAGING].status == "fetched"
    assert mirror.gets(IMAGING)[-1].range == "bytes=50000-"
    assert_whole(mirror, folder)


def test_a_server_that_ignores_ranges_is_taken_from_the_start(mirror, fetch, folder):
    mirror.faults[IMAGING] = [Fault(cut_at=50_000), Fault(ignores_range=True)]
    assert fetch()[IMAGING].status == "fetched"
    assert_whole(mirror, folder)


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_without_a_strong_validator_nothing_is_joined(mirror, fetch, folder, etag):
    mirror.faults[IMAGING] = [Fault(cut_at=50_000, etag=etag)]
    assert fetch()[IMAGING].status == "fetched"
    assert [asked.range for asked in mirror.gets(IMAGING)] == ["", ""]
    assert_whole(mirror, folder)


def test_a_date_serves_where_there_is_no_etag(mirror, fetch, folder):
    dated = {"Last-Modified": "Fri, 01 Mar 2024 10:00:00 GMT"}
    mirror.faults[IMAGING] = [
        Fault(cut_at=50_000, etag="", headers=dated),
        Fault(etag="", headers=dated),
    ]
    assert fetch()[IMAGING].status == "fetched"
    assert [asked.if_range for asked in mirror.gets(IMAGING)] == ["", dated["Last-Modified"]]
    assert [asked.range for asked in mirror.gets(IMAGING)] == ["", "bytes=50000-"]
    assert_whole(mirror, folder)


def test_a_part_longer_than_the_file_starts_over(mirror, fetch, folder):
    mirror.faults[IMAGING] = [Fault(cut_at=50_000), *[Fault(status=500)] * 2]
    fetch()
    with (folder / f"{IMAGING[1:]}.part").open("ab") as handle:
        handle.write(bytes(len(mirror.files[IMAGING])))
    assert fetch()[IMAGING].status == "fetched"
    assert_whole(mirror, folder)


def test_a_whole_part_is_checked_and_named_without_another_request(mirror, fetch, folder):
    mirror.faults[IMAGING] = [Fault(cut_at=50_000), *[Fault(status=500)] * 2]
    fetch()
    (folder / f"{IMAGING[1:]}.part").write_bytes(mirror.files[IMAGING])
    mirror.asked.clear()
    assert fetch()[IMAGING].status == "fetched"
    assert mirror.gets(IMAGING) == []
    assert_whole(mirror, folder)


def test_a_range_that_cannot_be_satisfied_starts_over(mirror, fetch, folder):
    mirror.faults[IMAGING] = [Fault(cut_at=50_000, tells_length=False), Fault(status=416)]
    assert fetch()[IMAGING].status == "fetched"
    assert_whole(mirror, folder)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_fault_is_tried_again(mirror, fetch, folder, status):
    mirror.faults[IMAGING] = [Fault(status=status)] * (HASTY.attempts - 1)
    assert fetch()[IMAGING].status == "fetched"
    assert_whole(mirror, folder)


@pytest.mark.parametrize("as_date", [False, True])
def test_a_server_that_asks_to_wait_is_obeyed(mirror, fetch, as_date):
    """Seen by the server, and only from below: a slow machine makes no difference."""
    date_s = int(time.time()) + 2
    asked = formatdate(date_s, usegmt=True) if as_date else "1"
    mirror.faults[IMAGING] = [Fault(status=429, headers={"Retry-After": asked})]
    assert fetch()[IMAGING].status == "fetched"
    first, second = mirror.gets(IMAGING)
    assert second.at_s >= (date_s if as_date else first.at_s + 1) - 0.05  # clocks are adjusted


def test_a_server_that_asks_to_wait_too_long_is_given_up(mirror, fetch):
    mirror.faults[IMAGING] = [Fault(status=503, headers={"Retry-After": "86400"})]
    outcome = fetch()[IMAGING]
    assert outcome.status == "failed"
    assert "asks to wait 86400 s" in outcome.error


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_final_and_others_go_on(mirror, fetch, folder, status):
    mirror.faults[IMAGING] = [Fault(status=status)]
    outcomes = fetch((0, 1, 2))
    assert statuses(outcomes).count("fetched") == 6
    assert outcomes[IMAGING].status == "failed"
    assert f"{mirror.url}{IMAGING}" in outcomes[IMAGING].error
    assert f"HTTP {status}" in outcomes[IMAGING].error
    assert len(mirror.gets(IMAGING)) == 1
    assert statuses(fetch((0, 1, 2))).count("kept") == 6
    assert_whole(mirror, folder)


def test_a_case_that_the_server_lacks_leaves_no_folder(mirror, fetch, folder):
    for path in (IMAGING, MASK):
        mirror.always[path] = Fault(status=404)
    assert statuses(fetch((0, 1, 2))).count("failed") == 2
    assert not (folder / IMAGING.lstrip("/")).parent.exists()


@pytest.mark.parametrize(
    ("body", "message"),
    [(HTML, "web page"), (LFS_POINTER, "Git LFS pointer"), (b"ok", "not a gzip file")],
)
@pytest.mark.parametrize("path", [IMAGING, MASK])
def test_what_is_not_the_file_never_gets_its_name(mirror, fetch, folder, body, message, path):
    mirror.always[path] = Fault(body=body)
    outcomes = fetch((0, 1))
    assert outcomes[path].status == "failed"
    assert message in outcomes[path].error
    assert len(mirror.gets(path)) == 1
    assert not (folder / path[1:]).exists()
    assert not list(folder.rglob("*.part"))
    assert statuses(outcomes).count("fetched") == 4


def test_wrong_bytes_are_found_and_fetched_again(mirror, fetch, folder):
    wrong = bytearray(mirror.files[IMAGING])
    wrong[60_000] ^= 0xFF
    mirror.faults[IMAGING] = [Fault(body=bytes(wrong))]
    assert fetch()[IMAGING].status == "fetched"
    assert len(mirror.gets(IMAGING)) == 2
    assert_whole(mirror, folder)


def test_wrong_bytes_that_stay_wrong_never_get_the_name(mirror, fetch, folder):
    wrong = bytearray(mirror.files[IMAGING])
    wrong[60_000] ^= 0xFF
    mirror.always[IMAGING] = Fault(body=bytes(wrong))
    outcome = fetch()[IMAGING]
    assert outcome.status == "failed"
    assert "damaged" in outcome.error
    assert len(mirror.gets(IMAGING)) == 2
    assert not list(folder.rglob("imaging*"))


def test_a_cut_that_nobody_announced_is_found(mirror, fetch, folder):
    mirror.faults[IMAGING] = [Fault(cut_at=50_000, tells_length=False)]
    assert fetch()[IMAGING].status == "fetched"
    assert_whole(mirror, folder)


def test_a_promised_hash_is_held_against_what_comes(mirror, fetch, folder):
    promised = {"X-Linked-Etag": f'"{hashlib.sha256(mirror.files[IMAGING]).hexdigest()}"'}
    mirror.faults[IMAGING] = [
        Fault(body=nifti_bytes(seed=99), headers=promised),
        Fault(headers=promised),
    ]
    assert fetch()[IMAGING].status == "fetched"
    assert_whole(mirror, folder)
    (folder / IMAGING[1:]).unlink()
    mirror.always[IMAGING] = Fault(body=nifti_bytes(seed=99), headers=promised)
    outcome = fetch()[IMAGING]
    assert outcome.status == "failed"
    assert "not the one the server announced" in outcome.error


def test_a_promised_hash_lets_a_file_be_resumed_over_changing_etags(mirror, fetch, folder):
    promised = {"X-Linked-Etag": f'"{hashlib.sha256(mirror.files[IMAGING]).hexdigest()}"'}
    mirror.faults[IMAGING] = [
        Fault(cut_at=50_000, etag='"one"', headers=promised),
        Fault(etag='"two"', headers=promised),
    ]
    assert fetch()[IMAGING].status == "fetched"
    assert [asked.range for asked in mirror.gets(IMAGING)] == ["", "bytes=50000-"]
    assert_whole(mirror, folder)


def test_redirects_are_followed(mirror, fetch, folder):
    mirror.files["/storage"] = mirror.files[IMAGING]
    mirror.always[IMAGING] = Fault(status=302, headers={"Location": "/storage"})
    assert fetch()[IMAGING].status == "fetched"
    assert_whole(mirror, folder)


def test_a_file_that_changed_on_the_disk_is_said_and_fetched_again(mirror, fetch, folder):
    fetch()
    content = bytearray(mirror.files[IMAGING])
    content[-20] ^= 1
    (folder / IMAGING[1:]).write_bytes(content)
    outcomes = fetch()
    assert outcomes[IMAGING].status == "refetched"
    assert "SHA-256 has changed" in outcomes[IMAGING].note
    assert outcomes[MASK].status == "kept"
    assert_whole(mirror, folder)


def test_files_of_the_official_script_are_kept_if_whole(mirror, fetch, folder):
    for path in (IMAGING, MASK):
        (folder / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        (folder / path[1:]).write_bytes(mirror.files[path])
    (folder / MASK[1:]).write_bytes(LFS_POINTER)
    outcomes = fetch()
    assert outcomes[IMAGING].status == "kept"
    assert outcomes[MASK].status == "refetched"
    assert "LFS pointer" in outcomes[MASK].note
    assert mirror.gets(IMAGING) == []
    assert_whole(mirror, folder, (IMAGING, MASK))


def test_too_little_room_is_told_before_anything_comes(mirror, fetch, folder, monkeypatch):
    usage = shutil.disk_usage(folder.parent)._replace(free=200_000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(DiskSpaceError, match=r"too little space.*0\.0 GB free"):
        fetch((0, 1, 2))
    assert not list(folder.rglob("*.nii.gz*"))


def test_what_is_there_in_part_needs_no_room(mirror, fetch, folder, monkeypatch):
    mirror.faults[IMAGING] = [Fault(cut_at=100_000), *[Fault(status=500)] * 2]
    fetch()
    free = len(mirror.files[IMAGING]) - 100_000
    usage = shutil.disk_usage(folder)._replace(free=free)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    assert fetch()[IMAGING].status == "fetched"


def test_a_dead_server_is_one_error(mirror, fetch, folder):
    mirror.close()
    with pytest.raises(UnreachableError, match=r"cannot be reached.*The same command"):
        fetch((0, 1, 2))
    assert not list(folder.rglob("*.part"))


def test_a_network_that_goes_is_given_up_and_what_is_whole_stays(mirror, fetch, folder):
    fetch((0,), masks_only=True)
    closed = threading.Event()

    def progress(what, done, total):
        if what == run_module.FETCHING and not closed.is_set():
            closed.set()
            mirror.close()

    outcomes = fetch((0, 1, 2), jobs=1, progress=progress)
    assert outcomes[MASK].status == "kept"
    assert "failed" in statuses(outcomes)
    assert statuses(outcomes).count("not tried") >= 1
    assert_whole(mirror, folder, (MASK,))


def test_a_table_that_is_none_ends_the_run(mirror, fetch, folder):
    mirror.always["/data/kits.json"] = Fault(body=HTML)
    with pytest.raises(ContentError, match=r"kits\.json: the server sent a web page"):
        fetch((0, 1))
    mirror.always["/data/kits.json"] = Fault(status=404)
    with pytest.raises(NetworkError, match="HTTP 404"):
        fetch((0, 1))
    assert not list(folder.rglob("*.nii.gz*"))


def test_one_folder_holds_one_data_set(mirror, fetch, folder):
    fetch(masks_only=True)
    files = list_files("kits23", (0,), Mirrors(mirror.url), masks_only=True)
    with pytest.raises(DatasetError, match=r"another data set \(got kits19; expected kits23"):
        fetch_files(files, Run("kits23", folder, 1, HASTY))


def test_a_damaged_record_is_told_and_may_be_deleted(mirror, fetch, folder):
    fetch(masks_only=True)
    (folder / "fetch.json").write_text('{"dataset": ')
    with pytest.raises(DatasetError, match=r"fetch\.json.*Delete it"):
        fetch(masks_only=True)
    (folder / "fetch.json").unlink()
    assert statuses(fetch(masks_only=True)) == ["kept", "kept"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no fcntl")
def test_two_runs_do_not_share_a_folder(mirror, fetch, folder):
    folder.mkdir()
    with locked(folder), pytest.raises(FolderInUseError, match="another renalmap fetch"):
        fetch(masks_only=True)
    assert statuses(fetch(masks_only=True)) == ["fetched", "fetched"]


def test_one_bar_counts_all_bytes(mirror, fetch):
    told = []
    fetch((0, 1, 2), progress=lambda *step: told.append(step))
    total = sum(map(len, mirror.files.values())) - len(mirror.files["/data/kits.json"])
    steps = [step for step in told if step[0] == run_module.FETCHING]
    assert steps[-1][2] == total
    assert all(done <= total for _, done, total in steps if total)


def test_a_disk_that_fills_up_ends_the_run(mirror, fetch, folder, monkeypatch):
    def full(self, *_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Manifest, "record_partial", full)
    (folder / "data").mkdir(parents=True)
    (folder / "data/kits.json").write_bytes(mirror.files["/data/kits.json"])
    with pytest.raises(DiskSpaceError, match=r"the disk is full.*continues"):
        fetch((0, 1))
