"""Work done ahead by threads, its results taken in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

_Input = TypeVar("_Input")
_Output = TypeVar("_Output")


def map_ahead(
    work: Callable[[_Input], _Output], inputs: Iterable[_Input], *, threads: int, ahead: int
) -> Iterator[tuple[_Input, _Output]]:
    """Each input with its result, in the inputs' order.

    Args:
        work: done in a thread.
        inputs: taken as needed.
        threads: how many work at once.
        ahead: results that may wait besides the one that is taken: bounds the memory.
    """
    waiting: list[tuple[_Input, Future[_Output]]] = []
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="ahead") as pool:
        for item in inputs:
            waiting.append((item, pool.submit(work, item)))
            if len(waiting) > ahead:
                ready, future = waiting.pop(0)
                yield ready, future.result()
        for ready, future in waiting:
            yield ready, future.result()


@dataclass(frozen=True)
class Threads:
    """How a scan's slices are shared among threads. Results do not depend on it.

    Attributes:
        count: slices processed at once.
        batch_size: slices given to the runtime in one call.
    """

    count: int
    batch_size: int = 1

    def map(
        self, work: Callable[[_Input], _Output], inputs: Iterable[_Input]
    ) -> Iterator[tuple[_Input, _Output]]:
        """Each input with its result, in order, with no more inputs in flight than threads need."""
        return map_ahead(work, inputs, threads=self.count, ahead=2 * self.count)

    def batched(self, items: Iterable[int]) -> Iterator[tuple[int, ...]]:
        """Items in calls of `batch_size`; the last may be smaller."""
        iterator = iter(items)
        while batch := tuple(islice(iterator, self.batch_size)):
            yield batch
