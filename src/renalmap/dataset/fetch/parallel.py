"""Work on many items at once, in threads that do not keep an interrupted process alive."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Final, TypeVar

_GOODBYE_S: Final = 2.0

Item = TypeVar("Item")
Result = TypeVar("Result")


def work_on(
    items: Sequence[Item], work: Callable[[Item], Result], *, jobs: int, stop: threading.Event
) -> Iterator[tuple[Item, Result]]:
    """Pairs of items and results, as they come.

    An executor's threads would keep the process until the last connection times out; these are daemons. So
    `work` must leave things in order wherever it is interrupted.

    Args:
        items: what to work on.
        work: called in a thread; what it raises is raised here.
        jobs: threads.
        stop: set if this ends early.
    """
    waiting: queue.SimpleQueue[Item] = queue.SimpleQueue()
    finished: queue.SimpleQueue[tuple[Item, Future[Result]]] = queue.SimpleQueue()
    for item in items:
        waiting.put(item)

    def serve() -> None:
        while not waiting.empty():
            try:
                item = waiting.get_nowait()
            except queue.Empty:
                return
            finished.put((item, _attempt(work, item)))

    threads = [threading.Thread(target=serve, daemon=True) for _ in range(min(jobs, len(items)))]
    for thread in threads:
        thread.start()
    try:
        for _ in items:
            item, future = finished.get()
            yield item, future.result()
    except BaseException:
        stop.set()
        raise
    finally:
        until_s = time.monotonic() + _GOODBYE_S
        for thread in threads:
            thread.join(max(0.0, until_s - time.monotonic()))


def _attempt(work: Callable[[Item], Result], item: Item) -> Future[Result]:
    future: Future[Result] = Future()
    try:
        future.set_result(work(item))
    except BaseException as error:  # noqa: BLE001  (raised again by whoever asks for the result)
        future.set_exception(error)
    return future
