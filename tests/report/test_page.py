"""Text that always fits and never shows empty boxes."""

from __future__ import annotations

import pytest

from renalmap.report.page import Ink, Page, fit, printable, text_width_px

INK = Ink(30, "#ffffff")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("case_00001", "case_00001"),
        ("5 \N{DEGREE SIGN} \N{MIDDLE DOT} a  b", "5 \N{DEGREE SIGN} \N{MIDDLE DOT} a  b"),
        ("Ren\N{LATIN SMALL LETTER E WITH ACUTE}", "Rene"),
        ("two\nlines", "two lines"),
        ("\N{EN DASH}\N{MULTIPLICATION SIGN}\x07", "???"),
        ("", ""),
    ],
)
def test_only_what_the_font_has_is_written(text, written):
    assert printable(text) == written


def test_a_line_that_fits_is_left_alone():
    assert fit("short", INK, 500) == ("short", INK)


def test_a_long_line_is_set_smaller_and_a_longer_one_loses_its_middle():
    text, ink = fit("a name of forty-one letters and its number", INK, 500)
    assert text == "a name of forty-one letters and its number"
    assert 18 <= ink.size_px < 30
    text, ink = fit("begin" + " and so on" * 50 + " end", INK, 500)
    assert text.startswith("begin")
    assert text.endswith("end")
    assert 400 < text_width_px(text, ink) <= 500


def test_bold_is_darker_and_anchors_hold(tmp_path, read_png):
    inked = []
    for bold in (False, True):
        page = Page(400, 60, "#000000")
        page.write("Kidney", (390, 40), Ink(30, "#ffffff", bold=bold), anchor="rs")
        page.save(tmp_path / "page.png")
        pixels = read_png(tmp_path / "page.png")[..., 0]
        assert 385 <= pixels.any(axis=0).nonzero()[0].max() <= 392
        inked.append(float(pixels.mean()))
    assert inked[1] > 1.2 * inked[0]
