"""Work on many cases at once: processes, a memory budget, and a killed process that costs only its own case.

An executor of the standard library gives up altogether when one of its processes is killed, and admits
work by number, not by size. Here a case starts when its estimated memory fits beside what is running,
and a process that dies fails only its own case.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any, Final, Generic, Literal, TypeVar

from renalmap.errors import CaseError, DiskSpaceError, RenalMapError, as_case_error, is_full_disk
from renalmap.text import keep_values_private

Item = TypeVar("Item")
Result = TypeVar("Result")
Step = Callable[[], None]
"""To be called by the work after every slice."""
Work = Callable[[Item, Step], Result]

GO_ON: Final = "Lower --jobs or --memory-gb; what is finished is kept, and the same command continues"

_GOODBYE_S: Final = 2.0
_SIGKILL: Final = 9  # which Windows has no name for
_MessageKind = Literal["step", "log", "result", "error", "bug"]


@dataclass(frozen=True)
class Workload:
    """How much may run at once.

    Attributes:
        jobs: processes; 1 works in this one.
        memory_bytes: what all of them together may take, by the tasks' estimates; None means no limit.
            A task that exceeds it by itself runs alone.
    """

    jobs: int = 1
    memory_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.jobs < 1 or (self.memory_bytes is not None and self.memory_bytes < 1):
            raise ValueError(f"a Workload needs at least one job and one byte, got {self}")


ONE_AT_A_TIME: Final = Workload()


@dataclass(frozen=True)
class Task(Generic[Item]):
    """One piece of work.

    Attributes:
        name: the case's, for messages.
        item: what the work is called with; it is sent to another process.
        memory_bytes: memory the work will need, estimated.
    """

    name: str
    item: Item
    memory_bytes: int = 0


@dataclass(frozen=True)
class Outcome(Generic[Item, Result]):
    """How a task ended: with a result or an error."""

    task: Task[Item]
    result: Result | None = None
    error: RenalMapError | None = None


def run_tasks(
    tasks: Sequence[Task[Item]],
    work: Work[Item, Result],
    workload: Workload,
    step: Callable[[str], None] = lambda _: None,
    hint: str = GO_ON,
) -> Generator[Outcome[Item, Result], None, None]:
    """Do all tasks, and yield outcomes as tasks end.

    Close it (`contextlib.closing`) to end the processes. Tasks start in their order, but one that does not fit
    into memory lets later ones go first.

    Args:
        tasks: what to do.
        work: a function of a module, which another process can import.
        workload: how much at once.
        step: called with the task's name whenever the work calls its own.
        hint: what to do about a case whose process died, or for which there was not enough memory.

    Raises:
        DiskSpaceError: the disk is full; nothing more is started, and what is running is stopped.
        RuntimeError: the work raised something other than an error of a case, with its traceback.
    """
    if min(workload.jobs, len(tasks)) == 1:
        for task in tasks:
            yield _work_here(task, work, step, hint)
        return
    pool = _Pool(work, workload, step, hint)
    try:
        yield from pool.run(list(tasks))
    finally:
        pool.stop()


def _work_here(
    task: Task[Item], work: Work[Item, Result], step: Callable[[str], None], hint: str
) -> Outcome[Item, Result]:
    try:
        return Outcome(task, work(task.item, lambda: step(task.name)))
    except (RenalMapError, OSError, MemoryError) as error:
        return Outcome(task, error=_case_error(task.name, error, hint))


def _case_error(name: str, error: RenalMapError | OSError | MemoryError, hint: str) -> RenalMapError:
    """The error of a case that failed.

    Raises:
        DiskSpaceError: it failed because the disk is full, as every other will.
    """
    if isinstance(error, MemoryError):
        return CaseError("there was not enough memory for this case", where=name, hint=hint)
    if isinstance(error, DiskSpaceError):
        raise error
    if isinstance(error, OSError) and is_full_disk(error):
        raise DiskSpaceError(
            "the disk is full",
            where=error.filename,
            got=f"while {name} was written",
            hint="Free some space; what is finished is kept, and the same command continues",
        ) from error
    return as_case_error(name, error)


@dataclass(eq=False)
class _Worker:
    """A process, the pipe to it, and the task it is at."""

    process: BaseProcess
    pipe: Connection
    task: Task[Any] | None = None


class _Pool(Generic[Item, Result]):
    def __init__(
        self, work: Work[Item, Result], workload: Workload, step: Callable[[str], None], hint: str
    ) -> None:
        self._work = work
        self._workload = workload
        self._step = step
        self._hint = hint
        self._workers: list[_Worker] = []

    def run(self, waiting: list[Task[Item]]) -> Iterator[Outcome[Item, Result]]:
        while True:
            while (task := self._next(waiting)) is not None:
                waiting.remove(task)
                self._start(task)
            busy = {worker.pipe: worker for worker in self._workers if worker.task is not None}
            if not busy:
                return
            for pipe in connection.wait(list(busy)):
                outcome = self._receive(busy[pipe])  # type: ignore[index]
                if outcome is not None:
                    yield outcome

    def stop(self) -> None:
        """End all processes, whatever they are at."""
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(_GOODBYE_S)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.pipe.close()
        self._workers.clear()

    def _next(self, waiting: Sequence[Task[Item]]) -> Task[Item] | None:
        """The first task that may start now."""
        running = [worker.task for worker in self._workers if worker.task is not None]
        if len(running) >= self._workload.jobs:
            return None
        if not running or self._workload.memory_bytes is None:
            return waiting[0] if waiting else None
        room = self._workload.memory_bytes - sum(task.memory_bytes for task in running)
        return next((task for task in waiting if task.memory_bytes <= room), None)

    def _start(self, task: Task[Item]) -> None:
        worker = next((worker for worker in self._workers if worker.task is None), None)
        if worker is None:
            worker = self._hire()
        worker.task = task
        try:
            worker.pipe.send(task)
        except BrokenPipeError:
            """It died while idle: receiving from it will show that."""

    def _hire(self) -> _Worker:
        # Spawned, not forked: libraries that were loaded before may have threads.
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        level = logging.getLogger().getEffectiveLevel()
        process = context.Process(target=_serve, args=(theirs, self._work, level), daemon=True)
        worker = _Worker(process, ours)
        with children_deaf_to_ctrl_c():
            process.start()
            self._workers.append(worker)
        # With the other end open here too, its death would not close the pipe.
        theirs.close()
        return worker

    def _receive(self, worker: _Worker) -> Outcome[Item, Result] | None:
        task = worker.task
        if task is None:
            raise RuntimeError("an idle process sent something")
        try:
            kind, content = worker.pipe.recv()
        except (EOFError, ConnectionResetError):
            return Outcome(task, error=self._bury(worker, task.name))
        if kind == "step":
            self._step(task.name)
            return None
        if kind == "log":
            logging.getLogger(content.name).handle(content)
            return None
        worker.task = None
        if kind == "bug":
            raise RuntimeError(f"{task.name}: {content}")
        if kind == "error":
            return Outcome(task, error=_case_error(task.name, content, self._hint))
        return Outcome(task, result=content)

    def _bury(self, worker: _Worker, name: str) -> CaseError:
        worker.process.join()
        worker.pipe.close()
        self._workers.remove(worker)
        code = worker.process.exitcode or 0
        if code == -_SIGKILL:
            got = "signal 9 (SIGKILL), which the system sends when memory runs out"
        else:
            got = f"signal {-code}" if code < 0 else f"exit code {code}"
        return CaseError(
            "the process working on this case was ended", where=name, got=got, hint=self._hint
        )


class _ToParent(logging.Handler):
    """Sends what is logged to the process that asked for the work."""

    def __init__(self, send: Callable[[_MessageKind, Any], None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        record.msg, record.args, record.exc_info = record.getMessage(), None, None
        self._send("log", record)


@contextmanager
def children_deaf_to_ctrl_c() -> Iterator[None]:
    """Let processes that start meanwhile ignore Ctrl-C, which a terminal sends to them as well.

    Otherwise each ends with a traceback before this process can end them in order. What the other signals to end do
    here, they do when the processes have started: one that is half started cannot be ended.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    late: list[tuple[int, FrameType | None]] = []
    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    ours = {getattr(signal, name): signal.getsignal(getattr(signal, name)) for name in names}
    waiting = {number: handler for number, handler in ours.items() if callable(handler)}
    for number in waiting:
        signal.signal(number, lambda *call: late.append(call))
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        for number, after in waiting.items():
            signal.signal(number, after)
        for call in late:
            waiting[call[0]](*call)


def _serve(pipe: Connection, work: Work[Any, Any], log_level: int) -> None:
    """What a process does: one task after another, until there are no more."""
    # Ctrl-C goes to the whole group; the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def send(kind: _MessageKind, content: Any = None) -> None:
        pipe.send((kind, content))

    logging.basicConfig(level=log_level, handlers=[_ToParent(send)], force=True)
    keep_values_private()
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        try:
            send("result", work(task.item, lambda: send("step")))
        except BrokenPipeError:
            return
        except (RenalMapError, OSError, MemoryError) as error:
            send("error", error)
        except Exception:  # noqa: BLE001  (raised again by the parent, which ends everything)
            send("bug", traceback.format_exc())


def _end_with_parent() -> None:
    """A parent that is killed cannot end its children: they must not write into what the next run writes."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
