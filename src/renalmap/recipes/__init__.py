"""Named choices of everything that training decides: `paper.toml` and `renalmap.toml`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from renalmap.config import read_toml

RecipeName = Literal["paper", "renalmap"]
"""`paper`: Dahiya & Sharma 2019 to the letter. `renalmap`: what won in docs/results.md."""

RecipePart = Literal["plan", "localize", "segment"]


def read_recipe(name: RecipeName | None, part: RecipePart) -> dict[str, Any]:
    """One table of a recipe: settings of the Plan, of stage 1 or of stage 2; empty without a name."""
    if name is None:
        return {}
    table: dict[str, Any] = read_toml(Path(__file__).parent / f"{name}.toml").get(part, {})
    return table
