"""Several networks of a stage in one graph: the mean of their probabilities, and nothing else changes."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from renalmap.bundle import HASHED_FILES, SUMS_FILE, Bundle
from renalmap.cli import main
from renalmap.dataset.store import Store
from renalmap.errors import ExportMismatchError, StoreError
from renalmap.inference.session import ENGINES, Runtime, is_installed, open_session
from renalmap.networks.enet import ENet
from renalmap.preprocess import Plan
from renalmap.training import export
from renalmap.training.checkpoint import load_network, save_checkpoint
from renalmap.training.export import BundleExtras, export_bundle
from renalmap.training.graph import AveragedProbabilities, Ensemble, stage_of
from renalmap.training.stages import on_grid

pytestmark = pytest.mark.slow  # a graph of two networks takes twice a graph's export


def images(count: int, edge: int) -> torch.Tensor:
    return torch.randn(count, 1, edge, edge, generator=torch.Generator().manual_seed(count))


def mean_probabilities(networks: Sequence[nn.Module], batch: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        each = [torch.softmax(network(batch), dim=1) for network in networks]
    return torch.stack(each).mean(dim=0)


@pytest.fixture(scope="module")
def members(segmenter, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[ENet], list[Path]]:
    """Two segmenters that disagree, as runs whose best checkpoints they are."""
    first, progress = load_network(segmenter.checkpoint)
    second, _ = load_network(segmenter.checkpoint)
    generator = torch.Generator().manual_seed(8)
    with torch.no_grad():
        for parameter in second.parameters():
            parameter.add_(
                0.3 * parameter.std(correction=0) * torch.randn(parameter.shape, generator=generator)
            )
    runs = [tmp_path_factory.mktemp(f"fold{number}") for number in range(2)]
    for network, run in zip((first, second), runs, strict=True):
        save_checkpoint(run / "best.safetensors", network, progress)
    labels = [network(images(4, 32)).argmax(dim=1) for network in (first, second)]
    assert float((labels[0] != labels[1]).float().mean()) > 0.05
    return [first, second], runs


@pytest.fixture(scope="module")
def bundle(store: Store, localizer, members, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """What `renalmap export` makes of one localizer and two segmenters; the localizer's graph is at hand."""
    out = tmp_path_factory.mktemp("models") / "bundle"
    arguments = ["renalmap", "export", store.root, "--out", out, "--localizer", localizer.checkpoint]
    arguments += [part for run in members[1] for part in ("--segmenter", run)]
    export_really = export.export_onnx

    def copy_localizer(networks, plan: Plan, path: Path) -> None:
        if len(networks) == 1:
            shutil.copy(localizer.graph, path)
        else:
            export_really(networks, plan, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "export_onnx", copy_localizer)
        patch.setattr(sys, "argv", [str(argument) for argument in arguments])
        with pytest.raises(SystemExit) as ended:
            main()
    assert not ended.value.code
    return Bundle.open(out)


def test_the_graph_gives_the_mean_of_its_networks_in_every_engine(bundle: Bundle, members):
    networks, _ = members
    for engine in filter(is_installed, ENGINES):
        session = open_session(bundle.segmenter, Runtime(engine))
        assert session.free_size
        for count, edge in ((1, 32), (3, 48)):
            batch = images(count, edge)
            got = session.run(batch.numpy())
            np.testing.assert_allclose(got, mean_probabilities(networks, batch), atol=1e-4)
            for network in networks:
                assert np.abs(got - mean_probabilities([network], batch).numpy()).max() > 0.01


def test_the_bundle_is_like_any_other(bundle: Bundle, store: Store):
    assert {path.name for path in bundle.root.iterdir()} == {*HASHED_FILES, SUMS_FILE}
    assert bundle.plan == store.plan
    card = (bundle.root / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "Averaged over networks: 1 in stage 1, 2 in stage 2" in card


@pytest.mark.parametrize("classes", [2, 3])
def test_ensembles_are_the_mean_in_both_forms(classes: int):
    """Of a reduced stage 1, too: probabilities are averaged at full size."""
    plan = Plan(localizer_reduction=2)
    networks = []
    for seed in range(3):
        torch.manual_seed(seed)
        networks.append(ENet(1, classes).eval())
    plain = [on_grid(network, plan, stage_of(network)) for network in networks]
    batch = images(2, 32)
    expected = mean_probabilities(plain, batch)
    with torch.inference_mode():
        graph = AveragedProbabilities(networks, plan)(batch)
        reference = torch.softmax(Ensemble(plain)(batch), dim=1)
    torch.testing.assert_close(reference, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(graph, expected[:, -1:] if classes == 2 else expected, rtol=0, atol=1e-6)


def test_a_graph_without_one_of_its_networks_makes_no_bundle(
    store: Store, localizer, segmenter, members, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def copy_one(networks, _plan: Plan, path: Path) -> None:
        shutil.copy((localizer if len(networks) == 1 else segmenter).graph, path)

    monkeypatch.setattr(export, "export_onnx", copy_one)
    checkpoints = [run / "best.safetensors" for run in members[1]]
    with pytest.raises(ExportMismatchError, match=r"segmenter\.onnx.*of pixels differ"):
        export_bundle(store, localizer.checkpoint, checkpoints, tmp_path / "bundle", BundleExtras(""))
    assert list(tmp_path.iterdir()) == []


def test_networks_that_do_not_belong_together_are_named(
    store: Store, localizer, segmenter, tmp_path: Path
):
    network, progress = load_network(segmenter.checkpoint)
    plan = Plan.model_validate(progress.plan.model_dump() | {"clip_hu": (0, 255)})
    other = tmp_path / "other.safetensors"
    save_checkpoint(other, network, progress.model_copy(update={"plan": plan}))
    for segmenters, message in (
        ([segmenter.checkpoint, other], r"other\.safetensors: networks to be averaged.*different Plans"),
        (
            [segmenter.checkpoint, localizer.checkpoint],
            r"for the other stage.*got 2 classes; expected 3",
        ),
        ([], "no checkpoint is given for a stage"),
    ):
        with pytest.raises(StoreError, match=message):
            export_bundle(store, localizer.checkpoint, segmenters, tmp_path / "bundle", BundleExtras(""))
