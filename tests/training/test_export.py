"""Export: the graph gives the network's labels, or no bundle is made."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from renalmap.bundle import HASHED_FILES, SUMS_FILE, Bundle
from renalmap.dataset.store import Store
from renalmap.errors import ConfigError, ExportMismatchError, OutputExistsError, StoreError
from renalmap.inference.session import (
    ENGINES,
    OnnxRuntimeSession,
    Runtime,
    is_installed,
    open_session,
)
from renalmap.preprocess import Plan
from renalmap.training import export
from renalmap.training.checkpoint import load_network, save_checkpoint
from renalmap.training.export import (
    LABEL_TOLERANCE,
    BundleExtras,
    compare_labels,
    export_bundle,
    export_onnx,
)
from renalmap.training.graph import Probabilities
from renalmap.training.stages import on_grid


def images(count: int, edge: int) -> np.ndarray:
    return np.random.default_rng(count).normal(size=(count, 1, edge, edge)).astype(np.float32)


@pytest.fixture(scope="module")
def half(store: Store) -> Plan:
    """A Plan whose stage 1 works at half the resolution."""
    return Plan.model_validate(store.plan.model_dump() | {"localizer_reduction": 2})


@pytest.fixture(scope="module")
def reduced(localizer, half: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The graph of the localizer in it."""
    path = tmp_path_factory.mktemp("reduced") / "reduced.onnx"
    export_onnx([localizer.network], half, path)
    return path


@pytest.fixture
def exported(segmenter, localizer, monkeypatch, request: pytest.FixtureRequest):
    """`export_onnx` that copies the graphs made once for the session instead of making them anew."""
    graphs = {3: segmenter.graph, 2: localizer.graph}

    def copy_graph(networks, plan: Plan, path: Path) -> None:
        (network,) = networks
        if plan.localizer_reduction > 1 and network.out_channels == 2:
            path.write_bytes(request.getfixturevalue("reduced").read_bytes())
            return
        path.write_bytes(graphs[network.out_channels].read_bytes())

    monkeypatch.setattr(export, "export_onnx", copy_graph)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_graph_gives_the_networks_labels_at_any_batch_size(segmenter, count: int):
    batch = images(count, 32)
    assert (
        compare_labels(segmenter.network, OnnxRuntimeSession(segmenter.graph), batch) <= LABEL_TOLERANCE
    )


def test_graph_gives_probabilities_of_three_classes(segmenter):
    batch = images(3, 32)
    got = OnnxRuntimeSession(segmenter.graph).run(batch)
    assert got.shape == (3, 3, 32, 32)
    np.testing.assert_allclose(got.sum(axis=1), 1, atol=1e-5)
    with torch.inference_mode():
        expected = torch.softmax(segmenter.network(torch.from_numpy(batch)), dim=1).numpy()
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_localizer_gives_the_foregrounds_probability_only(localizer):
    batch = images(3, 64)
    got = OnnxRuntimeSession(localizer.graph).run(batch)
    with torch.inference_mode():
        expected = torch.softmax(localizer.network(torch.from_numpy(batch)), dim=1)[:, 1:]
    assert got.shape == (3, 1, 64, 64)
    np.testing.assert_allclose(got, expected.numpy(), atol=1e-4)
    assert (
        compare_labels(localizer.network, OnnxRuntimeSession(localizer.graph), batch) <= LABEL_TOLERANCE
    )


def test_probabilities_are_those_of_the_trained_form(segmenter):
    batch = torch.from_numpy(images(2, 32))
    with torch.inference_mode():
        expected = torch.softmax(segmenter.network(batch), dim=1)
        got = Probabilities(segmenter.network, Plan())(batch)
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)


def test_comparison_notices_another_network(segmenter):
    other = copy.deepcopy(segmenter.network)
    with torch.no_grad():
        other.full_convolution.bias += torch.tensor([0.0, 0.5, -0.5])
    share = compare_labels(other, OnnxRuntimeSession(segmenter.graph), images(3, 32))
    assert share > 100 * LABEL_TOLERANCE


def test_bundle_is_complete_and_verified(exported, store: Store, segmenter, localizer, tmp_path: Path):
    out = tmp_path / "models" / "bundle"
    bundle = export_bundle(
        store, localizer.checkpoint, segmenter.checkpoint, out, BundleExtras("# A card\n")
    )
    assert {path.name for path in out.iterdir()} == {*HASHED_FILES, SUMS_FILE}
    assert Bundle.open(out).digest == bundle.digest
    assert bundle.plan == store.plan
    np.testing.assert_array_equal(bundle.statistics.mean_hu, store.statistics.mean_hu)
    assert (out / "MODEL_CARD.md").read_text(encoding="utf-8") == "# A card\n"
    assert [path.name for path in out.parent.iterdir()] == ["bundle"], "nothing is left beside it"


def test_bundle_is_replaced_only_when_asked(
    exported, store: Store, segmenter, localizer, tmp_path: Path
):
    out = tmp_path / "bundle"
    checkpoints = (localizer.checkpoint, segmenter.checkpoint)
    first = export_bundle(store, *checkpoints, out, BundleExtras("first"))
    with pytest.raises(OutputExistsError, match="--overwrite"):
        export_bundle(store, *checkpoints, out, BundleExtras("second"))
    assert Bundle.open(out).digest == first.digest
    export_bundle(store, *checkpoints, out, BundleExtras("second"), overwrite=True)
    assert (out / "MODEL_CARD.md").read_text(encoding="utf-8") == "second"


def test_a_graph_that_differs_from_its_network_makes_no_bundle(
    exported, store: Store, segmenter, localizer, tmp_path: Path
):
    network, progress = load_network(segmenter.checkpoint)
    with torch.no_grad():
        network.full_convolution.weight.mul_(-1)
    changed = tmp_path / "changed.safetensors"
    save_checkpoint(changed, network, progress)
    with pytest.raises(ExportMismatchError, match=r"segmenter\.onnx.*of pixels differ"):
        export_bundle(store, localizer.checkpoint, changed, tmp_path / "bundle", BundleExtras(""))
    assert [path.name for path in tmp_path.iterdir()] == ["changed.safetensors"]


def test_stages_in_the_wrong_order_are_refused(store: Store, segmenter, localizer, tmp_path: Path):
    with pytest.raises(StoreError, match=r"for the other stage.*got 3 classes; expected 2"):
        export_bundle(
            store, segmenter.checkpoint, localizer.checkpoint, tmp_path / "bundle", BundleExtras("")
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("changes", [{"clip_hu": (0, 255)}, {"normalisation": "global_zscore"}])
def test_stages_with_different_plans_are_refused(
    store: Store, segmenter, localizer, tmp_path: Path, changes: dict[str, object]
):
    network, progress = load_network(localizer.checkpoint)
    plan = Plan.model_validate(progress.plan.model_dump() | changes)
    other = tmp_path / "other.safetensors"
    save_checkpoint(other, network, progress.model_copy(update={"plan": plan}))
    with pytest.raises(StoreError, match="different Plans"):
        export_bundle(store, other, segmenter.checkpoint, tmp_path / "bundle", BundleExtras(""))


def test_checkpoints_of_another_store_are_refused(store: Store, segmenter, localizer, tmp_path: Path):
    other = store.with_plan(Plan.model_validate(store.plan.model_dump() | {"clip_hu": (0, 255)}))
    with pytest.raises(StoreError, match="another store"):
        export_bundle(
            other, localizer.checkpoint, segmenter.checkpoint, tmp_path / "bundle", BundleExtras("")
        )


SIZES = [(1, 64, 64), (3, 32, 80), (1, 112, 48), (2, 16, 16)]


def assert_graph_gives(graph: Path, network: nn.Module, *, classes: int) -> None:
    """A graph's probabilities are the trained network's in every engine, at any size."""
    for engine in filter(is_installed, ENGINES):
        session = open_session(graph, Runtime(engine))
        assert session.free_size
        for count, height, width in SIZES:
            generator = np.random.default_rng(height)
            batch = generator.normal(size=(count, 1, height, width)).astype(np.float32)
            with torch.inference_mode():
                expected = torch.softmax(network(torch.from_numpy(batch)), dim=1)[:, -classes:]
            np.testing.assert_allclose(session.run(batch), expected, atol=1e-4)


def test_graphs_take_any_height_and_width(segmenter, localizer):
    assert_graph_gives(segmenter.graph, segmenter.network, classes=3)
    assert_graph_gives(localizer.graph, localizer.network, classes=1)


def test_a_reduced_localizer_takes_and_gives_slices_at_full_size(localizer, half: Plan, reduced: Path):
    network = on_grid(localizer.network, half, "localize")
    assert_graph_gives(reduced, network, classes=1)
    batch = images(3, 64)
    got = OnnxRuntimeSession(reduced).run(batch)
    assert got.shape == (3, 1, 64, 64)
    halves = batch.reshape(3, 1, 32, 2, 32, 2).mean(axis=(3, 5))
    with torch.inference_mode():
        logits = localizer.network(torch.from_numpy(halves))
    own = torch.softmax(logits, dim=1)[:, 1].numpy()
    middle = got[:, 0].reshape(3, 32, 2, 32, 2).mean(axis=(2, 4))
    assert np.corrcoef(own.ravel(), middle.ravel())[0, 1] > 0.95
    assert compare_labels(network, OnnxRuntimeSession(reduced), batch) <= LABEL_TOLERANCE


def test_stage_1_may_be_reduced_without_stage_2_knowing(
    exported, store: Store, segmenter, localizer, half: Plan, tmp_path: Path
):
    network, progress = load_network(localizer.checkpoint)
    reduced = tmp_path / "reduced.safetensors"
    save_checkpoint(reduced, network, progress.model_copy(update={"plan": half}))
    bundle = export_bundle(store, reduced, segmenter.checkpoint, tmp_path / "bundle", BundleExtras(""))
    assert bundle.plan == half


def test_rules_of_inference_are_set_at_export(
    exported, store: Store, segmenter, localizer, tmp_path: Path
):
    checkpoints = (localizer.checkpoint, segmenter.checkpoint)
    extras = BundleExtras("", rules={"component_min_ml": 3.5})
    bundle = export_bundle(store, *checkpoints, tmp_path / "bundle", extras)
    assert bundle.plan.component_min_ml == 3.5
    assert bundle.plan.clip_hu == store.plan.clip_hu
    with pytest.raises(ConfigError, match="training has fixed"):
        export_bundle(store, *checkpoints, tmp_path / "other", BundleExtras("", rules={"crop_size": 48}))
    with pytest.raises(ConfigError, match="component_min_mll"):
        export_bundle(
            store, *checkpoints, tmp_path / "other", BundleExtras("", rules={"component_min_mll": 1})
        )
