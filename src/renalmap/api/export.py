"""From trained checkpoints to a bundle. Torch is imported only when this is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from renalmap import __version__
from renalmap.bundle import Bundle
from renalmap.config import read_toml
from renalmap.dataset.store import Store
from renalmap.extras import import_extra


@dataclass(frozen=True)
class ExportRequest:
    """What goes into a bundle besides the networks.

    Attributes:
        card: a model card; without one, the card says only what was trained on.
        rules: a TOML file with values for the Plan's fields that only inference reads.
        calibration: the calibration of confidences.
        overwrite: replace an existing bundle.
    """

    card: Path | None = None
    rules: Path | None = None
    calibration: Path | None = None
    overwrite: bool = False


def export(
    store: Path,
    localizer: Sequence[Path],
    segmenter: Sequence[Path],
    out: Path,
    request: ExportRequest = ExportRequest(),
) -> Bundle:
    """Make a bundle from trained checkpoints.

    Args:
        store: the store on which all were trained.
        localizer: stage 1's checkpoint, or several to be averaged; a run's folder stands for its best.
        segmenter: stage 2's, likewise.
        out: the bundle's folder.
        request: what else goes into it.

    Raises:
        RenalMapError: as `export_bundle`.
    """
    opened = Store.open(store)
    making = training("export")
    extras = making.BundleExtras(
        card=(
            _default_card(opened, len(localizer), len(segmenter))
            if request.card is None
            else request.card.read_text(encoding="utf-8")
        ),
        rules={} if request.rules is None else read_toml(request.rules),
        calibration=request.calibration,
    )
    bundle: Bundle = making.export_bundle(
        opened,
        _checkpoints(localizer),
        _checkpoints(segmenter),
        out,
        extras,
        overwrite=request.overwrite,
    )
    return bundle


def _checkpoints(paths: Sequence[Path]) -> list[Path]:
    best: str = training("loop").BEST
    return [path / best if path.is_dir() else path for path in paths]


def _default_card(store: Store, localizers: int, segmenters: int) -> str:
    cases = ", ".join(f"{len(store.part(part))} {part}" for part in ("train", "validation", "test"))
    averaged = ""
    if localizers > 1 or segmenters > 1:
        averaged = f"Averaged over networks: {localizers} in stage 1, {segmenters} in stage 2.\n\n"
    return (
        "# Model card\n\n"
        f"Made by RenalMap {__version__} from {len(store.entries)} cases ({cases}).\n\n"
        f"{averaged}"
        "Accuracy: not stated. Measure it with `renalmap test` on patients it was not trained on.\n\n"
        "Not a medical device. Research use only.\n"
    )


def training(module: str) -> Any:
    """A module of `renalmap.training`, which needs torch.

    Raises:
        MissingDependencyError: it is not installed.
    """
    return import_extra(f"renalmap.training.{module}", "training")
