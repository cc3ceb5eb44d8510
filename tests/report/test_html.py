"""The report as text: what stands where, what is escaped, what is forbidden."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from renalmap import __version__
from renalmap.errors import GeometryMismatchError
from renalmap.imaging.dicom_files.files import DicomFile
from renalmap.imaging.dicom_files.source import DicomSource, SourceInstance
from renalmap.imaging.volume import LabelMap, Volume
from renalmap.inference.phase import ContrastReport
from renalmap.inference.quality import (
    DroppedEntry,
    KidneyReport,
    QualityReport,
    SidesFound,
    TumourReport,
)
from renalmap.measure import measure_label_map
from renalmap.report.html import Names, report_page
from renalmap.report.html.packing import choose_packing
from renalmap.report.html.viewer import WINDOWS

VOID = {"meta", "link", "img", "input", "br"}


class Page(HTMLParser):
    """A page taken apart: elements with their attributes, and each element's own text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        for tag in set(self.open):
            self.texts[tag][-1] += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def row(self, head):
        """The cells of the table row that starts with a text."""
        (row,) = [text for text in self.texts["tr"] if text.strip().startswith(head)]
        return row


def data_of(text):
    return text.split('id="viewer-data">')[1].split("</script>")[0]


def remeasured(contents, marked, **changes):
    labels = LabelMap(marked.astype(np.uint8), contents.labels.geometry)
    measured = measure_label_map(labels, contents.scan)
    return replace(contents, labels=labels, measurements=measured, **changes)


@pytest.fixture(scope="module")
def text(contents):
    return report_page(contents)


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


@pytest.fixture(scope="module")
def quality():
    kidneys = [
        KidneyReport(
            id=1, side="left", kidney_ml=73.7, tumour_ml=0, components=1, crosses_midline=False, borders=["feet"],
            incomplete=True, confidence=0.9, raw_score=0.8, agreement="lower than usual",
        )
    ]  # fmt: skip
    tumour = TumourReport(
        id=1, kidney=2, side="right", crosses_midline=False, tumour_ml=7.68, slice=25, borders=[],
        confidence=0.64, raw_score=0.5,
    )  # fmt: skip
    return QualityReport(
        flags=["no_contrast_phase_recognised", "only_one_kidney_found", "kidney_incomplete"],
        contrast=ContrastReport(contrast="unenhanced", phase="unenhanced", vessel_hu=41.0),
        kidneys_found=SidesFound(left=True),
        kidneys=kidneys,
        tumours=[tumour],
        tumour_specks=0,
        kidney_confidence_calibrated=True,
        tumour_confidence_calibrated=True,
        notes=["a component was dropped"],
    )


def test_the_header_says_what_when_and_with_what(page):
    assert page.texts["h1"] == ["phantom"]
    facts = dict(zip(page.texts["dt"], page.texts["dd"], strict=True))
    assert facts["Report made"] == "1 March 2026"
    assert facts["RenalMap"] == __version__
    assert facts["Scan"].startswith("140 \N{MULTIPLICATION SIGN} 100 \N{MULTIPLICATION SIGN} 40 voxels")
    assert facts["Scan file"] == "/data/phantom.nii.gz"
    assert "Not a medical device" in page.texts["header"][0]


def test_flags_come_before_numbers_and_numbers_before_pictures(page):
    sections = [attributes["id"] for attributes in page.all("section")]
    assert sections == ["flags", "measurements", "pictures", "viewer", "method"]


def test_the_tables_hold_the_measurements(page, contents):
    left, right = contents.measurements.kidneys
    (tumour,) = contents.measurements.tumours
    for name, kidney in (("Left", left), ("Right", right)):
        row = page.row(name)
        for value in (
            f"{kidney.parenchyma_ml:.1f}",
            f"{kidney.tumour_ml:.1f}",
            f"{kidney.length_mm:.0f}",
        ):
            assert value in row
    row = page.row("Tumour 1, right")
    for value in (tumour.longest_axial_diameter_mm, tumour.short_axis_mm, tumour.volume_ml):
        assert f"{value:.1f}" in row
    assert tumour.size_class in row
    assert "it is not a T stage" in page.texts["section"][1]


def test_scores_stand_in_a_table_and_are_drawn(scored):
    text = report_page(scored)
    page, (lesion,) = Page(text), scored.nephrometry.lesions
    (row,) = [row for row in page.texts["tr"] if lesion.renal.text in row and "Tumour 1, right" in row]
    for component in lesion.renal.components:
        assert str(component.points or component.letter) in row
    firm = [item for item in page.texts["li"] if item.startswith("Tumour 1, R.E.N.A.L. ")]
    assert len(firm) == len(lesion.renal.components)
    marks = {mark["text"]: mark for mark in json.loads(data_of(text))["marks"]}
    assert f"R {lesion.largest_diameter.length_mm:.1f} mm" in marks
    assert f"N {lesion.to_sinus.length_mm:.1f} mm" in marks
    (kidney,) = scored.nephrometry.kidneys
    planes = {plane.name: plane for plane in kidney.planes}
    packing = choose_packing(scored.scan, scored.labels)
    for name in ("upper polar line", "lower polar line"):
        ring = np.array(marks[name]["points"])
        assert ring.mean(axis=0) == pytest.approx(packing.seen(planes[name].point.voxel_zyx), abs=0.02)
        from_point_mm = (ring - ring.mean(axis=0))[:, ::-1] * scored.scan.geometry.spacing_mm
        assert np.abs(from_point_mm @ planes[name].normal_zyx).max() < 0.05  # it lies in the plane
    packed = [
        zlib.decompress(base64.b64decode(one)) for one in json.loads(data_of(text))["labels"] if one
    ]
    hatched = sum(int((np.frombuffer(plane, np.uint8) & 16 > 0).sum()) for plane in packed)
    assert hatched == sum(part.size for part in scored.exophytic) > 0


def test_every_picture_is_described_and_every_control_is_labelled(page):
    pictures = page.all("img")
    assert len(pictures) == 5
    for picture in pictures:
        assert picture["src"].startswith("data:image/jpeg;base64,")
        assert len(picture["alt"]) > 20
    named = {attributes.get("for") for attributes in page.all("label")}
    for control in page.all("input"):
        inside_a_label = control.get("id") not in named
        assert not inside_a_label or control["type"] in {"radio", "checkbox", "range"}
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert page.all("html") == [{"lang": "en"}]
    presets = [box["value"] for box in page.all("input") if box.get("name") == "window"]
    assert presets == [f"{width},{level}" for _, width, level in WINDOWS]


def test_the_policy_allows_the_pages_own_script_and_style_alone(page, text):
    (policy,) = [
        meta["content"]
        for meta in page.all("meta")
        if meta.get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    for tag, rule in (("style", "style-src"), ("script", "script-src")):
        source = text.rsplit(f"<{tag}>", 1)[1].split(f"</{tag}>")[0]
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    assert text.index("Content-Security-Policy") < text.index("<style>")


def test_the_page_refers_to_nothing_outside_itself(page, text):
    for _, attributes in page.elements:
        for name in ("src", "href", "srcset", "action"):
            assert (attributes.get(name) or "data:").startswith(("data:", "#"))
        assert not any(name.startswith("on") or name == "style" for name in attributes)
    assert not re.search(r"https?://|@import|url\(", text)


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "$title ${script} & <b>",
        "</script>",
    ],
)
def test_names_bring_no_markup_in(contents, page, name):
    hostile = replace(contents, names=Names(name, Path("/d") / name, Path("/s") / name))
    attacked = Page(report_page(hostile))
    assert [tag for tag, _ in attacked.elements] == [tag for tag, _ in page.elements]
    assert attacked.texts["h1"] == [name]
    assert str(Path("/d") / name) in attacked.texts["dd"]


def test_cautions_bring_no_markup_in(contents, page):
    attacked = Page(report_page(replace(contents, cautions=("<img src=x onerror=alert(1)>",))))
    assert len(attacked.all("img")) == len(page.all("img"))
    assert any("<img src=x" in text.lower() for text in attacked.texts["li"])


def test_the_viewers_data_cannot_end_their_element(text):
    data = data_of(text)
    assert "<" not in data
    unpacked = json.loads(data)
    assert unpacked["counts"] == [140, 100, 40]
    assert len(unpacked["greys"]) == unpacked["size"][2] == 40


def test_an_anonymous_report_names_nothing(contents, text):
    assert "/data/" in text
    anonymous = report_page(replace(contents, names=None))
    assert "/data/" not in anonymous
    assert "phantom" not in anonymous.lower()
    assert Page(anonymous).texts["h1"] == ["CT scan"]


def test_slices_have_the_names_of_a_pacs_unless_the_report_is_anonymous(contents):
    instances = tuple(
        SourceInstance(
            DicomFile(Path(f"{z}.dcm")), None, "1.2", f"1.2.826.{z}", (0.0, 0.0, 4.0 * z), 40 - z
        )
        for z in range(40)
    )
    source = DicomSource(
        "1.1",
        "1.2",
        "1.3",
        instances,
        (100, 140),
        (2.0, 2.0),
        np.eye(3)[:2],
        acquired_on=date(2024, 2, 29),
    )
    named = replace(contents, scan=replace(contents.scan, source=source))
    (tumour,) = contents.measurements.tumours
    text, page = report_page(named), Page(report_page(named))
    assert f"InstanceNumber {40 - tumour.slice}" in page.row("Tumour 1, right")
    assert f"InstanceNumber {40 - tumour.slice}, SOPInstanceUID 1.2.826.{tumour.slice}" in text
    assert dict(zip(page.texts["dt"], page.texts["dd"], strict=True))["Acquired"] == "29 February 2024"
    anonymous = report_page(replace(named, names=None))
    for secret in ("InstanceNumber 1", "1.2.826.", "February 2024"):
        assert secret not in anonymous


def test_flags_of_the_segmentation_and_of_the_measurements_are_told_once(contents, quality):
    marked = np.where(np.arange(140) > 70, contents.labels.labels, 0)
    marked[:18] = np.where(contents.labels.labels[20] > 0, 1, 0) * (np.arange(140) > 70)
    flagged = Page(report_page(remeasured(contents, marked, quality=quality, bundle_sha256="ab" * 32)))
    flags = flagged.texts["li"]
    assert "unenhanced" in flags[0]
    assert "only the left kidney was found" in flags[1]
    assert sum("truncated" in flag for flag in flags) == 1
    assert flags[-1] == "a component was dropped"
    assert "what that raised stands above" in flagged.texts["section"][0]
    assert "truncated" in flagged.row("Left")
    assert "\N{GREATER-THAN OR EQUAL TO}" in flagged.row("Left")
    assert "lower than usual" in flagged.row("Left")
    assert "ab" * 32 in flagged.texts["code"][0]


def test_a_confidence_stands_beside_the_tumour_it_belongs_to(contents, quality):
    shown = Page(report_page(replace(contents, quality=quality)))
    assert "64\N{NO-BREAK SPACE}%" in shown.row("Tumour 1, right")
    other = quality.model_copy(update={"tumours": [quality.tumours[0].model_copy(update={"id": 2})]})
    assert "64" not in Page(report_page(replace(contents, quality=other))).row("Tumour 1, right")


def test_without_a_flag_the_page_says_what_was_checked_and_what_was_not(page, contents, quality):
    said = page.texts["section"][0]
    assert "Checked by the program: the file's grid and units" in said
    assert "none of this raised a flag" in said
    assert "Not checked: how sure the model was and what it left out" in said
    assert "No check can tell whether a tumour was missed" in said
    assert "Not checked" not in Page(report_page(replace(contents, quality=quality))).texts["section"][0]


def test_what_was_left_out_has_a_flag_a_row_a_picture_and_a_box(contents, quality):
    left_out = DroppedEntry(
        volume_ml=40.8,
        slice=20,
        reason="kidney in it <1 ml",
        side="left",
        box_zyx=((18, 52, 92), (24, 68, 110)),
    )
    doubtful = quality.tumours[0].model_copy(update={"confidence": 0.14, "doubtful": True})
    judged = quality.model_copy(update={"candidates": [left_out], "tumours": [doubtful]})
    text = report_page(replace(contents, quality=judged))
    shown = Page(text)
    assert any(
        "look whether they are: 40.8 ml (left, slice 21: kidney" in flag for flag in shown.texts["li"]
    )
    assert any(
        "tumour 1 (7.7 ml, slice 26) is doubtful" in flag and "14 %" in flag
        for flag in shown.texts["li"]
    )
    row = shown.row("Left out 1, left")
    assert "40.8" in row
    assert "kidney in it <1 ml" in row
    assert "doubtful" in shown.row("Tumour 1, right")
    assert len([picture for picture in shown.all("img") if "Left out 1" in picture["alt"]]) == 1
    (box,) = [mark for mark in json.loads(data_of(text))["marks"] if mark["kind"] == "box"]
    packing = choose_packing(contents.scan, contents.labels)
    assert box["points"] == [list(packing.seen(corner)) for corner in left_out.box_zyx or ()]


def test_without_any_label_the_report_says_so_first(contents):
    empty = Page(report_page(remeasured(contents, np.zeros((40, 100, 140)))))
    assert empty.texts["li"] == ["no kidney was found: nothing is labelled in this scan"]
    assert len(empty.all("img")) == 2
    assert empty.all("table") == []
    assert len(empty.all("canvas")) == 3


def test_many_lesions_are_all_on_screen_and_the_largest_on_paper(contents):
    marked = np.where(contents.labels.labels == 2, 1, contents.labels.labels)
    for number in range(12):
        z, y = 18 + 4 * (number // 4), 53 + 4 * (number % 4)
        marked[z : z + 2, y : y + 2, 95 : 97 + (number < 4)] = 2
    crowded = Page(report_page(remeasured(contents, marked)))
    rows = [row.get("class") for row in crowded.all("tr")]
    assert rows.count("screen-only") == 6
    assert rows.count("print-only") == 1
    assert (
        len(
            [
                b
                for b in crowded.all("button")
                if b.get("aria-label", "").split(": ")[-1].startswith("show Tumour")
            ]
        )
        == 12
    )
    assert len(crowded.all("img")) == 4 + 4


def test_labels_of_another_grid_are_refused(contents):
    other = replace(
        contents.labels.geometry, spacing_mm=(4.0, 2.0, 1.9), affine=np.diag([1.9, 2, 4, 1.0])
    )
    wrong = replace(contents, labels=LabelMap(contents.labels.labels, other))
    with pytest.raises(GeometryMismatchError, match="phantom_seg"):
        report_page(wrong)
    with pytest.raises(GeometryMismatchError) as refused:
        report_page(replace(wrong, names=None))
    assert "phantom" not in str(refused.value)


def test_a_scan_of_one_slice_with_one_labelled_voxel_has_a_report(contents):
    shape = (1, 100, 140)
    grid = replace(contents.scan.geometry, shape=shape)
    marked = np.zeros(shape, np.uint8)
    marked[0, 50, 70] = 1
    scan, labels = Volume(contents.scan.hu[20:21], grid), LabelMap(marked, grid)
    single = replace(contents, scan=scan, labels=labels, measurements=measure_label_map(labels, scan))
    page = Page(report_page(single))
    assert [box["max"] for box in page.all("input") if box.get("id") == "axial-slice"] == ["0"]
    assert len(page.all("img")) == 4
