"""What an installation takes on disk."""

from __future__ import annotations

import os
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks.results import Size

_MB: Final = 2**20
_NAMED: Final = 6
EXTRAS: Final = {"run-time packages": "", "with the train extra": "train"}


def folder_size(title: str, folder: Path) -> Size | None:
    """A folder as `du` counts it; None where it does not exist."""
    if not folder.is_dir():
        return None
    blocks = sum(
        os.lstat(Path(root) / name).st_blocks for root, _, names in os.walk(folder) for name in names
    )
    return Size(title=title, megabytes=512 * blocks / _MB)


def packages_size(title: str, extra: str) -> Size:
    """All that `pip install renalmap[extra]` brings, by the files each package lists, without bytecode."""
    megabytes = {name: _size_mb(found) for name, found in _closure("renalmap", {extra}).items()}
    largest = sorted(megabytes, key=lambda name: -megabytes[name])[:_NAMED]
    return Size(
        title=title,
        megabytes=sum(megabytes.values()),
        largest={name: round(megabytes[name], 1) for name in largest},
    )


def _closure(package: str, extras: set[str]) -> dict[str, Distribution]:
    """A package and all it needs, as far as it is installed here."""
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(package, extra) for extra in {"", *extras}]
    while waiting:
        asked = waiting.pop()
        if asked in seen:
            continue
        seen.add(asked)
        name, extra = asked
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue
        for line in found[name].requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                needed = canonicalize_name(requirement.name)
                waiting += [(needed, wanted) for wanted in {"", *requirement.extras}]
    return found


def _size_mb(package: Distribution) -> float:
    files = [Path(str(file.locate())) for file in package.files or () if file.suffix != ".pyc"]
    return sum(file.stat().st_size for file in files if file.is_file()) / _MB
