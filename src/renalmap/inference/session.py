"""A thin wrapper of the runtimes: everything else sees arrays only.

Two engines run the same graphs behind one interface: ONNX Runtime, which every installation has, and
OpenVINO, an extra. See docs/decisions/0022-engines.md.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from threading import Lock, Thread
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from renalmap.bundle import NETWORK_INPUT, NETWORK_OUTPUT
from renalmap.errors import BundleError, ConfigError
from renalmap.extras import import_extra

Device = Literal["cpu", "cuda"]
Engine = Literal["onnxruntime", "openvino"]
FloatArray = NDArray[np.float32]
Shape = tuple[int, ...]

ENGINES: Final[tuple[Engine, ...]] = ("onnxruntime", "openvino")

_PROVIDERS: Final = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}

_ANOTHER: Final = "use another --engine"
_ROUNDING: Final = 1e-3

_SIZES_COMPILED: Final = 4
"""Compiling takes OpenVINO as long for one size as for all, and the one is a quarter faster."""


@dataclass(frozen=True)
class Runtime:
    """What runs the graphs, and where.

    Attributes:
        engine: `openvino` is an extra.
        device: `cpu` or `cuda`; only ONNX Runtime knows CUDA.
        threads: slices to process at once; None takes one per core. More callers wait for each other
            in OpenVINO.
    """

    engine: Engine = "onnxruntime"
    device: Device = "cpu"
    threads: int | None = None


class Session(Protocol):
    """A loaded graph. `run` may be called from several threads at once.

    Each call takes one core: slices are independent, so one slice a core is faster than one slice on
    all cores, and results cannot depend on the number of threads.
    """

    @property
    def free_size(self) -> bool:
        """Whether the graph takes slices of any height and width; those of older bundles do not."""
        ...

    def run(self, images: FloatArray) -> FloatArray:
        """Probabilities (N, C, H, W) for normalised images (N, 1, H, W).

        Raises:
            BundleError: the graph gives something else, such as NaN.
        """
        ...

    def prepare(self, height: int, width: int) -> None:
        """Say that slices of this size are about to come. Returns at once."""
        ...


def available_cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def is_installed(engine: Engine) -> bool:
    """Whether an engine's package can be imported; does not import it."""
    return find_spec(engine) is not None


def open_session(path: Path, runtime: Runtime = Runtime(), classes: int | None = None) -> Session:
    """Load a graph.

    Args:
        path: the ONNX file.
        runtime: engine and device.
        classes: how many classes' probabilities it must give; None for any number.

    Raises:
        ConfigError: the device is not available, or the engine does not know it.
        MissingDependencyError: the engine is not installed.
        BundleError: the engine cannot load the graph, or it has other inputs and outputs than a network's.
    """
    if runtime.device == "cuda" and runtime.engine == "openvino":
        raise ConfigError(
            "OpenVINO does not run on CUDA", hint="Use --engine onnxruntime, or --device cpu"
        )
    if runtime.engine == "openvino":
        return OpenVinoSession(path, runtime.threads or available_cores(), classes)
    return OnnxRuntimeSession(path, runtime.device, classes)


def try_session(session: Session, edge: int) -> None:
    """Run a slice of stripes through a graph that takes slices of this edge.

    Raises:
        BundleError: it does not give probabilities.
    """
    stripes = np.tile(np.linspace(-2.0, 2.0, edge, dtype=np.float32), (edge, 1))
    session.run(stripes[None, None])


class OnnxRuntimeSession:
    """A graph in ONNX Runtime; a call runs on the caller's thread alone.

    Args:
        path: the ONNX file.
        device: `cpu` or `cuda`.
        classes: how many it must tell apart; None for any number.
    """

    def __init__(self, path: Path, device: Device = "cpu", classes: int | None = None) -> None:
        self._path, self._classes = path, classes
        onnxruntime = import_onnxruntime()
        provider = _PROVIDERS[device]
        available = onnxruntime.get_available_providers()
        if provider not in available:
            raise ConfigError(
                f"the device {device} is not available",
                got=", ".join(available),
                expected=provider,
                hint="Install onnxruntime-gpu and a CUDA driver, or use --device cpu",
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session: Any = onnxruntime.InferenceSession(path, options, providers=[provider])
        except Exception as error:  # the runtime has no specific error class to catch
            raise _unloadable(path, error) from error
        used = self._session.get_providers()
        if used[0] != provider:  # a missing driver or library: the runtime silently falls back
            raise ConfigError(
                f"the device {device} could not be used",
                got=", ".join(used),
                expected=provider,
                hint="Check the CUDA driver and cuDNN, or use --device cpu",
            )
        ports = [
            {each.name: [size if isinstance(size, int) else None for size in each.shape] for each in one}
            for one in (self._session.get_inputs(), self._session.get_outputs())
        ]
        _check_ports(path, ports[0], ports[1], classes)

    @property
    def free_size(self) -> bool:
        """See Session."""
        return not any(isinstance(size, int) for size in self._session.get_inputs()[0].shape[2:])

    def run(self, images: FloatArray) -> FloatArray:
        """See Session."""
        try:
            outputs = self._session.run([NETWORK_OUTPUT], {NETWORK_INPUT: images})
        except Exception as error:  # as above
            raise _unrunnable(self._path, error) from error
        return _checked(outputs[0], images, self._classes, self._path)

    def prepare(self, height: int, width: int) -> None:
        """Nothing to do."""


class OpenVinoSession:
    """A graph in OpenVINO; a call runs in one of its streams, each a single thread.

    The graph is compiled when a size first comes: for that size alone, or for any after
    `_SIZES_COMPILED` of them.

    Args:
        path: the ONNX file.
        threads: streams, as far as there are cores for them.
        classes: how many it must tell apart; None for any number.
    """

    def __init__(self, path: Path, threads: int, classes: int | None = None) -> None:
        self._path, self._classes = path, classes
        self._openvino = import_openvino()
        self._core = self._openvino.Core()
        self._config = {
            "NUM_STREAMS": threads,
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",  # where a CPU has bfloat16, it would be taken
            "ENABLE_CPU_PINNING": False,  # two processes would be pinned to the same cores
        }
        self._lock = Lock()
        self._compiled: dict[Shape | None, _Compiled] = {}
        try:
            self._model = self._core.read_model(path)
        except Exception as error:  # as above
            raise _unloadable(path, error) from error
        ports = [
            {
                port.any_name: [
                    size.get_length() if size.is_static else None for size in port.partial_shape
                ]
                for port in one
            }
            for one in (self._model.inputs, self._model.outputs)
        ]
        _check_ports(path, ports[0], ports[1], classes)

    @property
    def free_size(self) -> bool:
        """See Session."""
        height, width = list(self._model.input(0).partial_shape)[2:]
        return bool(height.is_dynamic and width.is_dynamic)

    def run(self, images: FloatArray) -> FloatArray:
        """See Session. A batch is run one by one: compiled for another batch, sums round otherwise."""
        compiled = self._compile((1, *images.shape[1:]))
        request = compiled.take()
        probabilities = []
        for image in np.ascontiguousarray(images):
            request.set_input_tensor(self._openvino.Tensor(image[None], shared_memory=True))
            request.infer()
            probabilities.append(request.get_output_tensor().data.copy())
        compiled.idle.append(request)
        joined = np.concatenate(probabilities) if len(probabilities) > 1 else probabilities[0]
        return _checked(joined, images, self._classes, self._path)

    def prepare(self, height: int, width: int) -> None:
        """Compile in the background, while the scan is being read."""
        Thread(target=self._compile, args=((1, 1, height, width),), name="compile").start()

    def _compile(self, shape: Shape) -> _Compiled:
        with self._lock:
            key = shape if shape in self._compiled or len(self._compiled) < _SIZES_COMPILED else None
            if key not in self._compiled:
                model = self._model.clone()
                if key is not None:
                    model.reshape(list(key))
                compiled = self._core.compile_model(model, "CPU", self._config)
                self._compiled[key] = _Compiled(compiled.create_infer_request)
            return self._compiled[key]


@dataclass
class _Compiled:
    """A compiled graph and the requests that no call is using; a list is safe between threads."""

    create: Callable[[], Any]
    idle: list[Any] = field(default_factory=list)

    def take(self) -> Any:
        try:
            return self.idle.pop()
        except IndexError:
            return self.create()


def import_onnxruntime() -> Any:
    """ONNX Runtime with its telemetry off.

    Since 1.29 official builds note every session in `~/.cache/Microsoft` and send it to Microsoft, unless
    the environment says otherwise before the first import.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    onnxruntime = import_extra("onnxruntime", "the engine ONNX Runtime", instead=_ANOTHER)
    onnxruntime.disable_telemetry_events()  # for Windows, and where somebody imported it before
    return onnxruntime


def import_openvino() -> Any:
    """OpenVINO with its telemetry off.

    `import openvino` imports its model converter, which tells Google Analytics so. Where the package
    `openvino_telemetry` cannot be imported, OpenVINO uses a stand-in that does nothing.
    """
    if "openvino" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    return import_extra("openvino", "the engine OpenVINO", instead=_ANOTHER)


def _check_ports(
    path: Path,
    inputs: Mapping[str, Sequence[int | None]],
    outputs: Mapping[str, Sequence[int | None]],
    classes: int | None,
) -> None:
    """Refuse a graph that is not a network's: other inputs, other outputs, another number of classes."""
    given, made = inputs.get(NETWORK_INPUT, ()), outputs.get(NETWORK_OUTPUT, ())
    fits = len(inputs) == len(outputs) == 1 and len(given) == len(made) == 4
    if not fits or given[1] not in {1, None} or (classes and made[1] not in {classes, None}):
        shown = [
            ", ".join(
                f"{name} {['?' if size is None else size for size in shape]}" for name, shape in ports
            )
            for ports in (inputs.items(), outputs.items())
        ]
        raise BundleError(
            "the graph is not the one that the Plan expects in this place",
            where=path,
            got=f"{shown[0]} to {shown[1]}",
            expected=f"{NETWORK_INPUT} (N, 1, H, W) to {NETWORK_OUTPUT} (N, {classes or 'C'}, H, W)",
            hint="Export the bundle again",
        )


def _checked(
    probabilities: FloatArray, images: FloatArray, classes: int | None, path: Path
) -> FloatArray:
    """Probabilities, once it is clear that they are: of the images' size, and from 0 to 1."""
    count, _, *size = images.shape
    shape = [count, classes or probabilities.shape[1], *size]
    fits = list(probabilities.shape) == shape
    lowest, highest = (probabilities.min(), probabilities.max()) if fits else (np.nan, np.nan)
    if not (lowest >= -_ROUNDING and highest <= 1.0 + _ROUNDING):  # NaN is not
        raise BundleError(
            "a network gave something other than probabilities",
            where=path,
            got=f"values from {lowest:g} to {highest:g} in shape {probabilities.shape}",
            expected=f"0 to 1 in shape {tuple(shape)}",
            hint="Install or export the bundle again",
        )
    return probabilities


def _unrunnable(path: Path, error: Exception) -> BundleError:
    return BundleError("the runtime cannot run the graph", where=path, got=str(error))


def _unloadable(path: Path, error: Exception) -> BundleError:
    return BundleError("the runtime cannot load the graph", where=path, got=str(error))
