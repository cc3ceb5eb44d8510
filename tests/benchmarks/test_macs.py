"""Multiply-accumulates against numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch
from benchmarks.macs import count_work, work_for_100_slices
from benchmarks.networks import NETWORKS
from benchmarks.peers import windows
from torch import nn


def test_a_small_network():
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, padding=1),  # 4 channels of 4x4, each from 9 values: 576
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, padding=1, groups=2),  # 64 values from 9 of 2 channels: 1152
        nn.ConvTranspose2d(4, 2, 2, stride=2),  # 64 values go to 4 places of 2 channels: 512
        nn.Flatten(),
        nn.Linear(128, 3),  # 384
    )
    macs, traffic = count_work(network, (1, 1, 8, 8))
    assert macs == 576 + 1152 + 512 + 384
    inputs_and_outputs = (64 + 64) + (64 + 64) + (64 + 128) + (128 + 3)
    weights = (36 + 4) + (72 + 4) + (32 + 2) + (384 + 3)
    assert traffic == 4 * (inputs_and_outputs + weights)


def test_three_dimensions_and_dilation():
    network = nn.Conv3d(2, 3, (3, 1, 5), padding=(2, 0, 4), dilation=2)
    macs, _ = count_work(network, (1, 2, 6, 7, 8))
    assert macs == 3 * 6 * 7 * 8 * (3 * 1 * 5) * 2


def test_a_batch_counts_for_each_of_its_members():
    network = nn.ConvTranspose2d(3, 5, 3, stride=2, padding=1, output_padding=1)
    assert count_work(network, (4, 3, 6, 6))[0] == 4 * count_work(network, (1, 3, 6, 6))[0]


def test_no_hook_stays_behind():
    network = nn.Sequential(nn.Conv2d(1, 1, 1))
    count_work(network, (1, 1, 2, 2))
    assert not network[0]._forward_hooks


def test_counting_leaves_no_gradient():
    network = nn.Conv2d(1, 1, 1)
    count_work(network, (1, 1, 2, 2))
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.is_grad_enabled()


ONE_LOGIT = 100 * 9 * 16 * 256**2 / 1e9


@pytest.mark.parametrize(
    ("key", "gmac"),
    # 1.89 GMAC a slice, less the second class's logit (3x3 from 16 channels at 256x256), which the graph
    # does without. At half the edge a quarter.
    [("enet", 188.6 - ONE_LOGIT), ("enet_half", (188.6 - ONE_LOGIT) / 4)],
)
def test_enet(key, gmac):
    assert work_for_100_slices(NETWORKS[key]).gmac == pytest.approx(gmac, rel=1e-3)


@pytest.mark.parametrize(
    ("shape", "patch", "expected"),
    [
        ((128, 128, 128), (128, 128, 128), 1),
        ((100, 512, 512), (128, 128, 128), 49),  # 100 slices are padded to one patch; 7 x 7 in the plane
        ((129, 128, 192), (128, 128, 128), 4),
    ],
)
def test_windows_of_nnunet(shape, patch, expected):
    assert windows(shape, patch) == expected
