from __future__ import annotations

import numpy as np
import pytest

from renalmap.imaging import Volume, build_geometry, doubt_hounsfield


def volume_spanning(low, high):
    hu = np.linspace(low, high, 64, dtype=np.float32).reshape(4, 4, 4)
    return Volume(hu, build_geometry((4, 4, 4), np.eye(4)), "scan_7")


@pytest.mark.parametrize(
    ("low", "high", "looks_like"),
    [
        (0, 1, "0..1"),
        (0, 255, "8-bit"),
        (10, 230, "8-bit"),
        (0, 4095, "1024 added"),
        (-150, 400, "no air"),
        (5, 5, "the same"),
        (-1024, 62512, "without its sign"),
    ],
)
def test_values_that_cannot_be_hu_are_described(low, high, looks_like):
    doubt = doubt_hounsfield(volume_spanning(low, high))
    assert doubt is not None
    assert looks_like in doubt.looks_like
    assert str(doubt).startswith(f"the values run from {low} to {high} and cannot be")
    assert doubt.warning("scan: 7") == f"scan: 7: {doubt}. Do not trust the result; give the original CT"


@pytest.mark.parametrize(("low", "high"), [(-1024, 3071), (-3024, 1500), (-1000, 240), (-6986, 18326)])
def test_a_real_span_raises_no_doubt(low, high):
    assert doubt_hounsfield(volume_spanning(low, high)) is None
