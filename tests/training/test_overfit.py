"""The real loop learns four real slices by heart."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from renalmap.dataset.cases import Case
from renalmap.dataset.prepare import prepare
from renalmap.dataset.split import Split
from renalmap.dataset.store import Store, StoreSettings
from renalmap.preprocess import Plan, crop_boxes
from renalmap.training.checkpoint import load_network
from renalmap.training.loop import train
from renalmap.training.settings import AugmentSettings, TrainSettings
from renalmap.training.validation import validate

STEPS = 120
# Crops of 192 would hold larger tumours and take more than twice the time.
PLAN = Plan(clip_hu=(0.0, 255.0), normalisation="global_zscore", crop_size=128)


def four_slices(root: Path) -> list[Case]:
    """The KiTS19 slices of four patients that show most of both kidney and tumour, and fit into the crop."""
    with (root / "index.csv").open(newline="", encoding="utf-8") as handle:
        rows = [
            row for row in csv.DictReader(handle) if row["source"] == "KiTS19" and row["cols"] == "512"
        ]
    rows.sort(key=lambda row: min(int(row["kidney_px"]), int(row["tumour_px"])), reverse=True)
    chosen: dict[str, Case] = {}
    for row in rows:
        path = root / f"{row['name']}.npz"
        if len(chosen) < 4 and row["case"] not in chosen and fits(path):
            chosen[row["case"]] = Case(row["case"], row["case"], slice_files=((int(row["z"]), path),))
    return list(chosen.values())


def fits(path: Path) -> bool:
    """Whether crops hold all kidney and tumour of a slice."""
    with np.load(path) as slice_:
        outside = slice_["label"] > 0
    for box in crop_boxes(outside, PLAN):
        outside[box.slices] = False
    return not outside.any()


def prepare_overfit(cases: list[Case], out: Path) -> Store:
    everyone = Split(seed=None, train=tuple(case.patient for case in cases), validation=(), test=())
    return prepare(cases, out, StoreSettings(format="npz", plan=PLAN), everyone)


def test_four_real_slices_are_learnt_by_heart(shared_data: Path, tmp_path: Path):
    store = prepare_overfit(four_slices(shared_data / "slices"), tmp_path / "store")
    assert all(sum(entry.tumour_pixels) > 1000 for entry in store.entries)
    settings = TrainSettings(
        stage="segment",
        steps=STEPS,
        batch_size=4,
        learning_rate=1e-2,
        schedule="cosine",
        tumour_share=0.5,
        centre_jitter=0,
        validate_every=STEPS,
        augment=AugmentSettings(rotation_degrees=0, horizontal_flip=0, vertical_flip=0, shear=0, zoom=0),
        accelerator="cpu",
        threads=1,
    )
    result = train(store, settings, tmp_path / "run")
    network, _ = load_network(result.last)
    seen = Split(seed=None, train=(), validation=store.split.train, test=())
    learnt = validate(network, replace(store, split=seen), "segment", 1, torch.device("cpu"))
    assert dict(learnt.cases) == {"kidney": 4, "tumour": 4}
    assert learnt.dice["kidney"] > 0.95
    assert learnt.dice["tumour"] > 0.95
