"""What is printed where: results to standard output, everything else to standard error."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.segment import Segment
from rich.text import Text

from renalmap.text import json_text, keep_values_private, printable

if TYPE_CHECKING:
    from pydantic import BaseModel

    from renalmap.api.listener import Listener


class _Console(Console):
    """Shows texts as they are: brackets are not markup, and nothing in them can control the terminal."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False)

    def render_str(self, text: str, **how: Any) -> Text:
        """Before rich measures it."""
        return super().render_str(printable(text), **how)

    def render(self, *what: Any, **how: Any) -> Iterable[Segment]:
        """Also what is a `Text` already."""
        for segment in super().render(*what, **how):
            yield segment if segment.control else segment._replace(text=printable(segment.text))


output = _Console()
messages = _Console(stderr=True)


def say(text: str) -> None:
    """Print a line to standard output."""
    typer.echo(printable(text))


def show_json(model: BaseModel) -> None:
    """Print a result as JSON."""
    typer.echo(json_text(model, indent=2))


def show_error(text: str) -> None:
    """Print an error to standard error."""
    _show(Text("error: ", style="bold red"), text)


def show_warning(text: str) -> None:
    """Print a warning to standard error, unless it was logged there: readers log what results repeat."""
    if text.partition(": ")[2] in _Formatter.warned:
        return
    _show(Text("warning: ", style="bold yellow"), text)


def _show(label: Text, text: str) -> None:
    """A line break in a text does not begin a message of its own."""
    messages.print(label + Text(printable(text).replace("\n", "\n  ")), soft_wrap=True)


class _Formatter(logging.Formatter):
    warned: ClassVar[set[str]] = set()
    """What warnings said, without the scan's name, which may be its path or its short name."""

    def format(self, record: logging.LogRecord) -> str:
        if record.levelno >= logging.WARNING:
            self.warned.add(record.getMessage().partition(": ")[2])
        return printable(super().format(record))


def log_to_terminal(level: int) -> None:
    """Let what is logged from a level on appear on standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
    keep_values_private()


def log_thread(ended: threading.ExceptHookArgs) -> None:
    """A file that a thread cannot write (TensorBoard's, on a full disk) is reported by the code that started the thread."""
    if isinstance(ended.exc_value, OSError):
        logging.getLogger(__name__).info("a thread ended", exc_info=ended.exc_value)
    else:
        threading.__excepthook__(ended)


@contextmanager
def progress_bar(*, quiet: bool = False, in_bytes: bool = False) -> Iterator[ProgressBar]:
    """A bar with rate and time left on standard error; nothing if quiet, or without a terminal."""
    counted = (
        (DownloadColumn(), TaskProgressColumn(), TransferSpeedColumn())
        if in_bytes
        else (
            MofNCompleteColumn(),
            TaskProgressColumn(show_speed=True),
            TextColumn("{task.fields[rate]}", markup=False),
        )
    )
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        *counted,
        TimeRemainingColumn(),
    )
    hidden = quiet or not messages.is_terminal
    with Progress(*columns, console=messages, disable=hidden, transient=True) as progress:
        yield ProgressBar(progress)


@contextmanager
def listening(*, quiet: bool) -> Iterator[Listener]:
    """A progress bar for segmenting."""
    from renalmap.api.listener import Listener

    def announce(text: str) -> None:
        if not quiet:
            messages.print(text, soft_wrap=True, highlight=False)

    with progress_bar(quiet=quiet) as bar:
        yield Listener(bar.show, announce, show_warning)


class ProgressBar:
    """One bar at a time: a new piece of work starts a new one."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: Any = None
        self._done = 0

    def show(self, what: str, done: int, total: int, description: str | None = None) -> None:
        """Set the bar, as `renalmap.progress.Progress`; less progress than last time starts a new one."""
        if self._task is None or done < self._done:
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._task = self._progress.add_task(what, total=total or None, rate="")
        self._done = done
        speed = self._progress.tasks[-1].speed
        self._progress.update(
            self._task,
            completed=done,
            total=total or None,
            description=description or what,
            rate="" if speed is None else f"{speed:.1f}/s",
        )
