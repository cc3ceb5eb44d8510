"""What the machine can do at best: its float32 matrix products and its memory.

    OPENBLAS_NUM_THREADS=2 python -m benchmarks.floor --threads 2

No network can be faster than its multiply-accumulates at this rate, unless it does fewer of them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Final

import numpy as np
import torch

from benchmarks.results import FloorRun

_EDGES: Final = (384, 768, 1536)
"""From what a level 2 cache holds to what needs blocking; the best counts."""
_REPEATS: Final = 5
_COPIED_FLOATS: Final = 32 * 2**20
"""128 MB, beyond any cache of a desktop or laptop."""


def gmac_per_s() -> float:
    """The best of NumPy's and torch's matrix products."""
    best = 0.0
    for edge in _EDGES:
        left = np.ones((edge, edge), np.float32)
        right, out = np.ones_like(left), np.empty_like(left)
        tensors = [torch.from_numpy(array) for array in (left, right, out)]
        products = (
            lambda left=left, right=right, out=out: np.matmul(left, right, out),
            lambda tensors=tensors: torch.mm(tensors[0], tensors[1], out=tensors[2]),
        )
        best = max(best, *[edge**3 / _quickest_s(product) / 1e9 for product in products])
    return best


def gb_per_s() -> float:
    """Bytes read and written a second by copying an array that no cache holds."""
    source = torch.ones(_COPIED_FLOATS)
    target = torch.empty_like(source)
    return 8 * _COPIED_FLOATS / _quickest_s(lambda: target.copy_(source)) / 1e9


def _quickest_s(work: Callable[[], object]) -> float:
    work()
    seconds = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main() -> None:
    """Print both rates."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, required=True)
    threads = parser.parse_args().threads
    torch.set_num_threads(threads)
    run = FloorRun(threads=threads, gmac_per_s=gmac_per_s(), gb_per_s=gb_per_s())
    print(run.model_dump_json())  # noqa: T201


if __name__ == "__main__":
    main()
