"""Text from outside, where it leaves: the terminal, tables, JSON, the log."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys

import pytest
from pydantic import BaseModel
from rich.progress import TextColumn
from rich.text import Text

from renalmap.cli import console
from renalmap.cli.tables import table
from renalmap.imaging.files import csv_text, write_text_atomically
from renalmap.text import cell_text, json_text, printable

EVIL = "\x1b]0;owned\x07\x9b2J\u202egpj.exe [/b][red] \udce9"
SAFE = r"\x1b]0;owned\x07\x9b2J\u202egpj.exe [/b][red] \xe9"


class Named(BaseModel):
    name: str


def test_printable_leaves_only_what_can_be_shown():
    assert printable(EVIL) == SAFE
    kept = "Universität 東京 μ ± a\tb\nc \\x1b"
    assert printable(kept) == kept


@pytest.mark.parametrize(
    "start", ["=cmd|'/C calc'!A0", "+1", "-1+2", "@SUM(A1)", "\t=1", "\r=1", "\uff1d1"]
)
def test_a_spreadsheet_takes_no_text_for_a_formula(start):
    written = csv_text(["name", "ml"], [{"name": start, "ml": -1.5}])
    (row,) = csv.DictReader(io.StringIO(written))
    assert row["name"] == "'" + printable(start)
    assert row["ml"] == "-1.5"
    assert cell_text("case_00001") == "case_00001"


def test_json_gives_back_every_text_and_steers_no_terminal():
    written = json_text(Named(name=EVIL))
    assert json.loads(written) == {"name": EVIL}
    assert written.isascii()
    assert json_text(Named(name="Universität")) == '{"name":"Universität"}'


def test_a_name_that_is_no_utf8_can_be_written(tmp_path):
    write_text_atomically(tmp_path / "page.html", f"<b>{EVIL}</b>")
    assert (tmp_path / "page.html").read_text(encoding="utf-8").endswith("\\udce9</b>")


@pytest.fixture
def shown(capfd, monkeypatch):
    """What a terminal gets of some calls; its own escape codes are left out, as it is none."""

    monkeypatch.setattr(console.output, "_width", 400)

    def show(*calls):
        for call in calls:
            call()
        captured = capfd.readouterr()
        return captured.out + captured.err

    return show


def test_nothing_from_outside_steers_the_terminal(shown):
    made = table(f"title {EVIL}", f"column {EVIL}", "text")
    made.add_row(f"cell {EVIL}", Text(f"styled {EVIL}"))
    made.caption = f"caption {EVIL}"
    seen = shown(
        lambda: console.output.print(made),
        lambda: console.output.print(EVIL),
        lambda: console.say(EVIL),
        lambda: console.show_error(EVIL),
        lambda: console.show_warning(EVIL),
        lambda: console.show_json(Named(name=EVIL)),
    )
    for text in ("title", "column", "cell", "caption", "error:", "warning:"):
        assert f"{text} {SAFE}" in seen, text
    assert "styled \\x1b]0;owned" in seen
    assert not any(unwanted in seen for unwanted in ("\x1b", "\x07", "\x9b", "\u202e"))


def test_a_message_with_a_line_break_stays_one_message(shown):
    assert shown(lambda: console.show_error("bad name\nwrote all.nii.gz")).splitlines() == [
        "error: bad name",
        "  wrote all.nii.gz",
    ]


def test_a_progress_bar_shows_brackets_as_they_are():
    with console.progress_bar() as bar:
        bar.show(f"reading {EVIL}", 1, 2)
        (task,) = bar._progress.tasks
        columns = [each for each in bar._progress.columns if isinstance(each, TextColumn)]
        cells = [column(task) for column in columns]
    assert str(cells[0]) == str(Text(f"reading {EVIL}"))


PROGRAM = """
import logging, sys, warnings
from renalmap.cli.console import log_to_terminal
log_to_terminal(logging.INFO)
import pydicom
from pydicom.dataset import Dataset
evil = "\\x1b]0;owned\\x07"
logging.getLogger("renalmap").warning("read %s", evil)
dataset = Dataset()
dataset.add_new("PatientID", "LO", "4711" * 40)
warnings.warn("Doe^Jane")
logging.getLogger("pydicom.fileset").warning("Doe^Jane")
pydicom.config.logger.warning("Doe^Jane")
"""


def test_the_log_is_escaped_and_no_library_tells_what_it_read():
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, check=True, env=os.environ
    )
    assert (
        ended.stdout + ended.stderr == b"WARNING renalmap: read \\x1b]0;owned\\x07" + os.linesep.encode()
    )
