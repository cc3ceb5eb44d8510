"""What a server's headers say about a file (RFC 9110, and two of Hugging Face's own)."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx

from renalmap.dataset.fetch.manifest import Partial
from renalmap.dataset.fetch.sources import RemoteFile


@dataclass(frozen=True)
class Remote:
    """What a server says about a file; None or empty if it does not."""

    size: int | None = None
    published_sha256: str = ""


def describe(response: httpx.Response, file: RemoteFile) -> Partial:
    """What an answer says about the file in its body."""
    promised = told([*response.history, response])
    etag = response.headers.get("ETag", "")
    # A weak ETag does not say that the bytes are the same.
    validator = etag if etag.startswith('"') else response.headers.get("Last-Modified", "")
    if not (validator.isascii() and validator.isprintable()):  # it cannot be sent back
        validator = ""
    length = length_of(response)
    size = promised.size if length is None else length
    if response.status_code == httpx.codes.PARTIAL_CONTENT:
        size = _range(response)[1]
    return Partial(
        url=file.shown_url, validator=validator, size=size, published_sha256=promised.published_sha256
    )


def continues(response: httpx.Response, held: int, partial: Partial | None, known: Partial) -> bool:
    """Whether a 206 is the rest of what is on the disk."""
    if partial is None or _range(response)[0] != held:
        return False
    same_size = known.size is None or partial.size in {None, known.size}
    return same_size and known.published_sha256 == partial.published_sha256


def _range(response: httpx.Response) -> tuple[int, int | None]:
    """The first byte and the whole size given by a 206; (-1, None) if it does not say."""
    found = re.fullmatch(
        r"bytes (\d{1,18})-\d+/(\d{1,18}|\*)", response.headers.get("Content-Range", "").strip()
    )
    if found is None:
        return -1, None
    return int(found[1]), int(found[2]) if found[2] != "*" else None


def told(responses: list[httpx.Response]) -> Remote:
    """What Hugging Face's headers announce about a large file: there the ETag is the SHA-256."""
    size, sha256 = None, ""
    for response in responses:
        etag = response.headers.get("X-Linked-Etag", "").removeprefix("W/").strip('"').lower()
        length = length_of(response, "X-Linked-Size")
        sha256 = etag if re.fullmatch("[0-9a-f]{64}", etag) else sha256
        size = size if length is None else length
    return Remote(size, sha256)


def length_of(response: httpx.Response, header: str = "Content-Length") -> int | None:
    """How many bytes a header announces; None if it does not say so."""
    text = response.headers.get(header, "")
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else None


def retry_after_s(text: str) -> float:
    """Seconds or a date, as RFC 9110 has it; 0 for none."""
    if re.fullmatch("[0-9]{1,18}", text.strip()):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):  # not a date, or beyond the calendar
        return 0.0
