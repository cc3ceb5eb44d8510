"""From lengths to points: the tables of R.E.N.A.L. and PADUA, and how firm each point is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from renalmap.nephrometry.results import Component, Confidence, Range, Risk, Score

Letter = Literal["a", "p", "x"]

MOVE_MM: Final = 2.0
"""How far two readers' borders may lie apart."""

ENDOPHYTIC_SHARE: Final = 0.02
"""With no more of a tumour than this outside the outline it may be entirely endophytic: a cap a sixth of its radius high."""

BARE_SHARE: Final = 0.15
"""And no more of its border than this may be bare of kidney, sinus and other lesions: a cap a third of its radius high."""

FACE_SHARE: Final = 2.0 / 3.0
"""A tumour with this share of its volume on one side of the coronal plane lies on that side."""

INVOLVED_BELOW_MM: Final = 2.0
"""A rim of tissue thinner than this between tumour and sinus is not resolved by CT."""

INTO_SINUS_MM: Final = 2.0
"""A tumour that reaches this far into the sinus' outline is taken to displace the collecting system."""

_CLASSES: Final[dict[str, tuple[tuple[int, Risk], ...]]] = {
    "R.E.N.A.L.": ((7, "low"), (10, "moderate")),
    "PADUA": ((8, "low"), (10, "moderate")),
}


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        threshold: in words.
        points: None for a letter.
        letter: None for points.
    """

    threshold: str
    points: int | None = None
    letter: Letter | None = None

    @property
    def gives(self) -> str:
        """As "2 points", or "the letter a"."""
        if self.points is None:
            return f"the letter {self.letter}"
        return f"{self.points} point{'' if self.points == 1 else 's'}"


Rows = Callable[[float], Sequence[Row]]
"""The rows that apply if borders move by some mm; with 0 a single one."""


@dataclass(frozen=True)
class Item:
    """What a component is, before anything is measured.

    Attributes:
        code, name, unit: as in `Component`.
        most: the most points it can give; 0 for a letter. The fewest are 1.
        note: what a mask cannot know about it.
    """

    code: str
    name: str
    unit: str = "mm"
    most: int = 3
    note: str | None = None


@dataclass(frozen=True)
class Measured:
    """What was measured for a component.

    Attributes:
        value: in the item's unit.
        voxel_mm: one voxel in the direction that matters.
        lengths: further numbers.
        assumed: what it rests on that was assumed, in words; None if nothing.
    """

    value: float
    voxel_mm: float
    lengths: dict[str, float] = field(default_factory=dict)
    assumed: str | None = None


def assess(item: Item, measured: Measured, rows: Rows) -> Component:
    """Points and how firm they are."""
    (row,) = rows(0.0)
    by_voxel, by_mm = ([row, *rows(move)] for move in (measured.voxel_mm, MOVE_MM))
    moves = ((f"one voxel ({measured.voxel_mm:.1f} mm)", by_voxel), (f"{MOVE_MM:g} mm", by_mm))
    edge = next(
        (
            f"within {move} of: {other.threshold}, which gives {other.gives}"
            for move, near in moves
            for other in near
            if (other.points, other.letter) != (row.points, row.letter)
        ),
        None,
    )
    changed = [any(other != row for other in near) for near in (by_voxel, by_mm)]
    confidence: Confidence = (
        "low" if changed[0] or measured.assumed else "moderate" if changed[1] else "high"
    )
    return Component(
        code=item.code,
        name=item.name,
        value=round(measured.value, 3 if item.unit == "" else 2) + 0.0,
        unit=item.unit,
        lengths={name: round(value, 2) + 0.0 for name, value in measured.lengths.items()},
        points=row.points,
        letter=row.letter,
        threshold=row.threshold,
        points_one_voxel=_range(by_voxel),
        points_2_mm=_range(by_mm),
        confidence=confidence,
        edge=edge,
        note="; ".join(text for text in (measured.assumed, item.note) if text) or None,
    )


def _range(rows: Sequence[Row]) -> Range | None:
    points = [row.points for row in rows if row.points is not None]
    return (min(points), max(points)) if points else None


def not_assessable(item: Item, reason: str, least: float | None = None) -> Component:
    """A component without points; `least` is a lower bound of its value."""
    lengths = {} if least is None else {f"at_least_{item.unit}": round(least, 2)}
    return Component(
        code=item.code,
        name=item.name,
        unit=item.unit,
        lengths=lengths,
        not_assessable=reason,
        note=item.note,
    )


def add_up(name: Literal["R.E.N.A.L.", "PADUA"], items: Sequence[tuple[Item, Component]]) -> Score:
    """The total, its range and its class; no total unless everything that gives points was assessed."""
    least = most = total = 0
    missing = []
    for item, component in items:
        if item.most == 0:
            continue
        if component.points is None:
            missing.append(component.code)
            least, most = least + 1, most + item.most
            continue
        near = [*(component.points_one_voxel or ()), *(component.points_2_mm or ())]
        total += component.points
        least, most = least + min(near), most + max(near)
    letter = next((component.letter for _, component in items if component.letter), "") or ""
    known = None if missing else total
    return Score(
        name=name,
        components=[component for _, component in items],
        total=known,
        total_range=(least, most),
        risk=None if known is None else _risk(name, known),
        text=f"{total}{letter}"
        if known is not None
        else f"at least {least}, at most {most}: {', '.join(missing)} not assessable",
    )


def _risk(name: str, total: int) -> Risk:
    for below, risk in _CLASSES[name]:
        if total < below:
            return risk
    return "high"


def size_row(diameter_mm: float, *, seven_is_large: bool) -> Row:
    """R of R.E.N.A.L., for which 7 cm is large; PADUA's size, for which it is not."""
    if diameter_mm <= 40.0:
        return Row("<= 40 mm", 1)
    if diameter_mm < 70.0 or (diameter_mm == 70.0 and not seven_is_large):
        return Row(f"> 40 and {'<' if seven_is_large else '<='} 70 mm", 2)
    return Row(f"{'>=' if seven_is_large else '>'} 70 mm", 3)


def exophytic_row(share: float, bare_share: float) -> Row:
    """E, the same in both; a tumour that is flush with the surface is not entirely endophytic."""
    if share >= 0.5:
        return Row(">= 50 % outside the kidney's outline", 1)
    if share > ENDOPHYTIC_SHARE:
        return Row("> 2 % and < 50 % outside", 2)
    if bare_share > BARE_SHARE:
        return Row("<= 2 % outside, but > 15 % of its surface bare", 2)
    return Row("entirely endophytic", 3)


def nearness_row(distance_mm: float) -> Row:
    """N."""
    if distance_mm >= 7.0:
        return Row(">= 7 mm", 1)
    return Row("> 4 and < 7 mm", 2) if distance_mm > 4.0 else Row("<= 4 mm", 3)


def face_row(share_in_front: float) -> Row:
    """A, and PADUA's face."""
    if share_in_front >= FACE_SHARE:
        return Row("two thirds in front of the coronal plane", letter="a")
    if share_in_front <= 1.0 - FACE_SHARE:
        return Row("two thirds behind the coronal plane", letter="p")
    return Row("neither two thirds in front nor behind", letter="x")
