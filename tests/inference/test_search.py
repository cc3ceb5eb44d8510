"""What stage 1 does not look at cannot hold a kidney."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from renalmap.inference.search import SliceSearch, search_pitch


def looked_at(shows, pitch, near):
    """The slices a search looks at, where `shows` tells which of them have foreground."""
    search = SliceSearch(len(shows), pitch, near)
    looked = []
    while pending := search.pending():
        for z in pending:
            looked.append(z)
            search.note(z, found=bool(shows[z]))
    assert len(set(looked)) == len(looked)
    return np.isin(np.arange(len(shows)), looked)


@given(
    shows=st.lists(st.booleans(), min_size=1, max_size=60),
    pitch=st.integers(1, 7),
    more=st.integers(0, 3),
)
def test_all_of_what_spans_the_pitch_is_found(shows, pitch, more):
    near = pitch - 1 + more
    looked = looked_at(shows, pitch, near)
    runs = np.flatnonzero(np.diff([0, *np.array(shows, int), 0])).reshape(-1, 2)
    for start, stop in runs:
        if stop - start >= pitch or stop == len(shows) or start == 0:
            assert looked[max(0, start - near) : stop + near].all()
    for z in np.flatnonzero(np.array(shows) & looked):
        assert looked[max(0, z - near) : z + near + 1].all()


def test_an_empty_scan_is_looked_at_every_few_slices_and_at_its_end():
    np.testing.assert_array_equal(np.flatnonzero(looked_at([0] * 12, 4, 3)), [0, 4, 8, 11])


def test_pitch_one_looks_at_all():
    assert looked_at([0] * 5, 1, 0).all()


def test_a_margin_below_the_pitch_would_leave_gaps():
    with pytest.raises(ValueError, match="near 2 is less than pitch - 1, 3"):
        SliceSearch(10, pitch=4, near=2)


@pytest.mark.parametrize(("spacing_mm", "pitch"), [(0.5, 20), (2.5, 4), (3.0, 3), (8.0, 1), (20.0, 1)])
def test_the_pitch_is_a_centimetre_at_most(spacing_mm, pitch):
    assert search_pitch(200, spacing_mm) == pitch


def test_a_short_scan_is_looked_at_everywhere():
    assert (search_pitch(49, 2.0), search_pitch(50, 2.0)) == (1, 5)
