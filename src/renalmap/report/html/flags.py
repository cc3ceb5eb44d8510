"""What a reader has to know before the numbers."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Final

from renalmap.inference.quality import describe_flags
from renalmap.report.html.contents import ReportContents

NO_KIDNEY: Final = "no kidney was found: nothing is labelled in this scan"
NOTHING_RAISED: Final = "No flag was raised. That is no proof that the outlines are right: look at them in the pictures below."

_TOLD_BY_QUALITY: Final = frozenset(
    {"no_kidney_found", "only_one_kidney_found", "crosses_midline", "kidney_incomplete"}
)
_NOTES: Final = frozenset({"specks_left_out", "side_from_field_of_view"})


def flags_section(contents: ReportContents) -> str:
    """The flags as a list, the grave ones first; a sentence where there are none."""
    warnings, notes = list(dict.fromkeys(_warnings(contents))), list(_notes(contents))
    items = [f"<li>{escape(text)}</li>" for text in warnings]
    items += [f'<li class="note">{escape(text)}</li>' for text in notes]
    calm = "" if warnings else f'<p class="calm">{NOTHING_RAISED}</p>'
    return calm + (f'<ul class="flags">{"".join(items)}</ul>' if items else "")


def _warnings(contents: ReportContents) -> Iterator[str]:
    measurements, quality = contents.measurements, contents.quality
    if not measurements.kidneys and not measurements.lesions:
        yield NO_KIDNEY
    yield from contents.cautions
    told: frozenset[str] = frozenset({"no_kidney_found"})
    if quality is not None:
        told = _TOLD_BY_QUALITY
        yield from (text for text in describe_flags(quality) if text not in quality.notes)
    for flag in measurements.flags:
        if flag.code not in told | _NOTES:
            yield flag.text


def _notes(contents: ReportContents) -> Iterator[str]:
    if contents.quality is not None:
        yield from contents.quality.notes
    yield from (flag.text for flag in contents.measurements.flags if flag.code in _NOTES)
