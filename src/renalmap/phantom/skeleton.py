"""The spine, and the muscles beside it."""

from __future__ import annotations

import numpy as np

from renalmap.phantom.canvas import View
from renalmap.phantom.shapes import Field, ellipse_distance
from renalmap.phantom.tissues import Tissues
from renalmap.phantom.trunk import Trunk

_VERTEBRA_PITCH_MM = 36.0
_DISC_MM = 9.0
_SHELL_MM = 1.1


def paint_muscles(view: View, trunk: Trunk, tissues: Tissues) -> None:
    """Psoas, quadratus lumborum, paraspinal muscles and the crura of the diaphragm, both sides."""
    z, back = float(view.z), trunk.vertebra_y_mm
    psoas = float(np.clip(12.5 - 0.19 * z, 0.0, 26.0))
    quadratus = float(np.clip((60.0 - z) / 20.0, 0.0, 1.0))
    crus = float(np.clip(min((z - 5.0) / 40.0, (110.0 - z) / 20.0), 0.0, 1.0))
    near = view.around((z, back, 0.0), (0.0, 90.0, 110.0))
    if near is None:
        return
    side, behind = np.abs(near.x), near.y - back + 1.2 * near.lobes
    lean = tissues.muscle + 3.0 * near.course + 4.0 * near.grain
    streaked = np.where(near.lobes + 0.3 * near.grain > 1.9, tissues.fat + 40.0, lean).astype(np.float32)
    if psoas > 3.0:
        near.paint(
            ellipse_distance(side - 24.0 - 0.75 * psoas, behind - 2.0, 0.95 * psoas, 1.15 * psoas), lean
        )
    if quadratus > 0.2:
        near.paint(ellipse_distance(side - 66.0, behind - 17.0, 22.0, 9.0 * quadratus), lean)
    near.paint(ellipse_distance(side - 35.0, behind - 46.0, 32.0, 22.0), streaked)
    if crus > 0.2:
        near.paint(ellipse_distance(side - 17.0, behind + 25.0, 5.0, 15.0 * crus), lean)


def paint_spine(view: View, trunk: Trunk, tissues: Tissues) -> None:
    """A vertebra or a disc, with canal, pedicles, transverse and spinous processes."""
    middle = trunk.vertebra_y_mm
    near = view.around((float(view.z), middle + 20.0, 0.0), (0.0, 62.0, 62.0))
    if near is None:
        return
    level = (float(near.z) + 0.5 * _VERTEBRA_PITCH_MM) % _VERTEBRA_PITCH_MM
    from_disc = abs(level - 0.5 * _VERTEBRA_PITCH_MM) - 0.5 * (_VERTEBRA_PITCH_MM - _DISC_MM)
    _paint_body(near, middle, from_disc, tissues)
    _paint_arch(near, middle, level / _VERTEBRA_PITCH_MM, tissues)
    canal = ellipse_distance(near.x, near.y - middle - 26.0, 11.0, 8.5)
    view_fat = tissues.fat + 30.0 + 0.0 * canal
    near.paint(canal, view_fat)
    near.paint(canal + 2.5, tissues.cord)


def _paint_body(view: View, middle_mm: float, from_disc_mm: float, tissues: Tissues) -> None:
    waist = float(np.clip(-from_disc_mm / 14.0, 0.0, 1.0)) * 2.5
    body = ellipse_distance(view.x, view.y - middle_mm, 24.5 - waist, 18.0 - waist) + 0.5 * view.lobes
    dent = 9.0 - np.hypot(view.x, view.y - middle_mm - 25.0)
    body = np.maximum(body, dent)
    if from_disc_mm > 0.0:
        view.paint(body, tissues.disc + 5.0 * view.lobes)
        return
    dense = 0.55 * tissues.cortical_bone
    view.paint(body, dense)
    endplate = float(np.clip(-from_disc_mm / 2.5, 0.0, 1.0))
    spongy = tissues.marrow + 22.0 * view.grain + 12.0 * view.lobes
    view.paint(body + _SHELL_MM, dense + endplate * (spongy - dense))


def _paint_arch(view: View, middle_mm: float, level: float, tissues: Tissues) -> None:
    """`level` runs from 0 at the lower to 1 at the upper end of a vertebra and half its discs."""
    side, back = np.abs(view.x), view.y - middle_mm
    parts: list[Field] = []
    lamina = np.abs(back - 37.0 + 0.35 * side) - 3.0
    parts.append(np.maximum(lamina, side - 17.0))
    if 0.1 < level < 0.75:
        thick = 2.0 + 1.3 * (level < 0.45)
        parts.append(np.maximum(side - thick - 0.04 * (back - 38.0), np.abs(back - 50.0) - 15.0))
    if 0.45 < level < 0.85:
        parts.append(np.maximum(np.abs(side - 14.5) - 4.0, np.abs(back - 23.0) - 13.0))
    if 0.5 < level < 0.72:
        wing = np.abs(back - 27.0 - 0.22 * (side - 20.0)) - 3.6
        parts.append(np.maximum(wing, np.abs(side - 30.0) - 14.0))
    if level < 0.3 or level > 0.85:
        parts.append(np.hypot((side - 18.0) / 1.1, back - 33.0) - 7.5)
    for part in parts:
        view.paint(part, 0.6 * tissues.cortical_bone)
    for part in parts:
        view.paint(part + 1.4, tissues.marrow + 30.0)
