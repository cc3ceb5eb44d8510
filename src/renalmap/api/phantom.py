"""Synthetic CTs with known labels, as a data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from renalmap.config import load_settings
from renalmap.errors import OutputExistsError
from renalmap.phantom import PhantomConfig, write_kits_layout


class PhantomSet(BaseModel):
    """Settings of `renalmap phantom`: cases take these configurations in turn."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    phantoms: tuple[PhantomConfig, ...] = Field((PhantomConfig(),), min_length=1)


def phantom(
    out: Path, *, cases: int, seed: int, config: Path | None = None, first_number: int = 0
) -> None:
    """Write synthetic cases in KiTS19's layout.

    Args:
        out: the data set's folder.
        cases: how many.
        seed: of all of them.
        config: a TOML file of `PhantomSet`; without one, the default phantom.
        first_number: number of the first case.

    Raises:
        InputError: the settings are wrong, or a case exists.
    """
    settings = load_settings(PhantomSet, config)
    for number in range(first_number, first_number + cases):
        case = out / "data" / f"case_{number:05d}"
        if case.exists():
            raise OutputExistsError(
                "the case exists", where=case, hint="Give another --out or another --first-number"
            )
    write_kits_layout(
        out, cases, settings.phantoms, np.random.default_rng(seed), first_number=first_number
    )
