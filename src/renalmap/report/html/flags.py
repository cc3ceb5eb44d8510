"""What a reader has to know before the numbers."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Final

from renalmap.inference.quality import describe_contrast
from renalmap.report.html.contents import ReportContents

NOTHING_RAISED: Final = "No flag was raised. That does not prove that the outlines are right: check them in the pictures below."


def flags_section(contents: ReportContents) -> str:
    """The flags as a list, the serious ones first; a sentence if there are none."""
    warnings, notes = list(_warnings(contents)), list(_notes(contents))
    items = [f"<li>{escape(text)}</li>" for text in warnings]
    items += [f'<li class="note">{escape(text)}</li>' for text in notes]
    calm = "" if warnings else f'<p class="calm">{NOTHING_RAISED}</p>'
    return calm + (f'<ul class="flags">{"".join(items)}</ul>' if items else "")


def _warnings(contents: ReportContents) -> Iterator[str]:
    yield from contents.cautions
    if contents.phase is not None:
        no_contrast = describe_contrast(contents.phase)
        yield from () if no_contrast is None else (no_contrast,)
    yield from (flag.text for flag in contents.measurements.flags if not flag.is_note)


def _notes(contents: ReportContents) -> Iterator[str]:
    if contents.quality is not None:
        yield from contents.quality.notes
    yield from (flag.text for flag in contents.measurements.flags if flag.is_note)
