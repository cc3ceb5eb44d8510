"""R.E.N.A.L. and PADUA on the page: a row for each tumour, and how firm every point is."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Final

from renalmap.nephrometry import Component, LesionNephrometry
from renalmap.report.html.contents import ReportContents
from renalmap.report.html.tables import UNKNOWN, side_of, table, table_row

PRINTED_SCORES: Final = 4
"""On paper; the screen shows all."""

_CODES: Final = ("R", "E", "N", "A", "L")
_PADUA_RISKS: Final = {"moderate": "intermediate"}
_REMARK: Final = (
    "Points, and below them what was measured, computed from the outlines and checked by nobody. ? marks points that change if "
    "a border moves by one voxel, or that rest on an assumption. N is the distance to the renal sinus: an outline does "
    "not show the collecting system. In the viewer: R and N as lines, polar lines dashed, hatched what lies outside "
    "the kidney's outline (E)."
)


def score_table(contents: ReportContents) -> str:
    """The scores of every tumour; empty if there is none, or nothing was scored."""
    scored = [] if contents.nephrometry is None else contents.nephrometry.lesions
    if contents.nephrometry is None or not scored:
        return ""
    head = ["Tumour", "R.E.N.A.L.", "Class", *_CODES, "PADUA", "Class"]
    rows = [
        table_row(_name(one), _cells(one), "screen-only" if at >= PRINTED_SCORES else "")
        for at, one in enumerate(scored)
    ]
    remarks = [_REMARK, *(f"{text}." for text in contents.nephrometry.caveats)]
    firm = "".join(f"<li>{escape(text)}</li>" for one in scored for text in _firm(one))
    return (
        table("Nephrometry", head, rows)
        + f'<p class="small">{escape(" ".join(remarks))}</p>'
        + f'<details class="screen-only"><summary>What each point rests on</summary><ul>{firm}</ul></details>'
    )


def _name(one: LesionNephrometry) -> str:
    return f'<span class="dot tumour"></span>{escape(f"Tumour {one.lesion}, {side_of(one.side)}")}'


def _cells(one: LesionNephrometry) -> Iterator[str]:
    yield escape(one.renal.text)
    yield one.renal.risk or UNKNOWN
    by_code = {component.code: component for component in one.renal.components}
    yield from (_points(by_code[code]) for code in _CODES)
    yield escape(one.padua.text)
    yield UNKNOWN if one.padua.risk is None else _PADUA_RISKS.get(one.padua.risk, one.padua.risk)


def _points(component: Component) -> str:
    given = component.letter or component.points
    if given is None:
        return "n/a"
    doubt = "?" if component.confidence == "low" else ""
    return f"{given}{doubt}<br><small>{_value(component)}</small>"


def _value(component: Component) -> str:
    if component.value is None:
        return ""
    if component.unit == "mm":
        return f"{component.value:.1f}&nbsp;mm"
    return f"{100 * component.value:.0f}&nbsp;%"


def _firm(one: LesionNephrometry) -> Iterator[str]:
    """A sentence for every component of both scores, and every caveat."""
    for score in (one.renal, one.padua):
        for component in score.components:
            yield f"Tumour {one.lesion}, {score.name} {component.code}: {_told(component)}"
    yield from (f"Tumour {one.lesion}: {text}" for text in one.caveats)


def _told(component: Component) -> str:
    if component.not_assessable is not None:
        return f"not assessable: {component.not_assessable}"
    value = _value(component).replace("&nbsp;", " ")
    parts = [f"{component.name} {value}", component.threshold, component.edge, component.note]
    return "; ".join(part for part in parts if part)
