"""Outputs: what is refused before the work, what a kill leaves behind, what may be replaced."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from renalmap.errors import DiskSpaceError, InputError, OutputExistsError
from renalmap.imaging.files import (
    check_writable,
    make_folder,
    remove_left_overs,
    replace_atomically,
    replace_folder_atomically,
    write_text_atomically,
)

resource = pytest.importorskip("resource", reason="needs POSIX")


@pytest.fixture
def full_disk():
    """Nothing larger than a kilobyte can be written; a full disk is told from that by its number alone."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def everything(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_full_disk_is_found_before_the_work_and_named_by_the_users_path(tmp_path, full_disk):
    for attempt in (
        lambda: check_writable(tmp_path / "out.nii.gz", overwrite=False),
        lambda: make_folder(tmp_path),
        lambda: write_text_atomically(tmp_path / "out.nii.gz", "x" * 2000),
    ):
        with pytest.raises(DiskSpaceError, match="the disk is full") as caught:
            attempt()
        assert ".tmp." not in str(caught.value)
        assert caught.value.exit_code == 2
    assert everything(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="needs a folder in which not even root may write")
@pytest.mark.parametrize(
    "attempt",
    [
        lambda path: check_writable(path, overwrite=False),
        make_folder,
        lambda path: write_text_atomically(path, ""),
    ],
)
def test_a_place_that_cannot_be_written_is_found_before_the_work(attempt):
    with pytest.raises(InputError, match=r"^/sys/out: the output cannot be written \(got ") as caught:
        attempt(Path("/sys/out"))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "device"])
def test_links_pipes_and_devices_are_never_replaced(tmp_path, kind):
    out = tmp_path / "out.csv"
    (tmp_path / "precious").write_text("kept")
    if kind == "pipe":
        os.mkfifo(out)
    else:
        places = {"link": "precious", "dangling link": "nothing", "device": "/dev/null"}
        out.symlink_to(places[kind])
    with pytest.raises(OutputExistsError, match="a link, a pipe or a device") as caught:
        check_writable(out, overwrite=True)
    assert caught.value.exit_code == 2
    assert everything(tmp_path) == ["out.csv", "precious"]
    if kind == "device":
        with pytest.raises(OutputExistsError, match=r"^/dev/null: .*a link, a pipe or a device"):
            check_writable(Path("/dev/null"), overwrite=True)


def test_what_a_killed_process_left_of_an_output_is_removed_and_what_a_living_one_writes_is_not(
    tmp_path,
):
    (tmp_path / ".0123abcd.tmp.out.csv").write_text("half")
    for kept in (".0123abcd.tmp.other.csv", ".notes.tmp.out.csv", "0123abcd.tmp.out.csv"):
        (tmp_path / kept).write_text("somebody's")
    program = (
        "import sys, time, pathlib; from renalmap.imaging.files import replace_atomically\n"
        "with replace_atomically(pathlib.Path(sys.argv[1])) as path:\n"
        "    path.write_text('half'); print(path.name, flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "out.csv")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        living = process.stdout.readline().strip()
        check_writable(tmp_path / "out.csv", overwrite=False)
        there = everything(tmp_path)
        process.send_signal(signal.SIGKILL)
    others = [".0123abcd.tmp.other.csv", ".notes.tmp.out.csv", "0123abcd.tmp.out.csv"]
    assert there == sorted([living, *others])
    check_writable(tmp_path / "out.csv", overwrite=False)
    assert everything(tmp_path) == others


def test_what_a_killed_process_tried_out_goes_too(tmp_path):
    (tmp_path / ".0123abcd.tmp.tried").touch()
    make_folder(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_left_overs_of_folders_go_too(tmp_path):
    (tmp_path / ".0123abcd.tmp.bundle").mkdir()
    (tmp_path / ".0123abcd.tmp.bundle" / "half").touch()
    remove_left_overs(tmp_path, "bundle")
    assert everything(tmp_path) == []


def is_ours(folder):
    return (folder / "ours").exists()


def replace(out):
    with replace_folder_atomically(out, is_ours) as made:
        (made / "ours").write_text("new")


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_a_folder_that_is_not_ours_is_never_replaced(tmp_path, kind):
    out, precious = tmp_path / "bundle", tmp_path / "precious"
    precious.mkdir()
    (precious / "ours").write_text("old")
    if kind == "link":
        out.symlink_to(precious)
    elif kind == "file":
        out.write_text("kept")
    else:
        out.mkdir()
        (out / "thesis.tex").write_text("kept")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutputExistsError, match="the output would replace something else"):
        replace(out)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_of_ours_is_replaced_by_a_complete_one_or_not_at_all(tmp_path):
    out = tmp_path / "deep" / "bundle"
    replace(out)
    (out / "ours").write_text("old")

    def fail():
        with replace_folder_atomically(out, is_ours) as made:
            (made / "half").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert (out / "ours").read_text() == "old"
    assert everything(out.parent) == ["bundle"]
    replace(out)
    assert (out / "ours").read_text() == "new"
    assert everything(out.parent) == ["bundle"]


def test_a_kill_between_the_two_renames_is_mended_by_the_next_call(tmp_path):
    out = tmp_path / "bundle"
    replace(out)
    (out / "ours").write_text("old")
    out.rename(tmp_path / ".bundle.replaced")
    (tmp_path / ".0123abcd.tmp.bundle").mkdir()
    with pytest.raises(ZeroDivisionError), replace_folder_atomically(out, is_ours):
        raise ZeroDivisionError
    assert (out / "ours").read_text() == "old"
    assert everything(tmp_path) == ["bundle"]


def test_an_error_of_something_else_stays_what_it_is(tmp_path):
    with pytest.raises(FileNotFoundError), replace_atomically(tmp_path / "out"):
        (tmp_path / "not there").read_bytes()
    assert everything(tmp_path) == []
