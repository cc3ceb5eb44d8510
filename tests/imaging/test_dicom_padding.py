"""Padding that would read as bone or metal becomes air; what could be tissue, and what reads as air, stays."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom import dcmread

from renalmap.imaging import doubt_hounsfield, read_volume

CIRCLE = np.array(
    [[0, 0, 1, 1, 0, 0], [0, 1, 1, 1, 1, 0], [0, 1, 1, 1, 1, 0], [0, 0, 1, 1, 0, 0]], np.bool_
)


def stored(padding: int, dtype: type[np.generic] = np.uint16) -> np.ndarray:
    """Soft tissue (1,060 is 36 HU) and air in a circle, padding around it."""
    pixels = np.full(CIRCLE.shape, 1060)
    pixels[1] = 24
    return np.where(CIRCLE, pixels, padding).astype(dtype)


@pytest.fixture
def read(tmp_path, write_slice):
    """A function that writes three slices of these pixels and reads them."""

    def read(pixels, **tags):
        for height_mm in (0.0, 3.0, 6.0):
            path = tmp_path / "series" / f"{height_mm:.0f}.dcm"
            write_slice(path, height_mm, pixels, **{"RescaleIntercept": -1024} | tags)
        return read_volume(tmp_path / "series")

    return read


@pytest.mark.parametrize(
    ("padding", "tags"),
    [
        (63536, {"PixelPaddingValue": 63536}),
        (65535, {"PixelPaddingValue": 32768, "PixelPaddingRangeLimit": 65535}),
        (40000, {"PixelPaddingValue": 65535, "PixelPaddingRangeLimit": 32768}),
        (4095, {"PixelPaddingValue": 4095}),
        (63536, {"PixelPaddingValue": 63536, "BitsStored": 12, "HighBit": 11}),
    ],
)
def test_declared_padding_that_is_bright_becomes_air(read, padding, tags):
    volume = read(stored(padding), **tags)
    assert volume.hu.dtype == np.int16
    np.testing.assert_array_equal(volume.hu[1][~CIRCLE], -1024)
    np.testing.assert_array_equal(volume.hu[1][CIRCLE], (stored(0).astype(int) - 1024)[CIRCLE])
    assert doubt_hounsfield(volume) is None


def test_a_padding_value_with_the_wrong_sign_means_the_same_bits(tmp_path, read):
    read(stored(63536))
    for path in (tmp_path / "series").iterdir():
        dataset = dcmread(path)
        dataset.add_new("PixelPaddingValue", "SS", -2000)
        dataset.save_as(path)
    assert read_volume(tmp_path / "series").hu.max() == 36


@pytest.mark.parametrize(
    ("padding", "dtype", "tags", "left_hu"),
    [
        (-2000, np.int16, {"PixelPaddingValue": -2000, "RescaleIntercept": 0}, -2000),
        (0, np.uint16, {"PixelPaddingValue": 0}, -1024),
        (1024, np.uint16, {"PixelPaddingValue": 1024}, 0),  # water
        (1060, np.uint16, {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 4000}, 36),
    ],
)
def test_other_padding_stays_as_it_is(read, padding, dtype, tags, left_hu):
    volume = read(stored(padding, dtype), **tags)
    np.testing.assert_array_equal(volume.hu[1][~CIRCLE], left_hu)


def test_undeclared_padding_without_its_sign_is_doubted(read):
    doubt = doubt_hounsfield(read(stored(63536)))
    assert doubt is not None
    assert "without its sign" in doubt.looks_like


def test_padding_is_air_also_where_the_stack_is_resampled(tmp_path, write_slice):
    for height_mm in (0.0, 3.0, 6.5, 9.0, 12.5):
        path = tmp_path / "series" / f"{height_mm}.dcm"
        write_slice(path, height_mm, stored(63536), RescaleIntercept=-1024, PixelPaddingValue=63536)
    assert read_volume(tmp_path / "series", resample=True).hu.max() <= 36
