"""Slices that cannot be read, at the end of a stack, where no gap shows that they are gone."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import MRImageStorage, SecondaryCaptureImageStorage, generate_uid

from renalmap.api.info import info
from renalmap.api.report import doubts_of
from renalmap.errors import MissingSliceError, PathMissingError
from renalmap.imaging import DicomChoice, read_geometry, read_volume
from renalmap.imaging.dicom.missing import _pattern

SLICES, GONE = 6, 2


@pytest.fixture
def series(tmp_path, write_slice):
    """Six slices numbered from 1; keywords change the two lowest."""

    def write(name="IM{:04}.dcm", **tags):
        for number in range(SLICES):
            ours = tags if number < GONE else {}
            write_slice(
                tmp_path / "series" / name.format(number + 1), 2.0 * number,
                **({"InstanceNumber": number + 1, "SeriesNumber": 2} | ours),
            )  # fmt: skip
        return tmp_path / "series"

    return write


def lowest(folder):
    return sorted(path for path in folder.iterdir() if path.is_file())[:GONE]


def spoil(folder, how):
    for path in lowest(folder):
        how(path)


def check_refused(folder, *named):
    """It is refused with the names, `info` says so, and the option takes the rest with a note."""
    with pytest.raises(MissingSliceError, match="slices of the series seem to be missing") as caught:
        read_volume(folder)
    with pytest.raises(MissingSliceError):
        read_geometry(folder)
    found = info(folder)
    assert found.kind == "dicom"
    volume = read_volume(folder, allow_missing_slices=True)
    assert volume.hu.shape[0] == SLICES - GONE
    (note,) = volume.notes
    for text in (str(caught.value), str(found.refusal), found.left_out[0], note):
        assert all(name in text for name in named), text
    allowed = info(folder, DicomChoice(allow_missing_slices=True))
    assert allowed.kind == "dicom"
    assert allowed.refusal is None


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("IM{:04}.dcm", b"", "empty"),
        ("1.2.840.{}.77", bytes(900), "not a DICOM file"),
        ("{:08}", b"<!DOCTYPE html><html></html>", "not a DICOM file"),
        (
            "E7A1B2C{:X}",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            "not a DICOM file",
        ),
    ],
    ids=["empty", "zeros", "html", "pointer"],
)
def test_files_named_like_slices_that_are_none(series, name, content, reason):
    folder = series(name)
    gone = lowest(folder)
    spoil(folder, lambda path: path.write_bytes(content))
    check_refused(folder, gone[0].name, gone[1].name, reason)


def test_files_of_the_slices_size_or_suffix(series):
    folder = series()
    size = lowest(folder)[0].stat().st_size
    for path, name in zip(lowest(folder), "ab", strict=True):
        path.rename(folder / name).write_bytes(bytes(size))
    check_refused(folder, ": a, b")
    for name in "ab":
        (folder / name).rename(folder / f"{name}.DCM").write_bytes(b"")
    check_refused(folder, ": a.DCM, b.DCM")


def test_what_does_not_look_like_a_slice_is_no_reason(series, write_slice):
    folder = series()
    for name, content in (("readme.txt", b"hello"), ("IM.html", bytes(9000)), ("1.json", b"{}")):
        (folder / name).write_bytes(content)
    (folder / "._IM0001.dcm").write_bytes(b"\0\5\x16\7")
    write_slice(folder / "dose.dcm", 0.0, SOPClassUID=SecondaryCaptureImageStorage, ImagePositionPatient=None,
                SeriesNumber=2, ImageType=["DERIVED", "SECONDARY"], InstanceNumber=7)  # fmt: skip
    volume = read_volume(folder)
    assert volume.hu.shape[0] == SLICES
    (note,) = volume.notes
    assert "left out of the series: 1 x image of it, secondary capture: dose.dcm" in note


def test_another_series_whose_files_are_gone_is_not_missed(series, write_slice):
    """One of which some slices are left, and one of which none are: it counts from the start."""
    folder = series()
    write_slice(folder.parent / "study" / "other" / "IM0007.dcm", 0.0, SeriesInstanceUID="1.2.3")
    shutil.move(folder, folder.parent / "study" / "series")
    for name, first in (("other", 8), ("third", 1)):
        (folder.parent / "study" / name).mkdir(exist_ok=True)
        for number in range(SLICES):
            (folder.parent / "study" / name / f"IM{first + number:04}.dcm").write_bytes(b"")
    volume = read_volume(folder.parent / "study")
    assert volume.hu.shape[0] == SLICES
    (note,) = volume.notes
    assert "left out of the series: 12 x file of another folder, empty: IM0008.dcm" in note


def test_a_folder_of_empty_files_that_counts_on_is_missed(series):
    folder = series()
    study = folder.parent / "study"
    (study / "part1").mkdir(parents=True)
    spoil(folder, lambda path: path.rename(study / "part1" / path.name).write_bytes(b""))
    shutil.move(folder, study / "part2")
    check_refused(study, "IM0001.dcm", "IM0002.dcm")


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"ImagePositionPatient": None}, "no ImagePositionPatient"),
        ({"ImageOrientationPatient": None}, "no ImageOrientationPatient"),
        ({"PixelSpacing": None}, "no PixelSpacing"),
        ({"Modality": "OT"}, "OT, not CT"),
        ({"Modality": "MR", "SOPClassUID": MRImageStorage}, "MR, not CT"),
        ({"SOPClassUID": SecondaryCaptureImageStorage}, "secondary capture"),
    ],
)
def test_images_of_the_series_that_are_no_slices_but_should_be(series, tags, reason):
    check_refused(series(**tags), "IM0001.dcm", "IM0002.dcm", reason)


def test_hidden_linked_and_dangling_slices(series, tmp_path):
    folder = series()
    spoil(folder, lambda path: path.rename(path.with_name(f".{path.name}")))
    check_refused(folder, ".IM0001.dcm", "hidden")

    away = tmp_path / "away"
    away.mkdir()
    spoil(folder, lambda path: path.rename(away / path.name[1:]))
    (folder / "part2").symlink_to(away)
    check_refused(folder, "IM0001.dcm", "behind a link to a folder")

    (folder / "part2").unlink()
    shutil.move(away, folder / ".part2")
    check_refused(folder, "IM0001.dcm", "hidden")

    for path in lowest(folder / ".part2"):
        (folder / path.name).symlink_to(tmp_path / "nowhere")
    shutil.rmtree(folder / ".part2")
    check_refused(folder, "IM0001.dcm", "not a file that can be opened")
    for name in ("IM0001.dcm", "IM0002.dcm"):
        (folder / name).unlink()
    os.mkfifo(folder / "IM0001.dcm")
    (folder / "IM0002.dcm").symlink_to("/dev/zero")
    check_refused(folder, "IM0001.dcm", "not a file that can be opened")


def test_copies_elsewhere_are_not_missed(series, tmp_path):
    folder = series()
    shutil.copytree(folder, folder / ".backup")
    (folder / "link").symlink_to(shutil.copytree(folder / ".backup", tmp_path / "copy"))
    assert read_volume(folder).notes == ()


def test_a_folder_that_may_not_be_read(series):
    """As another user: to the superuser every folder is open."""
    folder = Path(shutil.copytree(series(), Path(tempfile.mkdtemp()) / "series"))
    (folder / "part2").mkdir()
    spoil(folder, lambda path: shutil.move(path, folder / "part2"))
    try:
        folder.parent.chmod(0o755)
        (folder / "part2").chmod(0o700 if os.geteuid() == 0 else 0)
        if os.geteuid() == 0:
            os.seteuid(65534)
        with pytest.raises(
            PathMissingError, match=r"cannot be read, and may hold slices.*part2: Permission denied"
        ):
            read_volume(folder)
        found = info(folder)
        assert found.kind == "dicom"
        assert "part2: Permission denied" in str(found.refusal)
        volume = read_volume(folder, allow_missing_slices=True)
        assert volume.hu.shape[0] == SLICES - GONE
        assert "1 x folder that cannot be read" in volume.notes[0]
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        (folder / "part2").chmod(0o755)
        shutil.rmtree(folder.parent)


@pytest.mark.parametrize("number", [2, 3])
def test_one_scan_in_two_series(series, number):
    folder = series(SeriesInstanceUID=generate_uid(), SeriesNumber=number)
    check_refused(folder, "series that continues it", f"series {number}")
    longer = pydicom.dcmread(folder / "IM0006.dcm").SeriesInstanceUID
    volume = read_volume(folder, series=longer)
    assert volume.hu.shape[0] == SLICES - GONE
    assert "series that continues it" in volume.notes[0]


def test_a_series_of_another_part_or_kernel_does_not_continue_it(series):
    for change in ({"ConvolutionKernel": "Bl57f"}, {"Rows": 3}, {"FrameOfReferenceUID": "1.2"}):
        folder = series(SeriesInstanceUID="1.2.3", **change)
        assert read_volume(folder).notes == ()
        shutil.rmtree(folder)


def test_phases_half_a_gap_apart_do_not_continue_each_other(write_series):
    """By their thickness they might; each counts its slices by itself."""
    write_series([0.0, 4.0, 8.0], "a", SeriesNumber=1, SliceThickness=2, InstanceNumber=1)
    folder = write_series(
        [2.0, 6.0], "b", SeriesNumber=2, SeriesInstanceUID="1.2", SliceThickness=2, InstanceNumber=1
    )
    assert read_volume(folder).notes == ()


def test_every_other_slice_in_another_series_is_missed(tmp_path, write_slice):
    for number in range(7):
        write_slice(tmp_path / "series" / f"{number}.dcm", 2.0 * number, InstanceNumber=number,
                    SeriesInstanceUID=f"1.2.{number % 2}", ConvolutionKernel="B30f")  # fmt: skip
    with pytest.raises(MissingSliceError, match="series that continues it"):
        read_volume(tmp_path / "series")


def test_what_a_report_says_without_names(series):
    folder = series(ImagePositionPatient=None)
    volume = read_volume(folder, allow_missing_slices=True)
    assert "IM0001.dcm" in "".join(doubts_of(volume, anonymize=False))
    anonymous = doubts_of(volume, anonymize=True)
    assert "warnings, which name files" in anonymous[-1]
    assert "IM00" not in "".join(anonymous)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("IM0001.dcm", "im0013.DCM", True), ("1.2.840.1.dcm", "1.2.840.113.7.dcm", True),
        ("CT.1.2.3", "CT.1.2.9.4", True), ("I10", "I2", True), ("a.dcm", "b.dcm", False),
        ("IM0001.dcm", "IM0001.txt", False), ("slice (1).dcm", "slice (12).dcm", True),
        ("3F2A9C01", "00FFE2D3", True),
    ],
)  # fmt: skip
def test_names_of_one_pattern(one, other, same):
    assert (_pattern(one) == _pattern(other)) == same


def test_an_archive_beside_the_slices_is_named(series, pack):
    folder = series()
    pack(folder).rename(folder / "more.zip")
    (note,) = read_volume(folder).notes
    assert "not looked into: more.zip" in note
