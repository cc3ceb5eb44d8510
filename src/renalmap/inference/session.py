"""A thin wrapper of the runtime: everything else sees arrays only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from renalmap.bundle import NETWORK_INPUT, NETWORK_OUTPUT
from renalmap.errors import BundleError, ConfigError

Device = Literal["cpu", "cuda"]

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def available_cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class OnnxSession:
    """A loaded graph. `run` may be called from several threads at once.

    Each call runs on the caller's thread alone: slices are independent, so one slice a core is faster
    than one slice on all cores, and results cannot depend on the number of threads.

    Args:
        path: the ONNX file.
        device: `cpu` or `cuda`.

    Raises:
        ConfigError: the device is not available.
        BundleError: the runtime cannot load the graph.
    """

    def __init__(self, path: Path, device: Device = "cpu") -> None:
        import onnxruntime  # noqa: PLC0415 -- 0.2 s that `renalmap --help` need not spend

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
        except Exception as error:  # the runtime has no error class of its own to catch
            raise BundleError("the runtime cannot load the graph", where=path, got=str(error)) from error
        used = self._session.get_providers()
        if used[0] != provider:  # a missing driver or library: the runtime falls back without a word
            raise ConfigError(
                f"the device {device} could not be used",
                got=", ".join(used),
                expected=provider,
                hint="Check the CUDA driver and cuDNN, or use --device cpu",
            )

    def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities (N, C, H, W) for normalised images (N, 1, H, W)."""
        outputs: list[NDArray[np.float32]] = self._session.run([NETWORK_OUTPUT], {NETWORK_INPUT: images})
        return outputs[0]
