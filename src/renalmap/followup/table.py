"""A comparison as a table: one row per kidney, one row per lesion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from renalmap.followup.changes import Change
from renalmap.followup.comparison import Comparison, KidneyComparison, LesionComparison
from renalmap.imaging.files import csv_text
from renalmap.measure import Measurements

_CHANGES: Final = {
    "volume_ml": "volume_ml",
    "longest_axial_diameter_mm": "axial_mm",
    "short_axis_mm": "short_axis_mm",
    "largest_3d_diameter_mm": "largest_3d_mm",
    "length_mm": "length_mm",
}
"""What is compared, and how its columns begin."""

_PARTS: Final = ("before", "after", "change", "least", "verdict", "per_year")

COLUMNS: Final = (
    *("structure", "kidney", "side", "status", "before_ids", "after_ids", "how", "distance_mm"),
    *(f"{name}_{part}" for name in _CHANGES.values() for part in _PARTS),
    *(
        "doubling_days",
        "doubling_from_days",
        "doubling_to_days",
        "hu_change",
        "residual_mm",
        "interval_days",
    ),
)
"""`volume_ml` of a kidney is that of its own tissue. Empty means not known."""


def comparison_to_csv(found: Comparison, before: Measurements, after: Measurements) -> str:
    """A CSV text. Of what is in one scan only, that scan's numbers are given and no change."""
    rows: list[dict[str, Any]] = []
    for kidney in found.kidneys:
        status = (
            "matched"
            if kidney.before and kidney.after
            else "before only"
            if kidney.before
            else "after only"
        )
        measured = [
            None if number is None else scan.kidneys[number - 1]
            for number, scan in ((kidney.before, before), (kidney.after, after))
        ]
        alone = [
            {} if one is None else {"volume_ml": one.parenchyma_ml, "length_mm": one.length_mm}
            for one in measured
        ]
        cells = _changes({"volume_ml": kidney.parenchyma_ml, "length_mm": kidney.length_mm}, alone)
        residual = None if kidney.alignment is None else kidney.alignment.residual_mm
        rows.append(
            {
                "structure": "kidney",
                "status": status,
                **_shared(kidney),
                **cells,
                "residual_mm": residual,
            }
        )
    for lesion in found.lesions:
        sizes = [_sizes(lesion.before, before), _sizes(lesion.after, after)]
        cells = _changes({name: getattr(lesion, name, None) for name in _CHANGES}, sizes)
        doubling = lesion.doubling_time
        if doubling is not None:
            cells |= {"doubling_days": doubling.days, "doubling_from_days": doubling.from_days}
            cells |= {"doubling_to_days": doubling.to_days}
        own = {
            "structure": lesion.kind,
            "status": lesion.status,
            "how": lesion.how,
            "distance_mm": lesion.distance_mm,
        }
        rows.append({**own, **_shared(lesion), **cells})
    every = ({**row, "interval_days": found.interval_days} for row in rows)
    return csv_text(
        COLUMNS, ({name: value for name, value in row.items() if value is not None} for row in every)
    )


def _shared(one: KidneyComparison | LesionComparison) -> dict[str, Any]:
    ids = {
        f"{name}_ids": " ".join(
            map(str, numbers if isinstance(numbers, list) else [numbers] if numbers else [])
        )
        for name, numbers in (("before", one.before), ("after", one.after))
    }
    return {"kidney": one.kidney, "side": one.side, "hu_change": one.hu_change, **ids}


def _sizes(numbers: Sequence[int], scan: Measurements) -> dict[str, float]:
    """The volume of all lesions of a group together, and the lines of its largest; nothing for an empty one."""
    lesions = [scan.lesions[number - 1] for number in numbers]
    if not lesions:
        return {}
    lines = {name: getattr(lesions[0], name) for name in _CHANGES if hasattr(lesions[0], name)}
    return {**lines, "volume_ml": round(sum(one.volume_ml for one in lesions), 3)}


def _changes(changes: dict[str, Change | None], alone: Sequence[dict[str, float]]) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for name, start in _CHANGES.items():
        change = changes.get(name)
        for part, numbers in zip(("before", "after"), alone, strict=True):
            cells[f"{start}_{part}"] = numbers.get(name)
        if change is not None:
            cells |= {f"{start}_{part}": getattr(change, part) for part in _PARTS}
    return cells
