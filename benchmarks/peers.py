"""Other people's networks for the same task, as their own packages build them.

nnU-Net's two are the plans that its planner makes for KiTS (Isensee et al. 2021): PlainConvUNet of
`dynamic_network_architectures`, median spacing 1 x 0.78 x 0.78 mm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from torch import nn

NNUNET_PACKAGE: Final = "dynamic_network_architectures"
_FEATURES_2D: Final = (32, 64, 128, 256, 512, 512, 512, 512)
_FEATURES_3D: Final = (32, 64, 128, 256, 320, 320)


def windows(shape: Sequence[int], patch: Sequence[int]) -> int:
    """How many patches nnU-Net's sliding window takes: steps of at most half a patch along each axis."""
    steps = [
        max(math.ceil((length - edge) / (edge / 2)), 0) + 1
        for length, edge in zip(shape, patch, strict=True)
    ]
    return math.prod(steps)


def monai_unet() -> nn.Module:
    """The residual UNet of MONAI's tutorials."""
    from monai.networks.nets.unet import UNet  # noqa: PLC0415

    network: nn.Module = UNet(
        spatial_dims=2,
        in_channels=1,
        out_channels=2,
        channels=(16, 32, 64, 128, 256),
        strides=(2, 2, 2, 2),
        num_res_units=2,
    )
    return network


def monai_basicunet() -> nn.Module:
    """MONAI's BasicUNet as it comes."""
    from monai.networks.nets.basic_unet import BasicUNet  # noqa: PLC0415

    network: nn.Module = BasicUNet(spatial_dims=2, in_channels=1, out_channels=2)
    return network


def nnunet_2d() -> nn.Module:
    """Patches of 512x512: one per slice."""
    from torch import nn  # noqa: PLC0415

    return _plain_conv_unet(_FEATURES_2D, nn.Conv2d, nn.InstanceNorm2d)


def nnunet_3d() -> nn.Module:
    """Patches of 128x128x128."""
    from torch import nn  # noqa: PLC0415

    return _plain_conv_unet(_FEATURES_3D, nn.Conv3d, nn.InstanceNorm3d)


def _plain_conv_unet(features: Sequence[int], convolution: Any, norm: Any) -> nn.Module:
    from dynamic_network_architectures.architectures.unet import PlainConvUNet  # noqa: PLC0415
    from torch.nn import LeakyReLU  # noqa: PLC0415

    stages = len(features)
    network: nn.Module = PlainConvUNet(
        input_channels=1,
        n_stages=stages,
        features_per_stage=list(features),
        conv_op=convolution,
        kernel_sizes=3,
        strides=[1] + [2] * (stages - 1),
        n_conv_per_stage=2,
        num_classes=3,
        n_conv_per_stage_decoder=2,
        conv_bias=True,
        norm_op=norm,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=LeakyReLU,
        nonlin_kwargs={"inplace": True},
        deep_supervision=False,
    )
    return network
