"""R.E.N.A.L. and PADUA of one tumour.

Kutikov A, Uzzo RG. The R.E.N.A.L. nephrometry score. J Urol 2009;182:844-853.
Ficarra V, Novara G, Secco S, et al. Preoperative aspects and dimensions used for an anatomical (PADUA) classification of
renal tumours. Eur Urol 2009;56:786-793.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from renalmap.nephrometry.lengths import Lengths
from renalmap.nephrometry.points import (
    INTO_SINUS_MM,
    INVOLVED_BELOW_MM,
    Item,
    Measured,
    Row,
    Rows,
    add_up,
    assess,
    exophytic_row,
    face_row,
    nearness_row,
    not_assessable,
    size_row,
)
from renalmap.nephrometry.results import Component, Score

_OUTLINE: Final = "the outline that the kidney had before the tumour is not known"
_FACE: Final = (
    "h, for a tumour that touches the main vessels, is not assessed: a mask does not show them"
)
_SYSTEM: Final = "a mask does not show the collecting system: estimated from the depth in the sinus"

R: Final = Item("R", "largest axial diameter")
E: Final = Item("E", "exophytic share", "", note=_OUTLINE)
N: Final = Item(
    "N", "distance to the sinus", note="a mask does not tell the collecting system from the sinus' fat"
)
A: Final = Item("A", "share in front of the coronal plane", "", most=0, note=_FACE)
L: Final = Item("L", "share between the polar lines", "")
POLAR: Final = Item("polar", "share between the polar lines", "", most=2)
EXOPHYTIC: Final = Item("exophytic", "exophytic share", "", note=_OUTLINE)
RIM: Final = Item("rim", "centre towards the hilum", most=2)
SINUS: Final = Item("sinus", "distance to the sinus", most=2)
SYSTEM: Final = Item("collecting_system", "depth into the sinus' outline", most=2)
SIZE: Final = Item("size", "largest axial diameter")
FACE: Final = Item("face", "share in front of the coronal plane", "", most=0)

RENAL: Final = (R, E, N, A, L)
PADUA: Final = (POLAR, EXOPHYTIC, RIM, SINUS, SYSTEM, SIZE, FACE)


def score_renal(size: Component, lengths: Lengths | str) -> Score:
    """R.E.N.A.L.

    Args:
        size: R.
        lengths: what was measured; or why nothing could be.
    """
    assessors = {E: _exophytic, N: _nearness, A: _face, L: _location}
    return add_up("R.E.N.A.L.", [(item, _one(item, {R: size}, assessors, lengths)) for item in RENAL])


def score_padua(size: Component, lengths: Lengths | str) -> Score:
    """PADUA; arguments as of `score_renal`, with PADUA's size."""
    assessors = {
        POLAR: _polar,
        EXOPHYTIC: _exophytic,
        RIM: _rim,
        SINUS: _sinus,
        SYSTEM: _system,
        FACE: _face,
    }
    return add_up("PADUA", [(item, _one(item, {SIZE: size}, assessors, lengths)) for item in PADUA])


_Assessor = Callable[[Item, Lengths], Component]


def _one(
    item: Item, known: dict[Item, Component], assessors: Mapping[Item, _Assessor], lengths: Lengths | str
) -> Component:
    if item in known:
        return known[item]
    return not_assessable(item, lengths) if isinstance(lengths, str) else assessors[item](item, lengths)


def assess_size(item: Item, diameter_mm: float, pixel_mm: float, in_space_mm: float) -> Component:
    """R, or PADUA's size.

    Args:
        item: which of the two.
        diameter_mm: the longest axial one.
        pixel_mm: of a slice.
        in_space_mm: the longest line in any direction, for comparison.
    """
    found = Measured(diameter_mm, pixel_mm, {"largest_3d_diameter_mm": in_space_mm})
    return assess(item, found, _about(diameter_mm, lambda mm: size_row(mm, seven_is_large=item is R)))


def _about(value_mm: float, row_of: Callable[[float], Row]) -> Rows:
    """The rows of a length, and of that length some mm shorter and longer."""
    return lambda move: [row_of(value_mm + by) for by in ((0.0,) if move == 0.0 else (-move, move))]


def _exophytic(item: Item, lengths: Lengths) -> Component:
    told = {"farthest_outside_mm": float(lengths.beyond.max()), "bare_share": lengths.bare_share}

    def row_of(moved_mm: float) -> Row:
        return exophytic_row(lengths.exophytic_share(moved_mm), lengths.bare_share)

    return assess(item, Measured(lengths.exophytic_share(), lengths.voxel_mm, told), _about(0.0, row_of))


def _nearness(item: Item, lengths: Lengths) -> Component:
    return assess(item, _to_sinus(lengths), _about(lengths.to_sinus.length_mm, nearness_row))


def _to_sinus(lengths: Lengths) -> Measured:
    line = lengths.to_sinus
    unit = (line.ends[1] - line.ends[0]) / (line.length_mm or 1.0)
    return Measured(line.length_mm, lengths.voxel_along(unit), assumed=_assumed_sinus(lengths))


def _assumed_sinus(lengths: Lengths) -> str | None:
    usual = lengths.shape.sinus_basis == "proportions"
    return "the sinus is not seen and taken to lie where it usually does" if usual else None


def _face(item: Item, lengths: Lengths) -> Component:
    voxel_mm = lengths.voxel_along(lengths.shape.frame.axes[2])
    found = Measured(lengths.share_in_front(), voxel_mm, assumed=_assumed_sinus(lengths))
    return assess(item, found, _about(0.0, lambda mm: face_row(lengths.share_in_front(mm))))


def _location(item: Item, lengths: Lengths) -> Component:
    return assess(item, _between(lengths), _with_lines_moved(lengths, _location_row))


def _location_row(lengths: Lengths, lower: float, upper: float) -> Row:
    (low, high), middle = lengths.span, (lower + upper) / 2.0
    if low >= upper:
        return Row("entirely above the upper polar line", 1)
    if high <= lower:
        return Row("entirely below the lower polar line", 1)
    if low < middle < high:
        return Row("crosses the axial midplane", 3)
    if low >= lower and high <= upper:
        return Row("entirely between the polar lines", 3)
    if lengths.share_between_lines(lower, upper) > 0.5:
        return Row("> 50 % across a polar line", 3)
    return Row("crosses a polar line", 2)


def _between(lengths: Lengths) -> Measured:
    shape, (low, high) = lengths.shape, lengths.span
    lower, upper = shape.polar_mm
    usual = shape.polar_basis == "proportions"
    return Measured(
        lengths.share_between_lines(lower, upper),
        lengths.voxel_along(shape.frame.axes[0]),
        {
            "lowest_mm": low,
            "highest_mm": high,
            "lower_polar_line_mm": lower,
            "axial_midplane_mm": shape.middle_mm,
            "upper_polar_line_mm": upper,
        },
        "the polar lines are not seen and taken to lie where they usually do" if usual else None,
    )


def _with_lines_moved(lengths: Lengths, row_of: Callable[[Lengths, float, float], Row]) -> Rows:
    """With the polar lines where they are; or each of them moved either way."""
    lower, upper = lengths.shape.polar_mm

    def rows(move: float) -> Sequence[Row]:
        ways = (0.0,) if move == 0.0 else (-move, move)
        return [row_of(lengths, lower + down, upper + up) for down in ways for up in ways]

    return rows


def _polar(item: Item, lengths: Lengths) -> Component:
    return assess(item, _between(lengths), _with_lines_moved(lengths, _polar_row))


def _polar_row(lengths: Lengths, lower: float, upper: float) -> Row:
    if lengths.share_between_lines(lower, upper) > 0.5:
        return Row("> 50 % between the polar lines: middle", 2)
    return Row(">= 50 % beyond the polar lines: polar", 1)


def _rim(item: Item, lengths: Lengths) -> Component:
    medial_mm = float(lengths.local[:, 1].mean())
    voxel_mm = lengths.voxel_along(lengths.shape.frame.axes[1])
    found = Measured(medial_mm, voxel_mm, assumed=_assumed_sinus(lengths))
    return assess(item, found, _about(medial_mm, _rim_row))


def _rim_row(medial_mm: float) -> Row:
    if medial_mm > 0.0:
        return Row("> 0 mm: medial", 2)
    return Row("<= 0 mm: lateral", 1)


def _sinus(item: Item, lengths: Lengths) -> Component:
    return assess(item, _to_sinus(lengths), _about(lengths.to_sinus.length_mm, _sinus_row))


def _sinus_row(distance_mm: float) -> Row:
    if distance_mm < INVOLVED_BELOW_MM:
        return Row(f"< {INVOLVED_BELOW_MM:g} mm: involved", 2)
    return Row(f">= {INVOLVED_BELOW_MM:g} mm: not involved", 1)


def _system(item: Item, lengths: Lengths) -> Component:
    found = Measured(lengths.into_sinus, lengths.voxel_mm, assumed=_assumed_sinus(lengths) or _SYSTEM)
    return assess(item, found, _about(lengths.into_sinus, _system_row))


def _system_row(depth_mm: float) -> Row:
    if depth_mm >= INTO_SINUS_MM:
        return Row(f">= {INTO_SINUS_MM:g} mm: dislocated or infiltrated", 2)
    return Row(f"< {INTO_SINUS_MM:g} mm: not dislocated", 1)
