"""Kidneys and lesions as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Final

from renalmap.inference.quality import QualityReport
from renalmap.measure.measurements import KidneyMeasurement, LesionMeasurement
from renalmap.report.html.contents import ReportContents
from renalmap.report.html.viewer import dicom_name, middle_of, place_of, show_button

PRINTED_LESIONS: Final = 6
"""On paper; the screen shows all."""

UNKNOWN: Final = "&ndash;"
_CUT: Final = '<span class="cut">truncated</span>'
_DOUBTFUL: Final = '<span class="cut">doubtful</span>'
_AT_LEAST: Final = "&ge;&nbsp;"

Nearest = Callable[[Sequence[float]], tuple[int, int, int]]
"""From a place in the scan (z, y, x) to the viewer's nearest voxel (x, y, z)."""


def measurement_tables(contents: ReportContents, nearest: Nearest) -> str:
    """Both tables and their explanations; buttons show a lesion in the viewer."""
    measured = contents.measurements
    if not measured.kidneys and not measured.lesions and not contents.candidates:
        return "<p>Nothing is labelled in this scan, so nothing was measured.</p>"
    parts = [
        '<p class="small sideways">Tables scroll sideways: swipe, or arrow keys once a table has the focus.</p>'
    ]
    parts += [_kidney_table(contents)] if measured.kidneys else []
    if measured.lesions:
        parts += [_lesion_table(contents, nearest), _remarks(contents)]
    else:
        parts.append(
            '<p class="small">No tumour is labelled. That does not mean that there is none.</p>'
        )
    if contents.candidates:
        parts.append(_candidate_table(contents, nearest))
    return "".join(parts)


def side_of(side: str | None) -> str:
    """A patient's side in words."""
    return "side unknown" if side is None else side


def lesion_name(lesion: LesionMeasurement) -> str:
    """As "Tumour 1, left"."""
    return f"{lesion.kind.capitalize()} {lesion.id}, {side_of(lesion.side)}"


def _kidney_table(contents: ReportContents) -> str:
    kidneys = contents.measurements.kidneys
    with_cysts = any(kidney.cyst_ml for kidney in kidneys)
    agreements = _agreements(contents.quality)
    head = ["Kidney", "Parenchyma<br>ml", "Tumour<br>ml"]
    head += ["Cyst<br>ml"] if with_cysts else []
    shares = all(kidney.share_of_both is not None and kidney.side is not None for kidney in kidneys)
    head[2:2] = ["Share of<br>both"] if shares else []
    head += [
        "Length<br>mm",
        "Parenchyma<br>HU",
        *(["Outline agreement<br>for this model"] if agreements else []),
        "In the scan",
    ]
    rows = []
    for kidney in kidneys:
        cells = [_ml(kidney.parenchyma_ml, kidney), *([_share(kidney.share_of_both)] if shares else [])]
        cells.append(_ml(kidney.tumour_ml, kidney))
        cells += [_ml(kidney.cyst_ml, kidney)] if with_cysts else []
        cells += [_number(kidney.length_mm, kidney.incomplete, 0), _hu(kidney.mean_hu, kidney.sd_hu)]
        cells += [agreements.get(kidney.id, UNKNOWN)] if agreements else []
        cells.append(_CUT if kidney.incomplete else "whole")
        name = f'<span class="dot"></span>{escape(side_of(kidney.side)).capitalize()}'
        rows.append(table_row(name, cells))
    return table("Kidneys", head, rows)


def _lesion_table(contents: ReportContents, nearest: Nearest) -> str:
    lesions = contents.measurements.lesions
    certainty_title, certainties = _certainties(contents.quality)
    head = ["Lesion", "Longest axial<br>diameter mm", "Short axis<br>mm", "Largest 3D<br>mm"]
    head += [
        "Volume<br>ml",
        "Size class",
        "In the kidney",
        "Outside<br>outline",
        "HU",
        *certainty_title,
        "Slice",
    ]
    rows = []
    for at, lesion in enumerate(lesions):
        cut = lesion.incomplete
        lengths_mm = (
            lesion.longest_axial_diameter_mm,
            lesion.short_axis_mm,
            lesion.largest_3d_diameter_mm,
        )
        cells = [_number(value, cut, 1) for value in (*lengths_mm, lesion.volume_ml)]
        cells += [escape(lesion.size_class or "") or UNKNOWN, lesion.polar_position or UNKNOWN]
        cells += [_share(lesion.exophytic_share), _hu(lesion.mean_hu, lesion.sd_hu)]
        cells += [certainties.get(lesion.id, UNKNOWN) for _ in certainty_title]
        cells.append(_slice_cell(contents, lesion.slice, lesion_name(lesion), nearest(place_of(lesion))))
        marks = [_CUT] if cut else []
        marks += [_DOUBTFUL] if lesion.id in contents.doubtful else []
        name = " ".join(
            [f'<span class="dot {lesion.kind}"></span>{escape(lesion_name(lesion))}', *marks]
        )
        rows.append(table_row(name, cells, kind="screen-only" if at >= PRINTED_LESIONS else ""))
    hidden = len(lesions) - PRINTED_LESIONS
    if hidden > 0:
        text = f"and {hidden} smaller on screen, not printed"
        rows.append(f'<tr class="print-only"><td colspan="{len(head)}">{text}</td></tr>')
    return table(
        "Tumours and cysts" if any(one.kind == "cyst" for one in lesions) else "Tumours", head, rows
    )


def _candidate_table(contents: ReportContents, nearest: Nearest) -> str:
    """What was left out: whoever looks for a missed tumour looks here first. On paper the flags say the same."""
    rows = []
    for number, candidate in enumerate(contents.candidates, start=1):
        name = f"Left out {number}, {side_of(candidate.side)}"
        at = _slice_cell(contents, candidate.slice, name, nearest(middle_of(candidate)))
        cells = [f"{candidate.volume_ml:.1f}", at, escape(candidate.reason)]
        rows.append(table_row(name, cells))
    head = ["Candidate", "Volume<br>ml", "Slice", "Why it was left out"]
    return table("Found by the model and left out as mistakes", head, rows, kind="plain screen-only")


def _slice_cell(contents: ReportContents, z: int, name: str, place: tuple[int, int, int]) -> str:
    names = contents.slice_names(z)
    button = show_button(str(names.number), name, place)
    in_pacs = escape(dicom_name(names))
    return button + (f"<br><small>{in_pacs}</small>" if in_pacs else "")


def _remarks(contents: ReportContents) -> str:
    measured = contents.measurements
    remarks = [
        measured.size_class_note.replace("size_class uses", "The size class uses") + ".",
        "Outside outline: share of the lesion's volume beyond the kidney's own convex outline.",
        "Slices: from 1 at the feet (<code>slice_number</code> in the CSV); <code>slice</code> in JSON and CSV is from 0.",
    ]
    truncated = [one.incomplete for one in measured.kidneys]
    truncated += [one.incomplete for one in measured.lesions]
    if any(truncated):
        remarks.append("&ge;: truncated at the border of the scan, so a lower bound.")
    return f'<p class="small">{" ".join(remarks)}</p>'


def _agreements(quality: QualityReport | None) -> dict[int, str]:
    """How each kidney's outline may be expected to agree with a reference, in words; the Dice is in the JSON."""
    kidneys = [] if quality is None else quality.kidneys
    return {kidney.id: kidney.agreement for kidney in kidneys if kidney.agreement is not None}


def _certainties(quality: QualityReport | None) -> tuple[list[str], dict[int, str]]:
    """The column's title, if it has any entry, and how sure the model was of each tumour."""
    if quality is None:
        return [], {}
    found = {one.id: one.confidence for one in quality.tumours if one.confidence is not None}
    if quality.tumour_confidence_calibrated:
        return ["Probability<br>it is real"] if found else [], {
            at: _share(sure) for at, sure in found.items()
        }
    return ["Model's score<br>0 to 1"] if found else [], {
        at: f"{sure:.2f}" for at, sure in found.items()
    }


def table(caption: str, head: Sequence[str], rows: Iterable[str], kind: str = "numbers") -> str:
    """A table of HTML rows that scrolls sideways where there is no room."""
    first, *others = head
    titles = f'<th scope="col">{first}</th>' + "".join(
        f'<th scope="col" class="n">{title}</th>' for title in others
    )
    return (
        f'<div class="{f"scroll {kind}".rstrip()}" tabindex="0" role="region" aria-label="{caption}"><table><caption>{caption}</caption>'
        f"<thead><tr>{titles}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def table_row(name: str, cells: Iterable[str], kind: str = "", *, first_big: bool = True) -> str:
    """A row of HTML cells beside a heading of its own; the first may stand out."""
    body = "".join(
        f'<td class="n{" big" if first_big and at == 0 else ""}">{cell}</td>'
        for at, cell in enumerate(cells)
    )
    return f'<tr{f" class={kind!r}" if kind else ""}><th scope="row">{name}</th>{body}</tr>'


def _ml(volume_ml: float, kidney: KidneyMeasurement) -> str:
    return _number(volume_ml, kidney.incomplete and volume_ml > 0, 1)


def _number(value: float, at_least: bool, digits: int) -> str:  # noqa: FBT001 - private
    return f"{_AT_LEAST if at_least else ''}{value:.{digits}f}"


def _share(value: float | None) -> str:
    return UNKNOWN if value is None else f"{100 * value:.0f}&nbsp;%"


def _hu(mean: float | None, deviation: float | None) -> str:
    if mean is None:
        return UNKNOWN
    spread = "" if deviation is None else f"&nbsp;&plusmn;&nbsp;{deviation:.0f}"
    return f"{mean:.0f}{spread}".replace("-", "&minus;")
