"""Which lesion of the later scan is which of the earlier one: by place in the kidney."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final, Literal

import numpy as np

from renalmap.anatomy import Lesion, Voxels
from renalmap.followup.alignment import Alignment
from renalmap.followup.surface import FloatArray
from renalmap.imaging import Geometry, LabelMap
from renalmap.labels import CYST, TUMOUR

SAME_SHARE: Final = 0.3
"""Of a lesion's volume inside another, laid on it: it is that one, or part of it."""

NEAR_MM: Final = 5.0
"""Lesions that do not overlap may be the same if balls of their volumes are no farther apart than this."""

_MOST_POINTS: Final = 4000

How = Literal["overlap", "nearest", "side"]


@dataclass(frozen=True, eq=False)
class Group:
    """Lesions that are the same: one of each scan, or several if they merged or split; none where one came or went.

    Attributes:
        before, after: the lesions, largest first.
        how: what says so; None for one that came or went.
        distance_mm: between the centres of the largest, once the kidneys lie on each other.
    """

    before: tuple[Lesion, ...]
    after: tuple[Lesion, ...]
    how: How | None = None
    distance_mm: float | None = None


@dataclass(frozen=True, eq=False)
class Placed:
    """Two label maps, and how places of the one come to lie in the other."""

    before: LabelMap
    after: LabelMap
    alignment: Alignment

    def before_in_after(self, lesion: Lesion) -> FloatArray:
        """Where voxels of a lesion lie in the later map: (n, 3) in its voxels."""
        return to_voxels(self.alignment(_places(lesion, self.before.geometry)), self.after.geometry)

    def after_in_before(self, lesion: Lesion) -> FloatArray:
        """The same from the later to the earlier one."""
        return to_voxels(
            self.alignment.inverse(_places(lesion, self.after.geometry)), self.before.geometry
        )

    def distance_mm(self, one: Lesion, other: Lesion) -> float:
        """Between the centres of a lesion of the earlier map and one of the later."""
        centres = (
            to_world(np.array([lesion.voxels.centre_zyx]), label_map.geometry)
            for lesion, label_map in ((one, self.before), (other, self.after))
        )
        first, second = centres
        return float(np.linalg.norm(self.alignment(first) - second))

    def gap_mm(self, one: Lesion, other: Lesion) -> float:
        """Between balls of their volumes; negative where these overlap."""
        radii_mm = _radius_mm(one, self.before.geometry) + _radius_mm(other, self.after.geometry)
        return self.distance_mm(one, other) - radii_mm


def match_lesions(before: Sequence[Lesion], after: Sequence[Lesion], placed: Placed) -> list[Group]:
    """Match the lesions of one kidney: every lesion is in exactly one group.

    A lesion goes with the one that holds most of it, and at least `SAME_SHARE`; what holds several of the other
    scan's has merged, or split. Of what is left, the nearest go together as far as `NEAR_MM`. Tumours and cysts
    are not told apart: what was called the one may be called the other later.
    """
    links = set(_holders(before, after, placed.before_in_after))
    links |= {(one, other) for other, one in _holders(after, before, placed.after_in_before)}
    groups = _connected(links)
    groups += _nearest(before, after, groups, placed)
    linked = [{at for group in groups for at in group[side]} for side in (0, 1)]
    found = [
        Group(
            tuple(before[at] for at in sorted(ours)),
            tuple(after[at] for at in sorted(theirs)),
            "overlap" if any((one, other) in links for one in ours for other in theirs) else "nearest",
            round(placed.distance_mm(before[min(ours)], after[min(theirs)]), 1),
        )
        for ours, theirs in groups
    ]
    found += [Group((one,), ()) for at, one in enumerate(before) if at not in linked[0]]
    return found + [Group((), (one,)) for at, one in enumerate(after) if at not in linked[1]]


def lies_outside(points: FloatArray, geometry: Geometry) -> bool:
    """Whether the middle of some places, in voxels, lies beyond the scan."""
    middle = points.mean(axis=0)
    return bool((middle < -0.5).any() or (middle > np.array(geometry.shape) - 0.5).any())


def leaves_a_speck(points: FloatArray, label_map: LabelMap) -> bool:
    """Whether anything at some places, in voxels, is labelled tumour or cyst."""
    at = np.rint(points).astype(int)
    at = at[((at >= 0) & (at < label_map.geometry.shape)).all(axis=1)]
    return bool(np.isin(label_map.labels[tuple(at.T)], (TUMOUR, CYST)).any())


def to_world(voxels: FloatArray, geometry: Geometry) -> FloatArray:
    """Places in voxels as world coordinates, both (n, 3)."""
    world: FloatArray = voxels @ geometry.affine[:3, :3].T + geometry.affine[:3, 3]
    return world


def to_voxels(points_mm: FloatArray, geometry: Geometry) -> FloatArray:
    """The inverse of `to_world`."""
    back = np.linalg.inv(geometry.affine)
    voxels: FloatArray = points_mm @ back[:3, :3].T + back[:3, 3]
    return voxels


def _places(lesion: Lesion, geometry: Geometry) -> FloatArray:
    """World coordinates of a lesion's voxels, evenly chosen where there are many."""
    inside = np.flatnonzero(lesion.voxels.inside)
    inside = inside[:: -(-len(inside) // _MOST_POINTS)]
    at = np.stack(np.unravel_index(inside, lesion.voxels.inside.shape), axis=1) + lesion.voxels.box.start
    return to_world(at.astype(np.float64), geometry)


def _holders(
    lesions: Sequence[Lesion], others: Sequence[Lesion], place: Callable[[Lesion], FloatArray]
) -> Iterator[tuple[int, int]]:
    """Each lesion with the one of the others that holds most of it, if that is enough."""
    for at, lesion in enumerate(lesions):
        points = place(lesion)
        shares = [_share_inside(points, other.voxels) for other in others]
        if max(shares, default=0.0) >= SAME_SHARE:
            yield at, int(np.argmax(shares))


def _share_inside(points: FloatArray, voxels: Voxels) -> float:
    """How many of some places, in voxels of the grid, lie inside some voxels."""
    at = np.rint(points - voxels.box.start).astype(int)
    at = at[((at >= 0) & (at < voxels.inside.shape)).all(axis=1)]
    return float(np.count_nonzero(voxels.inside[tuple(at.T)])) / len(points)


_Groups = list[tuple[set[int], set[int]]]


def _connected(links: set[tuple[int, int]]) -> _Groups:
    """What links hold together: indices of the one scan's lesions and of the other's."""
    groups: _Groups = []
    for one, other in sorted(links):
        touched = [group for group in groups if one in group[0] or other in group[1]]
        groups = [group for group in groups if group not in touched]
        ours, theirs = (
            {one}.union(*(group[0] for group in touched)),
            {other}.union(*(group[1] for group in touched)),
        )
        groups.append((ours, theirs))
    return groups


def _nearest(
    before: Sequence[Lesion], after: Sequence[Lesion], groups: _Groups, placed: Placed
) -> _Groups:
    """Pairs of what is in no group yet, nearest first."""
    taken = [{at for group in groups for at in group[side]} for side in (0, 1)]
    gaps = sorted(
        (placed.gap_mm(before[one], after[other]), one, other)
        for one, other in product(range(len(before)), range(len(after)))
    )
    pairs: _Groups = []
    for gap_mm, one, other in gaps:
        if gap_mm <= NEAR_MM and one not in taken[0] and other not in taken[1]:
            taken[0].add(one)
            taken[1].add(other)
            pairs.append(({one}, {other}))
    return pairs


def _radius_mm(lesion: Lesion, geometry: Geometry) -> float:
    """Of a ball of its volume."""
    return float((lesion.voxels.size * geometry.voxel_ml * 1000.0 * 0.75 / np.pi) ** (1 / 3))
