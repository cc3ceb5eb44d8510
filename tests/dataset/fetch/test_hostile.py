"""Fetching from a server that means harm, on a real socket: nothing without end, nothing but our own errors."""

from __future__ import annotations

import gzip
import math
import struct

import nibabel as nib
import numpy as np
import pytest
from tests.dataset.fetch.test_run import HASTY, IMAGING, MASK, WATCHFUL
from tests.mirror import Fault

from renalmap.dataset.fetch import content
from renalmap.dataset.fetch.content import hash_checked, nifti_bytes
from renalmap.dataset.fetch.run import Run, fetch_files
from renalmap.dataset.fetch.sources import Mirrors, list_files
from renalmap.errors import ContentError

EVIL = "\x1b]0;owned"


@pytest.fixture
def fetch(mirror, tmp_path):
    """Fetch one case; the errors by path."""

    def run():
        files = list_files("kits19", (0,), Mirrors(mirror.url), masks_only=False)
        outcomes = fetch_files(files, Run("kits19", tmp_path / "kits", 2, HASTY))
        return {f"/{each.file.path}": each.error for each in outcomes if each.error}

    return run


@pytest.mark.parametrize("fault", [Fault(drips_headers=True), Fault(drips_length=True)])
def test_an_answer_whose_headers_drip_is_dropped(mirror, tmp_path, fault):
    """Each byte comes in time for the next; the file goes on when the server behaves."""
    mirror.faults[IMAGING] = [fault]
    files = list_files("kits19", (0,), Mirrors(mirror.url), masks_only=False)
    outcomes = fetch_files(files, Run("kits19", tmp_path / "kits", 2, WATCHFUL))
    assert {each.status for each in outcomes} == {"fetched"}
    assert len(mirror.gets(IMAGING)) == 2
    assert mirror.dripped < 1000  # which would be the end of it


def test_redirects_end_and_cost_only_their_file(mirror, fetch):
    mirror.always[IMAGING] = Fault(status=302, headers={"Location": IMAGING})
    errors = fetch()
    assert list(errors) == [IMAGING]
    assert "the server's address cannot be used (got " in errors[IMAGING]
    assert "redirects" in errors[IMAGING]
    assert len(mirror.asked) < 60


@pytest.mark.parametrize(
    "place", ["file:///etc/passwd", "http://", "http://[::1", "//\x00", "ftp://x/y"]
)
def test_a_redirect_to_nowhere_costs_only_its_file(mirror, fetch, place):
    mirror.always[IMAGING] = Fault(status=302, headers={"Location": place})
    assert list(fetch()) == [IMAGING]


def test_a_body_without_end_is_cut_off(mirror, fetch, monkeypatch, tmp_path):
    monkeypatch.setitem(content.LIMITS, "imaging", 3_000_000)
    mirror.always[IMAGING] = Fault(tells_length=False, endless=True)
    errors = fetch()
    assert list(errors) == [IMAGING]
    assert (
        "the server sends more than such a file holds (got more than 3,000,000 bytes" in errors[IMAGING]
    )
    assert not list(tmp_path.rglob("*.part"))


def test_a_body_that_announces_too_much_is_not_begun(mirror, fetch, monkeypatch):
    monkeypatch.setitem(content.LIMITS, "mask", 100)
    errors = fetch()
    assert list(errors) == [MASK]
    assert "expected at most 100 bytes" in errors[MASK]


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Length": "9" * 5000},
        {"X-Linked-Size": "9" * 5000},
        {"X-Linked-Size": "-1"},
        {"Retry-After": "9" * 5000},
        {"Retry-After": "Mon, 99 Foo 99999 99:99:99 GMT"},
        {"Retry-After": "Mon, 01 Jan 9999 00:00:00 -2359"},
        {"ETag": '"\xe9\x9b"'},
    ],
)
def test_headers_that_are_nonsense_are_no_traceback(mirror, fetch, headers):
    retried = "Retry-After" in headers
    mirror.faults[IMAGING] = [
        Fault(status=503 if retried else 200, headers=headers, etag="", cut_at=50_000)
    ] * 2
    fetch()
    assert mirror.gets(IMAGING)


def test_the_servers_words_are_not_repeated(mirror, fetch):
    mirror.always[IMAGING] = Fault(status=404, reason=f"Gone {EVIL}")
    mirror.always[MASK] = Fault(status=599, reason=EVIL)
    errors = fetch()
    assert "HTTP 404 Not Found" in errors[IMAGING]
    assert "HTTP 599" in errors[MASK]
    assert not any("owned" in error for error in errors.values())


def header(vox_offset=352.0):
    image = nib.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4))
    plain = bytearray(image.to_bytes())
    struct.pack_into("<f", plain, 108, vox_offset)
    return bytes(plain)


@pytest.mark.parametrize("offset", [math.nan, math.inf, -math.inf, -1.0, 1e30])
def test_an_offset_that_is_no_place_in_a_file_is_refused(tmp_path, offset):
    assert nifti_bytes(header()) == 352 + 128
    assert nifti_bytes(header(offset)) is None
    path = tmp_path / "imaging.nii.gz"
    path.write_bytes(gzip.compress(header(offset)))
    with pytest.raises(ContentError, match="does not contain a NIfTI image"):
        hash_checked(path, "imaging", "case_00000")


def test_what_unpacks_without_end_is_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr(content, "_LARGEST_IMAGE", 10_000_000)
    path = tmp_path / "imaging.nii.gz"
    path.write_bytes(gzip.compress(header() + bytes(20_000_000)))
    with pytest.raises(ContentError, match="unpacks to more than an image"):
        hash_checked(path, "imaging", "case_00000")


def test_a_table_nested_without_end_is_refused(tmp_path):
    path = tmp_path / "kits.json"
    path.write_bytes(b"[" * 200_000)
    with pytest.raises(ContentError, match="the table of cases is not JSON"):
        hash_checked(path, "table", "kits.json")
