"""What the figures are taken on."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from benchmarks.results import Machine

_PACKAGES: Final = (
    "renalmap",
    "numpy",
    "onnxruntime",
    "openvino",
    "torch",
    "monai",
    "dynamic-network-architectures",
)
_VECTOR_UNITS: Final = ("avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile", "asimd")


def describe_machine() -> Machine:
    """Processor, memory and versions; no name of a host or a user."""
    cpuinfo = _read(Path("/proc/cpuinfo"))
    model = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    present = set(flags[1].split()) if flags else set()
    memory_kb = re.search(r"^MemTotal:\s*(\d+)", _read(Path("/proc/meminfo")), re.MULTILINE)
    return Machine(
        cpu=model[1].strip() if model else platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        vector_units=tuple(unit for unit in _VECTOR_UNITS if unit in present),
        memory_gb=round(int(memory_kb[1]) / 1e6, 1) if memory_kb else 0.0,
        system=f"{platform.system()}, Python {platform.python_version()}",
        versions={name: found for name in _PACKAGES if (found := installed_version(name))},
        load_before=round(os.getloadavg()[0], 1),
    )


def installed_version(package: str) -> str | None:
    """A package's version, None where it is absent."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
