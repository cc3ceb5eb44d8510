"""The page and its pictures."""

from __future__ import annotations

import base64
import io
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from renalmap.api.inspect import inspect
from renalmap.errors import PathMissingError
from renalmap.imaging import read_label_map, read_volume
from renalmap.inspection import CaseInspection, Finding
from renalmap.report.inspection import inspection_page
from renalmap.report.palette import TUMOUR_COLOUR
from renalmap.report.thumbnail import THUMBNAIL_PX, draw_thumbnail


class Page(HTMLParser):
    """Collects what a page refers to, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.images: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "img":
            self.images.append(dict(attrs)["src"] or "")

    def handle_data(self, data: str) -> None:
        self.text += data


def decode(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition("base64,")[2])))


def has_colour(picture: Image.Image, colour: str) -> bool:
    wanted = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)])
    return bool((np.abs(np.asarray(picture.convert("RGB")).astype(int) - wanted).max(axis=2) < 60).any())


def test_a_page_holds_everything(kits, tmp_path, hu, labels):
    kits.add(15, hu, labels)
    kits.add(16, hu + 1, 0 * labels)
    path = tmp_path / "page.html"
    inspect(kits.root, html=path)
    page = Page()
    page.feed(path.read_text())
    assert len(page.images) == 2
    assert all(uri.startswith("data:image/jpeg;base64,") for uri in page.images)
    assert not {"script", "link", "iframe"} & set(page.tags)
    for text in ("case_00015", "error: the mask is empty", "with errors (1)", "2 cases"):
        assert text in page.text


def test_text_is_escaped_and_sources_are_linked():
    case = CaseInspection(case_id="a<b>", patient="a")
    case.add("known_issue", "note", "x < y & z", source="https://example.org/?a&b")
    finding = Finding(check="missing", severity="note", text="<i>")
    html = inspection_page("<root>", [case], [finding], {})
    assert "<b>" not in html
    assert "<i>" not in html
    assert "x &lt; y &amp; z" in html
    assert '<a href="https://example.org/?a&amp;b">' in html


def test_a_scans_picture_is_its_slice_with_outlines(kits, hu, labels):
    folder = kits.add(1, hu, labels)
    volume, mask = read_volume(folder / "imaging.nii.gz"), read_label_map(folder / "segmentation.nii.gz")
    uri = draw_thumbnail(volume, mask)
    assert uri is not None
    picture = decode(uri)
    assert picture.width < picture.height == THUMBNAIL_PX
    assert has_colour(picture, TUMOUR_COLOUR)
    plain = draw_thumbnail(volume, None)
    assert plain is not None
    assert not has_colour(decode(plain), TUMOUR_COLOUR)


def test_a_masks_picture_is_seen_from_the_front(kits, labels):
    labels[30:32, 60:70, 80:90] = 2
    folder = kits.add(1, None, labels)
    uri = draw_thumbnail(None, read_label_map(folder / "segmentation.nii.gz"))
    assert uri is not None
    assert uri.startswith("data:image/png")
    picture = decode(uri).convert("RGB")
    # 40 slices of 3 mm high, 128 columns of 0.7 mm wide; the head on top.
    assert picture.height == THUMBNAIL_PX
    assert picture.width == pytest.approx(THUMBNAIL_PX * 128 * 0.7 / (40 * 3), abs=1)
    upper_right = picture.crop((picture.width // 2, 0, picture.width, picture.height // 3))
    upper_left = picture.crop((0, 0, picture.width // 2, picture.height // 3))
    assert has_colour(upper_right, TUMOUR_COLOUR)
    assert not has_colour(upper_left, TUMOUR_COLOUR)


def test_there_is_no_picture_of_nothing():
    assert draw_thumbnail(None, None) is None


def test_a_page_without_a_folder_is_refused_before_the_work(kits, tmp_path, labels):
    kits.add(1, None, labels)
    told: list[str] = []
    with pytest.raises(PathMissingError, match="does not exist"):
        inspect(kits.root, html=tmp_path / "no" / "a.html", progress=lambda *_: told.append("x"))
    assert told == []
