"""Both formats keep what they are given, and an unfinished store says so."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from renalmap.dataset.store import (
    CaseEntry,
    Store,
    StoreFormat,
    read_entries,
    slice_store,
    write_entry,
)
from renalmap.errors import StoreError

FORMATS: tuple[StoreFormat, ...] = ("npz", "blosc2")


def numbered(hu: np.ndarray, labels: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    yield from zip(range(len(hu)), hu, labels, strict=True)


@pytest.mark.parametrize("store_format", FORMATS)
def test_slices_come_back_as_they_were(tmp_path: Path, draw_pixels, store_format):
    hu, labels = draw_pixels(0)
    hu[0, 0, :2] = (-32768, 32767)
    slices = slice_store(tmp_path, store_format)
    slices.write_case("a", numbered(hu.astype(np.float32), labels), expected=4)
    for index in (3, 0, 2, 1):
        got_hu, got_labels = slices.read("a", index)
        np.testing.assert_array_equal(got_hu, hu[index])
        np.testing.assert_array_equal(got_labels, labels[index])
        assert got_labels.dtype == np.uint8


def test_npz_keeps_float32_and_blosc2_int16_rounded(tmp_path: Path, draw_pixels):
    hu, labels = draw_pixels(0)
    fractions = hu.astype(np.float32) + np.float32(0.3)
    fractions[0, 0, 0] = 1e6
    for store_format in FORMATS:
        slice_store(tmp_path / store_format, store_format).write_case(
            "a", numbered(fractions, labels), expected=4
        )
    npz, _ = slice_store(tmp_path / "npz", "npz").read("a", 0)
    blosc2, _ = slice_store(tmp_path / "blosc2", "blosc2").read("a", 0)
    assert npz.dtype == np.float32
    assert blosc2.dtype == np.int16
    np.testing.assert_array_equal(npz, fractions[0])
    assert blosc2[0, 0] == 32767
    np.testing.assert_array_equal(blosc2[1:], hu[0, 1:])


def test_blosc2_is_read_by_many_threads_at_once(tmp_path: Path, draw_pixels):
    hu, labels = draw_pixels(0, slices=16, rows=256, columns=256)
    slices = slice_store(tmp_path, "blosc2")
    slices.write_case("a", numbered(hu, labels), expected=16)
    expected = [hashlib.sha256(one.tobytes()).digest() for one in hu]

    def agrees(number: int) -> bool:
        got, _ = slices.read("a", number % 16)
        return hashlib.sha256(np.ascontiguousarray(got).tobytes()).digest() == expected[number % 16]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(agrees, range(160)))


@pytest.mark.parametrize("store_format", FORMATS)
def test_an_interrupted_case_leaves_no_half_slice(tmp_path: Path, draw_pixels, store_format):
    hu, labels = draw_pixels(0)

    def broken() -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        yield 0, hu[0], labels[0]
        yield 1, hu[1], labels[1]
        raise KeyboardInterrupt

    slices = slice_store(tmp_path, store_format)
    with pytest.raises(KeyboardInterrupt):
        slices.write_case("a", broken(), expected=4)
    assert not (tmp_path / "slices" / "a" / "hu.b2nd").exists()
    slices.write_case("a", numbered(hu, labels), expected=4)
    got = np.stack([slices.read("a", index)[0] for index in range(4)])
    np.testing.assert_array_equal(got, hu)


def test_too_few_slices_are_an_error(tmp_path: Path, draw_pixels):
    with pytest.raises(StoreError, match="got 4; expected 5"):
        slice_store(tmp_path, "npz").write_case("a", numbered(*draw_pixels(0)), expected=5)


def test_entries_are_sorted_and_survive_their_files(tmp_path: Path):
    entries = [
        CaseEntry(
            case_id=name,
            patient="p",
            shape=(64, 64),
            spacing_mm=None,
            z_indices=(0, 5),
            kidney_pixels=(0, 7),
            tumour_pixels=(0, 1),
            min_hu=-1000.5,
            p01_hu=-1000,
            p50_hu=0,
            p99_hu=300,
            max_hu=1200,
            outlier=False,
            volume_mean_deviation_hu=(-20.25, 130.125),
        )
        for name in ("b", "a")
    ]
    for entry in entries:
        write_entry(tmp_path, entry)
    assert read_entries(tmp_path) == (entries[1], entries[0])
    (tmp_path / "cases" / "b.json").write_text("{}", encoding="utf-8")
    with pytest.raises(StoreError, match="record cannot be read"):
        read_entries(tmp_path)


def test_a_folder_that_is_no_store_is_an_error(tmp_path: Path):
    with pytest.raises(StoreError, match=r"not a prepared store.*Run `renalmap prepare`"):
        Store.open(tmp_path)
