"""What a reader has to know before the numbers."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Final

from renalmap.inference.quality import CANDIDATE_FROM_ML, describe_contrast, judged_flags
from renalmap.report.html.contents import ReportContents

_ALWAYS: Final = (
    "the file's grid and units",
    "the contrast phase",
    "how many kidneys there are and on which side",
    "whether one or a lesion is truncated",
    "lesions away from any kidney",
    "tumours as dark as fluid",
    "the slices' thickness",
)
_WITH_QUALITY: Final = (
    "tumours that the model was unsure of",
    f"candidates from {CANDIDATE_FROM_ML:g} ml that it left out",
)
_UNCHECKED: Final = "how sure the model was and what it left out (the outlines were given as a file)"


def flags_section(contents: ReportContents) -> str:
    """The flags as a list, the serious ones first; then what was checked, whatever came of it."""
    warnings, notes = list(_warnings(contents)), list(_notes(contents))
    items = [f"<li>{escape(text)}</li>" for text in warnings]
    items += [f'<li class="note">{escape(text)}</li>' for text in notes]
    raised = f'<ul class="flags">{"".join(items)}</ul>' if items else ""
    return f'{raised}<p class="checked">{escape(_checked(contents, len(warnings)))}</p>'


def _checked(contents: ReportContents, count: int) -> str:
    """What was looked at; that nothing was raised is no finding, so it is never said alone."""
    told = contents.quality is not None
    looked = ", ".join((*_ALWAYS, *(_WITH_QUALITY if told else ())))
    outcome = "none of this raised a flag" if count == 0 else "what that raised stands above"
    missing = "" if told else f" Not checked: {_UNCHECKED}."
    return (
        f"Checked by the program: {looked}; {outcome}.{missing} No check can tell whether a tumour was missed or an "
        "outline is wrong: look at the pictures, and scroll through both kidneys below."
    )


def _warnings(contents: ReportContents) -> Iterator[str]:
    yield from contents.cautions
    if contents.quality is not None:
        yield from (flag.text for flag in judged_flags(contents.quality))
    elif contents.contrast is not None:
        no_contrast = describe_contrast(contents.contrast)
        yield from () if no_contrast is None else (no_contrast,)
    yield from (flag.text for flag in contents.measurements.flags if not flag.is_note)


def _notes(contents: ReportContents) -> Iterator[str]:
    if contents.quality is not None:
        yield from contents.quality.notes
    yield from (flag.text for flag in contents.measurements.flags if flag.is_note)
