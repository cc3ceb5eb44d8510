"""Work for the processes of `renalmap.dataset.workers`: functions that another process can import."""

from __future__ import annotations

import errno
import logging
import os
import signal
import time
from pathlib import Path

from tests.processes import PATIENCE_S

from renalmap.dataset.workers import Step
from renalmap.errors import LabelError

logger = logging.getLogger(__name__)


def square(number: int, step: Step) -> int:
    """Its square, after as many steps as it is large."""
    for _ in range(number):
        step()
    return number**2


def obey(order: str, step: Step) -> str:
    """What each order says."""
    step()
    if order == "be killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if order == "exit":
        os._exit(7)
    if order == "refuse":
        raise LabelError("a mask holds unknown labels", where=order, got="9")
    if order == "run out of memory":
        raise MemoryError
    if order == "lose permission":
        raise PermissionError(errno.EACCES, "Permission denied", "mask.nii.gz")
    if order == "fill the disk":
        raise OSError(errno.ENOSPC, "No space left on device", "hu.b2nd")
    if order == "be wrong":
        raise ZeroDivisionError("a mistake in the code")
    if order == "warn":
        logger.warning("%s has intensities out of range", order)
    return order


def hold(place: tuple[Path, str, float, set[str]], step: Step) -> list[str]:
    """Leave a file while at work, for some time and until company has come; who was at work meanwhile."""
    folder, name, seconds, company = place
    (folder / name).touch()
    seen: set[str] = set()
    begun = time.monotonic()
    while time.monotonic() < begun + seconds or not company <= seen:
        assert time.monotonic() < begun + PATIENCE_S, f"{company} did not come"
        seen.update(path.name for path in folder.iterdir())
        time.sleep(0.01)
    step()
    (folder / name).unlink()
    return sorted(seen)
