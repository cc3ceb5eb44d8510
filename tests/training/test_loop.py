"""The loop: exact resume, its log and record, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from renalmap.api.listener import Listener
from renalmap.api.train import STAGES, train_stages
from renalmap.dataset.store import Store
from renalmap.errors import DatasetError, DiskSpaceError, FolderInUseError, StoreError
from renalmap.imaging.files import hold_lock
from renalmap.preprocess import Plan
from renalmap.training import loop
from renalmap.training.checkpoint import load_network, save_checkpoint
from renalmap.training.log import LOG_COLUMNS, read_log
from renalmap.training.loop import as_trained, train
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
        train(store, _tiny(), run, on_step=stop_after(interrupted_after))
    steps: list[int] = []
    train(store, _tiny(), run, on_step=lambda done, *_: steps.append(done))
    assert steps == [4, 5, 6], "it went on from the checkpoint"
    for name in ("last.safetensors", "best.safetensors"):
        assert_same_tensors(run / name, whole_run / name)
    assert (run / "log.csv").read_text() == (whole_run / "log.csv").read_text()


@pytest.mark.parametrize("killed_at", [1, 2, 3])
def test_killed_while_checkpoints_are_written(
    store: Store, whole_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int
):
    """Between the log and the checkpoint, or between the best and the last one: half a file is left."""
    run, calls = tmp_path / "run", []

    def save(path: Path, *arguments) -> None:
        calls.append(path)
        if len(calls) == killed_at:
            path.with_name(f".0123abcd.tmp.{path.name}").write_bytes(b"half")
            raise Stop
        save_checkpoint(path, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", save)
        with pytest.raises(Stop):
            train(store, _tiny(), run)
    train(store, _tiny(), run)
    for name in ("last.safetensors", "best.safetensors"):
        assert_same_tensors(run / name, whole_run / name)
    assert (run / "log.csv").read_text() == (whole_run / "log.csv").read_text()
    assert not list(run.glob(".*")), "nothing half-written is left"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # TensorBoard's
@pytest.mark.parametrize(("largest_bytes", "at_step"), [(60, 1), (50_000, 2)], ids=["log", "checkpoint"])
def test_a_disk_that_fills_up_is_one_error(
    store: Store, tmp_path: Path, largest_bytes: int, at_step: int
):
    """From a step on, no file may grow beyond a size: the same error, but for its number, as of a full disk."""
    resource = pytest.importorskip("resource", reason="needs POSIX")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_up(_what: str, done: int, _total: int) -> None:
        if done == at_step:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_bytes, before[1]))

    settings = {"segment": _tiny(steps=3)}
    try:
        with pytest.raises(DiskSpaceError, match="the disk is full") as caught:
            train_stages(store.root, settings, tmp_path / "run", listener=Listener(fill_up))  # type: ignore[arg-type]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.exit_code == 2
    assert str(tmp_path / "run") in str(caught.value)
    assert not list((tmp_path / "run").glob(".*"))


def test_a_row_that_was_cut_short_is_not_taken_for_another_step(
    store: Store, whole_run: Path, tmp_path: Path
):
    """Of row 10 only its first digit was written: it is not step 1's."""
    run = tmp_path / "run"
    with pytest.raises(Stop):
        train(store, _tiny(), run, on_step=stop_after(3))
    with (run / "log.csv").open("a", encoding="utf-8") as log:
        log.write("1")
    train(store, _tiny(), run)
    assert (run / "log.csv").read_text() == (whole_run / "log.csv").read_text()


def test_losses_are_logged_to_the_bit(store: Store, tmp_path: Path):
    told: list[float] = []
    result = train(
        store, _tiny(steps=3), tmp_path / "run", on_step=lambda _done, loss, _result: told.append(loss)
    )
    written = [np.float32(row["loss"]) for row in read_log(result.log)]
    assert written == [np.float32(loss) for loss in told]


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
    train(store, _tiny(), whole_run, on_step=stop_after(1))
    assert (whole_run / "last.safetensors").read_bytes() == before
    assert len(read_log(whole_run / "log.csv")) == 6


def test_settings_that_have_come_up_since_do_not_end_a_run(store: Store, tmp_path: Path):
    run = tmp_path / "run"
    train(store, _tiny(steps=1), run)
    known = json.loads((run / "settings.json").read_text())
    del known["patience"]
    (run / "settings.json").write_text(json.dumps(known))
    assert train(store, _tiny(steps=1), run).steps == 1
    (run / "settings.json").write_text("{}")
    with pytest.raises(StoreError, match=r"settings\.json: the run's settings cannot be read"):
        train(store, _tiny(steps=1), run)


def test_other_settings_or_another_plan_are_refused(store: Store, whole_run: Path):
    with pytest.raises(
        StoreError, match=r"other settings.*got learning_rate 0\.5; expected learning_rate 0\.001"
    ):
        train(store, _tiny(learning_rate=0.5), whole_run)
    assert TrainSettings.model_validate_json((whole_run / "settings.json").read_text()) == _tiny()
    other = store.with_plan(Plan.model_validate(store.plan.model_dump() | {"clip_hu": (0, 255)}))
    with pytest.raises(StoreError, match="another Plan"):
        train(other, _tiny(), whole_run)


def test_a_damaged_checkpoint_stops_the_run(store: Store, tmp_path: Path):
    run = tmp_path / "run"
    train(store, _tiny(steps=1), run)
    (run / "last.safetensors").write_bytes(b"damaged")
    with pytest.raises(StoreError, match=r"last\.safetensors: the checkpoint is truncated or damaged"):
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
            on_step=lambda _done, loss, _result: losses.append(loss),
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


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch) -> dict[int, float]:
    """Scores that validations give instead of the network's, by their number from 1; 0 without one."""
    given: dict[int, float] = {}
    state = {"validations": 0}

    def judge(*_) -> ValidationResult:
        state["validations"] += 1
        return ValidationResult({"kidney": given.get(state["validations"], 0.0)}, {"kidney": 1})

    monkeypatch.setattr(loop, "validate", judge)
    return given


def test_patience_counts_validations_without_a_better_score(
    store: Store, scores: dict[int, float], tmp_path: Path
):
    """Better at 3 and 5; an equal score is no better one."""
    scores.update({1: 0.1, 2: 0.1, 3: 0.2, 4: 0.1, 5: 0.3, 6: 0.3, 7: 0.2})
    result = train(store, _tiny(steps=30, validate_every=1, patience=2), tmp_path / "run")
    assert result.steps == 7
    assert result.best_score == 0.3
    assert load_network(result.best)[1].step == 5
    assert load_network(result.last)[1].step == 7
    again = train(store, _tiny(steps=30, validate_every=1, patience=2), tmp_path / "run")
    assert again.steps == 7, "a run out of patience stays so"
    assert len(read_log(result.log)) == 7


def test_patience_is_kept_over_an_interruption(store: Store, scores: dict[int, float], tmp_path: Path):
    scores.update({1: 0.3, 2: 0.2, 3: 0.1})
    wanted = _tiny(steps=30, validate_every=1, patience=2)
    with pytest.raises(Stop):
        train(store, wanted, tmp_path / "run", on_step=stop_after(2))
    assert load_network(tmp_path / "run" / "last.safetensors")[1].stale == 1
    assert train(store, wanted, tmp_path / "run").steps == 3


def test_without_patience_all_steps_are_trained(store: Store, scores: dict[int, float], tmp_path: Path):
    assert train(store, _tiny(steps=6, validate_every=1), tmp_path / "run").steps == 6


def test_a_fold_validates_on_its_own_patients(store: Store, tmp_path: Path):
    """Two folds of the five patients: each scores what it did not train on."""
    runs = [train(store, _tiny(fold=fold, folds=2, steps=1), tmp_path / str(fold)) for fold in range(2)]
    first, second = (load_network(run.last)[0].state_dict() for run in runs)
    assert any(not torch.equal(value, second[name]) for name, value in first.items())
    shares = [as_trained(store, _tiny(fold=fold, folds=2)).part("validation") for fold in range(2)]
    assert sorted(entry.patient for share in shares for entry in share) == list("abcde")


def test_what_was_refused_may_be_put_right_in_the_same_folder(store: Store, tmp_path: Path):
    run = tmp_path / "run"
    with pytest.raises(DatasetError, match="fold 0 of 6, 5 patients"):
        train(store, _tiny(fold=0, folds=6, steps=1), run)
    assert train(store, _tiny(fold=0, folds=5, steps=1), run).steps == 1


def test_processes_that_find_different_checkpoints_do_not_train_on(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The other process, which is at step 0, is only said to be there."""
    run = tmp_path / "run"
    train(store, _tiny(steps=1), run)
    monkeypatch.setattr(loop, "count_processes", lambda: 2)
    with pytest.raises(StoreError, match=r"do not find the same checkpoint \(got step 1 here\)"):
        train(store, _tiny(steps=1), run)


def test_warping_on_the_device_trains_the_same_network(store: Store, whole_run: Path, tmp_path: Path):
    result = train(store, _tiny(augment_on_device=True), tmp_path / "run")
    assert_same_tensors(result.last, whole_run / "last.safetensors")


def test_one_process_at_a_time_trains_in_a_folder(store: Store, tmp_path: Path):
    settings = TrainSettings(stage="segment", steps=1, batch_size=2, threads=1, accelerator="cpu")
    run = tmp_path / "run"
    run.mkdir()
    with hold_lock(run, FolderInUseError("")), pytest.raises(FolderInUseError, match="renalmap train"):
        train(store, settings, run)
    assert not (run / "log.csv").exists()
    train(store, settings, run)


def test_stage_2_is_refused_before_stage_1_is_trained(store: Store, tmp_path: Path):
    settings = {
        stage: TrainSettings(stage=stage, steps=1, batch_size=2, threads=1, accelerator="cpu")
        for stage in STAGES
    }
    other = settings["segment"].model_copy(update={"steps": 7})
    (tmp_path / "run" / "segment").mkdir(parents=True)
    (tmp_path / "run" / "segment" / "settings.json").write_text(other.model_dump_json())
    with pytest.raises(StoreError, match="started with other settings"):
        train_stages(store.root, settings, tmp_path / "run")
    assert not (tmp_path / "run" / "localize").exists()
