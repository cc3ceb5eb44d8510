"""The networks that are compared, at random weights: how to build them and what they are fed.

Only the functions import torch: the suite reads this table and must stay small.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, Literal

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
        build_for_export: makes the graph that other runtimes get, if it is written otherwise.
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


def _enet(classes: int, reduction: int = 1) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        from renalmap.networks.enet import ENet, ReducedNetwork  # noqa: PLC0415

        network = ENet(1, classes)
        return network if reduction == 1 else ReducedNetwork(network, reduction)

    return build


def _graph_of_enet(classes: int, reduction: Literal[1, 2] = 1) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        from renalmap.networks.enet import ENet  # noqa: PLC0415
        from renalmap.preprocess import Plan  # noqa: PLC0415
        from renalmap.training.graph import Probabilities  # noqa: PLC0415

        return Probabilities(ENet(1, classes), Plan(localizer_reduction=reduction))

    return build


_PATCH: Final = (128, 128, 128)
_CROP: Final = (1, 1, 256, 256)

NETWORKS: Final = {
    "enet": Network("ENet", _enet(2), build_for_export=_graph_of_enet(2)),
    "enet_half": Network(
        "ENet, stage 1 as shipped",
        _enet(2, reduction=2),
        build_for_export=_graph_of_enet(2, reduction=2),
    ),
    "enet_crop": Network(
        "ENet, a crop of stage 2",
        _enet(3),
        _CROP,
        build_for_export=_graph_of_enet(3),
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
