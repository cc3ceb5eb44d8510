"""The documentation's examples: Python runs, marked commands run, every `renalmap` command is a valid one.

A block of `python` is run after those above it on the same page, in a folder with `scan.nii.gz`, a phantom. A
block of `text` right below one says what it prints; `...` stands for anything. What cannot run has a comment above it:
`<!-- not run: why -->`. A block of `bash` runs if `<!-- runs in the tests -->` stands above it.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from website.cli_reference import commands_of

from renalmap.cli.app import app
from renalmap.imaging import write_volume
from renalmap.phantom import Lesion, PhantomConfig, make_phantom

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("docs/**/*.md")])
_BLOCK = re.compile(
    r"(?:<!-- (?P<mark>not run: .+?|runs in the tests) -->\n+)?```(?P<language>\w+)\n(?P<code>.*?)\n```",
    re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    language: str
    code: str
    mark: str
    page: Path
    line: int


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            match["language"],
            match["code"],
            match["mark"] or "",
            page,
            text[: match.start()].count("\n"),
        )
        for match in _BLOCK.finditer(text)
    ]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a small synthetic scan, in which the examples run one after the other."""
    folder = tmp_path_factory.mktemp("examples")
    config = PhantomConfig(
        shape_zyx=(24, 160, 160),
        spacing_mm_zyx=(8.0, 2.5, 2.5),
        lesions=(Lesion(diameter_mm=45.0, side="left", exophytic=0.5),),
    )
    write_volume(make_phantom(config, np.random.default_rng(24)).scan, folder / "scan.nii.gz")
    return folder


PYTHON_PAGES = sorted({block.page for block in BLOCKS if block.language == "python"})


@pytest.mark.parametrize("page", PYTHON_PAGES, ids=named)
def test_python_examples_run_and_print_what_they_say(folder, page, monkeypatch):
    for leftover in folder.iterdir():
        if leftover.name != "scan.nii.gz":
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    blocks = blocks_of(page)
    for index, block in enumerate(blocks):
        if block.language != "python" or block.mark.startswith("not run"):
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("\n" * block.line + block.code, str(page), "exec"), names)
        if index + 1 < len(blocks) and blocks[index + 1].language == "text":
            said = blocks[index + 1].code + "\n"
            matches = doctest.OutputChecker().check_output(said, printed.getvalue(), doctest.ELLIPSIS)
            assert matches, (
                f"{named(page)}, line {block.line}: said\n{said}printed\n{printed.getvalue()}"
            )


COMMANDS = [block for block in BLOCKS if block.language == "bash"]


def run_command(command: str, folder: Path) -> None:
    command = re.sub(
        r"^renalmap ", f"{shlex.quote(sys.executable)} -m renalmap.cli ", command, flags=re.MULTILINE
    )
    finished = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize(
    "block",
    [block for block in COMMANDS if block.mark == "runs in the tests"],
    ids=lambda block: f"{named(block.page)}:{block.line}",
)
def test_marked_commands_run(folder, block):
    run_command(block.code, folder)


def commands_in(code: str) -> list[list[str]]:
    """The words of every `renalmap` command in a block of bash, comments and redirections left out.

    A loop's variable has its first value.
    """
    joined = code.replace("\\\n", " ")
    for variable, first in re.findall(r"for (\w+) in (\S+)", joined):
        joined = joined.replace(f"${variable}", first)
    lines = [line for line in joined.splitlines() if re.match(r"(?:\S*/)?renalmap ", line.strip())]
    words = [shlex.split(line, comments=True) for line in lines]
    return [
        each[1 : next((i for i, w in enumerate(each) if w in {">", "|", "&&"}), None)] for each in words
    ]


@pytest.mark.parametrize(
    "block",
    [block for block in COMMANDS if commands_in(block.code)],
    ids=lambda block: f"{named(block.page)}:{block.line}",
)
def test_every_command_exists_with_its_options(block):
    known = commands_of(typer.main.get_command(app))
    for words in commands_in(block.code):
        if words[0].startswith("-"):
            continue
        length = next((n for n in (1, 2) if " ".join(["renalmap", *words[:n]]) in known), 0)
        name = " ".join(["renalmap", *words[:length]])
        assert length, f"{words[0]} is no command"
        if "--help" in words:
            continue
        try:
            known[name].make_context(name, list(words[length:]))
        except Exception as error:
            message = getattr(error, "message", error)
            raise AssertionError(
                f"{named(block.page)}: renalmap {' '.join(words)}: {message}"
            ) from error


def test_the_check_of_commands_can_fail():
    block = Block("bash", "renalmap segment scan.nii.gz --no-such-option", "", ROOT / "README.md", 0)
    with pytest.raises(AssertionError, match="no-such-option"):
        test_every_command_exists_with_its_options(block)
