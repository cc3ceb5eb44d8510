"""Pictures in pairs, the earlier scan's beside the later's, each pair at one scale."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING, Final

import numpy as np

from renalmap.followup import LesionComparison
from renalmap.measure.measurements import LesionMeasurement
from renalmap.report.embedding import as_data_uri
from renalmap.report.followup.contents import FollowUpContents
from renalmap.report.followup.tables import lesion_title, outcome
from renalmap.report.html.pictures import draw_section, draw_view
from renalmap.report.planes import choose_planes
from renalmap.report.views import cut_views

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_LESIONS: Final = 4
"""Pictures are made of so many lesions, the largest."""

_LEAST_VIEW_MM: Final = 110.0
_VIEW_PER_DIAMETER: Final = 2.2


def picture_pairs(contents: FollowUpContents) -> str:
    """Lesions, and both kidneys from the front."""
    lesions = sorted(
        (
            one
            for one in contents.comparison.lesions
            if one.counterpart is not None or (one.before and one.after)
        ),
        key=lambda one: (
            -max(each.longest_axial_diameter_mm for each in _measured(one, contents) if each)
        ),
    )
    size = "half" if len(lesions) < 2 else "quarter"
    figures = [_lesion_pair(found, contents, size) for found in lesions[:MOST_LESIONS]]
    pairs = f'<div class="gallery pairs">{"".join(figures)}</div>' if figures else ""
    return f'{pairs}<div class="gallery">{"".join(_overviews(contents))}</div>'


def _measured(
    found: LesionComparison, contents: FollowUpContents
) -> tuple[LesionMeasurement | None, LesionMeasurement | None]:
    """The largest of either scan."""
    before, after = contents.before.measurements.lesions, contents.after.measurements.lesions
    return (
        before[found.before[0] - 1] if found.before else None,
        after[found.after[0] - 1] if found.after else None,
    )


def _lesion_pair(found: LesionComparison, contents: FollowUpContents, size: str) -> str:
    pair = _measured(found, contents)
    longest_mm = max(one.longest_axial_diameter_mm for one in pair if one is not None)
    wide_mm = max(_LEAST_VIEW_MM, _VIEW_PER_DIAMETER * longest_mm)
    title = f"{lesion_title(found, joined=False)}: {outcome(found)}."
    figures = []
    for when, lesion, scan in zip(
        ("Earlier", "Later"), pair, (contents.before, contents.after), strict=True
    ):
        if lesion is not None:
            line = lesion.longest_axial_diameter
            middle = np.mean([line.start.voxel_zyx, line.end.voxel_zyx], axis=0)
            text = f"{when}: {lesion.longest_axial_diameter_mm:.1f} mm, slice {lesion.slice + 1}"
        elif found.counterpart is not None:
            middle, line = np.array(found.counterpart.voxel_zyx), None
            text = f"{when}: the same place in the kidney, slice {round(middle[0]) + 1}"
        else:
            continue
        middle[0] = np.clip(middle[0], 0, scan.labels.geometry.shape[0] - 1)
        picture = draw_section(scan.background, scan.labels, middle, wide_mm, line)
        figures.append(_figure(picture, size, title, text))
    return "".join(figures)


def _overviews(contents: FollowUpContents) -> Iterator[str]:
    for when, scan in (("Earlier", contents.before), ("Later", contents.after)):
        coronal = cut_views(scan.background, scan.labels, choose_planes(scan.labels))[1]
        caption = " ".join(coronal.caption.split())
        yield _figure(draw_view(coronal), "half", "Both kidneys from the front.", f"{when}: {caption}")


def _figure(picture: Image, size: str, title: str, text: str) -> str:
    source = as_data_uri(picture, "JPEG", quality=86)
    return (
        f'<figure class="{size}"><img src="{source}" width="{picture.width}" height="{picture.height}" '
        f'alt="{escape(title)} {escape(text)}"><figcaption><b>{escape(title)}</b> {escape(text)}</figcaption></figure>'
    )
