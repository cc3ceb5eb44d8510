"""Fixtures shared by all tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tests import strategies  # noqa: F401 -- loads the profile of all property tests
from tests.mirror import Mirror

from renalmap import bundle
from renalmap.preprocess import Plan, SliceStatistics

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

LONGEST_FIRST = (
    *("test_end_to_end", "test_export", "test_rehearsal", "test_overfit", "test_processes"),
    *("test_ensemble", "test_dask", "test_examples", "test_phantom", "test_phase", "test_vectors"),
    *("test_kills", "test_default_bundle", "test_scenes"),
)
"""Of two pytest processes, neither is to be left with one of these when the other has nothing left to do."""


def pytest_configure(config: pytest.Config) -> None:
    """Let xdist keep the order below, not begin with the files that have most tests."""
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest."""
    place = {name: number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real CT beside the repository; skips the test where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"needs the real CT in {SHARED_DATA}, which is absent")
    return SHARED_DATA


MakeBundle = Callable[..., Path]
WriteScan = Callable[..., Path]

TINY_PLAN: dict[str, Any] = {
    "grid_size": 128,
    "crop_size": 64,
    "crop_margin": 8,
    "component_min_ml": 0.0,
    "component_min_area_mm2": 0.0,
    "component_min_share": 0.0,
}


@pytest.fixture(scope="session")
def make_bundle(tmp_path_factory: pytest.TempPathFactory) -> MakeBundle:
    """A function that makes a bundle of hand-made graphs: what it finds is known beforehand.

    The localizer finds whatever is brighter than 70 HU; the segmenter calls it tumour up to 150 HU and
    kidney above. The grid is 128, the crop 64, and no component is too small. Keywords: the segmenter's
    `slopes` and `offsets` (each class's logit is linear in HU / 100) and `position_logits` (3, crop,
    crop) that are added; `fixed_crop`, if it takes crops of this edge alone; `mean_hu`, the mean slice; any
    setting of the Plan.
    """

    def make(
        *,
        slopes: Sequence[float] = (0, 40, 20),
        offsets: Sequence[float] = (0, -44, -14),
        position_logits: NDArray[np.floating] | None = None,
        fixed_crop: int | None = None,
        mean_hu: NDArray[np.floating] | float = 0.0,
        **plan: Any,
    ) -> Path:
        root = tmp_path_factory.mktemp("bundle")
        settings = Plan(**TINY_PLAN | plan)
        grid = (settings.grid_size, settings.grid_size)
        _save_graph(root / bundle.LOCALIZER_FILE, [20.0], [-14.0], None)
        _save_graph(root / bundle.SEGMENTER_FILE, slopes, offsets, position_logits, fixed_crop)
        SliceStatistics(
            mean_hu=np.broadcast_to(np.float32(mean_hu), grid),
            deviation_hu=np.full(grid, 100.0, np.float32),
            global_mean_hu=0.0,
            global_deviation_hu=100.0,
        ).save(root / bundle.STATISTICS_FILE)
        (root / bundle.PLAN_FILE).write_text(settings.model_dump_json())
        (root / bundle.CARD_FILE).write_text("# Made for a test\n")
        bundle.write_sums(root)
        return root

    return make


def _save_graph(
    path: Path,
    slopes: Sequence[float],
    offsets: Sequence[float],
    position_logits: NDArray[np.floating] | None,
    edge: int | None = None,
) -> None:
    """Class logits linear in the image, plus some that depend on the place; then probabilities."""
    constants = {"slopes": np.reshape(slopes, (-1, 1, 1, 1)), "offsets": np.array(offsets)}
    nodes = [helper.make_node("Conv", [bundle.NETWORK_INPUT, *constants], ["linear"])]
    if position_logits is not None:
        constants["place"] = position_logits[None]
        nodes.append(helper.make_node("Add", ["linear", "place"], ["logits"]))
    last = nodes[-1].output[0]
    if len(slopes) == 1:
        nodes.append(helper.make_node("Sigmoid", [last], [bundle.NETWORK_OUTPUT]))
    else:
        nodes.append(helper.make_node("Softmax", [last], [bundle.NETWORK_OUTPUT], axis=1))
    graph = helper.make_graph(
        nodes,
        path.stem,
        [
            helper.make_tensor_value_info(
                bundle.NETWORK_INPUT, TensorProto.FLOAT, ["n", 1, edge or "h", edge or "w"]
            )
        ],
        [
            helper.make_tensor_value_info(
                bundle.NETWORK_OUTPUT, TensorProto.FLOAT, ["n", len(slopes), "h", "w"]
            )
        ],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


@pytest.fixture(scope="session")
def write_scan() -> WriteScan:
    """A function that writes canonical voxels (z, y, x) as NIfTI, stored with the axes asked for."""

    def write(
        path: Path,
        voxels: NDArray[Any],
        spacing_mm: tuple[float, float, float] = (3.0, 0.8, 0.7),
        axcodes: str = "LAS",
    ) -> Path:
        affine = np.zeros((4, 4))
        affine[2, 0], affine[1, 1], affine[0, 2] = spacing_mm[0], -spacing_mm[1], -spacing_mm[2]
        affine[:, 3] = (40.0, 60.0, -300.0, 1.0)
        turn = nib.orientations.ornt_transform(
            nib.orientations.axcodes2ornt("SPL"), nib.orientations.axcodes2ornt(axcodes)
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(voxels, affine).as_reoriented(turn), path)
        return path

    return write


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """A mirror of a small KiTS data set, on a real socket; no proxy stands before it."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for part in ("BASE", "MASKS", "IMAGING"):
        monkeypatch.delenv(f"RENALMAP_FETCH_{part}_URL", raising=False)
    server = Mirror()
    yield server
    server.close()
