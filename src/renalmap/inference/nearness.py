"""Whether two components come near each other, in millimetres."""

from __future__ import annotations

from renalmap.imaging.distance import squared_distance_mm2
from renalmap.imaging.volume import Box, part_of_grid
from renalmap.inference.components import Component

_ROUNDING_MM2 = 1e-3


def comes_within(
    one: Component, other: Component, spacing_mm: tuple[float, float, float], limit_mm: float
) -> bool:
    """Whether any voxel's centre of one lies within the limit of any of the other's, found in the same array.

    The distance to `other` is measured in a box about `one` that is wider by as much as the limit reaches.
    """
    steps = [int(limit_mm / spacing + 1e-6) for spacing in spacing_mm]
    wider = Box(
        tuple(low - step for low, step in zip(one.box.start, steps, strict=True)),
        tuple(high + step for high, step in zip(one.box.stop, steps, strict=True)),
    )
    near = part_of_grid(other.inside, other.box.start, wider)
    if not near.any():
        return False
    squared = squared_distance_mm2(near, spacing_mm, limit_mm)
    own = tuple(slice(step, step + size) for step, size in zip(steps, one.box.shape, strict=True))
    return bool((squared[own][one.inside] <= limit_mm**2 + _ROUNDING_MM2).any())


def continues_along_z(
    one: Component, other: Component, slice_distance_mm: float, limit_mm: float
) -> bool:
    """Whether a voxel of one lies straight above or below one of the other's, within the limit.

    Parts of a kidney lie so if the networks missed a slice or two between them. Both were found in the same
    array; distances are between centres.
    """
    steps = int(limit_mm / slice_distance_mm + 1e-6)
    (z, *start), (z_stop, *stop) = one.box.start, one.box.stop
    wider = Box((z - steps, *start), (z_stop + steps, *stop))
    above_and_below = part_of_grid(other.inside, other.box.start, wider)
    depth = len(one.inside)
    return any(
        bool((one.inside & above_and_below[steps + way : steps + way + depth]).any())
        for step in range(1, steps + 1)
        for way in (-step, step)
    )
