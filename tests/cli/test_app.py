from __future__ import annotations

import inspect
import os
import re
from importlib import import_module

import numpy as np
import pytest
import typer
from tests.website.test_examples import BLOCKS, commands_in
from website.cli_reference import commands_of

from renalmap import __version__
from renalmap.cli.app import app

COMMANDS = {name.split()[-1]: each for name, each in commands_of(typer.main.get_command(app)).items()}
VERBS = tuple(COMMANDS)
EXEMPLIFIED = {words[0] for block in BLOCKS for words in commands_in(block.code)}


def test_help_names_every_verb_in_whole_sentences(cli):
    finished = cli("--help")
    assert finished.code == 0
    assert "not a medical" in finished.stdout
    for verb in VERBS:
        (line,) = [line for line in finished.stdout.splitlines() if line.startswith(f"  {verb} ")]
        assert line.endswith("."), line
        assert not line.endswith("..."), line


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_an_example_and_a_function(cli, verb):
    finished = cli(verb, "--help")
    assert finished.code == 0
    assert max(map(len, finished.stdout.splitlines())) <= 80
    for parameter in COMMANDS[verb].params:
        assert getattr(parameter, "help", None), parameter.name
    assert verb in EXEMPLIFIED, "no page of the documentation shows how it is called"
    function = getattr(import_module(f"renalmap.api.{verb}"), verb)
    assert inspect.isfunction(function)
    assert inspect.getdoc(function)
    assert "Args:" in str(inspect.getdoc(function))


@pytest.mark.parametrize("verb", VERBS)
def test_a_verbs_wrong_option_ends_with_code_2(cli, verb):
    finished = cli(verb, "--nonsense")
    assert (finished.code, finished.stdout) == (2, "")
    assert re.search("(?i)no such option", finished.stderr)
    assert "Traceback" not in finished.stderr


def test_the_help_of_segment_is_grouped(cli):
    """Every option of the verb that has most is in a group that says what it is about."""
    heads = re.findall(r"^(\w[\w ]*):$", cli("segment", "--help").stdout, re.MULTILINE)
    assert heads == [
        *("Arguments", "Input", "Output", "Model and rules", "Speed", "DICOM", "Cohort", "Options"),
    ]
    assert cli("segment", "--help").stdout.partition("\nOptions:")[2].split()[0] == "--help"


def test_the_version(cli):
    assert cli("--version").stdout == f"renalmap {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("segment",),
        ("segment", "a.nii.gz"),
        ("segment", "a", "--out", "b", "--threads", 0),
    ],
)
def test_a_wrong_command_line_ends_with_code_2(cli, arguments):
    finished = cli(*arguments)
    assert finished.code == 2
    assert finished.stdout == ""
    assert "Traceback" not in finished.stderr


def test_a_file_where_a_folder_belongs_is_a_message_not_a_traceback(cli, tmp_path, scan, model):
    (tmp_path / "file").write_text("no folder")
    finished = cli("phantom", "--out", tmp_path / "file")
    assert finished.code == 2
    assert finished.stderr.startswith(f"error: {tmp_path / 'file'}")
    assert "Traceback" not in finished.stderr


def test_memory_gb_bounds_what_a_verb_reads(cli, scan, monkeypatch):
    finished = cli("info", scan, "--memory-gb", 0.01)
    assert finished.code == 2
    assert "takes more memory than a read may" in finished.stderr
    assert "RENALMAP_MEMORY_GB" not in os.environ
    monkeypatch.setenv("RENALMAP_MEMORY_GB", "0.01")
    assert cli("info", scan).code == 2
    assert cli("info", scan, "--memory-gb", 1).code == 0


def test_an_overview_is_drawn_and_told(cli, tmp_path, write_scan, scan, hu):
    labels = write_scan(tmp_path / "labels.nii.gz", (hu > 50).astype(np.uint8))
    out = tmp_path / "overview.png"
    finished = cli("overview", scan, labels, "--out", out)
    assert (finished.code, finished.stdout, finished.stderr) == (0, f"wrote {out}\n", "")
    assert out.read_bytes().startswith(b"\x89PNG")


def test_an_overview_of_two_grids_ends_with_code_2(cli, tmp_path, write_scan, scan):
    other = write_scan(tmp_path / "other.nii.gz", np.zeros((2, 8, 8), np.uint8))
    finished = cli("overview", scan, other, "--out", tmp_path / "overview.png")
    assert finished.code == 2
    assert "different grids" in finished.stderr
    assert not (tmp_path / "overview.png").exists()


@pytest.fixture
def phantoms(cli, tmp_path):
    config = tmp_path / "phantoms.toml"
    config.write_text("[[phantoms]]\nshape_zyx = [8, 64, 64]\nspacing_mm_zyx = [10, 6, 6]\n")
    finished = cli("phantom", "--out", tmp_path / "set", "--cases", 3, "--config", config)
    assert (finished.code, finished.stderr) == (0, "")
    return tmp_path / "set"


def test_phantoms_become_a_store(cli, tmp_path, phantoms):
    plan = tmp_path / "plan.toml"
    plan.write_text("grid_size = 64\ncrop_size = 32\ncrop_margin = 4\n")
    command = ("prepare", phantoms, "--out", tmp_path / "store", "--config", plan)
    finished = cli(*command, "--n-test", 1, "--n-validation", 1)
    assert (finished.code, finished.stderr) == (0, "")
    for part in ("train", "validation", "test"):
        (line,) = [line for line in finished.stdout.splitlines() if line.strip().startswith(part)]
        assert line.split()[1:4] == ["1", "1", "8"]
    other = cli(*command, "--n-test", 0, "--n-validation", 1)
    assert other.code == 2
    assert "split" in other.stderr


def test_too_few_patients_are_told_what_to_do(cli, tmp_path, phantoms):
    finished = cli("prepare", phantoms, "--out", tmp_path / "store")
    assert finished.code == 2
    assert "Lower --n-test" in finished.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("prepare", "nowhere", "--out", "store"),
        ("prepare", "nowhere", "--out", "store", "--config", "nowhere.toml"),
        ("phantom", "--out", "set", "--config", "nowhere.toml"),
        ("train", "nowhere", "--stage", "localize", "--out", "run"),
        ("train", "nowhere", "--stage", "segment", "--out", "run", "--patch-size", "64"),
        ("export", "nowhere", "--localizer", "a", "--segmenter", "b", "--out", "c"),
    ],
)
def test_what_is_missing_or_contradicts_ends_with_code_2(cli, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    finished = cli(*arguments)
    assert finished.code == 2
    assert finished.stdout == ""
    assert finished.stderr.startswith("error: ")
    assert not list(tmp_path.iterdir())
