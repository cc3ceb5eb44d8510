"""The public Python API as text: what `import renalmap` offers and what the reference shows, with signatures.

`python -m tests.api.public_api` writes it anew, after a change that is meant.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from website.python_reference import SECTIONS

import renalmap

SNAPSHOT: Final = Path(__file__).with_name("public_api.txt")


def public_api() -> str:
    """Every public name, its signature, and the public members of classes."""
    shown = {name for _, names in SECTIONS.values() for name in names} - {"renalmap.errors"}
    offered = {f"renalmap.{name}" for name in renalmap.__all__} - {"renalmap.__version__"}
    lines: list[str] = []
    for name in sorted(offered | shown):
        home, _, last = name.rpartition(".")
        thing = getattr(import_module(home), last)
        lines += _of_class(name, thing) if isinstance(thing, type) else [f"{name}{_signature(thing)}"]
    return "\n".join(lines) + "\n"


def _of_class(name: str, kind: type) -> Iterator[str]:
    """A class, its fields with their defaults, its methods and properties; of bases only our own."""
    yield f"class {name}({', '.join(base.__name__ for base in kind.__bases__ if base is not object)})"
    arguments = inspect.signature(kind).parameters
    members: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        if each.__module__.partition(".")[0] != "renalmap":
            continue
        for field, annotation in inspect.get_annotations(each).items():
            default = arguments[field].default if field in arguments else inspect.Parameter.empty
            shown = "" if default is inspect.Parameter.empty else f" = {default!r}"
            members[field] = f"{field}: {annotation}{shown}"
        for member, value in vars(each).items():
            described = _of_member(member, value)
            if described is not None:
                members[member] = described
    made = hasattr(kind, "__dataclass_fields__")  # its fields are its arguments
    for member, text in members.items():
        if not member.startswith("_") or (member == "__init__" and not made):
            yield f"    {text}"


def _of_member(name: str, value: Any) -> str | None:
    """A method or property; None for what is neither."""
    if isinstance(value, property | functools.cached_property):
        read = value.fget if isinstance(value, property) else value.func
        return f"{name} -> {inspect.get_annotations(read).get('return')}" if read else None
    if isinstance(value, staticmethod | classmethod):
        return f"{type(value).__name__} {name}{_signature(value.__func__)}"
    return f"{name}{_signature(value)}" if inspect.isfunction(value) else None


def _signature(function: Any) -> str:
    """Annotations are the source's text, the same under every Python."""
    return re.sub(r"<function .*? at 0x\w+>", "<function>", str(inspect.signature(function)))


if __name__ == "__main__":
    SNAPSHOT.write_text(public_api(), encoding="utf-8")
