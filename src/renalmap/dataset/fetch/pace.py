"""A server that only pretends to send: a byte now and then, in headers or between them, resets every limit of a client."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import httpx

_STALL_BYTES: Final = 1024
"""What must arrive in each `stall_s`; less is a stalled connection that pretends to be alive."""


class Pace:
    """Counts what a request brings, in a thread that ends its connection if that is too little.

    Attributes:
        extensions: for the request. It must open its connection itself, and not find one open.
    """

    def __init__(self) -> None:
        self.extensions: dict[str, Any] = {"trace": self._note}
        self._connection: Any = None
        self._bytes = 0

    def count(self, size: int) -> None:
        """So many bytes of a body have come."""
        self._bytes += size

    def _note(self, event: str, told: dict[str, Any]) -> None:
        if event in {"connection.connect_tcp.complete", "connection.start_tls.complete"}:
            self._connection = told["return_value"]

    def is_alive(self) -> bool:
        """Whether enough came since this was asked last; if not, whoever waits for more gets an end."""
        brought, self._bytes = self._bytes, 0
        if brought >= _STALL_BYTES or self._connection is None:
            return True
        with suppress(OSError):  # it may have ended
            self._connection.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        return False


@contextmanager
def keep_pace(stall_s: float) -> Iterator[Pace]:
    """Bound the time of a request, redirects and headers included, that brings no body.

    Args:
        stall_s: in each of these, 1,024 bytes of a body must come.

    Raises:
        httpx.ReadTimeout: they did not, in place of what the ended connection raised, or did not raise.
    """
    pace, ended, stalled = Pace(), threading.Event(), threading.Event()

    def watch() -> None:
        while not ended.wait(stall_s):
            if not pace.is_alive():
                stalled.set()
                return

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield pace
    except httpx.TransportError as error:
        if not stalled.is_set():
            raise
        raise httpx.ReadTimeout("stalled") from error
    finally:
        ended.set()
    if stalled.is_set():
        raise httpx.ReadTimeout("stalled")
