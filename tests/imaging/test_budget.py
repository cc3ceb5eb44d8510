"""What a file only claims costs nothing: sizes are checked against the budget and against the file's own."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import resource
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless
from tests.fuzz.attacks import ELEMENT, ITEM, READS, crowded, nifti_of, write_study
from tests.fuzz.corpus import ct_slice, npz, seg

from renalmap.errors import (
    ConfigError,
    DatasetError,
    InputError,
    MissingSliceError,
    TooLargeError,
    TruncatedFileError,
    UnreadableImageError,
)
from renalmap.imaging import read_geometry, read_label_map, read_volume
from renalmap.imaging.arrays import read_npz
from renalmap.imaging.budget import (
    MEMORY_VARIABLE,
    read_budget,
    read_budget_bytes,
    total_memory_bytes,
)
from renalmap.imaging.dicom.pixels import stated_size

GIB = 2**30


CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"


@pytest.mark.parametrize("case", sorted(CASES.glob("attack_*")), ids=lambda path: path.name)
def test_the_published_attacks_are_read_or_refused_and_cost_nothing(case):
    path = case / "study" if (case / "study").is_dir() else next(case.glob("*.[nd]*"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for read in READS.values():
        with contextlib.suppress(InputError):
            read(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kilobytes


def test_the_budget_is_a_quarter_of_what_the_process_may_have(tmp_path, monkeypatch):
    monkeypatch.delenv(MEMORY_VARIABLE, raising=False)
    for name, text in (
        ("proc/meminfo", f"MemTotal: {16 * 2**20} kB\n"),
        ("proc/self/cgroup", "0::/job/step\n"),
        ("sys/fs/cgroup/job/memory.max", f"{8 * GIB}\n"),
        ("sys/fs/cgroup/job/memory.current", f"{7 * GIB}\n"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert total_memory_bytes(tmp_path) == 8 * GIB  # of the group above, however much is in use
    total_memory_bytes.cache_clear()
    assert read_budget_bytes() == min(total_memory_bytes() // 4, 16 * GIB)
    with read_budget(1.5):
        assert read_budget_bytes() == 1_500_000_000
        with read_budget(None):
            assert read_budget_bytes() == 1_500_000_000
    assert MEMORY_VARIABLE not in os.environ
    monkeypatch.setenv(MEMORY_VARIABLE, "much")
    with pytest.raises(ConfigError, match="RENALMAP_MEMORY_GB is not a size"):
        read_budget_bytes()


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("shape", [(32767, 32767, 32767), (2000, 2000, 1), (32767, 32767, 1, 1)])
@pytest.mark.parametrize("read", [read_volume, read_label_map, read_geometry])
def test_a_nifti_header_cannot_claim_more_than_its_file_holds(tmp_path, name, shape, read):
    content = nifti_of(shape, voxels=bytes(100))
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    with pytest.raises(TruncatedFileError, match="that its header claims"):
        read(tmp_path / name)


def test_a_gzip_bomb_that_keeps_its_promise_is_no_scan(tmp_path):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(nifti_of((512, 512, 150), voxels=bytes(512 * 512 * 150 * 2)), 1))
    with pytest.raises(TooLargeError, match="unpacks to more than a scan can"):
        read_volume(path)
    with read_budget(0.03), pytest.raises(TooLargeError, match=r"0\.0786 GB; expected at most 0\.03 GB"):
        read_label_map(path)


def test_a_scan_that_turns_out_to_have_fractions_stays_within_the_budget(tmp_path):
    voxels = np.zeros((100, 100, 1000), np.float32)
    voxels[..., -1] = 0.5
    (tmp_path / "a.nii").write_bytes(nifti_of(voxels.shape, np.float32, voxels.tobytes("F")))
    with read_budget(0.05), pytest.raises(TooLargeError, match=r"0\.06 GB.*--memory-gb"):
        read_volume(tmp_path / "a.nii")
    with read_budget(0.07):
        assert read_volume(tmp_path / "a.nii").hu.dtype == np.float32


@pytest.mark.parametrize("syntax", [None, RLELossless, JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize("read", [read_volume, read_geometry])
def test_a_slice_cannot_claim_more_pixels_than_its_file_holds(tmp_path, syntax, read):
    def enlarge(dataset):
        if syntax is not None:
            dataset.compress(syntax)
        dataset.Rows = dataset.Columns = 65535

    with pytest.raises(TruncatedFileError, match=r"\.dcm: the file cannot hold the pixels"):
        read(write_study(tmp_path / "study", enlarge))


@pytest.mark.parametrize(
    ("syntax", "find", "replace"),
    [
        (JPEG2000Lossless, b"\0\0\0\x28\0\0\0\x24", b"\0\0\xea\x60\0\0\xea\x60"),
        (JPEG2000Lossless, b"\0\x01\x8f\x01\x01", b"\x40\0\x8f\x01\x01"),
        (JPEGLSLossless, b"\0\x24\0\x28", b"\xea\x60\xea\x60"),
    ],
    ids=["60,000 squared", "16,384 components", "JPEG-LS"],
)
def test_a_compressed_image_must_have_the_size_that_its_header_says(tmp_path, syntax, find, replace):
    """Decoders allocate what the codestream asks for."""

    def enlarge(dataset):
        dataset.compress(syntax)
        dataset.PixelData = dataset.PixelData.replace(find, replace, 1)
        assert replace in dataset.PixelData

    with pytest.raises(TruncatedFileError, match="the compressed image has size"):
        read_volume(write_study(tmp_path / "study", enlarge))


def test_the_size_of_an_image_within_boxes_is_found_behind_them():
    codestream = (
        b"\xff\x4f\xff\x51" + bytes(4) + bytes.fromhex("00000028000000240000000400000002") + bytes(18)
    )
    decoy = len(codestream) + 8
    boxed = (
        b"\0\0\0\x0cjP  \r\n\x87\n"
        + decoy.to_bytes(4, "big")
        + b"uuid"
        + codestream.replace(b"\x28", b"\x99")
    )
    assert stated_size(boxed + b"\0\0\0\0jp2c" + codestream) == (0x24 - 2, 0x28 - 4, 0)
    assert stated_size(b"\x89PNG") is None
    assert stated_size(b"\xff\xd8\xff") is None


def test_a_run_length_bomb_is_not_unpacked(tmp_path):
    def stuff(dataset):
        dataset.compress(RLELossless)
        header = np.array([2, 64, 64 + 500_000, *[0] * 13], "<u4").tobytes()
        dataset.PixelData = encapsulate([header + b"\x81\0" * 500_000])

    with pytest.raises(TruncatedFileError, match="longer than the image"):
        read_volume(write_study(tmp_path / "study", stuff))


def write_seg(path: Path, **tags: Any) -> Path:
    dataset = pydicom.dcmread(io.BytesIO(seg()))
    apart_mm = tags.pop("apart_mm", 2.5)
    if "Rows" in tags:  # of a body's size
        measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        measures.PixelSpacing = [0.06, 0.06]
    for name, value in tags.items():
        setattr(dataset, name, value)
    for number, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        frame.PlanePositionSequence[0].ImagePositionPatient = [-4, -4, apart_mm * number]
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_a_seg_asks_for_no_more_than_a_scans_grid(tmp_path):
    assert read_label_map(write_seg(tmp_path / "a.dcm")).labels.any()
    with pytest.raises(TruncatedFileError, match="3 x 40000 x 40000 pixels"), read_budget(1000):
        read_label_map(write_seg(tmp_path / "b.dcm", Rows=40000, Columns=40000))
    with pytest.raises(TooLargeError), read_budget(4):
        read_label_map(write_seg(tmp_path / "c.dcm", Rows=40000, Columns=40000))
    with pytest.raises(MissingSliceError, match="too far apart"):
        read_label_map(write_seg(tmp_path / "d.dcm", apart_mm=2.5e4))
    with pytest.raises(InputError):
        read_label_map(write_seg(tmp_path / "e.dcm", apart_mm=1e300))


def test_resampling_asks_for_no_more_than_the_budget(tmp_path):
    """Its even spacing is that of the nearest slices, which may lie far from the next."""
    heights_mm = iter((0.0, 0.06, 9.9))

    def place(dataset):
        dataset.ImagePositionPatient = [0, 0, next(heights_mm)]

    folder = write_study(tmp_path / "study", place)
    with read_budget(0.001), pytest.raises(TooLargeError, match=r"study: .* 0\.00\d+ GB"):
        read_volume(folder, resample=True)


@pytest.mark.parametrize("defined", [True, False])
@pytest.mark.parametrize("content", [ITEM, ELEMENT], ids=["items", "elements"])
def test_a_crowd_in_a_sequence_is_refused_before_it_is_parsed(tmp_path, content, defined):
    """Each takes eight bytes of a file, and hundreds when it is parsed."""
    path = tmp_path / "a.dcm"
    path.write_bytes(crowded(ct_slice(0), content, 20_000, defined=defined))
    for read in (read_volume, read_geometry):
        with pytest.raises(TooLargeError, match="larger than a scan's"), read_budget(0.006):
            read(path)


def test_a_label_map_may_be_no_larger_than_a_scan(tmp_path):
    """Packed at 1,000 to 1 it may be; with a scan of its size it is as large."""
    path = tmp_path / "labels.nii.gz"
    path.write_bytes(gzip.compress(nifti_of((300,) * 3, np.uint8) + bytes(300**3), 1))
    with pytest.raises(TooLargeError, match=r"0\.054 GB"), read_budget(0.05):
        read_label_map(path)
    with read_budget(0.06):
        assert not read_label_map(path).labels.any()


@pytest.mark.parametrize("is_undefined", [True, False])
def test_nested_sequences_are_an_error_or_passed_over(tmp_path, is_undefined):
    folder = write_study(tmp_path / "study", lambda _: None)
    nested = b""
    for _ in range(3000):
        length = b"\xff" * 4 if is_undefined else len(nested).to_bytes(4, "little")
        end = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0" if is_undefined else b""
        whole = b"\xff" * 4 if is_undefined else (len(nested) + 8).to_bytes(4, "little")
        nested = b"\x00\x52\x29\x92SQ\0\0" + whole + b"\xfe\xff\x00\xe0" + length + nested + end
    for path in folder.iterdir():
        content = path.read_bytes()
        at = content.index(b"\xe0\x7f\x10\0")
        path.write_bytes(content[:at] + nested + content[at:])
    try:
        assert read_volume(folder).hu.shape == (3, 36, 40)
    except TruncatedFileError as error:
        assert "the DICOM header is damaged" in str(error)  # noqa: PT017  (either will do)


@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.dcm", "study.zip", "DICOMDIR"])
@pytest.mark.parametrize("read", [read_volume, read_geometry, read_label_map])
def test_only_regular_files_are_opened(tmp_path, name, read):
    """A pipe waits for ever; a device never ends."""
    os.mkfifo(tmp_path / name)
    with pytest.raises(UnreadableImageError, match="not a regular file"):
        read(tmp_path / name)
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(UnreadableImageError, match="not a regular file"):
        read(tmp_path / name)


def test_a_pipe_among_slices_is_passed_over_unless_it_is_called_like_one(tmp_path):
    folder = write_study(tmp_path / "study", lambda _: None)
    os.mkfifo(folder / "pipe")
    (folder / "device").symlink_to("/dev/zero")
    assert read_volume(folder).hu.shape == (3, 36, 40)
    (folder / "3.dcm").symlink_to("/dev/zero")
    with pytest.raises(MissingSliceError, match=r"not a file that can be opened: 3\.dcm"):
        read_volume(folder)
    assert read_volume(folder, allow_missing_slices=True).hu.shape == (3, 36, 40)


def test_arrays_are_not_larger_than_they_say(tmp_path):
    def wrong(got: str) -> DatasetError:
        return DatasetError("wrong", got=got)

    (tmp_path / "a.npz").write_bytes(npz(hu=np.arange(6).reshape(2, 3), label=np.float64(2.5)))
    hu, label = read_npz(tmp_path / "a.npz", ("hu", "label"), wrong)
    np.testing.assert_array_equal(hu, np.arange(6).reshape(2, 3))
    assert label == 2.5
    header = (
        b"\x93NUMPY\x01\0\x76\0"
        + b"{'descr': '<f8', 'fortran_order': False, 'shape': (100000, 100000)}".ljust(117)
        + b"\n"
    )
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("hu.npy", header)
    with pytest.raises(DatasetError, match=r"\(100000, 100000\) float64 in 128 bytes"):
        read_npz(tmp_path / "b.npz", ("hu",), wrong)
    (tmp_path / "c.npz").write_bytes(npz(hu=np.zeros(2_000_000)))
    with read_budget(0.01), pytest.raises(TooLargeError):
        read_npz(tmp_path / "c.npz", ("hu",), wrong)
