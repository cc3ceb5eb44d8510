"""What a network has to do: multiply-accumulates and bytes, counted while shapes alone run through it.

python -m benchmarks.macs enet [monai_unet ...]
"""

from __future__ import annotations

import json
import sys
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.networks import NETWORKS, Network
from benchmarks.results import Work
from renalmap.training.graph import ConvolvedPReLU

_BYTES = 4  # of a float32
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_COUNTED = (*_CONVOLUTIONS, *_TRANSPOSED, nn.Linear)


def count_work(network: nn.Module, shape: tuple[int, ...]) -> tuple[int, int]:
    """Multiply-accumulates of all convolutions and linear layers for one input, and their traffic.

    A bias, a norm, an activation (even one written as convolutions) and pooling are left out: they are
    additions, or hidden behind memory.

    Args:
        network: anywhere; it is moved to torch's meta device, which computes shapes and no values.
        shape: of the input.

    Returns:
        Multiply-accumulates; bytes of float32 that these layers read and write, weights included.
    """
    macs, traffic = 0, 0

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal macs, traffic
        macs += layer_macs(module, inputs[0], output)
        weights = sum(parameter.numel() for parameter in module.parameters())
        traffic += _BYTES * (inputs[0].numel() + output.numel() + weights)

    activations = [part for part in network.modules() if isinstance(part, ConvolvedPReLU)]
    left_out = {part for activation in activations for part in activation.modules()}
    handles = [
        module.register_forward_hook(note)
        for module in network.modules()
        if isinstance(module, _COUNTED) and module not in left_out
    ]
    try:
        with torch.inference_mode():
            network.to("meta").eval()(torch.zeros(shape, device="meta"))
    finally:
        for handle in handles:
            handle.remove()
    return macs, traffic


def layer_macs(module: Any, inputs: Tensor, output: Tensor) -> int:
    """Of one layer: each output (of a transposed convolution: each input) meets a kernel's weights."""
    if isinstance(module, _TRANSPOSED):
        per_value = prod(module.kernel_size) * module.out_channels // module.groups
        return inputs.numel() * per_value
    if isinstance(module, _CONVOLUTIONS):
        return output.numel() * prod(module.kernel_size) * module.in_channels // module.groups
    return output.numel() * int(module.in_features)


def work_for_100_slices(network: Network) -> Work:
    """Of one of the table's networks."""
    macs, traffic = count_work((network.build_for_export or network.build)(), network.shape)
    return Work(gmac=macs * network.calls / 1e9, traffic_gb=traffic * network.calls / 1e9)


def main() -> None:
    """Print the work of the networks that are named."""
    print(json.dumps({key: work_for_100_slices(NETWORKS[key]).model_dump() for key in sys.argv[1:]}))  # noqa: T201


if __name__ == "__main__":
    main()
