"""Writing files and folders so that a crash never leaves half of one under its final name."""

from __future__ import annotations

import csv
import io
import logging
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import Any, Final

from renalmap.errors import (
    FolderInUseError,
    OutputExistsError,
    PathMissingError,
    as_output_error,
    is_full_disk,
)
from renalmap.text import cell_text

logger = logging.getLogger(__name__)

_TRIED_BYTES: Final = 1 << 20
"""What must fit before the work: label maps, tables and pages are of this order."""


def check_writable(path: Path, *, overwrite: bool, at_once: bool = False) -> None:
    """Refuse what could not be written after the work, and remove what a killed process left of it.

    Args:
        path: the file.
        overwrite: whether it may be there.
        at_once: it is written now, which tells whether there is room.

    Raises:
        OutputExistsError: the file exists (unless `overwrite`), or is a folder, a link, a pipe or a device.
        PathMissingError: its folder does not exist.
        DiskSpaceError: the disk is full.
        InputError: it cannot be written there.
    """
    try:
        there = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        there = None
    except OSError as error:
        raise as_output_error(path, error) from error
    if there is not None and stat.S_ISDIR(there):
        raise OutputExistsError(
            "the output is a folder", where=path, expected="a file's name", hint="Name the file in it"
        )
    if there is not None and not stat.S_ISREG(there):
        raise OutputExistsError(
            "the output is a link, a pipe or a device, which is never replaced",
            where=path,
            expected="the name of a file",
            hint="Give another name",
        )
    if there is not None and not overwrite:
        raise OutputExistsError(
            "the file exists and would be overwritten",
            where=path,
            hint="Give another name, or --overwrite",
        )
    if not path.parent.is_dir():
        raise PathMissingError(
            "the output's folder does not exist", where=path.parent, hint="Create it first"
        )
    remove_left_overs(path.parent, escape(path.name))
    if not at_once:
        _try_out(_temporary(path), path)


def make_folder(folder: Path) -> None:
    """Make a folder for outputs, where it is missing, and try out whether something can be written into it.

    Raises:
        DiskSpaceError: the disk is full.
        InputError: it cannot be made, or written into.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise as_output_error(folder, error) from error
    remove_left_overs(folder, "tried")
    _try_out(_temporary(folder / "tried"), folder)


def _try_out(tried: Path, where: Path) -> None:
    try:
        tried.write_bytes(bytes(_TRIED_BYTES))
    except OSError as error:
        raise as_output_error(where, error) from error
    finally:
        with suppress(OSError):
            tried.unlink()


def _temporary(path: Path) -> Path:
    return path.with_name(f".{secrets.token_hex(4)}.tmp.{path.name}")


@contextmanager
def replace_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success flush it to disk and rename it into place.

    The temporary name keeps the target's suffixes, which decide the format for some writers. On any
    exception the temporary file is removed and `path` is left as it was. It is locked meanwhile, so that
    `remove_left_overs` knows it from those of processes that were killed.

    Raises:
        DiskSpaceError: the disk is full.
        InputError: it cannot be written there.
    """
    temporary = _temporary(path)
    try:
        with hold_lock(temporary, FolderInUseError("another process writes this file", where=path)):
            yield temporary
            with temporary.open("rb+") as handle:
                os.fsync(handle.fileno())
            temporary.replace(path)
    except OSError as error:
        if is_full_disk(error) or str(error.filename) == str(temporary):
            raise as_output_error(path, error) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def remove_left_overs(folder: Path, names: str = "*") -> None:
    """Remove the temporary files and folders of processes that were killed while they wrote.

    Args:
        folder: where.
        names: of the files that were to be written, a glob pattern.
    """
    for left in folder.glob(f".{'[0-9a-f]' * 8}.tmp.{names}"):
        with suppress(FolderInUseError, OSError), hold_lock(left, FolderInUseError("alive")) as held:
            if held and left.is_dir():
                shutil.rmtree(left)
            elif held:
                left.unlink()


@contextmanager
def replace_folder_atomically(out: Path, is_ours: Callable[[Path], bool]) -> Iterator[Path]:
    """Yield an empty folder beside `out`; on success it takes that name, and what had it before is removed.

    At every moment a complete folder lies beside the other or under the name; the next call puts one that a
    kill between the two renames left without its name back in place.

    Args:
        out: the folder's name.
        is_ours: whether a folder may be removed.

    Raises:
        OutputExistsError: something else has the name.
        InputError: it cannot be written there.
    """
    before = out.with_name(f".{out.name}.replaced")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if before.is_dir() and is_ours(before):
            if out.exists():
                shutil.rmtree(before)
            else:
                before.replace(out)
        check_replaceable(out, is_ours)
        remove_left_overs(out.parent, escape(out.name))
        temporary = _temporary(out)
        temporary.mkdir()
    except OSError as error:
        raise as_output_error(out, error) from error
    try:
        with hold_lock(temporary, FolderInUseError("another process writes this folder", where=out)):
            yield temporary
            if out.exists():
                out.replace(before)
            temporary.replace(out)
        shutil.rmtree(before, ignore_errors=True)
    except OSError as error:
        if is_full_disk(error) or str(error.filename).startswith(str(temporary)):
            raise as_output_error(out, error) from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_replaceable(folder: Path, is_ours: Callable[[Path], bool], what: str = "the output") -> None:
    """Refuse to replace something that is not a folder of ours; what is not there may be made.

    Raises:
        OutputExistsError: it is not.
    """
    if folder.is_symlink() or (folder.exists() and not (folder.is_dir() and is_ours(folder))):
        raise OutputExistsError(
            f"{what} would replace something else",
            where=folder,
            expected="nothing, or what the same command made",
            hint="Move it away, or give another --out",
        )


def write_text_atomically(path: Path, text: str) -> None:
    """Write UTF-8 text through `replace_atomically`; bytes of a name that are not UTF-8 are written as escapes."""
    with replace_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def csv_text(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """A table as CSV: a line of column names, a line a row; what a row lacks is an empty field.

    A text that a spreadsheet would take for a formula gets an apostrophe before it.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, tuple(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: cell_text(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


@contextmanager
def locked_folder(folder: Path, lock_name: str | None, verb: str) -> Iterator[None]:
    """Keep a second run of a command out of a folder, if the system can.

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
def hold_lock(path: Path, in_use: FolderInUseError) -> Iterator[bool]:
    """Hold the lock of a file, made if it is missing, or of a folder; yield False where there are no locks.

    It ends with the process, however that ends.

    Args:
        path: the file or folder.
        in_use: raised if another process holds it.
    """
    try:
        import fcntl  # noqa: PLC0415  (not on Windows)
    except ModuleNotFoundError:
        yield False
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        held = False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = True
        except BlockingIOError as error:
            raise in_use from error
        except OSError:  # some network file systems have no locks
            logger.info("%s cannot be locked", path)
        yield held
    finally:
        os.close(handle)
