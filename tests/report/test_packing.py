"""The viewer's copy of a scan: how far it is off, and what is left out of it."""

from __future__ import annotations

import base64
import zlib
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from renalmap.imaging.volume import LabelMap
from renalmap.report.html.grey import FINE_STEPS_HU, HuScale
from renalmap.report.html.packing import choose_packing, pack_greys, pack_labels


@pytest.mark.parametrize("step_hu", FINE_STEPS_HU)
def test_a_byte_is_as_exact_as_it_says(step_hu):
    scale = HuScale(step_hu)
    assert len(scale.values_hu) <= 256
    hu = np.arange(-1024, 1345, dtype=np.float32) + 0.25
    off_hu = np.abs(scale.values_hu[scale.to_bytes(hu)] - hu)
    fine = (hu >= -200) & (hu < 344)
    assert off_hu[fine].max() <= scale.error_hu == step_hu / 2
    assert scale.error_hu < off_hu[~fine].max() <= scale.coarse_error_hu


def test_values_beyond_the_scale_are_its_ends():
    scale = HuScale(4)
    assert scale.to_bytes(np.array([-32768, -1024, 3071, 32767], np.int16)).tolist() == [
        0,
        0,
        len(scale.values_hu) - 1,
        len(scale.values_hu) - 1,
    ]


def unpack(text, shape):
    """What viewer.js does, in its own order: pixel by pixel."""
    plane = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).reshape(shape).astype(int)
    for y in range(shape[0]):
        for x in range(shape[1]):
            left = plane[y, x - 1] if x else 0
            up = plane[y - 1, x] if y else 0
            plane[y, x] = (plane[y, x] + (left + up) // 2) % 256
    return plane


def test_a_slice_is_unpacked_to_the_very_bytes(contents):
    packing = choose_packing(contents.scan, contents.labels)
    cut = contents.scan.hu[20][packing.cut]
    text = list(pack_greys(contents.scan, packing))[20]
    assert (unpack(text, cut.shape) == packing.scale.to_bytes(cut)).all()


def test_labels_are_unpacked_to_the_very_labels_and_empty_slices_cost_nothing(contents):
    packing = choose_packing(contents.scan, contents.labels)
    texts = list(pack_labels(contents.labels, packing))
    assert texts[0] == ""
    cut = contents.labels.labels[24][packing.cut]
    assert zlib.decompress(base64.b64decode(texts[24])) == cut.tobytes()
    assert {1, 2} <= set(cut.ravel())


def test_a_small_scan_is_kept_whole_and_finest_without_the_air_around_the_body(contents):
    packing = choose_packing(contents.scan, contents.labels)
    assert packing.slices == tuple(range(40))
    assert packing.scale.step_hu == FINE_STEPS_HU[0]
    (top, bottom), (left, right) = packing.rows, packing.columns
    body = contents.scan.hu[20] > -500
    assert np.count_nonzero(body[top:bottom, left:right]) == np.count_nonzero(body)
    assert (bottom - top, right - left) == (81 + 6, 121 + 6)


def test_labels_outside_the_body_are_kept(contents):
    astray = contents.labels.labels.copy()
    astray[20, 1, 2] = 1
    packing = choose_packing(contents.scan, LabelMap(astray, contents.labels.geometry))
    assert packing.rows[0] == 0
    assert packing.columns[0] == 0


def test_a_limit_costs_first_grey_values_then_far_slices_then_every_second(contents):
    sizes, packings = [], []
    limit = 10**9
    for _ in range(16):
        packing = choose_packing(contents.scan, contents.labels, limit_bytes=limit)
        sizes.append(sum(map(len, pack_greys(contents.scan, packing))))
        packings.append(packing)
        limit = int(0.93 * sizes[-1])
    assert all(size <= 1.1 * 0.93 * before for before, size in pairwise(sizes))
    steps = [packing.scale.step_hu for packing in packings]
    assert list(dict.fromkeys(steps)) == [4, 6, 8]
    thinned = [len(packing.slices) for packing in packings]
    assert thinned[0] == 40
    assert thinned[-1] < 25
    last = packings[-1]
    assert abs(last.slices[last.nearest((24, 0, 0))[2]] - 24) <= last.slices[1] - last.slices[0]


def test_only_slices_far_from_the_kidneys_are_dropped_first(contents):
    geometry = replace(contents.scan.geometry, spacing_mm=(30.0, 2.0, 2.0))
    scan, labels = (
        replace(contents.scan, geometry=geometry),
        replace(contents.labels, geometry=geometry),
    )
    whole = choose_packing(scan, labels)
    coarse_bytes = sum(map(len, pack_greys(scan, replace(whole, scale=HuScale(8)))))
    packing = choose_packing(scan, labels, limit_bytes=int(0.9 * coarse_bytes))
    assert packing.slices == tuple(range(14 - 2, 34 + 2))
