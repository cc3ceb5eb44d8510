"""Archives: read as the folder would be, and nothing that is unsafe."""

from __future__ import annotations

import pickle
import stat
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from tests.imaging.conftest import source_of

from renalmap.errors import TooLargeError, TruncatedFileError, UnreadableImageError, UnsafeArchiveError
from renalmap.imaging import read_geometry, read_label_map, read_volume
from renalmap.imaging.dicom_files.archive import Archive, ArchiveLimits

MIB = 2**20


@pytest.fixture
def archive_of(tmp_path):
    """A function that makes an archive of (name or ZipInfo, bytes)."""

    def make(*members, compression=zipfile.ZIP_DEFLATED):
        path = tmp_path / "study.zip"
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, content in members:
                archive.writestr(name, content, compress_type=compression)
        return path

    return make


def change(path, find, replace):
    """Change bytes of an archive, in the local and in the central header alike."""
    content = path.read_bytes()
    assert content.count(find) >= 1
    path.write_bytes(content.replace(find, replace))


def test_an_archive_reads_as_its_folder(write_series, pack, monkeypatch, tmp_path):
    folder = write_series([2.0, 0.0, 1.0])
    archive = pack(folder)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "elsewhere"))

    volume, expected = read_volume(archive), read_volume(folder)

    np.testing.assert_array_equal(volume.hu, expected.hu)
    assert volume.name == "series"
    assert volume.geometry.matches(expected.geometry, tolerance_mm=0.0)
    assert read_geometry(archive).matches(expected.geometry, tolerance_mm=0.0)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_members_source_stays_readable_also_in_another_process(write_series, pack):
    archive = pack(write_series([0.0, 1.0, 2.0]))
    source = pickle.loads(pickle.dumps(source_of(read_volume(archive))))
    for z, instance in enumerate(source.instances):
        assert str(instance.file) == f"{archive}/series/slice{z:03}.dcm"
        dataset = instance.file.read_dataset()
        assert dataset.SOPInstanceUID == instance.sop_instance_uid
        assert dataset.ImagePositionPatient[2] == instance.position_mm[2] == z


def test_what_macos_packs_along_is_left_out(write_series, pack):
    folder = write_series([0.0, 1.0])
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "._slice000.dcm").write_bytes(b"fork")
    (folder / ".DS_Store").write_bytes(b"settings")
    archive = pack(folder)
    assert Archive(archive).members == ("series/slice000.dcm", "series/slice001.dcm")
    assert read_volume(archive).hu.shape[0] == 2


@pytest.mark.parametrize(
    "name", ["../outside.dcm", "a/../../b.dcm", "/etc/slice.dcm", "C:/slice.dcm", "a\\..\\..\\b.dcm"]
)
def test_a_name_that_leads_out_is_refused(archive_of, tmp_path, name):
    path = archive_of(("inside.dcm", b"x"), (name, b"x"))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UnsafeArchiveError, match="leads out of the archive") as caught:
        read_volume(path)
    assert caught.value.exit_code == 2
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO])
def test_a_link_is_refused(archive_of, kind):
    link = zipfile.ZipInfo("slice.dcm")
    link.create_system = 3
    link.external_attr = (kind | 0o777) << 16
    with pytest.raises(UnsafeArchiveError, match=r"a link or a device.*slice\.dcm"):
        read_volume(archive_of((link, "/etc/passwd")))


def test_an_encrypted_member_is_refused(archive_of):
    path = archive_of(("secret.dcm", b"x" * 40))
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x03\x04") + 6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(UnsafeArchiveError, match=r"encrypted.*secret\.dcm"):
        read_volume(path)


def test_an_archive_within_is_refused_by_name(archive_of):
    with pytest.raises(UnsafeArchiveError, match=r"archive within the archive.*series4\.ZIP"):
        read_volume(archive_of(("series4.ZIP", b"PK")))


def test_another_packing_than_deflate_is_refused(archive_of):
    with pytest.raises(UnsafeArchiveError, match=r"not compressed with deflate.*a\.dcm"):
        read_volume(archive_of(("a.dcm", b"x"), compression=zipfile.ZIP_LZMA))


def test_two_members_of_one_name_are_refused(archive_of):
    path = archive_of(("a.dcm", b"x"), ("b.dcm", b"y"))
    change(path, b"b.dcm", b"a.dcm")
    with pytest.raises(UnsafeArchiveError, match=r"two members have one name.*a\.dcm"):
        read_volume(path)


def test_a_bomb_is_refused_by_what_it_declares(archive_of):
    path = archive_of(("bomb.dcm", bytes(80 * MIB)))
    assert path.stat().st_size < MIB
    tracemalloc.start()
    with pytest.raises(UnsafeArchiveError, match="83886080 bytes out of"):
        read_volume(path)
    assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    tracemalloc.stop()


def test_many_small_bombs_are_one(archive_of):
    path = archive_of(*((f"{number}.dcm", bytes(20 * MIB)) for number in range(4)))
    with pytest.raises(UnsafeArchiveError, match="the archive unpacks to more"):
        read_volume(path)


def test_a_bomb_that_declares_too_little_unpacks_no_more_than_that(archive_of):
    path = archive_of(("bomb.dcm", bytes(80 * MIB)))
    change(path, struct.pack("<I", 80 * MIB), struct.pack("<I", 1000))
    archive = Archive(path)
    tracemalloc.start()
    with pytest.raises(TruncatedFileError, match="larger than the archive says"):
        archive.read("bomb.dcm")
    assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"members": 1}, "too many files"),
        ({"member_bytes": 999}, r"'1\.dcm' unpacks to too much"),
        ({"total_bytes": 1999}, "the archive unpacks to too much"),
    ],
)
def test_sizes_are_limited_whatever_the_ratio(archive_of, limits, message):
    noise = np.random.default_rng(0).bytes(1000)
    path = archive_of(("1.dcm", noise), ("2.dcm", noise))
    assert len(Archive(path, ArchiveLimits(2, 1000, 2000)).members) == 2
    with pytest.raises(UnsafeArchiveError, match=message):
        Archive(
            path, ArchiveLimits(**{"members": 2, "member_bytes": 1000, "total_bytes": 2000} | limits)
        )


def test_air_packs_well_and_is_no_bomb(write_slice, tmp_path, pack):
    for number in range(2):
        write_slice(tmp_path / "air" / f"{number}.dcm", number, np.full((512, 512), -1000, np.int16))
    archive = pack(tmp_path / "air")
    assert archive.stat().st_size < 2 * 512 * 512 * 2 / 100
    assert (read_volume(archive).hu == -1000).all()


DEFLATED = b"\x02\x00\x10\x00UI\x16\x001.2.840.10008.1.2.1.99"
PRIVATE = b"\x02\x00\x02\x01OB\x00\x00" + struct.pack("<I", 5000) + bytes(5000)


def deflated_bomb(meta, group_length):
    """A file that claims a length of its file meta and unpacks to 80 MiB."""
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    length = b"\x02\x00\x00\x00UL\x04\x00" + struct.pack("<I", group_length)
    return bytes(128) + b"DICM" + length + meta + packed.compress(bytes(80 * MIB)) + packed.flush()


@pytest.mark.parametrize(
    ("name", "read", "meta", "group_length"),
    [
        ("slice.dcm", read_volume, DEFLATED, len(DEFLATED)),
        ("slice.dcm", read_geometry, DEFLATED, 1000),
        ("slice.dcm", read_volume, DEFLATED, 2**31),
        ("slice.dcm", read_volume, PRIVATE + DEFLATED, 5042),
        ("DICOMDIR", read_volume, DEFLATED, 1000),
        ("seg.dcm", read_label_map, PRIVATE + DEFLATED, 5042),
    ],
)
def test_a_deflated_dicom_file_may_be_a_bomb_too(tmp_path, name, read, meta, group_length):
    path = tmp_path / name
    path.write_bytes(deflated_bomb(meta, group_length))
    tracemalloc.start()
    with pytest.raises(
        (UnsafeArchiveError, TruncatedFileError), match="unpacks to more than a scan can"
    ):
        read(path)
    assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    tracemalloc.stop()


def test_a_member_much_larger_than_its_image_is_never_unpacked_whole(archive_of, write_slice, tmp_path):
    """At a ratio just below what counts as a bomb."""
    padded = write_slice(tmp_path / "slice.dcm", 0.0).read_bytes() + bytes(70 * MIB)
    noise = np.random.default_rng(0).bytes(MIB)
    path = archive_of(
        ("0.dcm", padded + noise), ("1.dcm", write_slice(tmp_path / "1.dcm", 1.0).read_bytes())
    )
    tracemalloc.start()
    with pytest.raises(TooLargeError, match=r"0\.dcm.*much larger than the image"):
        read_volume(path)
    assert tracemalloc.get_traced_memory()[1] < 16 * MIB
    tracemalloc.stop()


def test_no_archive_and_a_cut_one_are_refused(write_series, pack, tmp_path):
    (tmp_path / "words.zip").write_text("no archive")
    with pytest.raises(TruncatedFileError, match=r"words\.zip: this is not a zip archive"):
        read_volume(tmp_path / "words.zip")
    archive = pack(write_series([0.0, 1.0]))
    archive.write_bytes(archive.read_bytes()[:-30])
    with pytest.raises(TruncatedFileError, match="truncated"):
        read_volume(archive)


def test_a_damaged_member_is_refused_by_name(write_series, pack):
    folder = write_series([0.0, 1.0])
    with zipfile.ZipFile(folder.with_name("stored.zip"), "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
    path = folder.with_name("stored.zip")
    content = bytearray(path.read_bytes())
    at = content.rindex(b"\x01\x00" * 24)
    content[at] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(TruncatedFileError, match=r"stored\.zip/slice001\.dcm.*damaged"):
        read_volume(path)


def test_a_label_map_is_no_archive(write_series, pack):
    with pytest.raises(UnreadableImageError, match="a label map must be one file"):
        read_label_map(pack(write_series([0.0, 1.0])))
