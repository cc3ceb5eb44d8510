"""Checkpoints: weights, optimizer and place in the run in one safetensors file. No pickle."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from renalmap.errors import StoreError
from renalmap.imaging.files import replace_atomically
from renalmap.networks.enet import ENet
from renalmap.preprocess import Plan


class ScalerState(BaseModel):
    """The state of `16-mixed`'s gradient scaler: it halves on overflow, and doubles after enough good steps."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scale: float
    good_steps: int


class RunState(BaseModel):
    """Where a run stands, and what it takes to use its network.

    Attributes:
        step: batches trained on.
        best_score: the best validation score so far; None before the first.
        in_channels, out_channels: of the network, so that a checkpoint can be loaded alone.
        plan: the preprocessing it was trained with.
        stale: validations in a row that did not better the best score.
        scaler: None without `16-mixed`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int
    best_score: float | None
    in_channels: int
    out_channels: int
    plan: Plan
    stale: int = 0
    scaler: ScalerState | None = None


class TrainingState(NamedTuple):
    """What a run needs to continue.

    Attributes:
        network: with the weights that are trained; if weights are averaged, not the ones that are exported.
        optimizer: of these weights.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer


def save_checkpoint(
    path: Path, network: nn.Module, progress: RunState, training: TrainingState | None = None
) -> None:
    """Write a checkpoint, atomically; without a training state it serves export only."""
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    if training is not None:
        if training.network is not network:
            tensors |= {
                f"trained.{name}": value for name, value in training.network.state_dict().items()
            }
        for number, state in training.optimizer.state_dict()["state"].items():
            for name, value in state.items():
                tensors[f"optimizer.{number}.{name}"] = value
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    # Not by `save_file`, whose own temporary file a kill would leave behind under a name that nobody knows.
    content = save(plain, metadata={"progress": progress.model_dump_json()})
    with replace_atomically(path) as temporary:
        temporary.write_bytes(content)


def load_checkpoint(path: Path, network: nn.Module, training: TrainingState | None = None) -> RunState:
    """Restore what `save_checkpoint` wrote into a network and, if given, its training state.

    Raises:
        StoreError: the file is missing, damaged, or for another network.
    """
    progress, tensors = _read(path)
    weights = _below(tensors, "network.")
    try:
        network.load_state_dict(weights)
        if training is not None and training.network is not network:
            training.network.load_state_dict(_below(tensors, "trained.") or weights)
    except RuntimeError as error:
        raise StoreError("the checkpoint is for another network", where=path, got=str(error)) from error
    if training is not None:
        states: dict[int, dict[str, Tensor]] = {}
        for name, value in _below(tensors, "optimizer.").items():
            number, leaf = name.split(".", 1)
            states.setdefault(int(number), {})[leaf] = value
        groups = training.optimizer.state_dict()["param_groups"]
        training.optimizer.load_state_dict({"state": states, "param_groups": groups})
    return progress


def load_initial_weights(path: Path, network: nn.Module) -> tuple[str, ...]:
    """Start a network from a checkpoint, perhaps of the other stage: weights of equal shape are taken.

    Returns:
        The names of the weights that were not.

    Raises:
        StoreError: the checkpoint cannot be read, or nothing in it fits.
    """
    _, tensors = _read(path)
    own = network.state_dict()
    fitting = {
        name: value
        for name, value in _below(tensors, "network.").items()
        if name in own and own[name].shape == value.shape
    }
    if not fitting:
        raise StoreError("the checkpoint is for another network", where=path, got="no weight that fits")
    network.load_state_dict({**own, **fitting})
    return tuple(sorted(own.keys() - fitting.keys()))


def load_network(path: Path) -> tuple[ENet, RunState]:
    """The network of a checkpoint, in evaluation mode, and where its run stood.

    Raises:
        StoreError: as `load_checkpoint`.
    """
    progress, _ = _read(path)
    network = ENet(progress.in_channels, progress.out_channels)
    load_checkpoint(path, network)
    return network.eval(), progress


def _read(path: Path) -> tuple[RunState, dict[str, Tensor]]:
    if not path.is_file():
        raise StoreError(
            "the checkpoint does not exist",
            where=path,
            hint="Is this the run's folder? Train it first",
        )
    try:
        with safe_open(path, framework="pt") as handle:
            progress = RunState.model_validate_json(handle.metadata()["progress"])
            return progress, {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise StoreError(
            "the checkpoint is truncated or damaged",
            where=path,
            got=f"{path.stat().st_size} bytes; {error}",
            hint="Copy it again, or train again: a run without last.safetensors starts again",
        ) from error


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
