"""The Fabric of a run: device, precision, and the processes that share a batch."""

from __future__ import annotations

from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from renalmap.errors import ConfigError
from renalmap.training.checkpoint import ScalerState
from renalmap.training.launch import Launch
from renalmap.training.settings import TrainSettings

_ENVIRONMENTS = {
    "none": LightningEnvironment,
    "torchrun": TorchElasticEnvironment,
    "slurm": SLURMEnvironment,
}


def make_fabric(settings: TrainSettings, launch: Launch) -> Fabric:
    """Set up this process, and join the others.

    Raises:
        ConfigError: the batch cannot be shared out evenly, the run is compiled, or there are fewer devices
            than processes.
    """
    check_processes(settings, launch)
    # Named, so that Fabric does not take a batch script without srun for one of several processes.
    plugins: list[Any] = [_ENVIRONMENTS[launch.launcher]()]
    precision: str | None = settings.precision
    if settings.precision == "16-mixed" and _on_cpu(settings):
        # Fabric would quietly take bfloat16.
        plugins.append(MixedPrecision("16-mixed", "cpu"))
        precision = None
    try:
        fabric = Fabric(
            accelerator=settings.accelerator,
            devices=launch.devices,
            num_nodes=launch.nodes,
            strategy="ddp" if launch.world > 1 else "auto",
            precision=precision,  # type: ignore[arg-type]
            plugins=plugins,
        )
    except (RuntimeError, ValueError) as error:  # what Lightning raises where a device is missing
        raise ConfigError(
            "the device is not available",
            got=str(error),
            expected=f"{settings.accelerator}, {launch.devices} on this machine",
        ) from error
    fabric.launch()
    return fabric


def save_scaler(fabric: Fabric) -> ScalerState | None:
    """The gradient scaler's state; None without one."""
    state = fabric.strategy.precision.state_dict()
    if not state:
        return None
    return ScalerState(scale=state["scale"], good_steps=state["_growth_tracker"])


def restore_scaler(fabric: Fabric, saved: ScalerState | None) -> None:
    """Put the gradient scaler where `save_scaler` found it."""
    precision = fabric.strategy.precision
    state = precision.state_dict()
    if state and saved is not None:
        state |= {"scale": saved.scale, "_growth_tracker": saved.good_steps}
        precision.load_state_dict(state)


def check_processes(settings: TrainSettings, launch: Launch) -> None:
    """Refuse settings that these processes cannot follow.

    Raises:
        ConfigError: the batch cannot be shared out evenly, or the run is compiled.
    """
    if settings.batch_size % launch.world:
        raise ConfigError(
            "the batch cannot be shared out evenly among the processes",
            got=f"batch_size {settings.batch_size}, {launch.world} processes",
            expected="a multiple",
        )
    if settings.compile and launch.world > 1:
        raise ConfigError("compiled training is for one process", got=f"{launch.world} processes")


def _on_cpu(settings: TrainSettings) -> bool:
    if settings.accelerator == "auto":
        return not (torch.cuda.is_available() or torch.backends.mps.is_available())
    return settings.accelerator == "cpu"
