"""The learning-rate test: what it suggests, and that it leaves the run alone."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest

from renalmap.cli import main
from renalmap.dataset.store import Store
from renalmap.errors import ConfigError
from renalmap.training import rates
from renalmap.training.rates import find_learning_rate, suggest_rate
from renalmap.training.settings import TrainSettings

CONFIG = 'batch_size = 2\npatch_size = 32\nloss = "dice_ce"\nthreads = 1\naccelerator = "cpu"\n'


def test_the_suggestion_is_where_the_loss_falls_fastest():
    """A loss that falls as a logistic curve of the rate's logarithm falls fastest in its middle."""
    tried = np.geomspace(1e-6, 1.0, 100)
    smoothed = 2 - 1 / (1 + np.exp(-3 * (np.log(tried) - np.log(2e-3))))
    suggested = suggest_rate(tuple(tried), list(smoothed))
    assert suggested == pytest.approx(2e-3, rel=0.15), "steps are 15 % apart"


@pytest.mark.parametrize("smoothed", [[1.0] * 100, list(np.linspace(1, 2, 100)), [1.0, 0.5, 0.2]])
def test_without_a_fall_or_enough_steps_nothing_is_suggested(smoothed: list[float]):
    assert suggest_rate(tuple(np.geomspace(1e-6, 1.0, len(smoothed))), smoothed) is None


def test_a_loss_that_diverges_ends_the_test(store: Store, monkeypatch: pytest.MonkeyPatch):
    """Overflow at absurd rates: cross-entropy has no bound, and what is not finite is not smoothed on."""
    monkeypatch.setattr(rates, "RATES", (1.0, 1e30))
    wanted = TrainSettings(
        stage="localize", batch_size=2, patch_size=32, loss="dice_ce", threads=1, accelerator="cpu"
    )
    found = find_learning_rate(store, wanted)
    assert len(found.losses) < rates.STEPS
    assert len(found.rates) == len(found.losses) == len(found.smoothed)


def test_several_processes_are_refused(store: Store, monkeypatch: pytest.MonkeyPatch):
    values = {"TORCHELASTIC_RUN_ID": "x", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "2", "RANK": "0"}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=r"for one process \(got 2 processes"):
        find_learning_rate(store, TrainSettings(stage="localize"))


def test_the_command_prints_a_suggestion_and_draws_a_chart(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "settings.toml").write_text(CONFIG)
    monkeypatch.setattr(rates, "STEPS", 40)
    run = tmp_path / "run"
    options = ("--find-lr", "--config", tmp_path / "settings.toml")
    arguments = ("train", store.root, "--stage", "localize", "--out", run, *options)
    monkeypatch.setattr(sys, "argv", ["renalmap", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    told = capsys.readouterr().out
    assert told.startswith("suggested learning rate ")
    suggested = float(told.split()[3])
    with (run / "find_lr.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    tried = [float(row["learning_rate"]) for row in rows]
    assert tried[0] == pytest.approx(1e-6)
    assert tried == sorted(tried)
    assert min(abs(rate / suggested - 1) for rate in tried) < 0.05, "one of those that were tried"
    assert (run / "find_lr.png").read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in run.iterdir()} == {"find_lr.csv", "find_lr.png"}, "no run was begun"
