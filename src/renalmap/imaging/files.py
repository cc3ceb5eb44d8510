"""Writing files so that a crash never leaves half of one under its final name."""

from __future__ import annotations

import csv
import io
import logging
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from renalmap.errors import FolderInUseError, OutputExistsError, PathMissingError

logger = logging.getLogger(__name__)


def check_writable(path: Path, *, overwrite: bool) -> None:
    """Refuse a target that exists (unless `overwrite`), is a folder, or whose folder does not exist.

    Raises:
        OutputExistsError: the file exists, or a folder of that name does.
        PathMissingError: its folder does not.
    """
    if path.is_dir():
        raise OutputExistsError(
            "the output is a folder", where=path, expected="a file's name", hint="Name the file in it"
        )
    if path.exists() and not overwrite:
        raise OutputExistsError(
            "the file exists and would be overwritten",
            where=path,
            hint="Give another --out, or --overwrite",
        )
    if not path.parent.is_dir():
        raise PathMissingError(
            "the output's folder does not exist", where=path.parent, hint="Create it first"
        )


@contextmanager
def replace_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success flush it to disk and rename it into place.

    The temporary name keeps the target's suffixes, which decide the format for some writers. On any
    exception the temporary file is removed and `path` is left as it was.
    """
    temporary = path.with_name(f".{secrets.token_hex(4)}.tmp.{path.name}")
    try:
        yield temporary
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text_atomically(path: Path, text: str) -> None:
    """Write UTF-8 text through `replace_atomically`."""
    with replace_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def csv_text(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """A table as CSV: a line of column names, a line a row; what a row lacks is an empty field."""
    text = io.StringIO()
    writer = csv.DictWriter(text, tuple(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


@contextmanager
def locked_folder(folder: Path, lock_name: str | None, verb: str) -> Iterator[None]:
    """Keep a second run of a command out of a folder, where the system can.

    The lock ends with the process, however that ends.

    Args:
        folder: must exist.
        lock_name: of a file in it, which stays; None locks the folder itself.
        verb: the command's, for the message.

    Raises:
        FolderInUseError: another process has it.
    """
    in_use = FolderInUseError(
        f"another renalmap {verb} is writing here", where=folder, hint="Wait for it to end"
    )
    with hold_lock(folder if lock_name is None else folder / lock_name, in_use):
        yield


@contextmanager
def hold_lock(path: Path, in_use: FolderInUseError) -> Iterator[None]:
    """Hold the lock of a file, made if it is missing, or of a folder, where the system has locks.

    It ends with the process, however that ends.

    Args:
        path: the file or folder.
        in_use: raised if another process holds it.
    """
    try:
        import fcntl  # noqa: PLC0415  (not on Windows)
    except ModuleNotFoundError:
        yield
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise in_use from error
        except OSError:  # some network file systems have no locks
            logger.info("%s cannot be locked", path)
        yield
    finally:
        os.close(handle)
