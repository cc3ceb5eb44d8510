"""The page of an inspection: every case with a picture and what was found, in one file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

from renalmap.inspection import SEVERITIES, CaseInspection, Finding

_STYLE: Final = """
:root{color-scheme:light dark;--line:#8884;--soft:#8881;--error:#D55E00;--warning:#E69F00;--note:#56B4E9}
body{font:15px/1.45 system-ui,sans-serif;margin:0 auto;max-width:1500px;padding:1.5rem}
h1{font-size:1.4rem;margin:0}.faint{opacity:.7}
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.2rem .8rem .2rem 0;text-align:left}
td.n,th.n{text-align:right}fieldset{border:1px solid var(--line);border-radius:6px;margin:1rem 0}
label{margin-right:1.2rem}
.cards{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(270px,1fr))}
.card{border:1px solid var(--line);border-radius:8px;overflow:hidden}
.card h2{font-size:1rem;margin:0;padding:.5rem .8rem;background:var(--soft)}
.card img,.card .none{display:block;height:240px;width:100%;object-fit:contain;background:#000;color:#fff}
.card p,.card ul{margin:.5rem .8rem}.card ul{list-style:none;padding:0}
.card li{border-left:4px solid var(--note);padding-left:.5rem;margin:.35rem 0;overflow-wrap:anywhere}
li.warning{border-color:var(--warning)}li.error{border-color:var(--error)}
""" + "".join(
    f"body:has(#{level}:not(:checked)) .card.{level}{{display:none}}" for level in (*SEVERITIES, "clean")
)

_FILTERS: Final = {
    "error": "with errors",
    "warning": "with warnings at worst",
    "note": "with notes only",
    "clean": "nothing found",
}


def inspection_page(
    title: str,
    cases: Sequence[CaseInspection],
    findings: Sequence[Finding],
    thumbnails: Mapping[str, str],
) -> str:
    """Write an inspection as one HTML page that needs no other file.

    Args:
        title: the heading, the data set's path.
        cases: the cases, in the order they are shown.
        findings: those that do not concern a single case.
        thumbnails: by case id, a `data:` URI; cases without one are shown without.
    """
    general = "".join(_item(finding) for finding in findings)
    filters = "".join(
        f'<label><input type="checkbox" id="{level}" checked> {text} '
        f"({sum((case.worst or 'clean') == level for case in cases)})</label>"
        for level, text in _FILTERS.items()
    )
    cards = "".join(_card(case, thumbnails.get(case.case_id)) for case in cases)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>Inspection of {escape(title)}</title><style>{_STYLE}</style>"
        f'<h1>Inspection of {escape(title)}</h1><p class="faint">{len(cases)} cases. '
        "Research use only; not a medical device.</p>"
        f"<ul>{general}</ul>{_summary(cases)}"
        f'<fieldset><legend>Show cases</legend>{filters}</fieldset><div class="cards">{cards}</div></html>\n'
    )


def _summary(cases: Sequence[CaseInspection]) -> str:
    """The number of cases with findings of each check, by severity."""
    counts = Counter(
        (check, severity)
        for case in cases
        for check, severity in {(finding.check, finding.severity) for finding in case.findings}
    )
    rows = "".join(
        f"<tr><td>{escape(check.replace('_', ' '))}</td><td>{severity}</td>"
        f'<td class="n">{counts[check, severity]}</td></tr>'
        for check, severity in sorted(
            counts, key=lambda key: (SEVERITIES.index(key[1]), -counts[key], key[0])
        )
    )
    head = '<tr><th>check</th><th>severity</th><th class="n">cases</th></tr>'
    return f"<table>{head}{rows}</table>" if rows else ""


def _card(case: CaseInspection, thumbnail: str | None) -> str:
    picture = (
        '<div class="none"></div>'
        if thumbnail is None
        else f'<img loading="lazy" src="{thumbnail}" alt="{escape(case.case_id)}">'
    )
    ordered = sorted(case.findings, key=lambda finding: SEVERITIES.index(finding.severity))
    items = "".join(_item(finding) for finding in ordered)
    return (
        f'<section class="card {case.worst or "clean"}"><h2>{escape(case.case_id)}</h2>{picture}'
        f'<p class="faint">{escape(_facts(case))}</p><ul>{items}</ul></section>'
    )


def _facts(case: CaseInspection) -> str:
    facts = []
    if case.shape_zyx is not None and case.spacing_mm is not None:
        facts.append(" x ".join(str(size) for size in case.shape_zyx) + " voxels")
        facts.append(" x ".join(f"{step:.2f}" for step in case.spacing_mm) + " mm")
    volumes = {"kidney": case.kidney_ml, "tumour": case.tumour_ml, "cyst": case.cyst_ml}
    facts += [f"{name} {ml:.1f} ml" for name, ml in volumes.items() if ml]
    if case.intensity is not None:
        facts.append(f"{case.intensity.min_hu:g} to {case.intensity.max_hu:g} HU")
    return ", ".join(facts)


def _item(finding: Finding) -> str:
    source = finding.source or ""
    if source.startswith("https://"):
        source = f' <a href="{escape(source)}">source</a>'
    elif source:
        source = f" ({escape(source)})"
    return f'<li class="{finding.severity}">{finding.severity}: {escape(finding.text)}{source}</li>'
