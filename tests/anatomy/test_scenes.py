"""The hard scenes through every output: they must tell the same sides, volumes and counts."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from tests.api.series import write_series
from tests.measure.scene import Scene

from renalmap.anatomy import Anatomy
from renalmap.api.cohort.scan import CaseOutcome
from renalmap.api.cohort.table import write_table
from renalmap.api.mesh import write_meshes
from renalmap.api.result import Result
from renalmap.imaging import LabelMap, read_volume
from renalmap.imaging.connected import connected_parts
from renalmap.inference.cascade import Segmentation
from renalmap.inference.probability import RegionProbability
from renalmap.inference.quality import assess_quality
from renalmap.inspection import CaseInspection
from renalmap.inspection.masks import inspect_mask

SPACING_MM = (4.0, 2.5, 2.5)
RIGHT_MM, LEFT_MM = 80.0, 240.0
MIDDLE_MM = 160.0


def scene(right_mm: float | None = RIGHT_MM, left_mm: float | None = LEFT_MM) -> Scene:
    """Kidneys in a body whose middle lies at x 160 mm."""
    made = Scene(spacing_mm=SPACING_MM)
    for x_mm in (right_mm, left_mm):
        if x_mm is not None:
            made.kidney(x_mm)
    return made


def tumour_across() -> Scene:
    return scene(right_mm=None).draw(2, (100.0, 80.0, 170.0), 50.0)


def tumour_across_beside_another_kidney() -> Scene:
    return scene(right_mm=60.0).draw(2, (100.0, 80.0, 170.0), 50.0)


def one_kidney() -> Scene:
    return scene(left_mm=None).draw(2, (120.0, 70.0, 60.0), 14.0)


def horseshoe() -> Scene:
    made = scene(110.0, 210.0).draw(1, (60.0, 80.0, MIDDLE_MM), (12.0, 12.0, 60.0))
    return made.draw(2, (58.0, 80.0, 166.0), 22.0)


def pelvic_kidney() -> Scene:
    """The right one never rose: it lies low and near the midline, its tumour beyond it."""
    made = scene(right_mm=None).draw(1, (50.0, 60.0, 134.0), (35.0, 22.0, 24.0))
    return made.draw(2, (50.0, 60.0, 160.0), 17.0)


def transplant() -> Scene:
    made = scene(RIGHT_MM, LEFT_MM)
    made.labels[:24] = 0
    return made.draw(1, (45.0, 45.0, 70.0), (38.0, 24.0, 24.0)).draw(2, (50.0, 45.0, 50.0), 12.0)


def tumour_apart() -> Scene:
    """7.5 mm from the left kidney, most of it beyond the midline; another is not near any kidney."""
    made = scene(right_mm=60.0).draw(2, (100.0, 80.0, 156.0), 48.0)
    return made.draw(2, (180.0, 20.0, 250.0), 10.0)


def three_pieces() -> Scene:
    made = scene()
    for z in (18, 30):
        made.labels[z : z + 1, :, :64] = 0
    made.draw(2, (100.0, 80.0, 70.0), 10.0).draw(3, (100.0, 80.0, LEFT_MM), 12.0)
    made.labels[5, 5, 5] = 2  # a speck
    return made


@dataclass(frozen=True)
class Told:
    """What is to be told of a scene.

    Attributes:
        kidneys: their sides.
        tumours: their sides, the largest first.
        across: numbers of the lesions that cross the midline.
        flags: of the quality report, beside `no_contrast_phase_recognised`.
    """

    kidneys: tuple[str, ...]
    tumours: tuple[str, ...]
    across: tuple[int, ...] = ()
    flags: tuple[str, ...] = ()


SCENES: dict[Callable[[], Scene], Told] = {
    tumour_across: Told(("left",), ("left",), (1,), ("only_one_kidney_found", "lesion_crosses_midline")),
    tumour_across_beside_another_kidney: Told(
        ("left", "right"), ("left",), (1,), ("lesion_crosses_midline",)
    ),
    one_kidney: Told(("right",), ("right",), (), ("only_one_kidney_found",)),
    horseshoe: Told(("left", "right"), ("left",), (1,), ("crosses_midline", "lesion_crosses_midline")),
    pelvic_kidney: Told(("left", "right"), ("right",), (1,), ("lesion_crosses_midline",)),
    transplant: Told(("left", "right", "right"), ("right",), (), ("more_than_two_kidneys",)),
    tumour_apart: Told(
        ("left", "right"),
        ("left", "left"),
        (1,),
        ("lesion_crosses_midline", "lesion_without_kidney"),
    ),
    three_pieces: Told(("left", "right"), ("right",)),
}


@pytest.fixture(scope="module", params=SCENES, ids=lambda make: make.__name__)
def told_of(request, tmp_path_factory) -> tuple[Result, Told]:
    """A scene as a segmentation of a DICOM series, and what is to be told of it."""
    made = request.param()
    series = write_series(tmp_path_factory.mktemp("scene") / "series", made.scan().hu, SPACING_MM)
    volume = read_volume(series)
    label_map = LabelMap(made.labels, volume.geometry, "scene")
    anatomy = Anatomy.of(label_map, volume)
    assert anatomy.body is not None
    certain = {"kidney": made.labels > 0, "tumour": made.labels == 2}
    found = Segmentation(
        label_map,
        (),
        {},
        {
            name: RegionProbability((0, 0, 0), mask.astype(np.uint8) * np.uint8(255))
            for name, mask in certain.items()
        },
        anatomy.body,
    )
    quality = assess_quality(anatomy, found, None)
    return Result(volume, found, anatomy, quality, {}, "0" * 64), SCENES[request.param]


def by_side(pairs) -> dict[str, float]:
    """The sum of what there is on each side."""
    sums: dict[str, float] = {}
    for side, ml in pairs:
        sums[side] = sums.get(side, 0.0) + ml
    return sums


def expected_ml(result: Result) -> tuple[dict[str, float], dict[str, float]]:
    """Kidney and tumour by side, counted from the reading's voxels."""
    anatomy = result.anatomy
    kidneys = by_side((kidney.side, anatomy.ml(kidney.own)) for kidney in anatomy.kidneys)
    return kidneys, by_side((tumour.side, anatomy.ml([tumour.voxels])) for tumour in anatomy.tumours)


def test_the_reading_is_right(told_of):
    result, told = told_of
    anatomy, labels = result.anatomy, result.label_map.labels
    assert tuple(kidney.side for kidney in anatomy.kidneys) == told.kidneys
    assert tuple(tumour.side for tumour in anatomy.tumours) == told.tumours
    assert tuple(one.number for one in anatomy.lesions if one.crosses_midline) == told.across
    assert anatomy.midline.basis == "scan"
    for lesion in anatomy.lesions:
        kidney = anatomy.kidney_of(lesion)
        assert kidney is None or (kidney.side == lesion.side and lesion in anatomy.lesions_of(kidney))
    seen = np.zeros(labels.shape, int)
    for voxels in (
        *(tissue for kidney in anatomy.kidneys for tissue in kidney.own),
        *(one.voxels for one in (*anatomy.lesions, *anatomy.specks)),
    ):
        seen[voxels.box.slices] += voxels.inside
    np.testing.assert_array_equal(seen, labels > 0, "each labelled voxel belongs to one thing")


def test_the_quality_report_tells_it(told_of):
    result, told = told_of
    quality = result.quality
    kidneys, tumours = expected_ml(result)
    assert tuple(kidney.side for kidney in quality.kidneys) == told.kidneys
    assert tuple(tumour.side for tumour in quality.tumours) == told.tumours
    assert by_side((one.side, one.kidney_ml) for one in quality.kidneys) == pytest.approx(
        kidneys, abs=0.02
    )
    assert by_side((one.side, one.tumour_ml) for one in quality.tumours) == pytest.approx(
        tumours, abs=0.02
    )
    assert tuple(one.id for one in quality.tumours if one.crosses_midline) == told.across
    assert {"left", "right"} & {*told.kidneys} == {
        side for side, found in quality.kidneys_found.model_dump().items() if found
    }
    assert [each for each in quality.flags if each != "no_contrast_phase_recognised"] == list(told.flags)
    assert all(one.raw_score == 1.0 for one in quality.kidneys)


def test_the_measurements_tell_it(told_of):
    result, told = told_of
    measured = result.measurements
    kidneys, tumours = expected_ml(result)
    assert tuple(kidney.side for kidney in measured.kidneys) == told.kidneys
    assert tuple(tumour.side for tumour in measured.tumours) == told.tumours
    assert by_side((one.side, one.parenchyma_ml) for one in measured.kidneys) == pytest.approx(
        kidneys, abs=0.002
    )
    assert by_side((one.side, one.volume_ml) for one in measured.tumours) == pytest.approx(
        tumours, abs=0.002
    )
    assert tuple(one.id for one in measured.lesions if one.crosses_midline) == told.across
    for kidney, judged in zip(measured.kidneys, result.quality.kidneys, strict=True):
        assert (kidney.id, kidney.borders, kidney.pieces) == (
            judged.id,
            judged.borders,
            judged.components,
        )
        assert kidney.tumour_ml == pytest.approx(judged.tumour_ml, abs=0.006)
    owners = {one.id: one.kidney for one in measured.tumours}
    assert owners == {one.id: one.kidney for one in result.quality.tumours}


def test_the_nephrometry_tells_it(told_of):
    result, told = told_of
    scored = result.nephrometry
    assert tuple(one.side for one in scored.lesions) == told.tumours
    for lesion, measured in zip(scored.lesions, result.measurements.tumours, strict=True):
        assert (lesion.lesion, lesion.kidney) == (measured.id, measured.kidney)
        assert lesion.largest_diameter == measured.longest_axial_diameter
        assert (lesion.renal.total is None) == (lesion.kidney is None)
        share = next(one for one in lesion.renal.components if one.code == "E").value
        assert share == measured.exophytic_share


def test_the_dicom_seg_tells_it(told_of, tmp_path):
    result, _ = told_of
    seg = dcmread(result.save(tmp_path / "seg.dcm"))
    names = {each.SegmentNumber: each.SegmentLabel for each in seg.SegmentSequence}
    voxel_ml = result.label_map.geometry.voxel_ml
    found: dict[str, float] = {}
    for frame, pixels in zip(seg.PerFrameFunctionalGroupsSequence, seg.pixel_array, strict=True):
        name = names[frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber]
        found[name] = found.get(name, 0.0) + np.count_nonzero(pixels) * voxel_ml
    kidneys, tumours = expected_ml(result)
    for kind, expected in (("kidney", kidneys), ("kidney tumour", tumours)):
        named = {f"{side.capitalize()} {kind}": ml for side, ml in expected.items()}
        # The specks are in a SEG too, and nowhere else.
        assert {name: found[name] for name in named} == pytest.approx(named, abs=0.1)
    assert sum(found.values()) == pytest.approx(np.count_nonzero(result.label_map.labels) * voxel_ml)


def test_the_surfaces_tell_it(told_of, tmp_path):
    pytest.importorskip("skimage", reason="needs the extra mesh")
    pytest.importorskip("trimesh", reason="needs the extra mesh")
    result, _ = told_of
    report = write_meshes(result.anatomy, tmp_path, formats=("stl",))
    found = {one.structure: one.voxels_ml for one in report.structures}
    kidneys, _ = expected_ml(result)
    for one in report.structures:
        assert one.surface_ml == pytest.approx(one.voxels_ml, rel=0.02)
    named = by_side(
        (name.split("_")[0], ml) for name, ml in found.items() if name.partition("_")[2][:6] == "kidney"
    )
    assert named == pytest.approx(kidneys, abs=0.01)
    for lesion in result.measurements.lesions:
        assert found[f"{lesion.kind}_{lesion.id}"] == pytest.approx(lesion.volume_ml, abs=0.002)
    assert len(found) == len(result.anatomy.kidneys) + len(result.anatomy.lesions)
    assert report.left_out == len(result.anatomy.specks)


def rows_of(page: str) -> list[list[str]]:
    """Every row of the page's tables that has a head, as texts."""
    rows = re.findall(r'<tr[^>]*><th scope="row">(.*?)</tr>', page)
    return [
        [unescape(re.sub(r"<[^>]+>", "", cell)).strip() for cell in re.split(r"</t[hd]><td[^>]*>", row)]
        for row in rows
    ]


def test_the_pages_tables_tell_it(told_of, tmp_path):
    result, told = told_of
    page = result.save(tmp_path / "page.html").read_text(encoding="utf-8")
    rows = rows_of(page)
    kidneys, tumours = expected_ml(result)
    in_table = [row for row in rows if row[0].lower() in {"left", "right"}]
    assert tuple(row[0].lower() for row in in_table) == told.kidneys
    assert by_side((row[0].lower(), float(row[1])) for row in in_table) == pytest.approx(
        kidneys, abs=0.11
    )
    tumours_rows = [row for row in rows if row[0].startswith("Tumour")]
    lesions, scores = (tumours_rows[: len(told.tumours)], tumours_rows[len(told.tumours) :])
    assert [row[0] for row in scores] == [row[0] for row in lesions], "measured, then scored"
    assert tuple(row[0].split(", ")[1] for row in lesions) == told.tumours
    assert by_side((row[0].split(", ")[1], float(row[4])) for row in lesions) == pytest.approx(
        tumours, abs=0.11
    )
    shown = {row[0].split(",")[0]: row[-2] for row in lesions}
    assert shown == {
        f"Tumour {one.id}": f"{one.confidence:.2f}"  # the bundle does not calibrate tumours
        for one in result.quality.tumours
        if one.confidence is not None
    }
    listed = re.findall(r"<li.*?>(.*?)</li>", page)
    flags = [text for text in listed if "neither score was made" not in text]  # nephrometry's caveat
    assert sum("crosses the midline" in flag for flag in flags) == ("crosses_midline" in told.flags)
    assert sum("reaches across the midline" in flag for flag in flags) == len(told.across)
    assert sum("only the" in flag for flag in flags) == ("only_one_kidney_found" in told.flags)


def test_the_cohorts_row_tells_it(told_of, tmp_path):
    result, told = told_of
    case = CaseOutcome(
        scan="scan", status="ok", name="scene", quality=result.quality, nephrometry=result.nephrometry
    )
    write_table([case], tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(newline="") as handle:
        (row,) = csv.DictReader(handle)
    for kind, expected in zip(("kidney", "tumour"), expected_ml(result), strict=True):
        found = {side: row[f"{side}_{kind}_ml"] for side in ("left", "right")}
        assert {side: float(ml) for side, ml in found.items() if ml and float(ml)} == pytest.approx(
            expected, abs=0.02
        )
    assert int(row["tumours"]) == len(told.tumours)
    assert row["renal_text"] == result.nephrometry.lesions[0].renal.text
    assert row["padua_total"] == str(result.nephrometry.lesions[0].padua.total or "")
    assert row["flags"].split(";") == (result.quality.flags or [""])


def test_an_inspection_tells_it(told_of):
    result, _ = told_of
    looked_at = CaseInspection(case_id="scene", patient="scene")
    inspect_mask(result.label_map, looked_at)
    assert looked_at.components == len(result.anatomy.components)
    longest_mm = result.measurements.tumours[0].longest_axial_diameter_mm
    assert looked_at.tumour_diameter_mm == pytest.approx(longest_mm, abs=0.06)
    total_ml = sum(by_side(expected_ml(result)[1].items()).values())
    assert looked_at.tumour_ml == pytest.approx(total_ml, abs=0.1)
    assert [finding.check for finding in looked_at.findings if finding.check == "border"] == []


def test_a_page_with_measurements_takes_few_passes(tmp_path, monkeypatch):
    """Every search for connected components in space, whoever asks for it: eight at most."""
    made = three_pieces()
    volume, passes = made.scan(), []

    def spy(*given):
        passes.append(given)
        return connected_parts(*given)

    for module in [*sys.modules.values()]:
        if getattr(module, "connected_parts", None) is connected_parts and module.__name__ != __name__:
            monkeypatch.setattr(module, "connected_parts", spy)
    anatomy = Anatomy.of(LabelMap(made.labels, volume.geometry), volume)
    assert anatomy.body is not None
    nothing = np.zeros((1, 1, 1), np.uint8)
    empty = {name: RegionProbability((0, 0, 0), nothing) for name in ("kidney", "tumour")}
    found = Segmentation(anatomy.label_map, (), {}, empty, anatomy.body)
    result = Result(volume, found, anatomy, assess_quality(anatomy, found, None), {}, "0" * 64)
    page: Path = result.save(tmp_path / "page.html")
    assert "Tumour 1, right" in page.read_text(encoding="utf-8")
    assert 0 < len(passes) <= 8
