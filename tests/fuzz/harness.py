"""Read damaged files and see what comes of it: nothing but results and our own errors."""

from __future__ import annotations

import logging
import os
import resource
import signal
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from tests.fuzz.corpus import Kind, make_kinds
from tests.fuzz.mutations import mutate

from renalmap.errors import RenalMapError
from renalmap.imaging.budget import read_budget

BUDGET_GB: Final = 0.25
HANG_S: Final = 10.0
"""Of processor time, which does not depend on what else the machine does."""


class Hang(BaseException):
    """A read took too long. No reader may take it for an error of a library."""


@dataclass
class Outcome:
    """What became of the damaged files.

    Attributes:
        read: files read in spite of the damage.
        refused: by the name of the error.
        escaped: what was neither, in words: the kind, the number, the exception and where it came from.
        grown_bytes: how much the process grew at its peak.
    """

    read: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    escaped: list[str] = field(default_factory=list)
    grown_bytes: int = 0

    @property
    def tried(self) -> int:
        return self.read + self.refused.total() + len(self.escaped)


def try_numbers(numbers: Iterator[int] | range, seed: int = 0, only: str | None = None) -> Outcome:
    """Damage a file of every kind for each number, and read it. A kind, a seed and a number say which bytes."""
    outcome = Outcome()
    with tempfile.TemporaryDirectory(dir=_fast_folder()) as folder, _quietly(), read_budget(BUDGET_GB):
        (Path(folder) / "scratch").mkdir()
        kinds = make_kinds(Path(folder) / "scratch")
        roots = {kind.name: _lay_out(kind, Path(folder) / kind.name.replace(" ", "_")) for kind in kinds}
        for kind in kinds:
            kind.read(roots[kind.name])  # undamaged: it can be read, and its libraries are loaded
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number in numbers:
            for index, kind in enumerate(kinds):
                if only in {None, kind.name}:
                    generator = np.random.default_rng([seed, index, number])
                    _try(kind, roots[kind.name], generator, (number, outcome))
        outcome.grown_bytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    return outcome


def _try(kind: Kind, root: Path, generator: np.random.Generator, into: tuple[int, Outcome]) -> None:
    number, outcome = into
    name = kind.targets[int(generator.integers(len(kind.targets)))]
    (root / name).write_bytes(mutate(kind.files[name], generator))
    kind.prepare(root)
    signal.setitimer(signal.ITIMER_VIRTUAL, HANG_S)
    try:
        kind.read(root)
        outcome.read += 1
    except RenalMapError as error:
        outcome.refused[type(error).__name__] += 1
    except (Exception, Hang) as error:  # noqa: BLE001  (which is what is looked for)
        frames = traceback.extract_tb(error.__traceback__)
        ours = [each for each in frames if "/src/renalmap/" in each.filename] or frames
        place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"
        outcome.escaped.append(
            f"{kind.name} {number} ({name}): {place}: {type(error).__name__}: {error}"[:300]
        )
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        (root / name).write_bytes(kind.files[name])


def _lay_out(kind: Kind, root: Path) -> Path:
    for name, content in kind.files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def _fast_folder() -> str | None:
    """Files in memory where the system has such a place."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@contextmanager
def _quietly() -> Iterator[None]:
    """Without what libraries log, and with warnings as a user has them: not as errors."""

    def hang(*_: object) -> None:
        raise Hang

    handler = signal.signal(signal.SIGVTALRM, hang)
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
        signal.signal(signal.SIGVTALRM, handler)
