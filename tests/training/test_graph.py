"""The cheaper operators of the graphs compute what the plain ones do."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from renalmap.training.graph import BilinearConvolution, ConvolvedPReLU


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(8, 8), (1, 5), (24, 40)])
def test_enlargement_is_pytorchs(factor: int, size: tuple[int, int]):
    x = torch.randn(2, 1, *size, generator=torch.Generator().manual_seed(factor))
    expected = functional.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
    # PyTorch itself rounds the places of thirds.
    torch.testing.assert_close(BilinearConvolution(factor)(x), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("slopes", [(0.25, -0.5, 1.0, 0.0), (0.25, -0.5, 1.5, 0.0)])
def test_prelu_as_convolutions_is_pytorchs(slopes: tuple[float, ...]):
    plain = nn.PReLU(4)
    plain.weight.data = torch.tensor(slopes)
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    x[:, :, 0] = 0.0
    with torch.no_grad():
        torch.testing.assert_close(ConvolvedPReLU(plain)(x), plain(x), rtol=3e-7, atol=3e-7)
