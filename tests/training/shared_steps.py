"""Run by torchrun: three steps on halves of a batch must be three steps on the whole of it.

    torchrun --nproc-per-node 2 shared_steps.py RESULT

In double precision, where rounding cannot hide a wrong sum. Every process first does the steps alone on whole
batches, then with the other process on its samples of them; the first one writes the differences.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from renalmap.networks.enet import ENet
from renalmap.training.launch import ALONE, Launch
from renalmap.training.losses import dice_ce_loss, tversky_loss
from renalmap.training.pooling import pool_over_processes

STEPS = 3
LOSSES = {"dice_ce": dice_ce_loss(), "tversky": tversky_loss(0.3, 0.7)}


def train(launch: Launch, kind: str) -> tuple[list[float], dict[str, torch.Tensor]]:
    """The losses and the weights of a few steps."""
    torch.manual_seed(1)
    network = ENet(1, 3).double()
    pool_over_processes(network, launch, batch_norm=True)
    trained: Any = network if launch.world == 1 else DistributedDataParallel(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    losses = []
    for step in range(STEPS):
        generator = torch.Generator().manual_seed(step)
        images = torch.randn(4, 1, 32, 32, generator=generator, dtype=torch.float64)
        classes = (images * 2).round().clamp(0, 2).long()
        classes[step] = 0  # one process's half has more foreground than the other's
        mine = list(launch.share(4))
        torch.manual_seed(100 + step)
        optimizer.zero_grad()
        loss = LOSSES[kind](trained(images[mine]), classes[mine])
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses, network.state_dict()


def main() -> None:
    """Compare, and write."""
    alone = {kind: train(ALONE, kind) for kind in LOSSES}
    distributed.init_process_group("gloo")
    launch = Launch.from_environment()
    differences = {}
    for kind, (losses, weights) in alone.items():
        shared_losses, shared_weights = train(launch, kind)
        differences[kind] = {
            "loss": max(abs(a - b) for a, b in zip(losses, shared_losses, strict=True)),
            "weights": max(
                float((shared_weights[name] - value).abs().max()) for name, value in weights.items()
            ),
            "moved": abs(losses[-1] - losses[0]),
        }
    if launch.leads:
        Path(sys.argv[1]).write_text(json.dumps({"world": launch.world, **differences}))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
