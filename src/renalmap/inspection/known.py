"""Published issues of single KiTS cases: by number, with their source.

Only what follows from the number alone. Whether a copy on disk is from before or after a correction may
show in the other checks; the text says when it was corrected.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from renalmap.dataset.layouts import Edition
from renalmap.inspection.findings import Finding, Severity

_KITS19: Final = "https://github.com/neheller/kits19"
_CHANGELOG: Final = f"{_KITS19}/blob/master/changelog.md"
_EVERY: Final[tuple[Edition, ...]] = ("kits19", "kits21", "kits23")
_NNUNET: Final = "https://github.com/MIC-DKFZ/nnUNet/issues/2519"


@dataclass(frozen=True)
class KnownIssue:
    """Something that was published about some cases.

    Attributes:
        numbers: the cases'.
        text: what is known.
        source: where it was published.
        severity: a warning if it still holds, a note if it was corrected.
        editions: the releases it is true of; labels were redrawn for KiTS21.
    """

    numbers: tuple[int, ...]
    text: str
    source: str
    severity: Severity = "note"
    editions: tuple[Edition, ...] = ("kits19",)


KNOWN_ISSUES: Final = (
    KnownIssue(
        (22, 61, 117),
        "a second series of another contrast phase was appended; cropped on 15 April 2019",
        _CHANGELOG,
        editions=_EVERY,
    ),
    KnownIssue(
        (15, 25),
        "a second contrast phase was appended without labels; reported on 18 March 2019, then cropped or replaced",
        f"{_KITS19}/issues/6",
        editions=_EVERY,
    ),
    KnownIssue(
        (15,), "the case was replaced on 15 April 2019: no tumour, a blown-out lower pole", _CHANGELOG
    ),
    KnownIssue(
        (15,),
        "a fluid collection of the spleen was labelled kidney; corrected on 20 December 2019",
        f"{_KITS19}/issues/21",
    ),
    KnownIssue(
        (23, 125), "the tumour's position and extent were corrected on 20 December 2019", _CHANGELOG
    ),
    KnownIssue((37,), "a large cystic lesion was relabelled as tumour on 20 December 2019", _CHANGELOG),
    KnownIssue((40,), "a pelvic kidney was unlabelled; added on 15 April 2019", _CHANGELOG),
    KnownIssue((42,), "the hilum of both upper poles was corrected on 15 April 2019", _CHANGELOG),
    KnownIssue(
        (42, 114), "holes in the tumour's label; corrected on 15 April 2019", f"{_KITS19}/issues/12"
    ),
    KnownIssue(
        (60, 174), "the case was replaced on 15 April 2019: its tumour was a complex cyst", _CHANGELOG
    ),
    KnownIssue(
        (102,),
        "the case was replaced on 15 April 2019: its tumour was a carcinoma of the adrenal cortex",
        _CHANGELOG,
    ),
    KnownIssue(
        (155,),
        "a parapelvic cyst was mistaken for hydronephrosis; corrected on 15 April 2019",
        f"{_KITS19}/issues/10",
    ),
    KnownIssue(
        (166,),
        "the ureter was mistaken for a cyst; corrected on 15 April 2019",
        f"{_KITS19}/issues/11",
    ),
    KnownIssue(
        (2, 3),
        "slice spacing was wrong in many thin-cut cases, these among them; corrected in April 2019",
        f"{_KITS19}/issues/8",
    ),
    KnownIssue((160,), "slices are 512 by 796 pixels", f"{_KITS19}/issues/6", editions=_EVERY),
    KnownIssue(
        (166,),
        "intensities run from -6986 to 18326",
        "RenalMap, measured on the imaging",
        severity="warning",
        editions=_EVERY,
    ),
    KnownIssue(
        (23, 68, 125, 133),
        "left out by nnU-Net's authors, who suspected wrong labels (before the correction of December 2019)",
        _NNUNET,
        severity="warning",
    ),
    KnownIssue(
        (23, 121, 208),
        "the tumour lies elsewhere in KiTS23's mask of this patient",
        "RenalMap, KiTS19's masks against KiTS23's",
        severity="warning",
    ),
    KnownIssue(
        (205,),
        "an angiomyolipoma was labelled as a cyst, so it is kidney here",
        "https://github.com/neheller/kits21/issues/58",
        severity="warning",
    ),
    KnownIssue(
        (205,),
        "one tumour was also labelled as a cyst; the cyst was deleted on 20 March 2023",
        "https://github.com/neheller/kits21/issues/58",
        editions=("kits21",),
    ),
)


def known_issues(case_id: str, edition: Edition | None) -> Iterator[Finding]:
    """What is published about a case.

    Args:
        case_id: KiTS's, `case_00123`.
        edition: which KiTS; None for a data set that is not KiTS, about whose numbers nothing is known.
    """
    number = re.fullmatch(r"case_(\d{5})", case_id)
    if number is None or edition is None:
        return
    for issue in KNOWN_ISSUES:
        if int(number[1]) in issue.numbers and edition in issue.editions:
            yield Finding(
                check="known_issue", severity=issue.severity, text=issue.text, source=issue.source
            )
