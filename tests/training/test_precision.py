"""16-bit training, on the CPU: it trains, and it resumes with its gradient scaler."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lightning_fabric.plugins import MixedPrecision
from safetensors.torch import load_file

from renalmap.dataset.store import Store
from renalmap.training.checkpoint import ScalerState, load_network
from renalmap.training.devices import make_fabric, restore_scaler, save_scaler
from renalmap.training.launch import ALONE
from renalmap.training.log import read_log
from renalmap.training.loop import train
from renalmap.training.settings import TrainSettings


class Stop(Exception):  # noqa: N818 -- stands for a power cut
    pass


def settings(**changes: object) -> TrainSettings:
    values = {"stage": "localize", "batch_size": 4, "patch_size": 32, "loss": "dice_ce", "threads": 1}
    values |= {"accelerator": "cpu", "learning_rate": 3e-3}
    return TrainSettings.model_validate(values | changes)


def losses(run: Path) -> list[float]:
    return [float(row["loss"]) for row in read_log(run / "log.csv")]


def test_bfloat16_trains_and_is_not_single_precision(store: Store, tmp_path: Path):
    found = {}
    for precision in ("32-true", "bf16-mixed"):
        wanted = settings(precision=precision, steps=16, validate_every=16)
        train(store, wanted, tmp_path / precision)
        found[precision] = losses(tmp_path / precision)
    low, full = found["bf16-mixed"], found["32-true"]
    assert low[0] != full[0], "convolutions are in 16 bits"
    assert low[0] == pytest.approx(full[0], rel=0.02)
    assert sum(low[-4:]) / 4 < 0.85 * low[0]
    weights = load_file(tmp_path / "bf16-mixed" / "last.safetensors")
    assert {str(value.dtype) for name, value in weights.items() if name.endswith("weight")} == {
        "torch.float32"
    }


@pytest.mark.parametrize("interrupted_after", [2, 3])
def test_16_bits_resume_with_their_scaler(store: Store, tmp_path: Path, interrupted_after: int):
    """From a scaler that began anew the count of good steps would be 2; the bits tell the rest."""
    wanted = settings(precision="16-mixed", steps=4, validate_every=2)
    whole, run = tmp_path / "whole", tmp_path / "run"
    train(store, wanted, whole)

    def stop(done: int, *_: object) -> None:
        if done == interrupted_after:
            raise Stop

    with pytest.raises(Stop):
        train(store, wanted, run, on_step=stop)
    train(store, wanted, run)
    progress = load_network(run / "last.safetensors")[1]
    assert progress == load_network(whole / "last.safetensors")[1]
    assert progress.scaler is not None
    assert progress.scaler.good_steps == 4
    assert progress.scaler.scale == 2.0**16
    first, second = (load_file(folder / "last.safetensors") for folder in (run, whole))
    assert all(bool((value == second[name]).all()) for name, value in first.items())
    assert (run / "log.csv").read_text() == (whole / "log.csv").read_text()


def test_a_scale_that_was_lowered_stays_lowered():
    wanted = settings(precision="16-mixed")
    before, after = make_fabric(wanted, ALONE), make_fabric(wanted, ALONE)
    precision = before.strategy.precision
    assert isinstance(precision, MixedPrecision)
    assert precision.scaler is not None
    precision.scaler.scale(torch.ones(1))
    precision.scaler.update(new_scale=1024.0)
    saved = save_scaler(before)
    assert saved == ScalerState(scale=1024.0, good_steps=0)
    restore_scaler(after, saved)
    assert save_scaler(after) == saved


def test_without_16_bits_there_is_no_scaler():
    assert save_scaler(make_fabric(settings(), ALONE)) is None
    assert save_scaler(make_fabric(settings(precision="bf16-mixed"), ALONE)) is None
