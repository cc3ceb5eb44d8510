"""The loop: exact resume, its log and record, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from renalmap.dataset.store import Store
from renalmap.errors import StoreError
from renalmap.preprocess import Plan
from renalmap.training.checkpoint import load_network
from renalmap.training.log import LOG_COLUMNS, read_log
from renalmap.training.loop import train
from renalmap.training.settings import TrainSettings
from renalmap.training.validation import ValidationResult


class Stop(Exception):  # noqa: N818 -- stands for a power cut
    pass


def stop_after(step: int):
    def report(done: int, _loss: float, _result: ValidationResult | None) -> None:
        if done == step:
            raise Stop

    return report


@pytest.fixture(scope="module")
def whole_run(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run with the settings of `tiny`, to compare with."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    train(store, _tiny(), run)
    return run


def _tiny(**changes) -> TrainSettings:
    values = {"stage": "segment", "steps": 6, "batch_size": 4, "validate_every": 3, "centre_jitter": 4}
    values |= {"threads": 1, "accelerator": "cpu", "schedule": "cosine"}
    return TrainSettings.model_validate(values | changes)


def assert_same_tensors(ours: Path, theirs: Path) -> None:
    first, second = load_file(ours), load_file(theirs)
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


@pytest.mark.parametrize("interrupted_after", [3, 5])
def test_a_resumed_run_equals_an_uninterrupted_one(
    store: Store, whole_run: Path, tmp_path: Path, interrupted_after: int
):
    run = tmp_path / "run"
    with pytest.raises(Stop):
        train(store, _tiny(), run, report=stop_after(interrupted_after))
    steps: list[int] = []
    train(store, _tiny(), run, report=lambda done, *_: steps.append(done))
    assert steps == [4, 5, 6], "it went on from the checkpoint"
    for name in ("last.safetensors", "best.safetensors"):
        assert_same_tensors(run / name, whole_run / name)
    assert (run / "log.csv").read_text() == (whole_run / "log.csv").read_text()


def test_another_seed_trains_another_network(store: Store, whole_run: Path, tmp_path: Path):
    train(store, _tiny(seed=1, steps=3), tmp_path / "run")
    losses = [
        [row["loss"] for row in read_log(run / "log.csv")] for run in (whole_run, tmp_path / "run")
    ]
    assert losses[0][:3] != losses[1]


def test_log_has_a_row_a_step_and_scores_at_validations(whole_run: Path):
    rows = read_log(whole_run / "log.csv")
    assert tuple(rows[0]) == LOG_COLUMNS
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4, 5, 6]
    assert all(0 < float(row["loss"]) <= 1 for row in rows)
    assert [row["score"] != "" for row in rows] == [False, False, True] * 2
    rates = [float(row["learning_rate"]) for row in rows]
    assert rates[0] == pytest.approx(1e-3)
    assert rates == sorted(rates, reverse=True)
    assert rates[3] == pytest.approx(1e-3 * (0.01 + 0.99 / 2), rel=1e-4), "half-way on the cosine"


def test_run_folder_says_what_happened(store: Store, whole_run: Path):
    record = json.loads((whole_run / "run.json").read_text(encoding="utf-8"))
    assert record["settings"]["steps"] == 6
    assert record["settings"]["store"]["plan"]["grid_size"] == store.plan.grid_size
    assert record["package_versions"]["torch"] == torch.__version__
    assert record["duration_s"] > 0
    assert TrainSettings.model_validate_json((whole_run / "settings.json").read_text()) == _tiny()
    assert list((whole_run / "tensorboard").glob("events.*"))


def test_best_score_is_the_best_of_the_log(store: Store, whole_run: Path):
    result = train(store, _tiny(), whole_run)
    assert result.best_score == pytest.approx(
        max(float(row["score"]) for row in read_log(result.log) if row["score"]), abs=1e-5
    )
    assert result.best.is_file()
    assert result.last.is_file()


def test_a_finished_run_trains_no_further(store: Store, whole_run: Path):
    before = (whole_run / "last.safetensors").read_bytes()
    train(store, _tiny(), whole_run, report=stop_after(1))
    assert (whole_run / "last.safetensors").read_bytes() == before
    assert len(read_log(whole_run / "log.csv")) == 6


def test_other_settings_or_another_plan_are_refused(store: Store, whole_run: Path):
    with pytest.raises(StoreError, match="other settings"):
        train(store, _tiny(learning_rate=0.5), whole_run)
    assert TrainSettings.model_validate_json((whole_run / "settings.json").read_text()) == _tiny()
    other = store.with_plan(Plan.model_validate(store.plan.model_dump() | {"clip_hu": (0, 255)}))
    with pytest.raises(StoreError, match="another Plan"):
        train(other, _tiny(), whole_run)


def test_a_damaged_checkpoint_stops_the_run(store: Store, tmp_path: Path):
    run = tmp_path / "run"
    train(store, _tiny(steps=1), run)
    (run / "last.safetensors").write_bytes(b"damaged")
    with pytest.raises(StoreError, match=r"last\.safetensors: the checkpoint is cut short or damaged"):
        train(store, _tiny(steps=1), run)


def test_a_run_may_start_from_the_other_stages_weights(store: Store, tmp_path: Path):
    localizer = train(store, _tiny(stage="localize", steps=1), tmp_path / "localizer")
    losses: list[float] = []
    for number, initial in enumerate((localizer.last, None)):
        train(
            store,
            _tiny(steps=1),
            tmp_path / f"segmenter{number}",
            initial=initial,
            report=lambda _done, loss, _result: losses.append(loss),
        )
    assert losses[0] != losses[1]


def test_everybody_may_train_and_nobody_validate(store: Store, tmp_path: Path):
    everybody = tuple(entry.patient for entry in store.entries)
    split = store.split.model_copy(update={"train": everybody, "validation": ()})
    result = train(replace(store, split=split), _tiny(loss="dice_ce"), tmp_path / "run")
    assert result.best_score == 0.0
    rows = read_log(result.log)
    assert rows[-1]["step"] == "6"
    assert all(float(row["loss"]) > 0 for row in rows)
    assert result.last.is_file()


def test_reduced_patches_train_and_validate_at_full_size(store: Store, tmp_path: Path):
    plan = Plan.model_validate(store.plan.model_dump() | {"localizer_reduction": 2})
    settings = _tiny(stage="localize", patch_size=32, whole_slice_steps=2)
    result = train(store.with_plan(plan), settings, tmp_path / "run")
    _, progress = load_network(result.last)
    assert progress.plan.localizer_reduction == 2
    assert 0 <= result.best_score <= 1
    again = train(store, settings.model_copy(update={"localizer_reduction": 2}), tmp_path / "other")
    assert_same_tensors(result.last, again.last)
