"""What an ensemble costs: graphs that average one network and several, in ONNX Runtime on one thread.

    python -m benchmarks.ensembles [--members 5] [--crops 20]

Random weights (no accuracy), stage 2's crops of 256x256 one at a time. Each graph in a process of its own, in
turn: CPU seconds, and the kernel's count of peak memory (Linux).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from renalmap.inference.session import OnnxRuntimeSession

WORKER = "from benchmarks.ensembles import work; work()"


def work() -> None:
    """Run the graph that is named, and print seconds and megabytes."""
    graph, crops = Path(sys.argv[1]), int(sys.argv[2])
    session = OnnxRuntimeSession(graph)
    image = np.random.default_rng(0).normal(size=(1, 1, 256, 256)).astype(np.float32)
    session.run(image)
    start = time.process_time()
    for _ in range(crops):
        session.run(image)
    seconds = time.process_time() - start
    print(json.dumps({"cpu_s": seconds, "peak_mb": _peak_mb()}))  # noqa: T201


def _peak_mb() -> float:
    """Since this program began; `ru_maxrss` counts from before, when the process was its parent's copy."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1000


def make_graph(path: Path, members: int) -> None:
    """Export an ensemble of networks at random weights."""
    from renalmap.networks.enet import ENet  # noqa: PLC0415 -- workers do without torch
    from renalmap.preprocess import Plan  # noqa: PLC0415
    from renalmap.training.export import export_onnx  # noqa: PLC0415

    export_onnx([ENet(1, 3).eval() for _ in range(members)], Plan(), path)


def main(
    members: Annotated[int, typer.Option(min=2)] = 5,
    crops: Annotated[int, typer.Option(min=1)] = 20,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
) -> None:
    """Print a line a graph, and the ratio of the two."""
    with tempfile.TemporaryDirectory() as folder:
        graphs = {count: Path(folder) / f"{count}.onnx" for count in (1, members)}
        found: dict[int, list[dict[str, float]]] = {count: [] for count in graphs}
        for count, path in graphs.items():
            make_graph(path, count)
        for _ in range(rounds):
            for count, path in graphs.items():
                command = [sys.executable, "-c", WORKER, str(path), str(crops)]
                output = subprocess.run(  # noqa: S603 -- our own interpreter
                    command, check=True, capture_output=True, text=True
                ).stdout
                found[count].append(json.loads(output))
        for count, path in graphs.items():
            seconds = np.median([each["cpu_s"] for each in found[count]])
            peak = np.median([each["peak_mb"] for each in found[count]])
            size = path.stat().st_size / 1e6
            typer.echo(f"{count} networks: {seconds:.2f} CPU s, peak {peak:.0f} MB, file {size:.1f} MB")
        pairs = zip(found[members], found[1], strict=True)
        typer.echo(f"ratio of CPU s: {np.median([a['cpu_s'] / b['cpu_s'] for a, b in pairs]):.2f}")


if __name__ == "__main__":
    typer.run(main)
