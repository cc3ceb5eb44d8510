"""Which series and acquisition is segmented, and why."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from renalmap.errors import (
    AmbiguousAcquisitionError,
    AmbiguousSeriesError,
    ColourImageError,
    InputError,
    NoImagesError,
    UnreadableImageError,
)
from renalmap.imaging.dicom.catalogue import PROJECTION, Catalogue, Series
from renalmap.imaging.dicom.headers import SliceHeader
from renalmap.imaging.dicom.kinds import COLOUR, MULTI_FRAME
from renalmap.imaging.dicom_files.fileset import shorten
from renalmap.imaging.nifti_geometry import Orientation

logger = logging.getLogger(__name__)

_KERNEL_RANK: Final = {"soft tissue": 2, "unknown": 1, "sharp": 0}
_NEARLY: Final = 0.9
"""A series with this share of the chosen one's slices, and its kind of kernel, is worth a warning."""
_SEVERAL: Final = 3


@dataclass(frozen=True)
class DicomChoice:
    """What to take from a path that can be read in more than one way.

    Attributes:
        series: a SeriesInstanceUID, or a SeriesNumber; None leaves it to the rules.
        acquisition: an AcquisitionNumber; None if there is but one.
        resample: correct a tilted gantry or uneven slice spacing instead of refusing it.
        allow_missing_slices: read a series although files were left out that look like slices of it.
        orientation: of NIfTI, not DICOM: whether sform or qform counts where they contradict each other.
    """

    series: str | None = None
    acquisition: int | None = None
    resample: bool = False
    allow_missing_slices: bool = False
    orientation: Orientation | None = None


@dataclass(frozen=True, eq=False)
class Chosen:
    """The slices of one volume.

    Attributes:
        series: their series.
        acquisition: the number that was chosen; None if the whole series is one volume.
        slices: in the order of the files.
        why: the reasons, for the user.
        doubt: another series that is about as good, for a warning; or None.
    """

    series: Series
    acquisition: int | None
    slices: tuple[SliceHeader, ...]
    why: str
    doubt: str | None = None


def choose(catalogue: Catalogue, choice: DicomChoice) -> Chosen:
    """Find the one volume to segment.

    Among axial CT series that are not scouts or projections: originals before derived ones, then
    soft-tissue kernels before unknown ones before sharp ones, then most slices. Series of several
    studies, and series equal in all of this, have to be chosen by hand. Several acquisitions are one
    volume if the parts of the body that they cover do not overlap (some scanners count up with each
    turn of the tube), or if they number the slices of one stack; otherwise one must be named.

    Raises:
        NoImagesError: no series can be segmented.
        AmbiguousSeriesError: several could be meant, or the one that was named is not there.
        AmbiguousAcquisitionError: the same for acquisitions.
    """
    series, why, doubt = _choose_series(catalogue, choice)
    acquisition, slices = _choose_acquisition(series, choice, catalogue)
    if acquisition is not None:
        why = f"{why}; acquisition {acquisition}, as requested"
        if series.interleaves:
            doubt = (
                f"acquisition {acquisition} takes {len(slices)} of the {len(series.slices)} slices of {series}, "
                "which may be one stack: without --acquisition all of them are taken"
                if series.is_one_volume
                else f"the slices of acquisition {acquisition} alternate with those of others of {series}"
            )
    elif len(series.acquisitions) > 1:
        how = "are one stack" if series.interleaves else "follow one another"
        why = f"{why}; its {len(series.acquisitions)} acquisitions {how}"
    return Chosen(series, acquisition, slices, why, doubt)


def _choose_series(catalogue: Catalogue, choice: DicomChoice) -> tuple[Series, str, str | None]:
    if choice.series is not None:
        return _named_series(catalogue, choice.series), "requested with --series", None
    candidates = [each for each in catalogue.series if each.why_not is None]
    if not candidates:
        # The stack's own checks explain best what is wrong with the only slices there are.
        candidates = [each for each in catalogue.series if each.slices]
        candidates = [each for each in candidates if each.why_not != PROJECTION][:1] * (
            len(candidates) == 1
        )
    if not candidates:
        raise _nothing(catalogue)
    if choice.acquisition is not None:
        # A number that only some series have distinguishes them.
        having = [each for each in candidates if _has(each, choice.acquisition)]
        candidates = having or candidates
    if len(candidates) == 1:
        return candidates[0], _why_only(catalogue), None
    if len({(each.of.study_uid, each.of.patient) for each in candidates}) > 1:
        raise _ambiguous(catalogue, "series of several studies", candidates)
    ranked = sorted(candidates, key=_rank, reverse=True)
    best, second = ranked[:2]
    if _rank(best) == _rank(second):
        alike = [each for each in ranked if _rank(each) == _rank(best)]
        raise _ambiguous(catalogue, "several series that could be meant", alike)
    return best, _why_best(best, ranked), _doubt(best, second)


def _nothing(catalogue: Catalogue) -> InputError:
    """What was found instead of a series to segment."""
    reasons = {reason for each in catalogue.series for reason in each.skipped}
    if reasons == {COLOUR}:
        return ColourImageError(
            "the image is in colour",
            where=catalogue.where,
            got=f"{catalogue.series[0].of.samples_per_pixel} samples per pixel",
            expected="one number per pixel",
            hint="Give the CT itself, not a rendering of it",
        )
    if reasons == {MULTI_FRAME}:
        return UnreadableImageError(
            "a multi-frame image whose frames have no position in the patient",
            where=catalogue.where,
            got="no PerFrameFunctionalGroupsSequence",
            expected="an enhanced CT, or one file per slice",
            hint="Export the CT itself, not a capture of it",
        )
    alone = [each for each in catalogue.series if len(each.slices) == 1]
    if len(alone) >= _SEVERAL and len(alone) > len(catalogue.series) / 2:
        return NoImagesError(
            "every slice is in a series of its own",
            where=catalogue.where,
            got=f"{len(alone)} series of one slice",
            expected="one StudyInstanceUID and SeriesInstanceUID for all slices of a scan",
            hint="Whatever anonymised it gave each slice its own: export it again with consistent UIDs",
        )
    return NoImagesError(
        "no series can be segmented",
        where=catalogue.where,
        got=shorten([str(each) for each in catalogue.series], "; "),
        expected="an axial CT series that is not a scout, report or projection",
        hint="A projection can be requested with --series",
    )


def _has(series: Series, acquisition: int) -> bool:
    return any(each.number == acquisition for each in series.acquisitions)


def _rank(series: Series) -> tuple[bool, int, int]:
    return series.is_original, _KERNEL_RANK[series.kernel_kind], _slices_at_once(series)


def _slices_at_once(series: Series) -> int:
    """How many slices the volume has: of phases in one series only one is taken."""
    if series.is_one_volume:
        return len(series.slices)
    return max(len(each.slices) for each in series.acquisitions)


def _named_series(catalogue: Catalogue, name: str) -> Series:
    found = [each for each in catalogue.series if each.of.series_uid == name]
    if not found and name.isdigit():
        found = [each for each in catalogue.series if each.of.series_number == int(name)]
    if not found:
        raise _ambiguous(catalogue, f"no series {name}", catalogue.series)
    with_slices = [each for each in found if each.slices]
    if not with_slices:
        raise NoImagesError(
            f"series {name} has no CT slice",
            where=catalogue.where,
            got=shorten([str(each) for each in found], "; "),
            expected="an axial CT series",
        )
    if len(with_slices) > 1:
        raise _ambiguous(catalogue, f"several series {name}", with_slices, by_uid=True)
    return with_slices[0]


def _ambiguous(
    catalogue: Catalogue, what: str, choices: Sequence[Series], *, by_uid: bool = False
) -> AmbiguousSeriesError:
    numbers = [each.of.series_number for each in choices]
    by_uid = by_uid or len(set(numbers)) < len(numbers)
    listed = [
        f"{each} (--series {each.of.series_uid})"
        if by_uid and each.of.series_uid
        else f"{each} ({each.flag})"
        for each in choices
    ]
    return AmbiguousSeriesError(
        f"there are {what}" if not what.startswith("no ") else f"there is {what}",
        where=catalogue.where,
        got=shorten(listed, "; "),
        expected="one that stands out",
        hint="Choose one with --series; renalmap info shows them all",
    )


def _why_only(catalogue: Catalogue) -> str:
    if len(catalogue.series) == 1:
        return "the only series"
    return "the only axial CT series that is not a scout, report or projection"


def _why_best(best: Series, ranked: Sequence[Series]) -> str:
    others = ranked[1:]
    reasons = []
    if best.is_original and any(not each.is_original for each in others):
        reasons.append("original")
    if any(each.kernel_kind != best.kernel_kind for each in others):
        reasons.append(f"{best.kernel_kind} kernel")
    alike = [each for each in others if _rank(each)[:2] == _rank(best)[:2]]
    if alike:
        most = max(_slices_at_once(each) for each in alike)
        reasons.append(f"most slices ({_slices_at_once(best)}; the next has {most})")
    return f"axial CT, {', '.join(reasons)}"


def _doubt(best: Series, second: Series) -> str | None:
    if _rank(best)[:2] != _rank(second)[:2]:
        return None
    if _slices_at_once(second) < _NEARLY * _slices_at_once(best):
        return None
    return (
        f"{best} was taken because it has a few more slices, but {second} is very similar: "
        f"if that is the phase you want, choose it with {second.flag}"
    )


def _choose_acquisition(
    series: Series, choice: DicomChoice, catalogue: Catalogue
) -> tuple[int | None, tuple[SliceHeader, ...]]:
    number = choice.acquisition
    if number is not None:
        for each in series.acquisitions:
            if each.number == number:
                return number, each.slices
    elif series.is_one_volume:
        return None, series.slices
    flag = "" if choice.series is None and len(catalogue.series) == 1 else f"{series.flag} "
    raise AmbiguousAcquisitionError(
        "the series holds several acquisitions"
        + (" whose slices alternate" if series.interleaves else " of the same part of the body")
        if number is None
        else f"there is no acquisition {number}",
        where=catalogue.where,
        got=shorten([str(each) for each in series.acquisitions], "; "),
        hint=f"Choose one with {flag}--acquisition NUMBER",
    )
