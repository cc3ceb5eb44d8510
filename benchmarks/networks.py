"""The networks that are compared, at random weights: how to build them and what they are fed.

Only the functions import torch: the suite reads this table and must stay small.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from benchmarks import peers

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Network:
    """One row of the table.

    Attributes:
        title: in tables and the chart.
        build: makes the network.
        shape: of one input.
        calls: how many inputs 100 slices of 512x512 make.
        package: what must be importable besides torch.
        build_for_export: makes the form that other runtimes get, if it is another.
    """

    title: str
    build: Callable[[], nn.Module]
    shape: tuple[int, ...] = (1, 1, 512, 512)
    calls: int = 100
    package: str | None = None
    build_for_export: Callable[[], nn.Module] | None = None

    @property
    def missing(self) -> str | None:
        """Why it cannot be built here."""
        absent = [name for name in ("torch", self.package) if name and find_spec(name) is None]
        return f"{absent[0]} is not installed" if absent else None


def _enet(classes: int, unpooling: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        from renalmap.networks.enet import ENet  # noqa: PLC0415

        return ENet(1, classes, unpooling="selects" if unpooling == "selects" else "indices")

    return build


def _half_enet(unpooling: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        from renalmap.networks.enet import ENet, ReducedNetwork  # noqa: PLC0415

        network = ENet(1, 2, unpooling="selects" if unpooling == "selects" else "indices")
        return ReducedNetwork(network, 2)

    return build


_PATCH: Final = (128, 128, 128)
_CROP: Final = (1, 1, 256, 256)

NETWORKS: Final = {
    "enet": Network("ENet", _enet(2, "indices"), build_for_export=_enet(2, "selects")),
    "enet_half": Network(
        "ENet, stage 1 as shipped",
        _half_enet("indices"),
        build_for_export=_half_enet("selects"),
    ),
    "enet_crop": Network(
        "ENet, a crop of stage 2",
        _enet(3, "indices"),
        _CROP,
        build_for_export=_enet(3, "selects"),
    ),
    "monai_unet": Network("MONAI UNet 16..256", peers.monai_unet, package="monai"),
    "monai_basicunet": Network("MONAI BasicUNet", peers.monai_basicunet, package="monai"),
    "nnunet_2d": Network("nnU-Net 2d", peers.nnunet_2d, package=peers.NNUNET_PACKAGE),
    "nnunet_3d": Network(
        "nnU-Net 3d_fullres",
        peers.nnunet_3d,
        (1, 1, *_PATCH),
        calls=peers.windows((100, 512, 512), _PATCH),
        package=peers.NNUNET_PACKAGE,
    ),
}
"""By the names that results and flags use. nnU-Net's 3D network sees 100 slices of 1 mm as windows."""
