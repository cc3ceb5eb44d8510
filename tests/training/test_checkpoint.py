"""Checkpoints restore networks and optimizers exactly, and damaged ones say so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from renalmap.errors import StoreError
from renalmap.networks.enet import ENet
from renalmap.preprocess import Plan
from renalmap.training.checkpoint import (
    RunState,
    TrainingState,
    load_checkpoint,
    load_initial_weights,
    load_network,
    save_checkpoint,
)


def progress(classes: int = 2) -> RunState:
    plan = Plan(grid_size=64, crop_size=32)
    return RunState(step=7, best_score=0.25, in_channels=1, out_channels=classes, plan=plan)


def trained(classes: int = 2, seed: int = 0) -> tuple[ENet, torch.optim.Adam]:
    torch.manual_seed(seed)
    network = ENet(1, classes)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    _steps(network, optimizer, 2)
    return network, optimizer


def _steps(network: ENet, optimizer: torch.optim.Adam, count: int) -> None:
    for step in range(count):
        torch.manual_seed(step)
        optimizer.zero_grad()
        network.train()(torch.randn(2, 1, 32, 32)).square().mean().backward()
        optimizer.step()


def assert_same_weights(ours: ENet, theirs: ENet) -> None:
    for name, value in ours.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name]), name


def test_training_goes_on_as_if_never_saved(tmp_path: Path):
    network, optimizer = trained()
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, network, progress(), TrainingState(network, optimizer))
    other, other_optimizer = trained(seed=5)
    assert load_checkpoint(path, other, TrainingState(other, other_optimizer)) == progress()
    assert_same_weights(network, other)
    _steps(network, optimizer, 2)
    _steps(other, other_optimizer, 2)
    assert_same_weights(network, other)
    assert [found.name for found in tmp_path.iterdir()] == ["last.safetensors"]


def test_a_checkpoint_alone_gives_its_network_ready_to_use(tmp_path: Path):
    network, _ = trained(classes=3)
    save_checkpoint(tmp_path / "best.safetensors", network, progress(3))
    loaded, found = load_network(tmp_path / "best.safetensors")
    assert found == progress(3)
    assert not loaded.training
    assert_same_weights(network, loaded)


def test_initial_weights_are_taken_where_they_fit(tmp_path: Path):
    localizer, _ = trained(classes=2)
    path = tmp_path / "localizer.safetensors"
    save_checkpoint(path, localizer, progress())
    segmenter, _ = trained(classes=3, seed=1)
    before = segmenter.full_convolution.weight.clone()
    skipped = load_initial_weights(path, segmenter)
    assert skipped == ("full_convolution.bias", "full_convolution.weight")
    assert torch.equal(segmenter.full_convolution.weight, before)
    assert torch.equal(segmenter.initial.convolution.weight, localizer.initial.convolution.weight)


def test_initial_weights_of_something_else_are_refused(tmp_path: Path):
    path = tmp_path / "other.safetensors"
    save_checkpoint(path, torch.nn.Linear(3, 3), progress())
    with pytest.raises(StoreError, match="no weight that fits"):
        load_initial_weights(path, ENet(1, 2))


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path):
    network, _ = trained(classes=2)
    save_checkpoint(tmp_path / "x.safetensors", network, progress())
    with pytest.raises(StoreError, match="for another network"):
        load_checkpoint(tmp_path / "x.safetensors", ENet(1, 3))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("missing", "does not exist"),
        ("empty", r"is truncated or damaged \(got 0 bytes"),
        ("truncated", "is truncated or damaged"),
        ("foreign", "is truncated or damaged"),
    ],
)
def test_checkpoints_that_cannot_be_read(tmp_path: Path, damage: str, told: str):
    path = tmp_path / "last.safetensors"
    network, _ = trained()
    if damage == "empty":
        path.touch()
    elif damage == "truncated":
        save_checkpoint(path, network, progress())
        path.write_bytes(path.read_bytes()[:-1000])
    elif damage == "foreign":
        torch.save(network.state_dict(), path)
    with pytest.raises(StoreError, match=rf"last\.safetensors: the checkpoint {told}"):
        load_network(path)
