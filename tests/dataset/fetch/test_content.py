from __future__ import annotations

import gzip
import hashlib
import json

import nibabel as nib
import numpy as np
import pytest
from tests import mirror

from renalmap.dataset.fetch.content import hash_checked, nifti_bytes
from renalmap.errors import ContentError, DamagedContentError

WHOLE = mirror.nifti_bytes()


def check(tmp_path, content, kind="imaging"):
    path = tmp_path / "imaging.nii.gz.part"
    path.write_bytes(content)
    return hash_checked(path, kind, "case_00000")


def test_a_whole_file_is_hashed(tmp_path):
    assert check(tmp_path, WHOLE) == hashlib.sha256(WHOLE).hexdigest()


def test_a_file_of_several_gzip_members_and_padding_is_whole(tmp_path):
    plain = gzip.decompress(WHOLE)
    content = gzip.compress(plain[:1000]) + gzip.compress(plain[1000:]) + bytes(512)
    assert check(tmp_path, content) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("kept", [100, len(WHOLE) // 2, len(WHOLE) - 4])
def test_a_file_that_is_cut_short_is_damaged(tmp_path, kept):
    with pytest.raises(DamagedContentError, match="case_00000: the file is truncated"):
        check(tmp_path, WHOLE[:kept])


@pytest.mark.parametrize("place", [len(WHOLE) // 2, -6, -1])
def test_a_wrong_byte_is_found(tmp_path, place):
    content = bytearray(WHOLE)
    content[place] ^= 0x55
    with pytest.raises(DamagedContentError):
        check(tmp_path, bytes(content))


def test_what_follows_the_last_member_is_damage(tmp_path):
    with pytest.raises(DamagedContentError, match="damaged"):
        check(tmp_path, WHOLE + b"more of something else")


def test_an_image_without_its_last_voxels_is_damaged_though_gzip_is_content(tmp_path):
    with pytest.raises(DamagedContentError, match="ends before its voxels do"):
        check(tmp_path, gzip.compress(gzip.decompress(WHOLE)[:-1]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (mirror.HTML, "web page"),
        (b"\n  <html><body>502</body></html>", "web page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "web page"),
        (mirror.LFS_POINTER, "Git LFS pointer"),
        (b"", "not a gzip file"),
        (b"plain text", "not a gzip file"),
        (gzip.decompress(WHOLE), "not a gzip file"),
        (gzip.compress(mirror.HTML * 10, mtime=0), "does not contain a NIfTI image"),
        (gzip.compress(b"short", mtime=0), "does not contain a NIfTI image"),
    ],
)
def test_what_is_not_the_file_is_named(tmp_path, content, message):
    with pytest.raises(ContentError, match=message) as caught:
        check(tmp_path, content)
    assert not isinstance(caught.value, DamagedContentError)


def test_a_table_is_a_list_of_cases(tmp_path):
    content = json.dumps([{"case_id": "case_00000"}]).encode()
    assert check(tmp_path, content, "table") == hashlib.sha256(content).hexdigest()
    for wrong in (b"{}", b"[]", mirror.HTML, mirror.LFS_POINTER):
        with pytest.raises(ContentError):
            check(tmp_path, wrong, "table")
    with pytest.raises(DamagedContentError, match="not JSON"):
        check(tmp_path, content[:-3], "table")


@pytest.mark.parametrize("image", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("endianness", ["<", ">"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64])
def test_the_length_is_as_nibabel_writes_it(image, endianness, dtype):
    header = image.header_class(endianness=endianness)
    content = image(np.zeros((5, 4, 3), dtype), np.eye(4), header).to_bytes()
    assert nifti_bytes(content[:540]) == len(content)
