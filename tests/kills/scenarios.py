"""Commands to be killed, each on inputs so small that it is over in a moment."""

from __future__ import annotations

import json
import shutil
from abc import ABC, abstractmethod
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import patch

import numpy as np
import onnx
import torch
from tests.conftest import TINY_PLAN, _save_graph
from tests.mirror import Mirror

from renalmap import bundle
from renalmap.api.prepare import PrepareRequest, SplitRequest, prepare
from renalmap.api.request import SegmentRequest
from renalmap.api.segment import CohortRequest, segment
from renalmap.api.test import HeldOut
from renalmap.api.test import test as test_bundle
from renalmap.api.train import TrainRequest, train
from renalmap.evaluation import Score
from renalmap.imaging import write_volume
from renalmap.phantom import PhantomConfig, make_phantom, write_kits_layout
from renalmap.preprocess import Plan, SliceStatistics

_EXPORT = torch.onnx.export
PLAN = Plan(grid_size=64, crop_size=32, crop_margin=4)


class Scenario(ABC):
    """A command.

    Attributes:
        inputs: a folder for what it reads, which is made once.
    """

    def __init__(self, inputs: Path) -> None:
        self.inputs = inputs
        inputs.mkdir(parents=True, exist_ok=True)
        self.make_inputs()

    @abstractmethod
    def make_inputs(self) -> None:
        """Make what is read."""

    def set_up(self, out: Path) -> None:  # noqa: B027 -- most start from nothing
        """Put into a new folder what is there before the first run."""

    @abstractmethod
    def run(self, out: Path) -> None:
        """Do the work, or what is left of it, in a folder that exists."""

    def is_whole(self, path: Path, reference: bytes) -> bool:
        """Whether a file that a killed command left under its own name is complete."""
        if path.suffix == ".json":  # with times and random names in it
            return bool(json.loads(path.read_bytes()))
        if path.suffix == ".csv":  # with seconds in it
            return path.read_bytes().count(b"\n") == reference.count(b"\n")
        return path.read_bytes() == reference

    def close(self) -> None:  # noqa: B027 -- most start nothing
        """End what was started."""


def _write_bundle(root: Path) -> Path:
    """The tests' hand-made bundle."""
    root.mkdir()
    settings = Plan(**TINY_PLAN)
    _save_graph(root / bundle.LOCALIZER_FILE, [20.0], [-14.0], None)
    _save_graph(root / bundle.SEGMENTER_FILE, (0, 40, 20), (0, -44, -14), None)
    flat = np.zeros((settings.grid_size,) * 2, np.float32)
    SliceStatistics(flat, flat + 100, 0.0, 100.0).save(root / bundle.STATISTICS_FILE)
    (root / bundle.PLAN_FILE).write_text(settings.model_dump_json())
    (root / bundle.CARD_FILE).write_text("# Made for a test\n")
    bundle.write_sums(root)
    return root


def _phantoms(count: int) -> list[PhantomConfig]:
    return [PhantomConfig(shape_zyx=(8, 64, 64), spacing_mm_zyx=(10.0, 6.0, 6.0))] * count


class Segment(Scenario):
    """One scan, with probabilities."""

    def make_inputs(self) -> None:
        made = make_phantom(_phantoms(1)[0], np.random.default_rng(0))
        write_volume(made.scan, self.inputs / "scan.nii.gz")
        _write_bundle(self.inputs / "bundle")

    def run(self, out: Path) -> None:
        request = SegmentRequest(self.inputs / "bundle", save_probabilities=True, overwrite=True)
        segment([self.inputs / "scan.nii.gz"], out / "labels.nii.gz", request)


class Cohort(Scenario):
    """Three scans, with sidecars and a table."""

    def make_inputs(self) -> None:
        for seed in range(3):
            made = make_phantom(_phantoms(1)[0], np.random.default_rng(seed))
            (self.inputs / "scans").mkdir(exist_ok=True)
            write_volume(made.scan, self.inputs / "scans" / f"{seed}.nii.gz")
        _write_bundle(self.inputs / "bundle")

    def run(self, out: Path) -> None:
        request = SegmentRequest(model=self.inputs / "bundle")
        how = CohortRequest(resume=True, table=out / "table.csv")
        segment([self.inputs / "scans"], out, request, how)


class Prepare(Scenario):
    """Three cases into a store."""

    def make_inputs(self) -> None:
        write_kits_layout(self.inputs / "kits", 3, _phantoms(3), np.random.default_rng(0))

    def run(self, out: Path) -> None:
        request = PrepareRequest(split=SplitRequest(n_test=1, n_validation=1))
        prepare([self.inputs / "kits"], out / "store", PLAN, request)


class Test(Prepare):
    """The patients that a split sets aside."""

    __test__ = False

    def make_inputs(self) -> None:
        super().make_inputs()
        super().run(self.inputs)
        _write_bundle(self.inputs / "bundle")

    def run(self, out: Path) -> None:
        patients = HeldOut(self.inputs / "store", self.inputs / "kits", "validation")
        request = SegmentRequest(model=self.inputs / "bundle")
        scores: list[Score] = test_bundle(patients, out, request).scores
        assert len(scores) == 1


class Fetch(Scenario):
    """Two cases from a server."""

    def make_inputs(self) -> None:
        self.mirror = Mirror()
        self.mirror._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client was killed

    def run(self, out: Path) -> None:
        from renalmap.api.fetch import FetchRequest, fetch
        from renalmap.dataset.fetch.sources import Mirrors

        report = fetch(FetchRequest("kits19", "0-1", Mirrors(self.mirror.url)), out / "kits")
        assert report.complete

    def is_whole(self, path: Path, reference: bytes) -> bool:
        return path.suffix in {".part", ".lock"} or super().is_whole(path, reference)

    def close(self) -> None:
        self.mirror.close()


class Train(Prepare):
    """Four steps of one stage."""

    settings: ClassVar[dict[str, Any]] = {
        "steps": 4,
        "batch_size": 2,
        "validate_every": 2,
        "threads": 1,
        "accelerator": "cpu",
    }

    def make_inputs(self) -> None:
        super().make_inputs()
        super().run(self.inputs)

    def run(self, out: Path) -> None:
        train(self.inputs / "store", out / "run", TrainRequest("segment", flags=self.settings))

    def is_whole(self, path: Path, reference: bytes) -> bool:
        from safetensors.torch import load

        if path.suffix == ".safetensors":  # of an earlier step
            return bool(load(path.read_bytes()))
        growing = path.name == "log.csv" or "tensorboard" in path.parts
        return growing or super().is_whole(path, reference)


class Export(Train):
    """A bundle in place of another.

    Torch's exporter takes most of a minute and writes nothing, so each network goes through it once: a run finds its graphs
    made, compares them with the networks, and does all else as always.
    """

    def make_inputs(self) -> None:
        super().make_inputs()
        for stage in ("localize", "segment"):
            request = TrainRequest(stage, flags=self.settings | {"steps": 2})
            train(self.inputs / "store", self.inputs / stage, request)
        with patch("torch.onnx.export", self._export_once):
            self._export(self.inputs / "bundle")

    def set_up(self, out: Path) -> None:
        shutil.copytree(self.inputs / "bundle", out / "bundle")
        (out / "bundle" / bundle.CARD_FILE).write_text("# An older one\n")
        bundle.write_sums(out / "bundle")

    def run(self, out: Path) -> None:
        with patch("torch.onnx.export", self._exported):
            self._export(out / "bundle")

    def is_whole(self, path: Path, reference: bytes) -> bool:
        bundle.Bundle.open(path.parent)
        return super().is_whole(path, reference) or path.name in {bundle.CARD_FILE, bundle.SUMS_FILE}

    def _export(self, out: Path) -> None:
        from renalmap.api.export import ExportRequest, export

        stages = ([self.inputs / "localize"], [self.inputs / "segment"])
        export(self.inputs / "store", *stages, out, ExportRequest(overwrite=True))

    def _graph(self, network: Any) -> Path:
        return self.inputs / f"{network.foreground_only}.onnx"

    def _export_once(self, network: Any, *arguments: Any, **settings: Any) -> Any:
        program = _EXPORT(network, *arguments, **settings)
        assert program is not None
        self._graph(network).write_bytes(program.model_proto.SerializeToString())
        return program

    def _exported(self, network: Any, *_: Any, **__: Any) -> Any:
        return SimpleNamespace(model_proto=onnx.load(self._graph(network)))


SCENARIOS: dict[str, type[Scenario]] = {
    kind.__name__.lower(): kind for kind in (Segment, Cohort, Prepare, Fetch, Test, Train, Export)
}
