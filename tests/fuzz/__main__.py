"""A long run: `make fuzz MINUTES=30`, or `python -m tests.fuzz --minutes 30 --seed 1`; one kind and number again:
`python -m tests.fuzz --kind dicom --number 17 --seed 1`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from itertools import count

from tests.fuzz.harness import BUDGET_GB, try_numbers


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="The first number.")
    parser.add_argument("--number", type=int, help="This one alone.")
    parser.add_argument("--kind", help="This kind alone.")
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    only = range(options.number, options.number + 1) if options.number is not None else None

    def until_then() -> Iterator[int]:
        for number in count(options.start):
            if time.monotonic() > end:
                return
            yield number

    outcome = try_numbers(only or until_then(), options.seed, options.kind)
    refused = ", ".join(f"{name} {times}" for name, times in outcome.refused.most_common())
    grown = f"grown by {outcome.grown_bytes / 1e6:.0f} MB at most, of {BUDGET_GB * 1e3:.0f}"
    lines = [
        *outcome.escaped,
        f"{outcome.tried} damaged inputs: {outcome.read} read, {outcome.refused.total()} refused ({refused}),",
        f"{len(outcome.escaped)} neither; {grown}",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return int(bool(outcome.escaped))


if __name__ == "__main__":
    sys.exit(main())
