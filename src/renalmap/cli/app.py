"""The application: its verbs and how their errors are shown."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Annotated, NoReturn

import typer

from renalmap import __version__
from renalmap.cli import (
    compare,
    data,
    info,
    label_maps,
    measure,
    model,
    nephrometry,
    scans,
    scoring,
)
from renalmap.cli.console import log_thread, log_to_terminal, show_error
from renalmap.cli.options import Grouped
from renalmap.errors import RenalMapError

app = typer.Typer(
    name="renalmap",
    help="Kidneys and kidney tumours on abdominal CT. Research use only; not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

for verb in (
    info.info,
    scans.segment,
    label_maps.report,
    label_maps.mesh,
    scans.overview,
    scoring.evaluate,
    scoring.test,
    measure.measure,
    compare.compare,
    nephrometry.nephrometry,
    scans.demo,
    data.fetch,
    data.inspect,
    data.prepare,
    data.phantom,
    model.train,
    model.export,
):
    app.command(cls=Grouped)(verb)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"renalmap {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens.")] = False,
) -> None:
    del version
    log_to_terminal(logging.INFO if verbose else logging.WARNING)


def main() -> None:
    """Run the command line; ends the process with the command's exit code."""
    try:
        with _everything_ends_in_order():
            app()
    except RenalMapError as error:
        show_error(str(error))
        sys.exit(error.exit_code)
    except OSError as error:  # no permission, a full disk, a folder where a file belongs
        logging.getLogger(__name__).info("traceback", exc_info=True)
        show_error(str(error))
        sys.exit(1)


@contextmanager
def _everything_ends_in_order() -> Iterator[None]:
    """Let a signal to end be an exception: processes that were started end too, and temporary files go.

    Signals that are ignored (`nohup`) stay ignored. Threads end without a traceback of their own.
    """

    def end(number: int, _: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    known = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    changed = [each for each in known if signal.getsignal(each) is signal.SIG_DFL]
    for each in changed:
        signal.signal(each, end)
    hook, threading.excepthook = threading.excepthook, log_thread
    try:
        yield
    finally:
        threading.excepthook = hook
        for each in changed:
            signal.signal(each, signal.SIG_DFL)


if __name__ == "__main__":
    main()
