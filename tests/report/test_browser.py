"""The report in a real browser, offline, as a hospital would open it: from a file."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.chromium import started_chromium

from renalmap.imaging.volume import LabelMap
from renalmap.inference.phase import ContrastReport
from renalmap.inference.quality import DroppedEntry, QualityReport, SidesFound
from renalmap.measure import measure_label_map
from renalmap.nephrometry import score_label_map
from renalmap.report.html import report_page
from renalmap.report.html.packing import choose_packing
from renalmap.report.palette import TUMOUR_COLOUR

PICTURE = '(name) => document.getElementById(name).toDataURL("image/png").split(",")[1]'


@dataclass
class Opened:
    """An open report and everything the browser said or asked for."""

    page: Any
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def rest(self) -> None:
        """Wait until the slice that was asked for is drawn."""
        self.page.wait_for_selector('#viewer[aria-busy="false"][data-complete]')

    def middle(self, plane: str = "axial") -> tuple[float, float]:
        """A canvas's middle, scrolled to where a mouse can reach it."""
        self.page.locator(f"#{plane}").scroll_into_view_if_needed()
        box = self.page.locator(f"#{plane}").bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def pixels(self, plane: str = "axial") -> np.ndarray:
        """What a canvas shows, (row, column, RGB), once it has come to rest."""
        self.rest()
        with Image.open(io.BytesIO(base64.b64decode(self.page.evaluate(PICTURE, plane)))) as picture:
            return np.asarray(picture.convert("RGB"))

    def slice(self, plane: str = "axial") -> int:
        """Which slice of a plane is shown, in voxels of the page."""
        self.rest()
        return int(self.page.get_attribute(f"#{plane}", "data-slice"))

    def at(self) -> tuple[int, ...]:
        """The crosshair's voxel (x, y, z)."""
        return tuple(self.slice(plane) for plane in ("sagittal", "coronal", "axial"))

    def press(self, key: str) -> None:
        """Press a key on the axial canvas."""
        self.page.focus("#axial")
        self.page.keyboard.press(key)

    def only_tissue(self) -> None:
        """Show nothing but greys."""
        for name in ("mask", "marks", "crosshair"):
            self.page.uncheck(f"#{name}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with started_chromium() as browser:
        yield browser


def open_report(browser: Any, path: Path, **options: Any) -> Opened:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True, **options)
    opened = Opened(context.new_page())
    opened.page.on("console", lambda message: opened.messages.append(message.text))
    opened.page.on("pageerror", lambda error: opened.messages.append(str(error)))
    opened.page.on("request", lambda request: opened.requests.append(request.url))
    opened.page.goto(path.as_uri())
    opened.rest()
    return opened


@pytest.fixture(scope="module")
def path(contents, tmp_path_factory) -> Path:
    path: Path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(report_page(contents), encoding="utf-8")
    return path


@pytest.fixture
def report(browser, path) -> Iterator[Opened]:
    opened = open_report(browser, path)
    yield opened
    # Whatever a test did: not a word on the console, and nothing asked for but the file.
    opened.page.context.close()
    assert opened.messages == []
    assert {url for url in opened.requests if not url.startswith("data:")} == {path.as_uri()}


def grey(hu: float, width: float, level: float) -> float:
    return float(np.clip((hu - level) / width + 0.5, 0, 1) * 255)


def test_it_opens_at_the_tumour_and_shows_the_tissue_it_says(report, contents):
    assert report.slice() == contents.measurements.lesions[0].slice
    shown = report.page.inner_text("#axial-place")
    assert shown.startswith(f"Axial {contents.measurements.lesions[0].slice + 1} of 40 from the feet")
    report.only_tissue()
    pixels = report.pixels()
    assert (pixels[..., 0] == pixels[..., 2]).all()
    middle = pixels[pixels.shape[0] // 2 - 20 :, pixels.shape[1] // 2 - 15 : pixels.shape[1] // 2 + 15][
        :40
    ]
    assert middle.mean() == pytest.approx(grey(30, 400, 40), abs=4)


def test_window_presets_change_pixels_by_the_rule(report):
    report.only_tissue()
    means = {}
    for value in ("400,40", "1800,400", "1500,-600"):
        report.page.check(f'input[name="window"][value="{value}"]')
        pixels = report.pixels()
        y, x = pixels.shape[0] // 2, pixels.shape[1] // 2
        means[value] = float(pixels[y - 10 : y + 10, x - 10 : x + 10].mean())
        width, level = map(float, value.split(","))
        assert means[value] == pytest.approx(grey(30, width, level), abs=4)
    assert len({round(mean) for mean in means.values()}) == 3
    report.press("1")
    assert report.page.is_checked('input[value="400,40"]')


def test_the_mask_is_switched_and_filled(report):
    colour = np.array([int(TUMOUR_COLOUR[at : at + 2], 16) for at in (1, 3, 5)])

    def orange(pixels):
        return int((np.abs(pixels.astype(int) - colour).max(axis=-1) < 6).sum())

    before = report.pixels()
    assert orange(before) > 0
    report.page.uncheck("#mask")
    without = report.pixels()
    assert orange(without) == 0
    assert (before != without).any(axis=-1).sum() > 1000
    report.press("m")
    assert (report.pixels() == before).all()
    report.page.fill("#filling", "100")
    assert orange(report.pixels()) > 3 * orange(before)
    report.page.fill("#filling", "0")
    assert 0 < orange(report.pixels()) <= orange(before)


def test_slices_scroll_by_wheel_keys_slider_drag_and_buttons(report, contents):
    start = report.slice()
    first = report.pixels()
    x, y = report.middle()
    report.page.mouse.move(x, y)
    report.page.mouse.wheel(0, -120)
    assert report.slice() == start + 2
    assert (report.pixels() != first).any()
    report.page.mouse.wheel(0, 60)
    assert report.slice() == start + 1
    for key, at in (
        ("ArrowUp", start + 2), ("ArrowDown", start + 1), ("PageDown", start - 9), ("PageUp", start + 1),
        ("Home", 0), ("ArrowDown", 0), ("End", 39), ("ArrowUp", 39),
    ):  # fmt: skip
        report.press(key)
        assert report.slice() == at, key
    report.page.fill("#axial-slice", "7")
    assert report.slice() == 7
    x, y = report.middle()
    report.page.mouse.move(x, y)
    report.page.mouse.down()
    report.page.mouse.move(x, y - 30)
    report.page.mouse.up()
    assert report.slice() == 12
    report.page.click(".jumps button:first-child")
    assert report.slice() == contents.measurements.lesions[0].slice
    report.press("Home")
    report.page.click("td button")
    assert report.slice() == contents.measurements.lesions[0].slice
    assert report.page.get_attribute("#axial-slice", "aria-valuetext").startswith("Axial ")


def test_three_planes_meet_in_the_voxel_that_is_clicked(report, contents):
    start = report.at()
    x, y = report.middle("coronal")
    report.page.mouse.click(x, y)
    clicked = report.at()
    assert clicked[1] == start[1]  # the coronal plane itself stays
    width, _, depth = choose_packing(contents.scan, contents.labels).size_xyz
    assert clicked[0] == pytest.approx(width / 2, abs=2)
    assert clicked[2] == pytest.approx(depth / 2, abs=1)
    report.page.mouse.move(x, y)
    report.page.mouse.wheel(0, -60)
    assert report.at() == (clicked[0], clicked[1] + 1, clicked[2])
    report.page.keyboard.press("s")
    report.page.keyboard.press("PageUp")
    assert report.at() == (clicked[0] + 10, clicked[1] + 1, clicked[2])
    assert report.page.inner_text("#sagittal-place").startswith("Sagittal ")
    x, y = report.middle("sagittal")
    report.page.mouse.click(x, y - 20)
    assert report.at()[2] > clicked[2]  # the head is on top
    assert report.at()[0] == clicked[0] + 10


def test_coronal_and_sagittal_show_the_scans_own_voxels(report, contents):
    report.only_tissue()
    report.page.check('input[name="window"][value="1500,150"]')
    x, y, _ = report.at()
    hu = contents.scan.hu[:, *choose_packing(contents.scan, contents.labels).cut]
    for plane, cut in (("coronal", hu[::-1, y, :]), ("sagittal", hu[::-1, :, x])):
        pixels = report.pixels(plane)[..., 0].astype(float)
        height, width = pixels.shape
        size_mm = cut.shape[0] * 4.0, cut.shape[1] * 2.0
        scale = min(height / size_mm[0], width / size_mm[1])
        # Voxels' centres, away from borders where neighbours shine in.
        for row in range(4, 36, 4):
            for column in range(4, cut.shape[1] - 4, 8):
                near = cut[row - 2 : row + 3, column - 2 : column + 3]
                if np.ptp(near) > 80:
                    continue
                at = (
                    round(height / 2 + ((row + 0.5) * 4 - size_mm[0] / 2) * scale),
                    round(width / 2 + ((column + 0.5) * 2 - size_mm[1] / 2) * scale),
                )
                assert pixels[at] == pytest.approx(grey(near.mean(), 1500, 150), abs=5)


def test_keys_go_on_after_a_click_elsewhere_and_stay_with_who_needs_them(report):
    page = report.page
    start = report.slice()
    page.keyboard.press("End")  # the viewer was never used: the page scrolls
    assert report.slice() == start
    for click in ('input[name="window"][value="250,100"]', "#mask", "#zoom-reset", "#viewer-title"):
        page.click(click)
        page.keyboard.press("ArrowUp")
        start += 1
        assert report.slice() == start, click
    page.keyboard.press("m")
    assert page.is_checked("#mask")
    page.focus('input[name="window"][value="250,100"]')
    page.keyboard.press("ArrowDown")  # by Tab, the arrows are the presets'
    assert page.is_checked('input[name="window"][value="150,40"]')
    page.keyboard.press("c")
    page.keyboard.press("Escape")
    page.click("#viewer-title")
    page.click("h1")
    page.keyboard.press("ArrowUp")  # out of view
    assert report.slice() == start


def test_lines_are_drawn_where_they_lie_and_can_be_switched_off(report):
    page = report.page
    page.uncheck("#crosshair")
    page.uncheck("#mask")
    with_line = report.pixels()
    page.keyboard.press("l")
    without = report.pixels()
    changed = (with_line != without).any(axis=-1)
    assert changed.sum() > 300
    page.keyboard.press("l")
    page.keyboard.press("ArrowUp")  # a slice beside the line's
    beside = report.pixels()
    page.keyboard.press("l")
    assert (report.pixels() == beside).all()


def test_the_part_outside_the_kidney_is_hatched(report):
    page = report.page
    for name in ("marks", "crosshair"):
        page.uncheck(f"#{name}")
    page.fill("#filling", "0")
    pixels = report.pixels()
    colour = np.array([int(TUMOUR_COLOUR[at : at + 2], 16) for at in (1, 3, 5)])
    # With no filling, what is orange but for the thin outline is hatching: a good part of the tumour's box.
    orange = (pixels[..., 0].astype(int) - pixels[..., 2] > 60) & (pixels[..., 0] > pixels[..., 1])
    assert orange.sum() > 5 * (np.abs(pixels.astype(int) - colour).max(axis=-1) < 6).sum() / 4


def test_a_finger_scrolls(browser, path):
    opened = open_report(browser, path, has_touch=True)
    start = opened.slice()
    x, y = opened.middle()
    at = {"x": x, "y": y}
    touch = opened.page.context.new_cdp_session(opened.page)
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [at]})
    moved = {"x": at["x"], "y": at["y"] - 24}
    touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [moved]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert opened.slice() == start + 4
    assert opened.messages == []
    opened.page.context.close()


def test_zoom_enlarges_and_returns(report):
    whole = report.pixels()
    report.page.click("#zoom-in")
    assert (report.pixels() != whole).any()
    report.press("0")
    assert (report.pixels() == whole).all()


def test_the_pointer_reads_hounsfield_units_with_their_error(report):
    x, y = report.middle()
    report.page.mouse.move(x, y)
    text = report.page.inner_text("#pointer")
    found = re.fullmatch("(-?\\d+) \N{PLUS-MINUS SIGN} 2 HU", text)
    assert found is not None, text
    assert abs(int(found[1]) - 30) < 40
    report.page.mouse.move(5, 5)
    assert report.page.inner_text("#pointer") == ""


def test_the_policy_stops_a_connection(browser, path):
    opened = open_report(browser, path)
    blocked = opened.page.evaluate("fetch('https://example.org/').then(() => 'sent', () => 'blocked')")
    assert blocked == "blocked"
    assert any("Content Security Policy" in message for message in opened.messages)
    opened.page.context.close()


def test_it_is_two_pages_of_a4_or_letter(report):
    assert page_count(report.page.pdf(format="A4")) == 2
    assert page_count(report.page.pdf(format="Letter")) == 2


def test_the_fullest_report_is_two_pages_of_a4_or_letter(browser, contents, tmp_path):
    marked = np.where(contents.labels.labels == 2, 1, contents.labels.labels)
    for number in range(12):
        z, y = 18 + 4 * (number // 4), 53 + 4 * (number % 4)
        marked[z : z + 2, y : y + 2, 95 : 97 + (number < 4)] = 2
    labels = LabelMap(marked.astype(np.uint8), contents.labels.geometry)
    left_out = DroppedEntry(
        volume_ml=9.0,
        slice=20,
        reason="kidney in it 0.3 ml < 2 ml",
        side="left",
        box_zyx=((18, 52, 92), (24, 68, 110)),
    )
    quality = QualityReport(
        flags=[], contrast=ContrastReport(), kidneys_found=SidesFound(), kidneys=[], tumours=[], tumour_specks=0,
        kidney_confidence_calibrated=False, tumour_confidence_calibrated=False, candidates=[left_out] * 7,
    )  # fmt: skip
    full = replace(
        contents,
        labels=labels,
        measurements=measure_label_map(labels, contents.scan),
        nephrometry=score_label_map(labels, contents.scan),
        quality=quality,
        cautions=tuple(f"caution {number}: " + "what a reader should know " * 6 for number in range(6)),
        bundle_sha256="ab" * 32,
    )
    path = tmp_path / "full.html"
    path.write_text(report_page(full), encoding="utf-8")
    opened = open_report(browser, path)
    assert page_count(opened.page.pdf(format="A4")) == 2
    assert page_count(opened.page.pdf(format="Letter")) <= 2
    opened.page.context.close()


def test_tables_scroll_on_a_phone_and_by_keyboard(browser, path):
    opened = open_report(browser, path)
    opened.page.set_viewport_size({"width": 390, "height": 844})
    assert opened.page.evaluate("document.documentElement.scrollWidth") == 390
    assert opened.page.is_visible(".sideways")
    table = opened.page.locator(".scroll").last
    assert table.evaluate("element => element.scrollWidth > element.clientWidth")
    table.focus()
    opened.page.keyboard.press("ArrowRight")
    # Not wait_for_function: the page's Content-Security-Policy forbids what its polling evaluates.
    moved = (
        table.evaluate("element => new Promise(done => setTimeout(() => done(element.scrollLeft), 50))")
        for _ in range(100)
    )
    assert any(left > 0 for left in moved)
    opened.page.context.close()


def page_count(pdf: bytes) -> int:
    """Pages of a PDF as Chromium writes it: page objects are not compressed."""
    (size,) = set(re.findall(rb"/MediaBox\s*\[\s*0 0 ([\d.]+) ([\d.]+)\s*\]", pdf))
    papers = ((595, 842), (612, 792))
    assert any(np.allclose([float(edge) for edge in size], paper, atol=2) for paper in papers)
    return len(re.findall(rb"/Type\s*/Page\b", pdf))
