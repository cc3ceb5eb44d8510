"""The follow-up page in a real browser, offline, on a screen, a telephone and paper."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from tests.chromium import started_chromium
from tests.followup.scene import Ball, Patient
from tests.report.test_browser import page_count

from renalmap.anatomy import Anatomy
from renalmap.followup import Caution, Timepoint, compare_anatomies
from renalmap.report.followup import FollowUpContents, FollowUpScan, follow_up_page

SPACING_MM = (5.0, 3.0, 3.0)
PLACES = [
    ("left", (-22.0, 0.0, 30.0)),
    ("left", (-22.0, 0.0, -26.0)),
    ("right", (22.0, 4.0, 28.0)),
    ("right", (20.0, 5.0, -28.0)),
]
PLACES += [(side, (0.0, 18.0, z)) for side in ("left", "right") for z in (-44.0, 0.0, 44.0)]


def timepoint(lesions: tuple[Ball, ...], *, scanned: bool = True) -> Timepoint:
    patient = Patient(lesions, spacing_mm=SPACING_MM)
    return Timepoint.of(Anatomy.of(patient.label_map(), patient.scan() if scanned else None))


def shown(one: Timepoint, day: date, files: tuple[Path, ...]) -> FollowUpScan:
    return FollowUpScan(one.anatomy.label_map, one.anatomy.scan, one.measurements, (), day, files)


def contents(count: int, *, scanned: bool = True) -> FollowUpContents:
    """So many lesions, of which the first has grown and the last is new."""
    lesions = tuple(Ball(side, at_mm, 8.0) for side, at_mm in PLACES[:count])
    before = timepoint(lesions[:-1], scanned=scanned)
    after = timepoint((replace(lesions[0], radius_mm=12.0), *lesions[1:]), scanned=scanned)
    found = compare_anatomies(before, after, interval_days=400, same_phase=scanned)
    days = date(2024, 3, 1), date(2025, 4, 5)
    paths = ((Path("/data/<b>early</b>.nii.gz"),), (Path("/data/late.nii.gz"),))
    first, second = (
        shown(one, day, files) for one, day, files in zip((before, after), days, paths, strict=True)
    )
    return FollowUpContents(first, second, found, made_on=date(2026, 3, 1))


@pytest.fixture(scope="module")
def few() -> FollowUpContents:
    return contents(2)


def test_it_says_what_grew_and_what_is_new(few):
    page = follow_up_page(few)
    assert "Lesions: 1 larger, 1 new." in page
    assert "Tumour 1, left</th>" not in page  # with the earlier number below it
    assert "<small>earlier 1</small>" in page
    assert page.count("<figure") == 6
    assert "Earlier: the same place in the kidney" in page
    assert "<b>early</b>" not in page
    assert "&lt;b&gt;early&lt;/b&gt;.nii.gz" in page
    assert "<script" not in page


def test_without_scans_outlines_are_drawn_on_black(few):
    without = follow_up_page(contents(2, scanned=False))
    assert without.count("<figure") == 6
    assert "Change<br>HU" not in without
    assert "Change<br>HU" in follow_up_page(few)


def test_in_a_browser(few, tmp_path):
    """Nothing is asked for, nothing complained of; 390 px are wide enough; two pages of A4 even if it is full."""
    full = contents(10)
    cautions = [Caution(code="slices_differ", text="what a reader should know " * 6)] * 6
    full = replace(full, comparison=full.comparison.model_copy(update={"cautions": cautions}))
    with started_chromium() as browser:
        for name, each in (("few", few), ("full", full)):
            path = tmp_path / f"{name}.html"
            path.write_text(follow_up_page(each), encoding="utf-8")
            page = browser.new_context(viewport={"width": 390, "height": 844}, offline=True).new_page()
            said: list[str] = []
            page.on("console", lambda message, said=said: said.append(message.text))
            page.on("request", lambda request, said=said: said.append(request.url))
            page.goto(path.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") == 390
            earlier, later = (page.locator(".pairs figure").nth(at).bounding_box() for at in (0, 1))
            assert earlier["y"] == pytest.approx(later["y"])
            assert later["x"] > earlier["x"] + earlier["width"]
            loaded = page.evaluate(
                "[...document.images].every(one => one.complete && one.naturalWidth > 0)"
            )
            assert loaded
            assert page_count(page.pdf(prefer_css_page_size=True)) == 2
            assert {text for text in said if not text.startswith("data:")} == {path.as_uri()}


def test_both_scans_are_drawn_at_one_scale(few):
    sizes = re.findall(r'<img src="data:[^"]+" width="(\d+)" height="(\d+)"', follow_up_page(few))
    assert len(set(sizes[:2])) == len(set(sizes[4:])) == 1
    assert np.all(np.array(sizes[:4], int) <= 720)
