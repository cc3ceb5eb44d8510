"""What the report is based on: header facts and the method in words."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Final

from renalmap import __version__
from renalmap.inference.phase import Phase
from renalmap.report.html.contents import ReportContents

_SIDES: Final = {
    "scan": "by the midline of the body in the scan",
    "both_kidneys": "by the middle between the two kidneys",
    "field_of_view": "only by the middle of the field of view, which may not be the body's",
}

_PHASES: Final[dict[Phase, str]] = {
    "unenhanced": "without contrast agent",
    "arterial": "arterial",
    "portal_or_nephrographic": "portal or nephrographic",
    "excretory": "excretory",
    "unknown": "not recognised",
}

_WARNING: Final = (
    "<strong>Not a medical device.</strong> Not checked or cleared by any authority. Tumours are missed, healthy "
    "tissue is called tumour, and borders are off by millimetres: check every number against the pictures."
)


def facts(contents: ReportContents) -> str:
    """The header's facts as terms and definitions."""
    geometry = contents.scan.geometry
    size = " &times; ".join(str(count) for count in reversed(geometry.shape))
    spacing = " &times; ".join(f"{step:.2f}" for step in reversed(geometry.spacing_mm))
    day = contents.made_on
    made_by = contents.bundle_sha256
    rows = [
        ("Report made", f"{day.day} {day:%B %Y}"),
        ("Scan", f"{size} voxels of {spacing}&nbsp;mm"),
        *_known(contents),
        ("RenalMap", __version__),
        ("Outlines", "given as a file" if made_by is None else f"model {escape(made_by[:12])}"),
    ]
    if contents.names is not None:
        paths = ("Scan file", contents.names.scan), ("Label map", contents.names.labels)
        rows += [(term, escape(str(path))) for term, path in paths]
    return "".join(f"<div><dt>{term}</dt><dd>{text}</dd></div>" for term, text in rows)


def _known(contents: ReportContents) -> Iterator[tuple[str, str]]:
    acquired = None if contents.dicom is None else contents.dicom.acquired_on
    if acquired is not None:
        yield "Acquired", f"{acquired.day} {acquired:%B %Y}"
    if contents.phase is not None:
        yield "Contrast phase", f"{_PHASES[contents.phase.phase]} (estimated)"


def method_section(contents: ReportContents) -> str:
    """How the outlines and the numbers were made, and with what."""
    made_by, measured = contents.bundle_sha256, contents.measurements
    if made_by is None:
        outlines = (
            "The outlines were read from a file and are used as they are; which program or person drew them is "
            "not known to this report."
        )
    else:
        outlines = (
            "The outlines are the work of two small neural networks (after Dahiya &amp; Sharma 2019): one finds "
            "the kidneys on whole slices, the other distinguishes kidney from tumour on crops around them. No person has checked "
            f"them. Model (SHA-256 of the bundle): <code>{escape(made_by)}</code>"
        )
    numbers = (
        "Volumes are counted voxels. Diameters run from border to border of a lesion's outline, in "
        "millimetres on the scan's own grid; the longest axial diameter is taken in the slice where it is "
        f"longest. Left and right are the patient's, determined {_SIDES[measured.side_basis]}. "
        f"Parts below {measured.specks_below_ml:g} ml are not included in any number."
    )
    intensities = (
        "HU are mean &plusmn; standard deviation of the voxels inside an outline. A cyst counts as kidney "
        "unless it is labelled as one."
    )
    texts = (outlines, numbers, intensities, _WARNING)
    return '<div class="method">' + "".join(f"<p>{text}</p>" for text in texts) + "</div>"
