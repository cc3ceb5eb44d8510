"""One file over HTTP: resumed, retried, checked, and only then given its name.

The bytes go into a `.part` file beside the target. They are kept when a connection breaks or the process
dies; the next request asks for the rest with `Range`, and with `If-Range` (RFC 9110, section 13.1.5)
so that a server that has a different file by then sends all of it.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Final

import httpx

from renalmap import __version__
from renalmap.dataset.fetch.answers import continues, describe, length_of, retry_after_s, told
from renalmap.dataset.fetch.content import HEAD_BYTES, LIMITS, check_head, hash_checked
from renalmap.dataset.fetch.manifest import Manifest
from renalmap.dataset.fetch.pace import Pace, keep_pace
from renalmap.dataset.fetch.sources import RemoteFile
from renalmap.errors import ContentError, DamagedContentError, NetworkError

logger = logging.getLogger(__name__)

_DAMAGED_TRIES: Final = 2
_LONGEST_BACKOFF_S: Final = 60.0
_TRANSIENT: Final = {408, 425, 429, 500, 502, 503, 504}

_JITTER: Final = secrets.SystemRandom()


class StoppedError(Exception):
    """The run is being ended; what is on disk is kept."""


class UnreachableError(NetworkError):
    """No connection, or none that lasted; about the network rather than a file."""


class _TransientError(Exception):
    """Trying again may help."""

    def __init__(self, reason: str, *, wait_s: float = 0.0, reached: bool = True) -> None:
        super().__init__(reason)
        self.wait_s = wait_s
        self.reached = reached


@dataclass(frozen=True)
class Patience:
    """How long to wait and how often to try.

    Attributes:
        attempts: attempts in a row without a byte before a file is given up.
        connect_s: for a connection.
        stall_s: for the next bytes; and for all of an answer's headers, redirects included.
        backoff_s: before the second attempt; doubled each time, up to a minute.
        longest_wait_s: a server that asks to wait longer (`Retry-After`) is given up.
    """

    attempts: int = 5
    connect_s: float = 10.0
    stall_s: float = 30.0
    backoff_s: float = 1.0
    longest_wait_s: float = 600.0


PATIENT: Final = Patience()


@dataclass(frozen=True)
class Watch:
    """How a transfer is followed and ended.

    Attributes:
        stop: set to end it.
        moved: told (path, bytes of it on the disk, its size or None).
    """

    stop: Event
    moved: Callable[[str, int, int | None], None] = lambda *_: None

    def check(self, _: int = 0) -> None:
        """End the work if it is to end.

        Raises:
            StoppedError: it is.
        """
        if self.stop.is_set():
            raise StoppedError


def make_client(patience: Patience) -> httpx.Client:
    """A client that follows redirects and honours the usual proxy and certificate variables."""
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs addresses, with their passwords
    return httpx.Client(
        follow_redirects=True,
        timeout=httpx.Timeout(patience.stall_s, connect=patience.connect_s, pool=None),
        limits=httpx.Limits(max_keepalive_connections=0),  # see `Pace`
        # The file itself is compressed; a server must not wrap it again.
        headers={"User-Agent": f"renalmap/{__version__}", "Accept-Encoding": "identity"},
    )


class Transfer:
    """Fetches files into a folder, one call per file; calls may run side by side."""

    def __init__(
        self, client: httpx.Client, folder: Path, manifest: Manifest, patience: Patience, watch: Watch
    ) -> None:
        self._client = client
        self._folder = folder
        self._manifest = manifest
        self._patience = patience
        self._watch = watch

    def ask_size(self, file: RemoteFile, *, patiently: bool) -> int | None:
        """Ask for a file's size without its bytes; None if the server does not say.

        Args:
            file: which.
            patiently: try again, and fail if the server cannot be reached; else nothing is known then.

        Raises:
            NetworkError: the server cannot be reached.
        """
        effort = _Effort(self._patience if patiently else Patience(attempts=1), self._watch.stop)
        while True:
            try:
                with _named_faults(file), keep_pace(self._patience.stall_s) as pace:
                    return self._head(file.url, pace)
            except NetworkError:  # fetching the file names it; the others may go on
                return None
            except _TransientError as error:
                if error.reached or not patiently:
                    return None
                effort.spend(error, file)

    def _head(self, url: str, pace: Pace) -> int | None:
        """Hugging Face gives the size on its redirect; the storage behind it may refuse HEAD."""
        request = self._client.build_request("HEAD", url, extensions=pace.extensions)
        for _ in range(self._client.max_redirects):
            response = self._client.send(request, follow_redirects=False)
            size = told([response]).size
            if size is not None:
                return size
            if response.next_request is None:
                return length_of(response) if response.is_success else None
            request = response.next_request
        raise httpx.TooManyRedirects("the server redirects without end", request=request)

    def fetch(self, file: RemoteFile) -> None:
        """Fetch a file into the folder, complete and recorded, in place of anything already there.

        Raises:
            NetworkError: it could not be fetched.
            ContentError: what came is not the file.
            StoppedError: the run is being ended.
            OSError: the disk is full, or the folder cannot be written.
        """
        target = self._folder / file.path
        part = target.with_name(f"{target.name}.part")
        effort = _Effort(self._patience, self._watch.stop)
        damaged = 0
        while True:
            try:
                self._receive(file, part)
                self._accept(file, part, target)
            except _TransientError as error:
                effort.spend(error, file, held=part.stat().st_size if part.exists() else 0)
            except ContentError as error:
                self._discard(file, part)
                damaged += 1
                if not isinstance(error, DamagedContentError) or damaged >= _DAMAGED_TRIES:
                    raise
                effort.pause(f"{error}; starting over", file)
            else:
                return

    def held_bytes(self, file: RemoteFile) -> int:
        """How much of a file an earlier run left, from which to continue."""
        part = self._folder / f"{file.path}.part"
        partial = self._manifest.partial(file.path)
        if partial is None or partial.url != file.shown_url or not part.is_file():
            return 0
        held = part.stat().st_size
        resumable = bool(partial.validator or partial.published_sha256)
        return held if resumable and (partial.size is None or held <= partial.size) else 0

    def _receive(self, file: RemoteFile, part: Path) -> None:
        held = self.held_bytes(file)
        partial = self._manifest.partial(file.path)
        headers = {}
        if held and partial is not None:
            if held == partial.size:
                return
            headers["Range"] = f"bytes={held}-"
            if not partial.published_sha256:  # which would verify the joined file anyway
                headers["If-Range"] = partial.validator
        with (
            _named_faults(file),
            keep_pace(self._patience.stall_s) as pace,
            self._client.stream(
                "GET", file.url, headers=headers, extensions=pace.extensions
            ) as response,
        ):
            self._check_status(response, file, part)
            known = describe(response, file)
            if response.status_code == httpx.codes.PARTIAL_CONTENT:
                if not continues(response, held, partial, known):
                    self._discard(file, part)
                    raise _TransientError("the file changed on the server; starting over")
            else:
                held = 0
                part.unlink(missing_ok=True)
                self._manifest.record_partial(file.path, known)
            self._write(file, part, _paced(response, pace), held, known.size)

    def _check_status(self, response: httpx.Response, file: RemoteFile, part: Path) -> None:
        status = response.status_code
        if status in {httpx.codes.OK, httpx.codes.PARTIAL_CONTENT}:
            return
        # The words that belong to the number, not the server's.
        text = f"HTTP {status} {httpx.codes.get_reason_phrase(status)}".strip()
        if status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            self._discard(file, part)
            raise _TransientError(f"{text}; starting over")
        if status in _TRANSIENT:
            raise _TransientError(text, wait_s=retry_after_s(response.headers.get("Retry-After", "")))
        raise NetworkError(
            "the server does not provide the file",
            where=file.shown_url,
            got=text,
            hint="Is the address right? See docs/fetch.md for mirrors",
        )

    def _write(
        self, file: RemoteFile, part: Path, blocks: Iterator[bytes], held: int, size: int | None
    ) -> None:
        head = b"" if held == 0 else None
        part.parent.mkdir(parents=True, exist_ok=True)
        limit = LIMITS[file.kind] if size is None else size
        if limit > LIMITS[file.kind]:
            raise _too_long(file, f"{size:,} bytes")
        with part.open("ab") as handle:
            self._watch.moved(file.path, held, size)
            for block in blocks:
                self._watch.check()
                if head is not None:
                    head += block[: HEAD_BYTES - len(head)]
                    if len(head) == HEAD_BYTES:
                        check_head(head, file.kind, file.shown_url)
                        head = None
                held += len(block)
                if held > limit:
                    raise _too_long(file, f"more than {limit:,} bytes")
                handle.write(block)
                handle.flush()
                self._watch.moved(file.path, held, size)
        if size is not None and held != size:
            raise _TransientError(f"{held:,} of {size:,} bytes arrived")

    def _accept(self, file: RemoteFile, part: Path, target: Path) -> None:
        sha256 = hash_checked(part, file.kind, file.shown_url, self._watch.check)
        partial = self._manifest.partial(file.path)
        promised = partial.published_sha256 if partial is not None else ""
        if promised and sha256 != promised:
            raise DamagedContentError(
                "the file is not the one the server announced",
                where=file.shown_url,
                got=f"SHA-256 {sha256[:16]}",
                expected=promised[:16],
            )
        size = part.stat().st_size
        part.replace(target)
        self._manifest.record(file.path, sha256, size, file.shown_url)

    def _discard(self, file: RemoteFile, part: Path) -> None:
        part.unlink(missing_ok=True)
        self._manifest.record_partial(file.path, None)
        self._watch.moved(file.path, 0, None)


def _too_long(file: RemoteFile, got: str) -> ContentError:
    return ContentError(
        "the server sends more than such a file holds",
        where=file.shown_url,
        got=got,
        expected=f"at most {LIMITS[file.kind]:,} bytes, or what it announced",
    )


class _Effort:
    """Counts attempts without a result, and waits between them."""

    def __init__(self, patience: Patience, stop: Event) -> None:
        self._patience = patience
        self._stop = stop
        self._failures = 0
        self._most_held = 0

    def spend(self, error: _TransientError, file: RemoteFile, held: int = 0) -> None:
        """Wait before the next attempt.

        Raises:
            NetworkError: there is none.
            StoppedError: the run is being ended.
        """
        if held > self._most_held:  # there was progress, so the server is alive: patience starts again
            self._most_held = held
            self._failures = 0
        self._failures += 1
        refused = error.wait_s > self._patience.longest_wait_s
        if refused or self._failures >= self._patience.attempts:
            kind = NetworkError if error.reached else UnreachableError
            raise kind(
                "the file could not be fetched" if error.reached else "the server cannot be reached",
                where=file.shown_url,
                got=f"{error}; it asks to wait {error.wait_s:.0f} s" if refused else str(error),
                hint="The same command continues where this one stopped",
            ) from error
        self.pause(str(error), file, error.wait_s)

    def pause(self, reason: str, file: RemoteFile, least_s: float = 0.0) -> None:
        """Wait: twice as long each time, with jitter, and no less than the server asks."""
        base_s = self._patience.backoff_s * 2 ** max(self._failures - 1, 0)
        wait_s = max(least_s, min(base_s, _LONGEST_BACKOFF_S) * _JITTER.uniform(0.5, 1.5))
        logger.info("%s: %s; trying again in %.1f s", file.path, reason, wait_s)
        if self._stop.wait(wait_s):
            raise StoppedError


def _paced(response: httpx.Response, pace: Pace) -> Iterator[bytes]:
    for block in response.iter_raw():
        pace.count(len(block))
        yield block


@contextmanager
def _named_faults(file: RemoteFile) -> Iterator[None]:
    """Sort what httpx raises into what may pass and what will not."""
    try:
        yield
    except (httpx.UnsupportedProtocol, httpx.TooManyRedirects, httpx.InvalidURL) as error:
        raise NetworkError(
            "the server's address cannot be used", where=file.shown_url, got=str(error)
        ) from error
    except httpx.TimeoutException as error:
        reached = not isinstance(error, httpx.ConnectTimeout)
        raise _TransientError(f"no answer in time ({type(error).__name__})", reached=reached) from error
    except httpx.TransportError as error:
        reached = not isinstance(error, httpx.ConnectError)
        raise _TransientError(str(error) or type(error).__name__, reached=reached) from error
