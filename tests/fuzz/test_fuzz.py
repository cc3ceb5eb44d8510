"""A short run of the fuzz harness, the same in every run; `make fuzz MINUTES=30` goes on from there."""

from __future__ import annotations

from tests.fuzz.harness import BUDGET_GB, try_numbers

NUMBERS = range(40)


def test_damaged_files_of_every_format_are_read_or_refused_with_an_error_of_ours():
    outcome = try_numbers(NUMBERS)
    assert outcome.escaped == []
    assert outcome.tried >= 20 * len(NUMBERS)
    assert min(outcome.read, outcome.refused.total()) > 0.2 * outcome.tried
    assert outcome.grown_bytes < BUDGET_GB * 1e9
