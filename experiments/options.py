"""Rules of inference, each alone, on held-out patients: `python -m experiments.options [--arm ARM]`."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel, ConfigDict
from rich.console import Console

from experiments.cohort import DATA, HERE, Material, load_material
from experiments.crossval import (
    JUDGED_ARM,
    RESULTS,
    WORK,
    bundle_folder,
    load_recipe,
    markdown_table,
    store_of,
)
from experiments.scoring import FoldScores, arms_table, score_bundle
from renalmap.bundle import Bundle
from renalmap.config import load_settings, parse_settings, read_toml
from renalmap.dataset.store import Store
from renalmap.imaging.files import write_text_atomically
from renalmap.preprocess import Plan

OPTIONS = HERE / "options.toml"
RULES = HERE / "rules.toml"
RESULT = RESULTS / "options.json"


class Option(BaseModel):
    """A row of the table: what it sets in the Plan."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    plan: dict[str, Any] = {}
    rules: bool = False
    """Whether it takes the bundle's rules, with `plan` over them."""

    def bundle(self, bundle: Bundle) -> Bundle:
        """A bundle with this row's Plan."""
        changes = (read_toml(RULES) if self.rules else {}) | self.plan
        values = {**bundle.plan.model_dump(), **changes}
        return dataclasses.replace(bundle, plan=parse_settings(Plan, values, where=OPTIONS))


class Options(BaseModel):
    """What `options.toml` says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    options: tuple[Option, ...]


def rules_title() -> str:
    """The title of the row with the bundle's rules."""
    options = load_settings(Options, OPTIONS).options
    return next(option.title for option in options if option.rules and not option.plan)


THE_RULES = Option(title="the bundle's rules", rules=True)


def open_fold(
    material: Material, arm: str, fold: int, option: Option = THE_RULES
) -> tuple[Bundle, Store]:
    """The bundle that `crossval run` left of a fold, with a row's Plan, and the store whose validation is held out.

    Raises:
        BundleError: the fold was not scored.
    """
    recipe, part = load_recipe(arm, material.shapes()), material.part(fold)
    bundle = option.bundle(Bundle.open(bundle_folder(material, recipe, part)))
    return bundle, store_of(material, recipe.plan, part)


def score_option(material: Material, arm: str, option: Option, folds: Sequence[int]) -> list[FoldScores]:
    """Score a row on folds' held-out patients."""
    scores = []
    for fold in folds:
        bundle, store = open_fold(material, arm, fold, option)
        scores.append(score_bundle(material, store, bundle, fold))
    return scores


def read_results() -> dict[str, list[FoldScores]]:
    """The rows that were scored, by title."""
    plain = json.loads(RESULT.read_text(encoding="utf-8"))
    return {title: [FoldScores.model_validate(fold) for fold in folds] for title, folds in plain.items()}


def main(
    arm: Annotated[str, typer.Option(help="Whose networks.")] = JUDGED_ARM,
    work: Annotated[Path, typer.Option(help="Where `crossval run` was.")] = WORK,
    data: Annotated[Path, typer.Option(help="The data's folder.")] = DATA,
    jobs: Annotated[int, typer.Option(min=1, help="Rows in work at once.")] = 2,
    only: Annotated[
        str, typer.Option(help="Rows whose title holds this; the others' results stay.")
    ] = "",
    folds: Annotated[
        list[int] | None, typer.Option("--fold", help="Only these folds, and write nothing.")
    ] = None,
) -> None:
    """Score every row, print the table, write `experiments/results/options.json`."""
    logging.basicConfig(level=logging.WARNING)
    material = load_material(work, data)
    options = load_settings(Options, OPTIONS).options
    wanted = [option for option in options if only in option.title]
    with ThreadPoolExecutor(jobs) as pool:
        on = folds or list(range(material.cohort.folds))
        scores = list(pool.map(lambda option: score_option(material, arm, option, on), wanted))
    known = {option.title: found for option, found in zip(wanted, scores, strict=True)}
    if folds is not None:
        typer.echo(markdown_table(known))
        return
    if only and RESULT.is_file():
        known = read_results() | known
    results = {option.title: known[option.title] for option in options if option.title in known}
    plain = {title: [fold.model_dump(mode="json") for fold in found] for title, found in results.items()}
    RESULTS.mkdir(exist_ok=True)
    write_text_atomically(RESULT, json.dumps(plain, indent=1) + "\n")
    Console().print(arms_table(results))
    typer.echo(markdown_table(results))


if __name__ == "__main__":
    typer.run(main)
