"""ENet against the papers' table, and its two forms of unpooling against each other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from renalmap.networks.enet import ENet, pool_with_selects, unpool_with_selects

# Paszke et al. 2016, table 1: channels and edge after each block, for a 512x512 input.
PAPER_TABLE = {
    "initial": (16, 256),
    "down1": (64, 128),
    **{f"section1.{number}": (64, 128) for number in range(4)},
    "down2": (128, 64),
    **{f"section2.{number}": (128, 64) for number in range(8)},
    **{f"section3.{number}": (128, 64) for number in range(8)},
    "up4": (64, 128),
    **{f"section4.{number}": (64, 128) for number in range(2)},
    "up5": (16, 256),
    "section5": (16, 256),
    "full_convolution": (2, 512),
}


def warmed_up(in_channels: int = 1, out_channels: int = 2, seed: int = 0) -> ENet:
    """A network whose batch norms have seen data, in evaluation mode."""
    torch.manual_seed(seed)
    network = ENet(in_channels, out_channels).train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(4, in_channels, 32, 32))
    return network.eval()


def test_every_stage_has_the_papers_size():
    network = ENet(1, 2).eval()
    sizes: dict[str, tuple[int, ...]] = {}

    def note(name: str) -> None:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            main = output[0] if isinstance(output, tuple) else output
            assert isinstance(main, Tensor)
            sizes[name] = tuple(main.shape[1:])

        network.get_submodule(name).register_forward_hook(hook)

    for name in PAPER_TABLE:
        note(name)
    with torch.inference_mode():
        network(torch.zeros(1, 1, 512, 512))
    assert sizes == {name: (channels, edge, edge) for name, (channels, edge) in PAPER_TABLE.items()}


def convolution(inputs: int, outputs: int, *kernel: int, bias: bool = False) -> int:
    taps = 1
    for edge in kernel:
        taps *= edge
    return inputs * outputs * taps + (outputs if bias else 0)


def norm(channels: int) -> int:
    return 2 * channels


def norm_act(channels: int) -> int:
    return 3 * channels


def bottleneck(channels: int, *, asymmetric: bool = False) -> int:
    inner = channels // 4
    reduce = convolution(channels, inner, 1, 1) + norm_act(inner)
    if asymmetric:
        first = convolution(inner, inner, 5, 1) + norm_act(inner)
        middle = first + convolution(inner, inner, 1, 5, bias=True) + norm_act(inner)
    else:
        middle = convolution(inner, inner, 3, 3, bias=True) + norm_act(inner)
    expand = convolution(inner, channels, 1, 1) + norm(channels)
    return reduce + middle + expand + channels


def downsampling(inputs: int, outputs: int) -> int:
    inner = inputs // 4
    reduce = convolution(inputs, inner, 2, 2) + norm_act(inner)
    middle = convolution(inner, inner, 3, 3, bias=True) + norm_act(inner)
    return reduce + middle + convolution(inner, outputs, 1, 1) + norm(outputs) + outputs


def upsampling(inputs: int, outputs: int) -> int:
    inner = inputs // 4
    main = convolution(inputs, outputs, 1, 1) + norm(outputs)
    reduce = convolution(inputs, inner, 1, 1) + norm_act(inner)
    middle = convolution(inner, inner, 3, 3, bias=True) + norm_act(inner)
    return main + reduce + middle + convolution(inner, outputs, 1, 1) + norm(outputs) + outputs


def derived_parameter_count(inputs: int, outputs: int) -> int:
    initial = convolution(inputs, 16 - inputs, 3, 3) + norm_act(16)
    context = 6 * bottleneck(128) + 2 * bottleneck(128, asymmetric=True)
    encoder = downsampling(16, 64) + 4 * bottleneck(64) + downsampling(64, 128) + 2 * context
    decoder = upsampling(128, 64) + 2 * bottleneck(64) + upsampling(64, 16) + bottleneck(16)
    return initial + encoder + decoder + convolution(16, outputs, 3, 3, bias=True)


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 2), (1, 3), (3, 12)])
def test_parameter_count_is_the_derived_one(inputs: int, outputs: int):
    count = sum(parameter.numel() for parameter in ENet(inputs, outputs).parameters())
    assert count == derived_parameter_count(inputs, outputs)


def test_parameter_count_of_the_localizer():
    assert derived_parameter_count(1, 2) == 360_209


def test_three_channel_input_gives_the_papers_13_filters():
    assert ENet(3, 2).initial.convolution.out_channels == 13
    assert ENet(1, 2).initial.convolution.out_channels == 15


@pytest.mark.parametrize("section", ["section2", "section3"])
def test_context_sections_have_the_papers_dilations_and_asymmetric_kernels(section: str):
    found = []
    for block in ENet(1, 2).get_submodule(section).children():
        kernels = [
            (module.kernel_size, module.dilation[0])
            for module in block.modules()
            if isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1)
        ]
        found.append(kernels)
    asymmetric = [((5, 1), 1), ((1, 5), 1)]
    assert found == [
        [((3, 3), 1)],
        [((3, 3), 2)],
        asymmetric,
        [((3, 3), 4)],
        [((3, 3), 1)],
        [((3, 3), 8)],
        asymmetric,
        [((3, 3), 16)],
    ]


def test_projections_have_no_bias():
    kernels = {
        name: module.kernel_size
        for name, module in ENet(1, 2).named_modules()
        if isinstance(module, nn.Conv2d) and module.bias is not None
    }
    assert {(1, 1), (2, 2)}.isdisjoint(kernels.values())
    assert kernels, "the bottlenecks' middle convolutions have biases"


def test_dropout_is_weak_up_to_section_1_and_strong_after():
    network = ENet(1, 2)
    rates = {
        name: {module.p for module in child.modules() if isinstance(module, nn.Dropout2d)}
        for name, child in network.named_children()
    }
    weak, strong = {"down1", "section1"}, {"down2", "section2", "section3", "up4", "section4"}
    assert {name for name, found in rates.items() if found == {0.01}} == weak
    assert {name for name, found in rates.items() if found == {0.1}} == strong | {"up5", "section5"}
    assert rates["initial"] == rates["full_convolution"] == set()


@pytest.mark.parametrize("size", [(8, 12), (63, 64), (0, 8), (4, 4)])
def test_sizes_not_divisible_by_8_are_refused(size: tuple[int, int]):
    with pytest.raises(ValueError, match=f"{size[0]}x{size[1]}.*divisible by 8"):
        ENet(1, 2).eval()(torch.zeros(1, 1, *size))


@pytest.mark.parametrize("size", [(8, 8), (8, 40), (136, 72)])
@pytest.mark.parametrize("channels", [(1, 2), (2, 3)])
def test_other_sizes_divisible_by_8_work(size: tuple[int, int], channels: tuple[int, int]):
    network = warmed_up(*channels)
    with torch.inference_mode():
        assert network(torch.randn(2, channels[0], *size)).shape == (2, channels[1], *size)


def images_with_ties() -> Tensor:
    """Noise, air of one value, a step edge, and values from a set of three."""
    generator = torch.Generator().manual_seed(3)
    noise = torch.randn(1, 1, 64, 96, generator=generator)
    air = torch.full((1, 1, 64, 96), -1.5)
    step = torch.where(torch.arange(96) < 47, -1.0, 1.0).expand(1, 1, 64, 96)
    coarse = torch.randint(-1, 2, (1, 1, 64, 96), generator=generator).float()
    return torch.cat([noise, air, step, coarse])


@pytest.mark.parametrize("out_channels", [2, 3])
def test_both_unpoolings_agree_bit_for_bit(out_channels: int):
    native = warmed_up(out_channels=out_channels, seed=out_channels)
    selects = ENet(1, out_channels, unpooling="selects").eval()
    selects.load_state_dict(native.state_dict())
    images = images_with_ties()
    with torch.inference_mode():
        torch.testing.assert_close(selects(images), native(images), rtol=0, atol=0)


def test_selects_take_the_first_of_equal_values_as_pytorch_does():
    x = torch.randint(0, 3, (2, 3, 8, 10), generator=torch.Generator().manual_seed(0)).float()
    maxima, positions = pool_with_selects(x)
    expected, indices = nn.functional.max_pool2d_with_indices(x, (2, 2))
    assert torch.equal(maxima, expected)
    assert torch.equal(positions.sum(dim=2), torch.ones_like(maxima))
    values = torch.randn(maxima.shape)
    unpooled = nn.functional.max_unpool2d(values, indices, (2, 2))
    assert torch.equal(unpool_with_selects(values, positions), unpooled)


def test_gradients_reach_every_parameter():
    torch.manual_seed(0)
    network = ENet(1, 3)
    network(torch.randn(2, 1, 32, 32)).square().mean().backward()
    without = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]
    assert without == []
