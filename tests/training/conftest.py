"""A small store of slices whose kidneys and tumours can be told by their intensity."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

from renalmap.dataset.cases import find_cases
from renalmap.dataset.prepare import prepare
from renalmap.dataset.split import Split
from renalmap.dataset.store import Store, StoreSettings
from renalmap.networks.enet import ENet
from renalmap.preprocess import Plan
from renalmap.training.checkpoint import RunState, load_network, save_checkpoint
from renalmap.training.export import export_onnx
from renalmap.training.settings import AugmentSettings, TrainSettings

PLAN = Plan(grid_size=64, crop_size=32, crop_margin=4)
SPLIT = Split(seed=0, train=("a", "b", "c"), validation=("d", "e"), test=())
EMPTY, KIDNEY, BOTH = "empty", "kidney", "both"
KINDS = {"a": (EMPTY, KIDNEY, BOTH, EMPTY), "b": (EMPTY, BOTH), "c": (KIDNEY, EMPTY, EMPTY)}
KINDS |= {"d": (BOTH, EMPTY, KIDNEY), "e": (KIDNEY, EMPTY)}


def _draw_slice(kind: str, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two kidneys of 150 HU and a tumour of 60 HU in fat of -100 HU, with noise."""
    y, x = np.mgrid[:64, :64]
    labels = np.zeros((64, 64), np.uint8)
    if kind != EMPTY:
        shift = generator.integers(-3, 4, 2)
        for centre_x in (16, 48):
            labels[(y - 30 - shift[0]) ** 2 + (x - centre_x - shift[1]) ** 2 < 64] = 1
    if kind == BOTH:
        labels[(y - 34) ** 2 + (x - 14) ** 2 < 25] = 2
    hu = np.array([-100, 150, 60])[labels] + generator.normal(0, 15, labels.shape)
    return np.rint(hu).astype(np.int16), labels


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three training and two validation cases on a grid of 64x64."""
    root = tmp_path_factory.mktemp("data")
    generator = np.random.default_rng(0)
    with (root / "index.csv").open("w", newline="", encoding="utf-8") as handle:
        table = csv.writer(handle)
        table.writerow(("name", "case", "z"))
        for case, kinds in KINDS.items():
            for z, kind in enumerate(kinds):
                hu, labels = _draw_slice(kind, generator)
                np.savez_compressed(root / f"{case}_{z}.npz", hu=hu, label=labels)
                table.writerow((f"{case}_{z}", case, z))
    out = tmp_path_factory.mktemp("prepared") / "store"
    return prepare(find_cases(root), out, StoreSettings(format="blosc2", plan=PLAN), SPLIT)


@pytest.fixture
def still() -> AugmentSettings:
    """Augmentation that changes nothing."""
    return AugmentSettings(rotation_degrees=0, horizontal_flip=0, vertical_flip=0, shear=0, zoom=0)


@pytest.fixture
def tiny() -> TrainSettings:
    """Six steps of stage 2, validated every third."""
    return TrainSettings(
        stage="segment",
        steps=6,
        batch_size=4,
        validate_every=3,
        centre_jitter=4,
        threads=1,
        accelerator="cpu",
        augment=AugmentSettings(noise_hu=5, blur=0.3),
    )


@dataclass(frozen=True)
class Stage:
    """A network that saw a little data, its checkpoint and its graph."""

    network: ENet
    checkpoint: Path
    graph: Path


def _make_stage(folder: Path, classes: int, edge: int) -> None:
    torch.manual_seed(classes)
    network = ENet(1, classes).train()
    with torch.no_grad():
        for _ in range(10):
            network(torch.randn(4, 1, edge, edge))
    network.eval()
    progress = RunState(step=10, best_score=None, in_channels=1, out_channels=classes, plan=PLAN)
    save_checkpoint(folder / "network.safetensors", network, progress)
    export_onnx([network], PLAN, folder / "network.onnx")


def _stage(tmp_path_factory: pytest.TempPathFactory, name: str, classes: int, edge: int) -> Stage:
    """A stage, made by the first of pytest's processes that needs it: an export takes half a minute."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    with FileLock(root / f"{name}.lock"):
        if not (root / name / "network.onnx").exists():
            (root / name).mkdir(exist_ok=True)
            _make_stage(root / name, classes, edge)
    checkpoint = root / name / "network.safetensors"
    network, _ = load_network(checkpoint)
    return Stage(network, checkpoint, root / name / "network.onnx")


@pytest.fixture(scope="session")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Stage 2, exported once for all tests."""
    return _stage(tmp_path_factory, "segmenter", classes=3, edge=PLAN.crop_size)


@pytest.fixture(scope="session")
def localizer(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Stage 1, exported once for all tests."""
    return _stage(tmp_path_factory, "localizer", classes=2, edge=PLAN.grid_size)
