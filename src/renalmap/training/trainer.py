"""A network, its optimizer and its devices, and one step of training."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from renalmap.networks.enet import ENet
from renalmap.training.batches import Batch, BatchMaker, Draw
from renalmap.training.devices import make_fabric
from renalmap.training.launch import Launch
from renalmap.training.losses import make_loss
from renalmap.training.pooling import pool_over_processes
from renalmap.training.settings import TrainSettings


class Trainer:
    """Trains one network step by step; randomness depends on the seed and the step's number only.

    Attributes:
        fabric: devices and precision.
        network: with the weights that are trained.
        averaged: with those that are validated and exported: their moving average, or `network` itself.
        optimizer: as checkpoints hold it.

    Raises:
        ConfigError: as `make_fabric`.
    """

    def __init__(self, settings: TrainSettings, maker: BatchMaker, launch: Launch) -> None:
        if settings.threads is not None:
            torch.set_num_threads(settings.threads)
        self.fabric = make_fabric(settings, launch)
        torch.manual_seed(settings.seed)
        # On its device before the optimizer: loaded optimizer state follows its weights there.
        self.network = ENet(1, settings.out_channels, "selects" if settings.compile else "indices")
        self.network = self.network.to(self.fabric.device)
        pool_over_processes(self.network, launch, batch_norm=settings.sync_batch_norm)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=settings.learning_rate)
        self.averaged = copy.deepcopy(self.network) if settings.weight_averaging else self.network
        self._settings, self._maker = settings, maker
        self._loss = make_loss(settings)
        self._wrapped: tuple[Any, Any] | None = None

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.fabric.device

    def step(self, step: int, made: Batch | Draw, learning_rate: float) -> float:
        """Train on a batch, or on this process's share of it.

        Returns:
            The loss before the step, of the whole batch.
        """
        network, optimizer = self._wrapped or self._wrap()
        # Dropout draws from torch's global generator: reseeding it makes a resumed run exact.
        torch.manual_seed(self._settings.seed * 1_000_003 + step)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        network.train()
        batch = self._maker.finish(made, self.device) if isinstance(made, Draw) else made
        images = batch.images.to(self.device, memory_format=torch.channels_last)
        optimizer.zero_grad()
        if self._settings.compile and self._settings.is_finishing(step):
            # Few steps on slices of another size: compiling for them would take longer.
            with self.fabric.autocast():
                logits = self.network(images)
        else:
            logits = network(images)
        loss = self._loss(logits.float(), batch.targets.to(self.device))
        self.fabric.backward(loss)
        optimizer.step()
        if self.averaged is not self.network:
            self._average(step)
        return float(loss.detach())

    @torch.no_grad()
    def _average(self, step: int) -> None:
        """Move the averaged weights a step towards the trained ones."""
        # Early weights are random.
        decay = min(self._settings.weight_averaging, (1 + step) / (10 + step))
        for average, trained in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
            average.lerp_(trained, 1 - decay)

    @torch.no_grad()
    def settle(self) -> None:
        """Estimate the averaged network's batch norm statistics; the trained network's do not fit its weights.

        As `torch.optim.swa_utils.update_bn` does, but without dropout and on batches that follow from the
        settings alone: those that training would draw after its last step.
        """
        if self.averaged is self.network:
            return
        self.averaged.eval()
        norms = [each for each in self.averaged.modules() if isinstance(each, _BatchNorm)]
        momenta = [norm.momentum for norm in norms]
        for number in range(self._settings.statistics_steps):
            for norm in norms:
                norm.train()
                norm.momentum = 1.0 / (number + 1)  # so that all batches count the same
            self.averaged(self._maker.make(self._settings.steps + number).images.to(self.device))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        self.averaged.eval()

    def _wrap(self) -> tuple[Any, Any]:
        """Not before the first step: weights and optimizer state are restored into what is inside."""
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        compiled: Any = self.network
        if self._settings.compile:
            compiled = torch.compile(self.network, dynamic=False)
        self._wrapped = self.fabric.setup(compiled, self.optimizer)
        return self._wrapped
