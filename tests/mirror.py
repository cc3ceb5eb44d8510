"""A mirror of a KiTS data set on a real socket, which can be told to misbehave."""

from __future__ import annotations

import contextlib
import functools
import gzip
import hashlib
import json
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import nibabel as nib
import numpy as np

CASES = ("case_00000", "case_00001", "case_00002")
HTML = (
    b"<!DOCTYPE html><html><body>" + b"Please log in to the hospital's proxy. " * 20 + b"</body></html>"
)
LFS_POINTER = (
    b"version https://git-lfs.github.com/spec/v1\noid sha256:"
    + hashlib.sha256(b"elsewhere").hexdigest().encode()
    + b"\nsize 225959569\n"
)


def nifti_bytes(seed: int = 0, depth: int = 24, dtype: type = np.int16) -> bytes:
    """A compressed NIfTI file of noise, so that it is as long as it looks."""
    low, high = (-1000, 2000) if dtype is np.int16 else (0, 3)
    voxels: Any = np.random.default_rng(seed).integers(low, high, (64, 64, depth)).astype(dtype)
    return gzip.compress(nib.Nifti1Image(voxels, np.eye(4)).to_bytes(), mtime=0)


@functools.cache
def kits_files() -> dict[str, bytes]:
    """The files of a small data set in KiTS19's layout."""
    rows = [{"case_id": case, "captured_pixel_width": 0.9} for case in CASES]
    files = {"/data/kits.json": json.dumps(rows).encode()}
    for seed, case in enumerate(CASES):
        files[f"/data/{case}/imaging.nii.gz"] = nifti_bytes(seed)
        files[f"/data/{case}/segmentation.nii.gz"] = nifti_bytes(seed, dtype=np.uint8)
    return files


@dataclass(frozen=True)
class Fault:
    """How one GET is answered otherwise.

    Attributes:
        status: and nothing else, if it is no success.
        cut_at: the connection closes after this many bytes of the body.
        stall_at: no more bytes come after this many.
        drips: nothing comes but a byte now and then.
        ignores_range: the whole file is sent whatever is asked.
        body: sent in place of the file.
        etag: sent in place of the file's own; empty for none.
        headers: in addition.
        tells_length: whether there is a Content-Length.
        reason: the words after the status.
        endless: the body is sent again and again until the client hangs up.
        drips_headers: the same of headers, which never end.
        drips_length: and of the length of a piece of the body, in chunked transfer coding.
    """

    status: int = 200
    cut_at: int | None = None
    stall_at: int | None = None
    drips: bool = False
    ignores_range: bool = False
    body: bytes | None = None
    etag: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    tells_length: bool = True
    reason: str | None = None
    endless: bool = False
    drips_headers: bool = False
    drips_length: bool = False


@dataclass(frozen=True)
class Asked:
    """A request that came.

    Attributes:
        at_s: when it came, in seconds since the epoch.
    """

    method: str
    path: str
    range: str
    if_range: str
    at_s: float


class Mirror:
    """The server: `files` may be changed between requests, `faults` are used up by GETs in turn."""

    def __init__(self) -> None:
        self.files = dict(kits_files())
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        self.always: dict[str, Fault] = {}
        self.asked: list[Asked] = []
        self.dripped = 0
        """How often before the client hung up."""
        self.released = threading.Event()
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), type("Handler", (_Handler,), {"mirror": self})
        )
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def gets(self, path: str) -> list[Asked]:
        """The GETs of a file, in turn."""
        return [asked for asked in self.asked if (asked.method, asked.path) == ("GET", path)]

    def close(self) -> None:
        """Stop answering."""
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    mirror: Mirror

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def do_HEAD(self) -> None:
        self._note()
        body, fault = self.mirror.files.get(self.path), self.mirror.always.get(self.path, Fault())
        if body is None or fault.status >= 300:
            self._status(404 if body is None else fault.status, fault.headers, reason=fault.reason)
        else:
            self._status(200, {"Content-Length": str(len(body))}, empty=False)

    def do_GET(self) -> None:
        self._note()
        if self.mirror.released.is_set():  # a connection that was kept open
            self.close_connection = True
            return
        pending = self.mirror.faults[self.path]
        fault = pending.pop(0) if pending else self.mirror.always.get(self.path, Fault())
        body = fault.body if fault.body is not None else self.mirror.files.get(self.path)
        if body is None or fault.status >= 300:
            self._status(404 if body is None else fault.status, fault.headers, reason=fault.reason)
            return
        if fault.drips_headers or fault.drips_length:
            start = b"HTTP/1.1 200 OK\r\n"
            self.wfile.write(
                start if fault.drips_headers else start + b"Transfer-Encoding: chunked\r\n\r\n"
            )
            self._drip(b"X-A: a\r\n" if fault.drips_headers else b"0", 1000)
            self.close_connection = True
            return
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"' if fault.etag is None else fault.etag
        self._send(body, etag, fault)

    def _note(self) -> None:
        self.mirror.asked.append(
            Asked(
                self.command,
                self.path,
                self.headers.get("Range", ""),
                self.headers.get("If-Range", ""),
                time.time(),
            )
        )

    def _status(
        self, status: int, headers: Mapping[str, str], *, empty: bool = True, reason: str | None = None
    ) -> None:
        self.send_response(status, reason)
        for name, value in headers.items():
            self.send_header(name, value)
        if empty:
            self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, body: bytes, etag: str, fault: Fault) -> None:
        first = 0
        asked = self.headers.get("Range", "")
        same = self.headers.get("If-Range", etag) in {etag, fault.headers.get("Last-Modified")}
        if asked and same and not fault.ignores_range:
            first = int(asked.removeprefix("bytes=").removesuffix("-"))
            if first >= len(body):
                self._status(416, {"Content-Range": f"bytes */{len(body)}"})
                return
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        if etag:
            self.send_header("ETag", etag)
        for name, value in fault.headers.items():
            self.send_header(name, value)
        if fault.tells_length:
            self.send_header("Content-Length", str(len(body) - first))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        self._send_body(body[first:], fault)

    def _drip(self, text: bytes, times: int) -> None:
        with contextlib.suppress(OSError):
            for _ in range(times):
                self.mirror.dripped += 1
                self.wfile.write(text)
                if self.mirror.released.wait(0.05):
                    return

    def _send_body(self, body: bytes, fault: Fault) -> None:
        try:
            for place in range(len(body) if fault.drips else 0):
                self.wfile.write(body[place : place + 1])
                self.mirror.released.wait(0.02)
            while fault.endless and not self.mirror.released.is_set():
                self.wfile.write(body)
            self.wfile.write(body[: fault.cut_at if fault.cut_at is not None else fault.stall_at])
            self.wfile.flush()
            if fault.stall_at is not None:
                self.mirror.released.wait()
        except ConnectionError:
            pass
        if fault.cut_at is not None or fault.stall_at is not None or not fault.tells_length:
            self.close_connection = True
