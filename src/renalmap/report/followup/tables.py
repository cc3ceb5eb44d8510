"""What has changed, as tables."""

from __future__ import annotations

from html import escape
from typing import Final

from renalmap.followup import Change, KidneyComparison, LesionComparison
from renalmap.followup.comparison import LesionStatus
from renalmap.measure.measurements import Measurements
from renalmap.report.followup.contents import FollowUpContents
from renalmap.report.html.tables import UNKNOWN, side_of, table, table_row

PRINTED_LESIONS: Final = 5
"""On paper; the screen shows all."""

_MINUS: Final = "&minus;"
_ARROW: Final = "&nbsp;&rarr;&nbsp;"
STATUS_NAMES: Final[dict[LesionStatus, str]] = {
    "matched": "in both",
    "merged": "merged",
    "split": "split",
    "regrouped": "merged and split",
    "new": "new",
    "vanished": "gone",
    "kidney_missing": "its kidney is in one scan only",
    "outside_scan": "beyond the other scan",
    "unmatched": "not matched",
}
_VERDICTS: Final = {
    "larger": "larger",
    "smaller": "smaller",
    "within error": "no clear change",
}


def change_tables(contents: FollowUpContents) -> str:
    """Lesions first, because they are what is followed; then kidneys."""
    found = contents.comparison
    parts = (
        [_lesion_table(contents)]
        if found.lesions
        else ['<p class="small">No lesion is labelled in either scan.</p>']
    )
    parts.append(_kidney_table(contents))
    return "".join([*parts, _remark(contents)])


def lesion_title(found: LesionComparison, *, joined: bool = True) -> str:
    """As "Tumour 2, left"; of one that merged every number of either scan."""
    numbers = found.after or found.before
    listed = " + ".join(map(str, numbers if joined else numbers[:1]))
    return f"{found.kind.capitalize()} {listed}, {side_of(found.side)}"


def outcome(found: LesionComparison) -> str:
    """What became of a lesion: its status; or of one that is in both scans whether its size has changed."""
    axial = found.longest_axial_diameter_mm
    if found.status == "matched" and found.volume_ml is not None and axial is not None:
        verdicts = {found.volume_ml.verdict, axial.verdict}
        for verdict in ("larger", "smaller"):
            if verdict in verdicts:
                return _VERDICTS[verdict]
        return _VERDICTS["within error"]
    return STATUS_NAMES[found.status]


def _lesion_table(contents: FollowUpContents) -> str:
    lesions = contents.comparison.lesions
    with_hu = any(found.hu_change is not None for found in lesions)
    head = [
        "Lesion",
        "What became<br>of it",
        "Longest axial<br>diameter mm",
        "Volume<br>ml",
        "Volume<br>doubles in",
    ]
    head += ["Change<br>HU"] if with_hu else []
    rows = []
    for at, found in enumerate(lesions):
        told = outcome(found)
        kind = told if told in _VERDICTS else found.status
        cells = [f'<span class="{kind}">{escape(told)}</span>']
        for name, change in (
            ("longest_axial_diameter_mm", found.longest_axial_diameter_mm),
            ("volume_ml", found.volume_ml),
        ):
            cells.append(_one(found, name, contents) if change is None else _cell(change))
        cells.append(_doubling(found))
        if with_hu:
            cells.append(UNKNOWN if found.hu_change is None else _signed(found.hu_change, 0))
        name = f'<span class="dot {found.kind}"></span>{escape(lesion_title(found))}{_earlier(found)}'
        hidden = "screen-only" if at >= PRINTED_LESIONS else ""
        rows.append(table_row(name, cells, hidden, first_big=False))
    unprinted = len(lesions) - PRINTED_LESIONS
    if unprinted > 0:
        text = f"and {unprinted} more on screen, not printed"
        rows.append(f'<tr class="print-only"><td colspan="{len(head)}">{text}</td></tr>')
    return table("Tumours and cysts", head, rows, kind="")


def _earlier(found: LesionComparison) -> str:
    """Under which number a lesion is in the earlier scan."""
    if not found.before:
        return ""
    numbers = "earlier scan" if not found.after else f"earlier {' + '.join(map(str, found.before))}"
    return f"<br><small>{numbers}</small>"


def _kidney_table(contents: FollowUpContents) -> str:
    head = ["Kidney", "Parenchyma<br>ml", "Length<br>mm", "Surfaces<br>apart mm"]
    rows = []
    for found in contents.comparison.kidneys:
        cells = [
            _kidneys(found, name, contents) if change is None else _cell(change)
            for name, change in (("parenchyma_ml", found.parenchyma_ml), ("length_mm", found.length_mm))
        ]
        cells.append(UNKNOWN if found.alignment is None else f"{found.alignment.residual_mm:.1f}")
        name = f'<span class="dot"></span>{escape(side_of(found.side)).capitalize()}'
        rows.append(table_row(name, cells, first_big=False))
    return table("Kidneys", head, rows, kind="")


def _remark(contents: FollowUpContents) -> str:
    text = (
        "Below each pair of numbers: the change, and the least change that can be told from none, with 95&nbsp;% certainty, if each outline as a "
        f"whole is off by {contents.comparison.border_mm:g}&nbsp;mm (one standard deviation) and by the size of the voxels. "
        "Outlines that nobody checked are off by more."
    )
    return f'<p class="small">{text}</p>'


def _one(found: LesionComparison, name: str, contents: FollowUpContents) -> str:
    """The number of a lesion that is in one scan only, or cannot be compared."""
    numbers = [
        "" if not ids else f"{getattr(scan.measurements.lesions[ids[0] - 1], name):.1f}"
        for ids, scan in ((found.before, contents.before), (found.after, contents.after))
    ]
    return f"{numbers[0] or UNKNOWN}{_ARROW}{numbers[1] or UNKNOWN}"


def _kidneys(found: KidneyComparison, name: str, contents: FollowUpContents) -> str:
    """The same of a kidney; what is truncated is a lower bound."""
    pairs: list[tuple[int | None, Measurements]] = [
        (found.before, contents.before.measurements),
        (found.after, contents.after.measurements),
    ]
    cells = []
    for number, measured in pairs:
        kidney = None if number is None else measured.kidneys[number - 1]
        least = "&ge;&nbsp;" if kidney is not None and kidney.incomplete else ""
        cells.append(UNKNOWN if kidney is None else f"{least}{getattr(kidney, name):.1f}")
    return _ARROW.join(cells)


def _cell(change: Change) -> str:
    """As "29.5 → 37.8", and below it "+8.2, least 3.7; +8.0 a year"; set off where it exceeds the error."""
    yearly = "" if change.per_year is None else f"; {_signed(change.per_year)} a year"
    gain = f"{_signed(change.change)}, least {change.least:.1f}{yearly}"
    kind = change.verdict.replace(" ", "-")
    return f'{change.before:.1f}{_ARROW}{change.after:.1f}<br><small class="{kind}">{gain}</small>'


def _signed(value: float, digits: int = 1) -> str:
    return f"{value:+.{digits}f}".replace("-", _MINUS)


def _doubling(found: LesionComparison) -> str:
    time = found.doubling_time
    if time is None:
        return UNKNOWN
    return f"{time.days:.0f} days<br><small>{time.from_days:.0f} to {time.to_days:.0f}</small>"
