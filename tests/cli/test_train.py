"""`renalmap train`: what is refused before anything is trained. Runs are in tests/training."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    "option", [("--find-lr",), ("--initial", "x.safetensors")], ids=lambda option: option[0]
)
def test_what_is_about_one_network_needs_its_stage(cli, tmp_path, option):
    finished = cli("train", tmp_path, "--out", tmp_path / "run", *option)
    assert finished.code == 2
    assert f"{option[0]} is about a single network" in finished.stderr
    assert "--stage localize" in finished.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[segmnet]\nsteps = 3", "segmnet: Extra inputs are not permitted"),
        ("localize = 3", "[localize] is a table of settings (got 3)"),
        ("[[segment]]\nsteps = 3", "[segment] is a table of settings"),
        ("[segment]\nstepz = 3", "stepz: Extra inputs are not permitted"),
        ('stage = "segment"', "does not say which stage is trained"),
        ('[segment]\nstage = "segment"', "does not say which stage is trained"),
    ],
)
def test_wrong_files_of_settings_are_refused(cli, tmp_path, text, message):
    (tmp_path / "wrong.toml").write_text(text)
    finished = cli("train", tmp_path, "--out", tmp_path / "run", "--config", tmp_path / "wrong.toml")
    assert finished.code == 2
    assert message in finished.stderr
    assert not (tmp_path / "run").exists()


def test_a_file_is_no_runs_folder(cli, tmp_path):
    (tmp_path / "file").touch()
    finished = cli("train", tmp_path, "--out", tmp_path / "file")
    assert finished.code == 2
    assert "--out needs a folder" in finished.stderr


def test_the_runs_bundle_replaces_nothing_else(cli, tmp_path):
    (tmp_path / "run" / "bundle").mkdir(parents=True)
    (tmp_path / "run" / "bundle" / "thesis.tex").write_text("years of work")
    finished = cli("train", tmp_path, "--out", tmp_path / "run")
    assert finished.code == 2
    assert "the run's bundle would replace something else" in finished.stderr
    assert (tmp_path / "run" / "bundle" / "thesis.tex").is_file()


def test_a_run_taken_for_its_bundle_is_told_where_that_is(cli, scan, make_bundle, tmp_path):
    made = make_bundle()
    (tmp_path / "run").mkdir()
    made.rename(tmp_path / "run" / "bundle")
    finished = cli("segment", scan, "--out", tmp_path / "a.nii.gz", "--model", tmp_path / "run")
    assert finished.code == 2
    assert f"Did you mean {tmp_path / 'run' / 'bundle'}?" in finished.stderr
