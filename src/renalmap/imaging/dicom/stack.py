"""Slices into a stack: sorted by position in the patient, and what is wrong with their spacing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from renalmap.errors import (
    DimensionError,
    GantryTiltError,
    MissingSliceError,
    MixedSeriesError,
    NonAxialSeriesError,
    UnevenSlicesError,
)
from renalmap.imaging.dicom.catalogue import off_axial_degrees
from renalmap.imaging.dicom.headers import SliceHeader
from renalmap.imaging.orientation import MAX_OBLIQUE_DEGREES, MAX_SHEAR_DEGREES

_GAP_TOLERANCE: Final = 0.2
"""Gaps may differ from their median by this fraction: rounded headers do, a missing slice is off by 1."""
_DRIFT_TOLERANCE: Final = 0.25
"""How far, in median gaps, a slice may lie from where equal gaps would put it."""
_FEW_GAPS: Final = 0.2
"""Up to this share of gaps that are multiples of the others, slices are missing; beyond, gaps vary."""
_SAME_PLACE_MM: Final = 1e-3
_SAME_ANGLE: Final = 1e-3
_OFF_LINE_MM: Final = 0.5
_UNSCALED: Final = (1.0, 0.0)
_SHOWN: Final = 4
_SEVERAL: Final = 3


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices of one size, spacing and direction, from the feet to the head, each at its own place.

    Attributes:
        slices: at least two.
        where: the path, for messages.
    """

    slices: tuple[SliceHeader, ...]
    where: Path

    @cached_property
    def positions_mm(self) -> NDArray[np.float64]:
        """(slices, 3) centres of first pixels, LPS."""
        return np.array([each.position_mm for each in self.slices])

    @cached_property
    def up(self) -> NDArray[np.float64]:
        """(3,) the slices' normal, towards the head, LPS."""
        normal = self.slices[0].normal
        return normal if normal[2] > 0.0 else -normal

    @cached_property
    def heights_mm(self) -> NDArray[np.float64]:
        """(slices,) ascending, along `up`."""
        return np.asarray(self.positions_mm @ self.up)

    @cached_property
    def gaps_mm(self) -> NDArray[np.float64]:
        """(slices - 1,) distances along `up`."""
        return np.diff(self.heights_mm)

    @cached_property
    def spacing_mm(self) -> float:
        """The median gap; of an even number the lower one of the middle, which is a real gap."""
        return float(np.sort(self.gaps_mm)[(len(self.gaps_mm) - 1) // 2])

    @cached_property
    def tilt_degrees(self) -> float:
        """Angle between `up` and the direction from slice to slice: the tilt of the gantry."""
        way = self.positions_mm[-1] - self.positions_mm[0]
        along = float(way @ self.up)
        across = float(np.linalg.norm(way - along * self.up))
        return float(np.degrees(np.arctan2(across, along)))

    @property
    def has_frame_for_each(self) -> bool:
        """Whether each slice has a frame of reference of its own, as some anonymise."""
        return _has_frame_for_each(self.slices)

    @property
    def is_tilted(self) -> bool:
        """Whether the tilt is more than rounding."""
        return self.tilt_degrees > MAX_SHEAR_DEGREES

    @cached_property
    def odd_gaps(self) -> NDArray[np.intp]:
        """Indices of gaps that differ from the median."""
        off_mm = np.abs(self.gaps_mm - self.spacing_mm)
        return np.flatnonzero(off_mm > _GAP_TOLERANCE * self.spacing_mm)

    @cached_property
    def drifts(self) -> bool:
        """Whether slices lie off where equal gaps would put them, though no single gap is odd."""
        even_mm = np.linspace(self.heights_mm[0], self.heights_mm[-1], len(self.slices))
        return float(np.abs(self.heights_mm - even_mm).max()) > _DRIFT_TOLERANCE * self.spacing_mm

    @property
    def is_even(self) -> bool:
        """Whether one spacing describes all gaps."""
        return not len(self.odd_gaps) and not self.drifts

    @property
    def is_regular(self) -> bool:
        """Whether it is a right-angled grid with even slice spacing."""
        return self.is_even and not self.is_tilted

    def describe_irregularity(self) -> str:
        """What is wrong, in a few words; empty if it is regular."""
        parts = [f"gantry tilt of {self.tilt_degrees:.1f} degrees"] if self.is_tilted else []
        if self.missing:
            parts.append(f"missing slices: {self.describe_missing()}")
        elif not self.is_even:
            parts.append(f"uneven spacing: {self.describe_gaps()}")
        return ", ".join(parts)

    @cached_property
    def missing(self) -> tuple[tuple[int, int], ...]:
        """(index of the gap, slices missing in it), if missing slices explain every odd gap; else ()."""
        ratios = self.gaps_mm[self.odd_gaps] / self.spacing_mm
        whole = np.rint(ratios)
        few = len(ratios) <= max(1.0, _FEW_GAPS * len(self.gaps_mm))
        if (
            not len(ratios)
            or not few
            or (np.abs(ratios - whole) > _GAP_TOLERANCE).any()
            or whole.min() < 2
        ):
            return ()
        return tuple((int(gap), int(count) - 1) for gap, count in zip(self.odd_gaps, whole, strict=True))

    def describe_missing(self) -> str:
        """Which slices are missing, by the height (z, LPS and RAS alike) at which they should lie."""
        parts = []
        for gap, count in self.missing[:_SHOWN]:
            low, high = self.positions_mm[gap], self.positions_mm[gap + 1]
            places = [low + (high - low) * (1 + each) / (count + 1) for each in range(count)]
            heights = ", ".join(f"{place[2]:.2f}" for place in places[:_SHOWN])
            heights += f", ... {places[-1][2]:.2f}" if count > _SHOWN else ""
            parts.append(
                f"{count} missing at z = {heights} mm: {self.gaps_mm[gap]:.2f} mm between "
                f"{self.slices[gap].name} and {self.slices[gap + 1].name}"
            )
        parts += ["and more"] * (len(self.missing) > _SHOWN)
        return "; ".join(parts)

    def describe_gaps(self) -> str:
        """The smallest and the largest gap, and where the worst is."""
        worst = int(np.abs(self.gaps_mm - self.spacing_mm).argmax())
        return (
            f"gaps of {self.gaps_mm.min():.2f} to {self.gaps_mm.max():.2f} mm; "
            f"{self.gaps_mm[worst]:.2f} mm between {self.slices[worst].name} "
            f"and {self.slices[worst + 1].name}"
        )


def build_stack(slices: Sequence[SliceHeader], where: Path) -> Stack:
    """Sort slices by their position.

    Raises:
        MixedSeriesError: they differ in size, spacing, direction or frame of reference, two lie at one
            place, or one lies beside the others.
        NonAxialSeriesError: they are sagittal, coronal or oblique.
        DimensionError: there is one slice only.
    """
    _check_one_kind(slices, where)
    _check_axial(slices[0], where)
    if len(slices) < 2:
        raise DimensionError(
            "one slice is not a volume",
            where=where,
            got="1 DICOM slice",
            expected="at least two",
            hint="Give the folder that holds all slices of the series",
        )
    normal = slices[0].normal
    towards_head = 1.0 if normal[2] > 0.0 else -1.0
    ordered = sorted(slices, key=lambda each: towards_head * float(each.position_mm @ normal))
    stack = Stack(tuple(ordered), where)
    _check_places(stack)
    return stack


def check_regular(stack: Stack) -> None:
    """Refuse a stack that is not a right-angled grid with even spacing.

    Raises:
        GantryTiltError: the slices are shifted against each other.
        MissingSliceError: slices are missing.
        UnevenSlicesError: the distance varies otherwise.
    """
    if stack.is_tilted:
        raise GantryTiltError(
            "the gantry was tilted: the slices are sheared against each other",
            where=stack.where,
            got=f"a tilt of {stack.tilt_degrees:.1f} degrees",
            expected=f"at most {MAX_SHEAR_DEGREES} degrees",
            hint="--resample corrects it",
        )
    if stack.missing:
        raise MissingSliceError(
            "slices are missing",
            where=stack.where,
            got=stack.describe_missing(),
            expected=f"{stack.spacing_mm:.2f} mm between all slices",
            hint="Export the whole series again; --resample would fill small gaps from their neighbours",
        )
    if not stack.is_even:
        raise UnevenSlicesError(
            "the spacing between slices varies",
            where=stack.where,
            got=stack.describe_gaps(),
            expected=f"one spacing; the median is {stack.spacing_mm:.2f} mm",
            hint="--resample makes it even",
        )


def _has_frame_for_each(slices: Sequence[SliceHeader]) -> bool:
    frames = {each.of.frame_of_reference_uid for each in slices}
    return len(frames) == len(slices) >= _SEVERAL


def _check_one_kind(slices: Sequence[SliceHeader], where: Path) -> None:
    first, own_frames = slices[0], _has_frame_for_each(slices)
    for each in slices[1:]:
        for name, ours, theirs in (
            ("size", first.of.rows_columns, each.of.rows_columns),
            ("frame of reference", first.of.frame_of_reference_uid, each.of.frame_of_reference_uid),
        ):
            if ours != theirs and not (own_frames and name == "frame of reference"):
                raise _mixed(where, f"{name} {ours} in {first.name}, {theirs} in {each.name}")
        if None in {first.rescale, each.rescale} and (first.rescale or _UNSCALED) != (
            each.rescale or _UNSCALED
        ):
            raise _mixed(
                where, f"RescaleSlope and RescaleIntercept in {first.name} or in {each.name} alone"
            )
        if not np.allclose(first.orientation, each.orientation, rtol=0.0, atol=_SAME_ANGLE):
            raise _mixed(where, f"{first.name} and {each.name} lie at an angle")
        if not np.allclose(first.spacing_mm, each.spacing_mm, rtol=_SAME_ANGLE, atol=0.0):
            raise _mixed(
                where,
                f"pixel spacing {first.spacing_mm} in {first.name}, {each.spacing_mm} in {each.name}",
            )


def _mixed(where: Path, got: str) -> MixedSeriesError:
    return MixedSeriesError(
        "the slices do not belong to one volume",
        where=where,
        got=got,
        expected="slices of one size, spacing and orientation, each at its own position",
        hint="Put each series into a folder of its own",
    )


def _check_axial(header: SliceHeader, where: Path) -> None:
    angle_degrees = off_axial_degrees(header)
    if angle_degrees > MAX_OBLIQUE_DEGREES:
        across = ("sagittal", "coronal", "oblique")[int(np.abs(header.normal).argmax())]
        raise NonAxialSeriesError(
            "the slices are not axial",
            where=where,
            got=f"{across} slices, {angle_degrees:.0f} degrees off axial",
            expected=f"at most {MAX_OBLIQUE_DEGREES:.0f} degrees off axial",
            hint="Give the axial reconstruction of the same scan",
        )


def _check_places(stack: Stack) -> None:
    """Refuse doubled places, and slices beside the line of the others."""
    gaps_mm = stack.gaps_mm
    if gaps_mm.min() < _SAME_PLACE_MM:
        twin = int(gaps_mm.argmin())
        names = f"{stack.slices[twin].name} and {stack.slices[twin + 1].name}"
        raise _mixed(stack.where, f"{names} at the same position")
    # Along a straight line sideways shift grows with height, tilted gantry or not.
    shares = (stack.heights_mm - stack.heights_mm[0]) / (stack.heights_mm[-1] - stack.heights_mm[0])
    on_line_mm = stack.positions_mm[0] + np.outer(shares, stack.positions_mm[-1] - stack.positions_mm[0])
    off_line_mm = np.abs(stack.positions_mm - on_line_mm)
    if off_line_mm.max() > _OFF_LINE_MM:
        aside = int(off_line_mm.max(axis=1).argmax())
        raise _mixed(stack.where, f"{stack.slices[aside].name} lies beside the stack")
