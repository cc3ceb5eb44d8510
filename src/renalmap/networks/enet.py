"""ENet (Paszke et al. 2016, arXiv:1606.02147), as Dahiya & Sharma 2019 use it in both stages.

The network is written once. Max-pooling with remembered positions and the unpooling that puts values
back there come in two forms with the same result: PyTorch's own (`"indices"`, for training) and plain
slices, compares and pixel shuffles (`"selects"`, for export, because runtimes handle
MaxUnpool badly or not at all). They have no weights, so a state dict fits both.

Choices where the papers are silent are in docs/paper.md.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Unpooling = Literal["indices", "selects"]

INPUT_MULTIPLE = 8
"""Height and width must be divisible by this: three stages halve the grid."""

_REDUCTION = 4
_DILATIONS = {2: 2, 4: 4, 6: 8, 8: 16}
_ASYMMETRIC = (3, 7)


class ENet(nn.Module):
    """The efficient neural network: 27 bottlenecks, a large encoder and a small decoder.

    Args:
        in_channels: channels of the input; 1 for a CT slice.
        out_channels: channels of the output, logits of as many classes.
        unpooling: how pooled positions are kept; see the module's docstring.

    Shape:
        Input (N, in_channels, H, W), H and W divisible by 8; output (N, out_channels, H, W).

    Raises:
        ValueError: on other sizes, from `forward`.
    """

    def __init__(self, in_channels: int, out_channels: int, unpooling: Unpooling = "indices") -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.initial = _InitialBlock(in_channels, 16)
        self.down1 = _Downsampling(16, 64, dropout=0.01, unpooling=unpooling)
        self.section1 = nn.Sequential(*[_Bottleneck(64, dropout=0.01) for _ in range(4)])
        self.down2 = _Downsampling(64, 128, dropout=0.1, unpooling=unpooling)
        self.section2 = _context_section(128)
        self.section3 = _context_section(128)
        self.up4 = _Upsampling(128, 64, dropout=0.1, unpooling=unpooling)
        self.section4 = nn.Sequential(*[_Bottleneck(64, dropout=0.1) for _ in range(2)])
        self.up5 = _Upsampling(64, 16, dropout=0.1, unpooling=unpooling)
        self.section5 = _Bottleneck(16, dropout=0.1)
        self.full_convolution = nn.ConvTranspose2d(
            16, out_channels, kernel_size=3, stride=2, padding=1, output_padding=1
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits for a batch of slices."""
        if not torch.compiler.is_exporting():
            self._check_size(x)
        x = self.initial(x)
        x, positions1 = self.down1(x)
        x = self.section1(x)
        x, positions2 = self.down2(x)
        x = self.section3(self.section2(x))
        x = self.section4(self.up4(x, positions2))
        x = self.section5(self.up5(x, positions1))
        logits: Tensor = self.full_convolution(x)
        return logits

    def _check_size(self, x: Tensor) -> None:
        height, width = x.shape[-2:]
        if height % INPUT_MULTIPLE or width % INPUT_MULTIPLE or not height or not width:
            raise ValueError(
                f"ENet: got a slice of {height}x{width}, expected height and width divisible by "
                f"{INPUT_MULTIPLE}; pad or crop it first"
            )


class ReducedNetwork(nn.Module):
    """A network for slices at full size that works on slices averaged over squares.

    Args:
        network: works on the reduced slices.
        reduction: edge of the squares, in pixels.

    Shape:
        Input (N, in_channels, H, W), H and W divisible by 8 x reduction; output (N, out_channels, H, W):
        logits interpolated linearly.
    """

    def __init__(self, network: ENet, reduction: int) -> None:
        super().__init__()
        self.network = network
        self.reduction = reduction
        self.enlarge: nn.Module = nn.Upsample(scale_factor=reduction, mode="bilinear")

    def forward(self, x: Tensor) -> Tensor:
        """Logits for a batch of slices."""
        logits: Tensor = self.enlarge(self.network(functional.avg_pool2d(x, self.reduction)))
        return logits


def _norm_act(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(channels), nn.PReLU(channels))


def _projection(
    in_channels: int, out_channels: int, kernel_size: int = 1, *, activate: bool = True
) -> nn.Sequential:
    """A projection without bias, batch norm and (unless it ends a branch) PReLU."""
    convolution = nn.Conv2d(in_channels, out_channels, kernel_size, stride=kernel_size, bias=False)
    tail = _norm_act(out_channels) if activate else nn.BatchNorm2d(out_channels)
    return nn.Sequential(convolution, tail)


class _InitialBlock(nn.Module):
    """A strided 3x3 convolution beside a max-pooling of the input, concatenated to `out_channels`."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        filters = out_channels - in_channels
        self.convolution = nn.Conv2d(in_channels, filters, 3, stride=2, padding=1, bias=False)
        self.norm_act = _norm_act(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        pooled = functional.max_pool2d(x, 2)
        joined: Tensor = self.norm_act(torch.cat([self.convolution(x), pooled], dim=1))
        return joined


class _Bottleneck(nn.Module):
    """A residual bottleneck that keeps the size: regular, dilated or asymmetric."""

    def __init__(
        self, channels: int, *, dropout: float, dilation: int = 1, asymmetric: bool = False
    ) -> None:
        super().__init__()
        inner = channels // _REDUCTION
        self.branch = nn.Sequential(
            _projection(channels, inner),
            _asymmetric_convolution(inner) if asymmetric else _convolution(inner, dilation),
            _projection(inner, channels, activate=False),
            nn.Dropout2d(dropout),
        )
        self.activation = nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.activation(x + self.branch(x))
        return out


def _convolution(channels: int, dilation: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation)
    return nn.Sequential(convolution, _norm_act(channels))


def _asymmetric_convolution(channels: int) -> nn.Sequential:
    """A 5x5 convolution written as 5x1 and 1x5."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, (5, 1), padding=(2, 0), bias=False),
        _norm_act(channels),
        nn.Conv2d(channels, channels, (1, 5), padding=(0, 2)),
        _norm_act(channels),
    )


def _context_section(channels: int) -> nn.Sequential:
    """Bottlenecks 2.1 to 2.8: plain, dilated 2, asymmetric, dilated 4, plain, 8, asymmetric, 16."""
    return nn.Sequential(
        *[
            _Bottleneck(
                channels,
                dropout=0.1,
                dilation=_DILATIONS.get(number, 1),
                asymmetric=number in _ASYMMETRIC,
            )
            for number in range(1, 9)
        ]
    )


class _Downsampling(nn.Module):
    """A bottleneck that halves the size; the max-pooled main branch is padded with empty channels."""

    def __init__(
        self, in_channels: int, out_channels: int, *, dropout: float, unpooling: Unpooling
    ) -> None:
        super().__init__()
        inner = in_channels // _REDUCTION
        self.unpooling = unpooling
        self.extra_channels = out_channels - in_channels
        self.branch = nn.Sequential(
            _projection(in_channels, inner, kernel_size=2),
            _convolution(inner),
            _projection(inner, out_channels, activate=False),
            nn.Dropout2d(dropout),
        )
        self.activation = nn.PReLU(out_channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.unpooling == "indices":
            main, positions = functional.max_pool2d_with_indices(x, (2, 2))
        else:
            main, positions = pool_with_selects(x)
        main = functional.pad(main, (0, 0, 0, 0, 0, self.extra_channels))
        return self.activation(main + self.branch(x)), positions


class _Upsampling(nn.Module):
    """A bottleneck that doubles the size, putting the main branch back where its maxima were."""

    def __init__(
        self, in_channels: int, out_channels: int, *, dropout: float, unpooling: Unpooling
    ) -> None:
        super().__init__()
        inner = in_channels // _REDUCTION
        self.unpooling = unpooling
        self.main = _projection(in_channels, out_channels, activate=False)
        self.branch = nn.Sequential(
            _projection(in_channels, inner),
            nn.ConvTranspose2d(inner, inner, 3, stride=2, padding=1, output_padding=1),
            _norm_act(inner),
            _projection(inner, out_channels, activate=False),
            nn.Dropout2d(dropout),
        )
        self.activation = nn.PReLU(out_channels)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        if self.unpooling == "indices":
            main = functional.max_unpool2d(self.main(x), positions, (2, 2))
        else:
            main = unpool_with_selects(self.main(x), positions)
        out: Tensor = self.activation(main + self.branch(x))
        return out


def pool_with_selects(x: Tensor) -> tuple[Tensor, Tensor]:
    """2x2 max-pooling, and where each maximum was, without an index tensor.

    Args:
        x: (N, C, H, W).

    Returns:
        The maxima, (N, C, H/2, W/2), and (N, C, 4, H/2, W/2) of 0 and 1 in x's dtype: which of the
        window's four places, row by row, holds the maximum. The first of equal values wins, as in
        PyTorch's own pooling.
    """
    places = [x[:, :, row::2, column::2] for row in (0, 1) for column in (0, 1)]
    maxima = torch.maximum(torch.maximum(places[0], places[1]), torch.maximum(places[2], places[3]))
    taken = places[0] == maxima
    chosen = [taken]
    for place in places[1:]:
        first = (place == maxima) & ~taken
        chosen.append(first)
        taken = taken | first
    return maxima, torch.stack(chosen, dim=2).to(x.dtype)


def unpool_with_selects(x: Tensor, positions: Tensor) -> Tensor:
    """Put values back at the places `pool_with_selects` noted; zero elsewhere.

    Args:
        x: (N, C, H/2, W/2).
        positions: (N, C, 4, H/2, W/2), from `pool_with_selects`.

    Returns:
        (N, C, H, W).
    """
    spread = x.unsqueeze(2) * positions
    return functional.pixel_shuffle(spread.flatten(1, 2), 2)
