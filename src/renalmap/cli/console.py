"""What is printed where: results to standard output, everything else to standard error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

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
from rich.text import Text

if TYPE_CHECKING:
    from renalmap.api.listener import Listener

output = Console()
messages = Console(stderr=True)


def show_error(text: str) -> None:
    """Print an error to standard error, even if its text contains brackets."""
    messages.print(Text("error: ", style="bold red") + Text(text), soft_wrap=True)


def show_warning(text: str) -> None:
    """Print a warning to standard error."""
    messages.print(Text("warning: ", style="bold yellow") + Text(text), soft_wrap=True)


@contextmanager
def progress_bar(*, quiet: bool = False, in_bytes: bool = False) -> Iterator[ProgressBar]:
    """A bar with rate and time left on standard error; nothing if quiet, or without a terminal."""
    counted = (
        (DownloadColumn(), TaskProgressColumn(), TransferSpeedColumn())
        if in_bytes
        else (
            MofNCompleteColumn(),
            TaskProgressColumn(show_speed=True),
            TextColumn("{task.fields[rate]}"),
        )
    )
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
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
            messages.print(text, soft_wrap=True, markup=False, highlight=False)

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
