"""Docstrings for mkdocstrings: what several names share is said of each of them."""

from __future__ import annotations

import re
from typing import Any, Final

from griffe import Extension, Object

_SECTION: Final = re.compile(r"(?P<indent>\s*)(?:Args|Attributes|Raises):\s*$")
_SHARED: Final = re.compile(r"(?P<indent>\s*)(?P<names>\w+(?:, \w+)+): (?P<text>.*)$")


class SharedItems(Extension):
    """Parts items as `a, b: text`, which Google's style as griffe reads it has no room for."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Called by griffe for everything it loads."""
        if obj.docstring is not None:
            obj.docstring.value = part_items(obj.docstring.value)


def part_items(docstring: str) -> str:
    """A docstring in which every item of a section has one name."""
    parted: list[str] = []
    item: list[str] = []
    names: list[str] = []
    section: int | None = None

    def flush() -> None:
        if names:
            first = item[0]
            for name in names:
                parted.extend([re.sub(r"\w+(?:, \w+)+", name, first, count=1), *item[1:]])
        item.clear()
        names.clear()

    for line in docstring.splitlines():
        depth = len(line) - len(line.lstrip())
        if names and line.strip() and depth > len(item[0]) - len(item[0].lstrip()):
            item.append(line)
            continue
        flush()
        heading = _SECTION.match(line)
        if heading is not None:
            section = len(heading["indent"])
        elif line.strip() and section is not None and depth <= section:
            section = None
        shared = _SHARED.match(line)
        if section is not None and shared is not None:
            item.append(line)
            names.extend(shared["names"].split(", "))
        else:
            parted.append(line)
    flush()
    return "\n".join(parted)
