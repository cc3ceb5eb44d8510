"""A process that holds one network in one runtime and runs it for a while whenever it is told to.

    python -m benchmarks.worker enet openvino --graph FILE --threads 1 --streams 2

It prints "ready", then for every number of seconds on its standard input what 100 slices took.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.networks import NETWORKS
from benchmarks.results import Lane, Turn
from benchmarks.runtimes import load_runner

_SLOW_S: Final = 1.0
"""From this on, one call is warm-up enough."""


class Worker:
    """Runs a network on noise.

    Args:
        run: takes one input.
        shape: of the input.
        streams: threads that call `run` at once.
    """

    def __init__(self, run: Callable[[Any], object], shape: tuple[int, ...], streams: int) -> None:
        self._run = run
        self._image = np.random.default_rng(0).standard_normal(shape, np.float32)
        self._pool = ThreadPoolExecutor(streams)
        self._streams = streams
        self._call_s = self._time_call()
        if self._call_s < _SLOW_S:  # the first call also makes what is made once
            self._call_s = self._time_call()

    def turn(self, wanted_s: float, calls_per_100_slices: int) -> Turn:
        """Run for about `wanted_s`, but at least once a stream."""
        repeats = max(1, round(wanted_s / self._call_s))
        start, cpu = time.perf_counter(), time.process_time()
        self._calls(repeats)
        scale = calls_per_100_slices / (repeats * self._streams)
        return Turn(
            seconds=(time.perf_counter() - start) * scale, cpu_s=(time.process_time() - cpu) * scale
        )

    def _time_call(self) -> float:
        start = time.perf_counter()
        self._calls(1)
        return time.perf_counter() - start

    def _calls(self, repeats: int) -> None:
        def work(_: int) -> None:
            for _ in range(repeats):
                self._run(self._image)

        if self._streams == 1:
            work(0)  # on the main thread, as torch keeps a pool of threads for each caller
            return
        for _ in self._pool.map(work, range(self._streams)):
            pass


def main() -> None:
    """Serve turns until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("runtime", choices=("eager", "onnxruntime", "openvino"))
    parser.add_argument("--graph", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--streams", type=int, default=1)
    arguments = parser.parse_args()
    network = NETWORKS[arguments.network]
    lane = Lane(threads=arguments.threads, streams=arguments.streams)
    run = load_runner(network, arguments.runtime, arguments.graph, lane)
    worker = Worker(run, network.shape, lane.streams)
    print("ready", flush=True)  # noqa: T201
    for line in sys.stdin:
        print(worker.turn(float(line), network.calls).model_dump_json(), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
