"""The overview picture, read back from its PNG."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from renalmap.errors import GeometryMismatchError, InputError
from renalmap.imaging.volume import Geometry, LabelMap, SourceGrid, Volume
from renalmap.report import draw_overview
from renalmap.report.palette import KIDNEY_COLOUR, TUMOUR_COLOUR

HEADER_PX = 160
LEGEND_LEFT_PX = 1370
NO_KIDNEY_COLOUR = "#F0E442"


def without(labels: LabelMap, *values: int) -> LabelMap:
    array = np.where(np.isin(labels.labels, values), 0, labels.labels).astype(np.uint8)
    return LabelMap(array, labels.geometry, labels.name)


def slab(scan: Volume, labels: LabelMap, slices: slice) -> tuple[Volume, LabelMap]:
    hu, marked = scan.hu[slices], labels.labels[slices]
    shape = (hu.shape[0], hu.shape[1], hu.shape[2])
    source = SourceGrid(shape, scan.geometry.affine)
    geometry = Geometry(shape, scan.geometry.spacing_mm, scan.geometry.affine, source)
    return Volume(hu, geometry), LabelMap(marked, geometry)


def test_both_outlines_appear_in_all_three_views(scan, labels, tmp_path, read_png, near):
    draw_overview(scan, labels, tmp_path / "overview.png", title="A phantom")
    pixels = read_png(tmp_path / "overview.png")
    assert pixels.shape[1] == 2250
    assert 700 < pixels.shape[0] < 1500
    for colour in (KIDNEY_COLOUR, TUMOUR_COLOUR):
        columns = near(pixels[HEADER_PX:], colour).any(axis=0)
        assert columns[:800].any()
        assert columns[1700:].any()
    assert near(pixels[HEADER_PX:], KIDNEY_COLOUR)[:, 850:1600].any()
    assert [path.name for path in tmp_path.iterdir()] == ["overview.png"]


def test_outlines_lie_on_the_labels_and_nowhere_else(scan, labels, tmp_path, read_png, near):
    draw_overview(scan, labels, tmp_path / "both.png")
    draw_overview(scan, without(labels, 2), tmp_path / "kidney.png")
    assert not near(read_png(tmp_path / "kidney.png"), TUMOUR_COLOUR).any()
    axial = read_png(tmp_path / "both.png")[HEADER_PX:, :800]
    kidney, tumour = near(axial, KIDNEY_COLOUR), near(axial, TUMOUR_COLOUR)
    gap = np.flatnonzero(np.diff(np.flatnonzero(kidney.any(axis=0))) > 60)
    assert gap.size == 1
    # The patient's right kidney, which has the tumour, is on the left of the picture.
    assert np.flatnonzero(tumour.any(axis=0)).max() < np.flatnonzero(kidney.any(axis=0))[gap[0] + 1]
    # An outline is a line: its inside stays visible.
    assert kidney.mean() < 0.05


def test_proportions_follow_the_spacing(scan, labels, tmp_path, read_png, near):
    draw_overview(scan, labels, tmp_path / "overview.png")
    tumour = near(read_png(tmp_path / "overview.png")[HEADER_PX:, :800], TUMOUR_COLOUR)
    rows, columns = (np.flatnonzero(tumour.any(axis=axis)) for axis in (1, 0))
    # 8 by 10 voxels of 2 mm in the axial plane, and 6 slices of 4 mm by 8 rows in the sagittal one.
    assert np.ptp(rows) / np.ptp(columns) == pytest.approx(0.8, rel=0.1)
    sagittal = near(read_png(tmp_path / "overview.png")[HEADER_PX:, 1600:], TUMOUR_COLOUR)
    rows, columns = (np.flatnonzero(sagittal.any(axis=axis)) for axis in (1, 0))
    assert np.ptp(rows) / np.ptp(columns) == pytest.approx(24 / 16, rel=0.1)


def test_the_head_is_on_top(scan, labels, tmp_path, read_png, near):
    draw_overview(scan, without(labels, 2), tmp_path / "overview.png")
    coronal = near(read_png(tmp_path / "overview.png")[HEADER_PX:, 820:1560], KIDNEY_COLOUR)
    left, right = (np.flatnonzero(half.any(axis=1)) for half in np.hsplit(coronal, 2))
    # In the phantom the left kidney, on the right of the picture, lies four slices higher.
    assert left.min() > right.min() + 5
    assert left.max() > right.max() + 5


def test_no_kidney_is_said_in_the_picture(scan, labels, tmp_path, read_png, near):
    draw_overview(scan, without(labels, 1, 2), tmp_path / "none.png")
    draw_overview(scan, labels, tmp_path / "some.png")
    pixels = read_png(tmp_path / "none.png")
    assert near(pixels[:HEADER_PX], NO_KIDNEY_COLOUR).sum() > 500
    assert not near(read_png(tmp_path / "some.png"), NO_KIDNEY_COLOUR).any()
    assert not near(pixels, KIDNEY_COLOUR).any()
    assert pixels[HEADER_PX:].std() > 10


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_scan_of_few_slices_is_drawn(scan, labels, tmp_path, read_png, near, count):
    few_scan, few_labels = slab(scan, labels, slice(24, 24 + count))
    draw_overview(few_scan, few_labels, tmp_path / "few.png")
    assert near(read_png(tmp_path / "few.png")[HEADER_PX:], TUMOUR_COLOUR).any()


def test_labels_up_to_the_border_have_a_closed_outline(scan, labels, tmp_path, read_png, near):
    everything = LabelMap(np.ones_like(labels.labels), labels.geometry)
    draw_overview(scan, everything, tmp_path / "all.png")
    assert near(read_png(tmp_path / "all.png")[HEADER_PX:, :800], KIDNEY_COLOUR).sum() > 1000


def test_a_float_scan_is_drawn(scan, labels, tmp_path, read_png):
    floats = Volume(scan.hu.astype(np.float32), scan.geometry)
    draw_overview(floats, labels, tmp_path / "float.png")
    draw_overview(scan, labels, tmp_path / "int.png", title="scan")
    assert np.array_equal(read_png(tmp_path / "float.png"), read_png(tmp_path / "int.png"))


def test_labels_of_another_grid_are_refused_and_nothing_is_written(scan, labels, tmp_path):
    other, _ = slab(scan, labels, slice(0, 30))
    with pytest.raises(GeometryMismatchError, match=r"\(30, 100, 140\)"):
        draw_overview(other, labels, tmp_path / "overview.png")
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_an_error(scan, labels, tmp_path):
    with pytest.raises(InputError, match=r"nowhere.*cannot be written"):
        draw_overview(scan, labels, tmp_path / "nowhere" / "overview.png")


@pytest.mark.parametrize("title", ["", "a very long file name " * 20, "名前\n\tŁódź\x07"])
def test_any_title_leaves_the_legend_alone(scan, labels, tmp_path, read_png, title):
    draw_overview(scan, labels, tmp_path / "titled.png", title=title)
    draw_overview(scan, labels, tmp_path / "plain.png", title="x")
    titled, plain = read_png(tmp_path / "titled.png"), read_png(tmp_path / "plain.png")
    legend = np.s_[:HEADER_PX, LEGEND_LEFT_PX:]
    assert np.array_equal(titled[legend], plain[legend])
    assert np.array_equal(titled[HEADER_PX:], plain[HEADER_PX:])


def test_matplotlib_is_not_needed(scan, labels, tmp_path, monkeypatch, read_png):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    draw_overview(scan, labels, tmp_path / "overview.png")
    assert read_png(tmp_path / "overview.png").std() > 10


def test_the_same_input_gives_the_same_bytes(scan, labels, tmp_path):
    for name in ("a.png", "b.png"):
        draw_overview(scan, labels, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
