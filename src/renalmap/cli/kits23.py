"""Cases scored by KiTS23's rules, as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from rich.table import Table

from renalmap.cli.tables import number, table, tables_of_cases

if TYPE_CHECKING:
    from renalmap.evaluation import Kits23Score

_TITLES: Final = {
    "kidney_and_masses": "kidney, tumour, cyst",
    "masses": "tumour, cyst",
    "tumour": "tumour",
    "mean": "mean",
}


def kits23_tables(scores: Sequence[Kits23Score]) -> Iterator[Table]:
    """One case by region; or several, with their summary and tumour Dice by tumour volume."""
    return tables_of_cases(scores, _region_table, _case_table)


def _region_table(score: Kits23Score) -> Table:
    columns = {"Dice": ("dice", 3)}
    if score.mean_surface_dice is not None:
        columns["surface\nDice"] = ("surface_dice", 3)
    columns |= {"predicted\nml": ("predicted_ml", 1), "reference\nml": ("reference_ml", 1)}
    made = table(score.case, "region", *columns)
    for region, title in _TITLES.items():
        values = [getattr(score, f"{region}_{name}", None) for name, _ in columns.values()]
        digits = [places for _, places in columns.values()]
        made.add_row(title, *[number(*pair) for pair in zip(values, digits, strict=True)])
    return made


def _case_table(scores: Sequence[Kits23Score]) -> Table:
    names = ["dice"] + (["surface_dice"] if scores[0].mean_surface_dice is not None else [])
    heads = {"dice": "Dice", "surface_dice": "surf."}
    short = {"kidney_and_masses": "kidney+", "masses": "masses", "tumour": "tumour"}
    columns = [f"{short[region]}\n{heads[name]}" for region in short for name in names]
    made = table(None, "case", *columns, "tumour\nml")
    for score in scores:
        values = [getattr(score, f"{region}_{name}") for region in short for name in names]
        made.add_row(
            score.case, *[number(value, 3) for value in values], number(score.tumour_reference_ml, 1)
        )
    return made
