"""Rounds: everybody once, then everybody again, because the machine's speed drifts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

_T = TypeVar("_T")

Progress = Callable[[str, int, int], None]
"""Told (what is being measured, done, in all)."""


def interleave(
    contestants: Mapping[str, Callable[[], _T]], rounds: int, progress: Progress
) -> dict[str, list[_T]]:
    """Measure A B C, A B C, ... and give each one's rounds."""
    measured: dict[str, list[_T]] = {name: [] for name in contestants}
    total = rounds * len(contestants)
    for number in range(rounds):
        for place, (name, measure) in enumerate(contestants.items()):
            progress(name, number * len(contestants) + place, total)
            measured[name].append(measure())
    return measured
