"""How much memory a read may take: one budget, checked from headers and file sizes before anything is allocated."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Final

from renalmap.errors import ConfigError, TooLargeError, UnreadableImageError

MEMORY_VARIABLE: Final = "RENALMAP_MEMORY_GB"
"""Carries the budget to the processes that this one starts."""

PACKED_RATIO: Final = 100
"""Unpacked to packed bytes beyond which a scan is a trap. Deflate packs CT to a third or so, and air up to
1,000 to 1, which is why it counts only from `PACKED_FROM_BYTES`."""
PACKED_FROM_BYTES: Final = 64 * 2**20

_SHARE: Final = 0.25
"""Of the machine's memory: segmenting takes several times what reading does."""
_MOST_BYTES: Final = 16 * 2**30
_UNKNOWN_MEMORY_BYTES: Final = 4 * 2**30
_CGROUP_FILES: Final = (
    ("/sys/fs/cgroup{}/memory.max", "/sys/fs/cgroup{}/memory.current"),
    (
        "/sys/fs/cgroup/memory{}/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory{}/memory.usage_in_bytes",
    ),
)


def read_budget_bytes() -> int:
    """What reading one scan may take: as given, or a quarter of the machine's memory, at most 16 GiB.

    Raises:
        ConfigError: the environment variable is not a number.
    """
    given = os.environ.get(MEMORY_VARIABLE)
    if not given:
        return min(round(_SHARE * total_memory_bytes()), _MOST_BYTES)
    try:
        return max(1, round(float(given) * 1e9))
    except (ValueError, OverflowError) as error:
        raise ConfigError(
            f"{MEMORY_VARIABLE} is not a size", got=repr(given), expected="a number of gigabytes"
        ) from error


@contextmanager
def read_budget(memory_gb: float | None) -> Iterator[None]:
    """Set the budget of every read within, also of processes started within; None leaves it as it is."""
    before = os.environ.get(MEMORY_VARIABLE)
    if memory_gb is not None:
        os.environ[MEMORY_VARIABLE] = repr(float(memory_gb))
    try:
        yield
    finally:
        os.environ.pop(MEMORY_VARIABLE, None)
        if before is not None:
            os.environ[MEMORY_VARIABLE] = before


def check_budget(needed_bytes: int, where: Path | str | None) -> None:
    """Refuse a read before it takes more memory than it may.

    Args:
        needed_bytes: what it is about to take, from headers.
        where: the file or folder, for messages.

    Raises:
        TooLargeError: it is more than the budget.
    """
    allowed_bytes = read_budget_bytes()
    if needed_bytes > allowed_bytes:
        raise TooLargeError(
            "reading this takes more memory than a read may",
            where=where,
            got=f"{needed_bytes / 1e9:.3g} GB",
            expected=f"at most {allowed_bytes / 1e9:.3g} GB",
            hint="If it is a scan after all and there is enough memory, --memory-gb "
            f"(or {MEMORY_VARIABLE}) allows more",
        )


def is_trap(unpacked_bytes: int, packed_bytes: int) -> bool:
    """Whether so many bytes claim to become more than a scan's can."""
    return unpacked_bytes >= PACKED_FROM_BYTES and unpacked_bytes > PACKED_RATIO * packed_bytes


def is_special_file(path: Path) -> bool:
    """Whether something is there that is neither a file nor a folder, nor a link to one: a pipe, a device."""
    return path.exists() and not path.is_file() and not path.is_dir()


def check_regular_file(path: Path) -> None:
    """Refuse to open what is no file: a pipe waits for ever, a device never ends.

    Raises:
        UnreadableImageError: it is one of these.
    """
    if is_special_file(path):
        raise UnreadableImageError(
            "this is not a regular file", where=path, got="a pipe, a socket or a device"
        )


@lru_cache(maxsize=1)
def total_memory_bytes(root: Path = Path("/")) -> int:
    """The machine's memory, or less where this process's group or limits allow less; 4 GiB if nothing says.

    Args:
        root: where `/proc` and `/sys` are.
    """
    total = meminfo_bytes("MemTotal", root)
    found = [limit for limit, _ in cgroup_memory(root)] + ([] if total is None else [total])
    try:
        import resource  # noqa: PLC0415  (not on Windows)
    except ModuleNotFoundError:
        return min(found, default=_UNKNOWN_MEMORY_BYTES)
    own_limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return min([*found, own_limit] if own_limit > 0 else found, default=_UNKNOWN_MEMORY_BYTES)


def meminfo_bytes(field: str, root: Path = Path("/")) -> int | None:
    """What Linux says of its memory under a name such as `MemAvailable`; None where it says nothing."""
    text = read_system_file(root / "proc/meminfo")
    match = re.search(rf"^{field}:\s*(\d+) kB", text, re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def cgroup_memory(root: Path = Path("/")) -> list[tuple[int, int]]:
    """(limit, used) bytes of each group that this process is in, and of each group about that."""
    found = []
    for line in read_system_file(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        below = path.rstrip("/")
        while True:
            for names in _CGROUP_FILES:
                limit, used = (
                    read_system_file(root / name.format(below).lstrip("/")).strip() for name in names
                )
                if limit.isdecimal() and used.isdecimal():
                    found.append((int(limit), int(used)))
            if not below:
                break
            below = below.rpartition("/")[0]
    return found


def read_system_file(path: Path) -> str:
    """What a file of the system says; empty if it is not there."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
