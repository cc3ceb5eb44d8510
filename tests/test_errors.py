"""The error tree as it is drawn is the one that is raised from."""

from __future__ import annotations

from collections.abc import Iterator

from renalmap import errors
from renalmap.errors import RenalMapError


def drawn(kind: type[RenalMapError]) -> Iterator[str]:
    """A class and all below it in its module, one a line, in the order of the source."""
    code = kind.__dict__.get("exit_code")
    yield kind.__name__ if code is None else f"{kind.__name__} (exit code {code})"
    below = [each for each in kind.__subclasses__() if each.__module__ == errors.__name__]
    for each in below:
        last = each is below[-1]
        first, *rest = drawn(each)
        yield ("└── " if last else "├── ") + first
        yield from (("    " if last else "│   ") + line for line in rest)


def test_the_tree_in_the_docstring_is_the_real_one():
    docstring = errors.__doc__ or ""
    shown = [line.removeprefix("    ") for line in docstring.splitlines() if line.startswith("    ")]
    assert shown == list(drawn(RenalMapError))
    classes = [
        each
        for each in vars(errors).values()
        if isinstance(each, type) and each.__module__ == errors.__name__
    ]
    assert len(shown) == len(classes), "every class of the module hangs on the tree"
