"""An option that a message names is one that the verb has: every message that a verb's code can reach is looked at."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.test_app import COMMANDS, VERBS

import renalmap

SOURCE = Path(renalmap.__file__).parent
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
OF_ANOTHER = re.compile(
    rf"\b({'|'.join(VERBS)}|sbatch|gdcmconv)\b[^.]*?--[a-z-]+|--ntasks-per-node|--no-dashboard"
)
"""Text that says whose option it is: another verb's or another program's."""

Definition = tuple[str, str]
"""A module and the name of a function, a class or a constant in it."""


class _Graph:
    """Which definition uses which, and the options that the text of each names."""

    def __init__(self) -> None:
        self.uses: dict[Definition, set[Definition]] = defaultdict(set)
        self.options: dict[Definition, set[str]] = defaultdict(set)
        self.lazy: dict[Definition, set[str]] = defaultdict(set)
        """Modules that `training` imports, and any definition of them may be used."""
        for path in SOURCE.rglob("*.py"):
            parts = path.relative_to(SOURCE.parent).with_suffix("").parts
            module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            self._read(module, ast.parse(path.read_text(encoding="utf-8")))

    def _read(self, module: str, tree: ast.Module) -> None:
        names = dict(_imported(tree))
        own = {name: node for node in tree.body for name in _defined(node)}
        names |= {name: (module, name) for name in own}
        for name, node in own.items():
            definition = (module, name)
            self.uses[definition] |= {
                names[each.id]
                for each in ast.walk(node)
                if isinstance(each, ast.Name) and each.id in names
            }
            # A function may import what it needs, and a package hands on what its modules define.
            self.uses[definition] |= {there for _, there in _imported(node)}
            self.lazy[definition] |= {
                f"renalmap.training.{ast.literal_eval(each.args[0])}"
                for each in ast.walk(node)
                if isinstance(each, ast.Call) and getattr(each.func, "id", "") == "training"
            }
            for text in _texts(node):
                self.options[definition] |= set(OPTION.findall(OF_ANOTHER.sub("", text)))
        for name, there in names.items():
            if name not in own:
                self.uses[(module, name)].add(there)

    def reached(self, start: Definition) -> set[Definition]:
        found, open_ends = {start}, [start]
        while open_ends:
            definition = open_ends.pop()
            lazy = self.lazy.get(definition, set())
            for each in self.uses.get(definition, set()) | {one for one in self.uses if one[0] in lazy}:
                if each not in found:
                    found.add(each)
                    open_ends.append(each)
        return found


def _imported(tree: ast.AST) -> Iterator[tuple[str, Definition]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("renalmap"):
            yield from (
                (alias.asname or alias.name, (str(node.module), alias.name)) for alias in node.names
            )


def _defined(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [each.id for each in targets if isinstance(each, ast.Name)]


def _texts(node: ast.AST) -> Iterator[str]:
    """Its strings, but for docstrings."""
    documentation = {id(each.value) for each in ast.walk(node) if isinstance(each, ast.Expr)}
    for each in ast.walk(node):
        if (
            isinstance(each, ast.Constant)
            and isinstance(each.value, str)
            and id(each) not in documentation
        ):
            yield "" if "var(--" in each.value else each.value  # a style sheet's variables


GRAPH = _Graph()


_ONE_SCANS = {"--series", "--acquisition", "--resample", "--allow-missing-slices"}
_CLUSTERS = {"--cluster", "--resume", "--retries", "--slurm", "--workers"}
_BESIDE = {"--anonymize-report", "--format", "--mesh", "--report", "--scan", "--sr"}
UNREACHED = {
    "prepare": _ONE_SCANS,  # the reader of data sets gives another hint, as the test below says
    "inspect": _ONE_SCANS | {"--overwrite"},  # the same; and it replaces its page
    "test": _ONE_SCANS
    | _CLUSTERS
    | _BESIDE,  # its scans were prepared, here, and only labels are written
    "compare": {"--series", "--acquisition"},  # it names those of its two scans, as test_compare.py says
    "segment": {"--scan"},  # its structured report is of the SEG that it has just made
    "evaluate": {"--overwrite"},  # it replaces its table
    "overview": {"--overwrite"},  # its picture
    "phantom": {"--overwrite", "--memory-gb"},  # it refuses by itself, and writes only
    "export": {
        "--device",
        "--engine",
        "--orientation",
    },  # on the CPU, in the engines there are; it trains nothing
    "train": {
        "--device",
        "--engine",
        "--orientation",
        "--overwrite",
    },  # likewise; masks of shapes have a hint of their own
}
"""What a verb's code holds but never says."""


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "demo"])  # which reads what it made
def test_every_option_that_a_message_names_is_the_verbs(verb):
    has = {option for parameter in COMMANDS[verb].params for option in parameter.opts}
    lacking = {
        (option, ".".join(definition))
        for definition in GRAPH.reached((f"renalmap.api.{verb}", verb))
        for option in GRAPH.options.get(definition, set()) - has - UNREACHED.get(verb, set())
        if not (option.endswith("-") and any(each.startswith(option) for each in has))  # `--n-{part}`
    }
    assert lacking == set()
