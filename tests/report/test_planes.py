"""The choice of planes and of what is shown of them."""

from __future__ import annotations

import numpy as np
import pytest

from renalmap.imaging.volume import Geometry, LabelMap, SourceGrid, Volume
from renalmap.report.planes import choose_planes, visible_window


def relabelled(labels: LabelMap, array: np.ndarray) -> LabelMap:
    return LabelMap(array.astype(np.uint8), labels.geometry, labels.name)


def test_axial_and_sagittal_go_through_the_tumour(labels):
    planes = choose_planes(labels)
    assert 22 <= planes.axial < 28
    # Not 26 to 29, where there is as much tumour but no kidney.
    assert 30 <= planes.sagittal < 36


def test_without_tumour_they_go_through_the_largest_kidney_section(labels):
    array = np.minimum(labels.labels, 1)
    array[20, 40:80, 92:110] = 1
    planes = choose_planes(relabelled(labels, array))
    assert planes.axial == 20
    assert 92 <= planes.sagittal < 110


def test_coronal_cuts_both_kidneys_even_beside_a_huge_tumour(labels):
    array = labels.labels.copy()
    array[2:38, 20:50, 20:60] = 2
    coronal = choose_planes(relabelled(labels, array)).coronal
    assert (array[:, coronal, :70] > 0).any()
    assert (array[:, coronal, 70:] > 0).any()


def test_a_single_kidney_is_met_by_all_planes(labels):
    array = labels.labels.copy()
    array[..., 70:] = 0
    planes = choose_planes(relabelled(labels, array))
    for axis, index in enumerate(planes.indices_zyx):
        assert (np.take(array, index, axis) > 0).any()


def test_nothing_labelled_gives_the_middle(labels):
    planes = choose_planes(relabelled(labels, np.zeros_like(labels.labels)))
    assert planes.indices_zyx == (20, 50, 70)


def test_the_window_is_the_body_without_air_and_table(scan, labels):
    hu = scan.hu.copy()
    hu[:, 96:98, 10:130] = 500
    with_table = Volume(hu, scan.geometry)
    planes = choose_planes(labels)
    (low_z, high_z), (low_y, high_y), (low_x, high_x) = visible_window(with_table, labels, planes)
    assert (low_z, high_z) == (0, 40)
    assert 0 < low_y <= 14
    assert 86 <= high_y < 98
    assert 0 < low_x <= 16
    assert 124 <= high_x < 140


def test_a_tall_scan_is_cut_to_the_kidneys(scan, labels):
    shape = (300, 100, 140)
    geometry = Geometry(
        shape, scan.geometry.spacing_mm, scan.geometry.affine, SourceGrid(shape, np.eye(4))
    )
    array = np.zeros(shape, dtype=np.uint8)
    array[200:240] = labels.labels
    tall = Volume(np.broadcast_to(scan.hu[0], shape).copy(), geometry)
    tall_labels = LabelMap(array, geometry)
    (low, high), _, _ = visible_window(tall, tall_labels, choose_planes(tall_labels))
    assert 180 < low < 214
    assert 234 < high < 260


@pytest.mark.parametrize("index", [0, 39])
def test_air_only_shows_everything_and_the_planes_lie_inside(scan, labels, index):
    array = np.zeros_like(labels.labels)
    array[index, 0, 0] = 1
    air = Volume(np.full_like(scan.hu, -1000), scan.geometry)
    marked = relabelled(labels, array)
    planes = choose_planes(marked)
    window = visible_window(air, marked, planes)
    assert window[1:] == ((0, 100), (0, 140))
    for (low, high), plane in zip(window, planes.indices_zyx, strict=True):
        assert low <= plane < high
