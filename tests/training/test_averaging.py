"""The averaged weights are what is judged and exported; the trained ones are what a run goes on with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from renalmap.dataset.store import Store
from renalmap.training.batches import BatchMaker
from renalmap.training.checkpoint import TrainingState, load_checkpoint, load_network
from renalmap.training.launch import ALONE
from renalmap.training.loop import LAST, train
from renalmap.training.settings import TrainSettings
from renalmap.training.trainer import Trainer


def weights(network: torch.nn.Module) -> torch.Tensor:
    return torch.cat([value.detach().flatten() for value in network.parameters()])


def test_the_average_follows_the_trained_weights_as_the_formula_says(store: Store, tiny: TrainSettings):
    settings = tiny.model_copy(update={"weight_averaging": 0.5})
    maker = BatchMaker(store, settings)
    trainer = Trainer(settings, maker, ALONE)
    average = weights(trainer.network).clone()
    for step in range(4):
        trainer.step(step, maker.make(step), 1e-3)
        decay = min(0.5, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * weights(trainer.network)
    torch.testing.assert_close(weights(trainer.averaged), average)
    assert not torch.equal(weights(trainer.averaged), weights(trainer.network))


def test_batch_norm_of_the_average_knows_the_moments_of_its_own_inputs(
    store: Store, tiny: TrainSettings
):
    settings = tiny.model_copy(update={"weight_averaging": 0.5, "statistics_steps": 3})
    maker = BatchMaker(store, settings)
    trainer = Trainer(settings, maker, ALONE)
    for step in range(3):
        trainer.step(step, maker.make(step), 1e-2)
    trained = [buffer.clone() for buffer in trainer.network.buffers()]
    trainer.settle()
    images = [maker.make(settings.steps + number).images for number in range(3)]
    first = trainer.averaged.initial
    joined = [
        torch.cat([first.convolution(image), torch.nn.functional.max_pool2d(image, 2)], dim=1)
        for image in images
    ]
    mean = torch.stack([each.mean(dim=(0, 2, 3)) for each in joined]).mean(dim=0)
    torch.testing.assert_close(first.norm_act[0].running_mean, mean)
    assert first.norm_act[0].momentum == 0.1
    assert all(map(torch.equal, trained, trainer.network.buffers())), "the run goes on as it would have"


def test_without_averaging_there_is_one_network(store: Store, tiny: TrainSettings):
    trainer = Trainer(tiny, BatchMaker(store, tiny), ALONE)
    assert trainer.averaged is trainer.network


def test_an_interrupted_run_ends_with_the_same_bits(store: Store, tiny: TrainSettings, tmp_path: Path):
    settings = tiny.model_copy(update={"weight_averaging": 0.9, "statistics_steps": 2})
    whole = train(store, settings, tmp_path / "whole")

    class InterruptedRunError(Exception):
        pass

    def stop(step: int, *_: object) -> None:
        if step == 4:  # after the checkpoint of step 3
            raise InterruptedRunError

    with pytest.raises(InterruptedRunError):
        train(store, settings, tmp_path / "parts", on_step=stop)
    resumed = train(store, settings, tmp_path / "parts")
    assert whole.last.read_bytes() == resumed.last.read_bytes()


def test_the_checkpoint_gives_the_average_to_export_and_the_trained_to_the_run(
    store: Store, tiny: TrainSettings, tmp_path: Path
):
    settings = tiny.model_copy(update={"weight_averaging": 0.9, "statistics_steps": 2})
    train(store, settings, tmp_path / "run")
    exported, _ = load_network(tmp_path / "run" / LAST)
    trainer = Trainer(settings, BatchMaker(store, settings), ALONE)
    state = TrainingState(trainer.network, trainer.optimizer)
    load_checkpoint(tmp_path / "run" / LAST, trainer.averaged, state)
    assert torch.equal(weights(exported), weights(trainer.averaged))
    assert not torch.equal(weights(exported), weights(trainer.network))
