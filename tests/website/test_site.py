"""The parts of the site that are made: references, decisions, the check that it needs nothing from outside."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import typer
from website.cli_reference import cli_reference, commands_of
from website.decisions import decision_records, decisions_index, title_of
from website.docstrings import part_items
from website.outside import outside_requests
from website.python_reference import SECTIONS, python_reference

import renalmap
from renalmap.cli.app import app

ROOT = Path(__file__).resolve().parents[2]


def test_the_reference_has_every_command_and_option():
    application = typer.main.get_command(app)
    text = cli_reference(application)
    commands = commands_of(application)
    assert {"renalmap segment", "renalmap train"} <= set(commands)
    for name, command in commands.items():
        assert f"\n## {name}\n" in text
        for parameter in command.params:
            assert all(option in text for option in parameter.opts if option.startswith("--"))
    devices = [line for line in text.splitlines() if line.startswith("| `--device")]
    assert len(devices) == 2, "segment and test"
    for device in devices:
        assert re.fullmatch(r"\| `--device .cpu\|cuda.` \| Where to run\. \\\[default: cpu\] \|", device)


def test_the_reference_has_every_public_name():
    shown = {name for _, names in SECTIONS.values() for name in names}
    errors = {"InputError", "RenalMapError"}  # shown with all the others
    assert {f"renalmap.{name}" for name in set(renalmap.__all__) - errors - {"__version__"}} <= shown
    for name in shown:
        home, _, last = name.rpartition(".")
        assert hasattr(import_module(home), last), name
        assert f"::: {name}\n" in python_reference()


def test_what_names_share_is_said_of_each():
    docstring = """Summary, of a kind: not touched.

Args:
    a, b: said of both,
        on two lines.
    c: of one.

Raises:
    ValueError, TypeError: bad.

d, e: no item."""
    assert (
        part_items(docstring)
        == """Summary, of a kind: not touched.

Args:
    a: said of both,
        on two lines.
    b: said of both,
        on two lines.
    c: of one.

Raises:
    ValueError: bad.
    TypeError: bad.

d, e: no item."""
    )


def test_every_decision_is_listed_once():
    folder = ROOT / "docs" / "decisions"
    index = decisions_index(folder)
    records = decision_records(folder)
    assert len(records) == len(list(folder.glob("*.md")))
    for path in records:
        assert index.count(f"]({path.name})") == (2 if path.name.startswith("0001") else 1)
    assert title_of(records[0]) == "Decisions are recorded"


def test_what_a_page_would_fetch_is_found(tmp_path):
    (tmp_path / "page.html").write_text(
        """<link rel="canonical" href="https://example.org/page.html">
        <a href="https://example.org/read">a link is no request</a>
        <img src="picture.png"><img src="//cdn.example/p.png">
        <script src="https://cdn.example/s.js"></script>
        <link rel="stylesheet" href="https://cdn.example/s.css">
        <style>body { background: url('https://cdn.example/b.png') }</style>
        <p style="background: url(https://cdn.example/i.png)">"""
    )
    (tmp_path / "style.css").write_text("@import 'https://cdn.example/font.css'; a { color: red }")
    assert list(outside_requests(tmp_path)) == [
        ("page.html", "//cdn.example/p.png"),
        ("page.html", "https://cdn.example/s.js"),
        ("page.html", "https://cdn.example/s.css"),
        ("page.html", "https://cdn.example/i.png"),
        ("page.html", "https://cdn.example/b.png"),
        ("style.css", "https://cdn.example/font.css"),
    ]
