"""The real loop learns four real slices by heart."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import torch

from renalmap.dataset.cases import Case
from renalmap.dataset.prepare import prepare
from renalmap.dataset.split import Split
from renalmap.dataset.store import Store, StoreSettings
from renalmap.preprocess import Plan
from renalmap.training.checkpoint import load_network
from renalmap.training.loop import train
from renalmap.training.settings import AugmentSettings, TrainSettings
from renalmap.training.validation import validate

STEPS = 180


def four_slices(root: Path) -> list[Case]:
    """The KiTS19 slices of four patients that show most of both kidney and tumour."""
    with (root / "index.csv").open(newline="", encoding="utf-8") as handle:
        rows = [
            row for row in csv.DictReader(handle) if row["source"] == "KiTS19" and row["cols"] == "512"
        ]
    rows.sort(key=lambda row: min(int(row["kidney_px"]), int(row["tumour_px"])))
    of_each_patient = {row["case"]: row for row in rows}  # the last of a patient shows most
    chosen = [row for row in rows if of_each_patient[row["case"]] is row][-4:]
    return [
        Case(row["case"], row["case"], slice_files=((int(row["z"]), root / f"{row['name']}.npz"),))
        for row in chosen
    ]


def prepare_overfit(cases: list[Case], out: Path) -> Store:
    everyone = Split(seed=None, train=tuple(case.patient for case in cases), validation=(), test=())
    plan = Plan(clip_hu=(0.0, 255.0), normalisation="global_zscore", crop_size=192)
    return prepare(cases, out, StoreSettings(format="npz", plan=plan), everyone)


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
        threads=2,
    )
    result = train(store, settings, tmp_path / "run")
    network, _ = load_network(result.last)
    seen = Split(seed=None, train=(), validation=store.split.train, test=())
    learnt = validate(network, replace(store, split=seen), "segment", 1, torch.device("cpu"))
    assert dict(learnt.cases) == {"kidney": 4, "tumour": 4}
    assert learnt.dice["kidney"] > 0.95
    assert learnt.dice["tumour"] > 0.95
