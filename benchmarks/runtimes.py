"""What executes a network: PyTorch, ONNX Runtime, OpenVINO, each with as many threads as it is told.

python -m benchmarks.runtimes enet runs/bench/graphs/enet.onnx     # writes a graph
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from threading import local
from typing import Any, Final

from benchmarks.networks import NETWORKS, Network
from benchmarks.results import Lane, Runtime

RUNTIMES: Final[dict[Runtime, tuple[str, str]]] = {
    "eager": ("PyTorch eager", "torch"),
    "onnxruntime": ("ONNX Runtime", "onnxruntime"),
    "openvino": ("OpenVINO", "openvino"),
}
"""Title and package."""

Image = Any
"""A NumPy array; NumPy is imported by workers only."""
_OPSET: Final = 18


def missing(runtime: Runtime) -> str | None:
    """Why it cannot be used here."""
    package = RUNTIMES[runtime][1]
    return f"{package} is not installed" if find_spec(package) is None else None


def load_runner(
    network: Network, runtime: Runtime, graph: Path, lane: Lane
) -> Callable[[Image], object]:
    """A function that runs the network on one input, to be called from as many threads as streams."""
    if runtime == "eager":
        return _eager(network, lane)
    return _onnxruntime(graph, lane) if runtime == "onnxruntime" else _openvino(graph, lane)


def _eager(network: Network, lane: Lane) -> Callable[[Image], object]:
    import torch  # noqa: PLC0415

    torch.set_num_threads(lane.threads)
    module = network.build().eval()

    def run(image: Image) -> object:
        with torch.inference_mode():
            return module(torch.from_numpy(image))

    return run


def _onnxruntime(graph: Path, lane: Lane) -> Callable[[Image], object]:
    from renalmap.inference.session import import_onnxruntime  # noqa: PLC0415

    onnxruntime = import_onnxruntime()  # without telemetry
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = lane.threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return lambda image: session.run(None, {"image": image})


def _openvino(graph: Path, lane: Lane) -> Callable[[Image], object]:
    from renalmap.inference.session import import_openvino  # noqa: PLC0415

    openvino = import_openvino()  # without telemetry
    properties = {
        "INFERENCE_NUM_THREADS": lane.threads * lane.streams,
        "NUM_STREAMS": lane.streams,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    compiled = openvino.Core().compile_model(graph, "CPU", properties)
    own = local()  # a request serves one thread at a time

    def run(image: Image) -> object:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        return own.request.infer({0: image})

    return run


def write_graph(network: Network, path: Path) -> None:
    """Export a network for inputs of its one shape."""
    import torch  # noqa: PLC0415

    path.parent.mkdir(parents=True, exist_ok=True)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(
            (network.build_for_export or network.build)().eval(),
            (torch.zeros(network.shape),),
            dynamo=True,
            verbose=False,
            opset_version=_OPSET,
            input_names=["image"],
            output_names=["logits"],
        )
    assert program is not None
    temporary = path.with_suffix(".part")
    program.save(temporary, external_data=False)
    temporary.replace(path)


def main() -> None:
    """Write one network's graph."""
    write_graph(NETWORKS[sys.argv[1]], Path(sys.argv[2]))


if __name__ == "__main__":
    main()
