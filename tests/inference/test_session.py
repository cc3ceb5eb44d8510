from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
import pytest

from renalmap.bundle import LOCALIZER_FILE, SEGMENTER_FILE
from renalmap.errors import BundleError, ConfigError
from renalmap.inference.session import OnnxSession, available_cores


def images(count, size=64):
    return np.random.default_rng(0).normal(size=(count, 1, size, size)).astype(np.float32)


def test_probabilities_come_as_foreground_or_as_three_classes(make_bundle):
    root = make_bundle()
    foreground = OnnxSession(root / LOCALIZER_FILE).run(images(5))
    classes = OnnxSession(root / SEGMENTER_FILE).run(images(3))
    assert foreground.shape == (5, 1, 64, 64)
    assert classes.shape == (3, 3, 64, 64)
    np.testing.assert_allclose(classes.sum(axis=1), 1.0, atol=1e-6)
    np.testing.assert_array_equal(foreground > 0.5, images(5) > 0.7)


def test_many_threads_may_share_a_session(make_bundle):
    session = OnnxSession(make_bundle() / SEGMENTER_FILE)
    inputs = list(images(40)[:, None])
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(session.run, inputs))
    for ours, alone in zip(together, map(session.run, inputs), strict=True):
        np.testing.assert_array_equal(ours, alone)


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this runtime has CUDA"
)
def test_a_device_that_is_not_there_is_named(make_bundle):
    with pytest.raises(ConfigError, match=r"cuda is not available.*--device cpu") as caught:
        OnnxSession(make_bundle() / LOCALIZER_FILE, "cuda")
    assert caught.value.exit_code == 2


def test_a_file_that_is_no_graph_is_named(tmp_path):
    (tmp_path / "localizer.onnx").write_text("no graph")
    with pytest.raises(BundleError, match=r"localizer\.onnx.*cannot load"):
        OnnxSession(tmp_path / "localizer.onnx")


def test_there_is_at_least_one_core():
    assert available_cores() >= 1
