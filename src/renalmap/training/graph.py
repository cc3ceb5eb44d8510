"""A trained network in the form the bundle's graphs have: the same function of cheaper operators.

Which forms pay was measured in both engines (docs/performance.md). Batch norms after convolutions are
folded by the exporter.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import floor

import torch
from torch import Tensor, nn
from torch.nn import functional

from renalmap.networks.enet import ENet, ReducedNetwork
from renalmap.preprocess import Plan
from renalmap.training.settings import Stage
from renalmap.training.stages import on_grid


class Probabilities(nn.Module):
    """A trained network as the bundle's graph: normalised images to class probabilities.

    A two-class network gives only the foreground's; the Plan says whether stage 1 is reduced.
    """

    def __init__(self, network: ENet, plan: Plan) -> None:
        super().__init__()
        copy = ENet(network.in_channels, network.out_channels, unpooling="selects")
        copy.load_state_dict(network.state_dict())
        self.foreground_only = network.out_channels == 2
        if self.foreground_only:
            copy.full_convolution = _difference(copy.full_convolution)
        _convolve_activations(copy)
        self.network = on_grid(copy, plan, stage_of(network))
        if isinstance(self.network, ReducedNetwork):
            self.network.enlarge = BilinearConvolution(self.network.reduction)
        self.eval()

    def forward(self, image: Tensor) -> Tensor:
        """(N, 1, H, W) to (N, C, H, W)."""
        logits = self.network(image)
        if self.foreground_only:
            return torch.sigmoid(logits)
        # ONNX Runtime's Softmax over channels takes a tenth of the whole graph's time.
        powers = torch.exp(logits - logits.amax(dim=1, keepdim=True))
        return powers / powers.sum(dim=1, keepdim=True)


class AveragedProbabilities(nn.Module):
    """Several networks of one stage as one graph of the bundle: the mean of their `Probabilities`."""

    def __init__(self, networks: Sequence[ENet], plan: Plan) -> None:
        super().__init__()
        self.members = nn.ModuleList([Probabilities(network, plan) for network in networks])
        self.eval()

    def forward(self, image: Tensor) -> Tensor:
        """(N, 1, H, W) to (N, C, H, W)."""
        total: Tensor = self.members[0](image)
        # One after the other: an engine frees a member's feature maps before the next one's.
        for member in self.members[1:]:
            total = total + member(image)
        return total / len(self.members)


class Ensemble(nn.Module):
    """Networks that give logits as one that gives the logarithm of their mean probabilities.

    A graph is compared with it; it is written plainly.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(networks)

    def forward(self, image: Tensor) -> Tensor:
        """(N, 1, H, W) to (N, C, H, W)."""
        each = [torch.softmax(member(image), dim=1) for member in self.members]
        return torch.stack(each).mean(dim=0).log()


def stage_of(network: ENet) -> Stage:
    """Which stage a network is for, by its classes."""
    return "localize" if network.out_channels == 2 else "segment"


class ConvolvedPReLU(nn.Module):
    """PReLU as depthwise convolutions: up to slope 1, x + ReLU((slope - 1) x), to a float's last bit.

    ONNX Runtime keeps channels in blocks between convolutions. For its own PReLU, and for a multiplication by
    one slope per channel, it reorders them and blocks them again, which takes longer than the network's
    convolutions. Depthwise convolutions run on the blocks, with the ReLU and the addition fused in.
    """

    def __init__(self, activation: nn.PReLU) -> None:
        super().__init__()
        slope = activation.weight.detach()
        self.concave = bool((slope > 1).any())
        """Then slope x + (1 - slope) ReLU(x), which is right for any slope and takes one more operator."""
        self.straight = _depthwise(slope if self.concave else torch.ones_like(slope))
        self.bent = _depthwise(1 - slope if self.concave else slope - 1)

    def forward(self, x: Tensor) -> Tensor:
        """As `nn.PReLU`."""
        bent: Tensor = self.bent(torch.relu(x)) if self.concave else torch.relu(self.bent(x))
        straight: Tensor = self.straight(x)
        return straight + bent


class BilinearConvolution(nn.Module):
    """Bilinear enlargement of one channel by a whole factor, as a convolution and a pixel shuffle.

    Each pixel of the result lies within half a pixel of one of the input's, so it depends on that one
    and its neighbours, with weights that repeat.
    """

    weight: Tensor

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor
        taps = torch.zeros(factor, 3)
        for place in range(factor):
            offset = (place + 0.5) / factor - 0.5
            left = floor(offset)
            taps[place, left + 1] = 1 - (offset - left)
            if offset > left:
                taps[place, left + 2] = offset - left
        weight = torch.einsum("pi,qj->pqij", taps, taps).reshape(factor**2, 1, 3, 3)
        self.register_buffer("weight", weight)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, H, W) to (N, 1, factor x H, factor x W)."""
        padded = functional.pad(x, (1, 1, 1, 1), mode="replicate")
        return functional.pixel_shuffle(functional.conv2d(padded, self.weight), self.factor)


def _difference(last: nn.ConvTranspose2d) -> nn.ConvTranspose2d:
    """The foreground's logit above the background's: its sigmoid is the softmax of both."""
    single = nn.ConvTranspose2d(last.in_channels, 1, 3, stride=2, padding=1, output_padding=1)
    assert last.bias is not None
    assert single.bias is not None
    with torch.no_grad():
        single.weight.copy_(last.weight[:, 1:] - last.weight[:, :1])
        single.bias.copy_(last.bias[1:] - last.bias[:1])
    return single


def _depthwise(factors: Tensor) -> nn.Conv2d:
    """Each channel times its own factor."""
    convolution = nn.Conv2d(factors.numel(), factors.numel(), 1, groups=factors.numel(), bias=False)
    with torch.no_grad():
        convolution.weight.copy_(factors.reshape(-1, 1, 1, 1))
    return convolution


def _convolve_activations(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.PReLU):
            setattr(module, name, ConvolvedPReLU(child))
        else:
            _convolve_activations(child)
