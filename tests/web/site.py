"""The page's tools, the built site, and a browser that opens it."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

WEB = Path(__file__).resolve().parents[2] / "web"
SUB_PATH = "/some/where/renalmap/"


def make(target: str) -> None:
    """Skip a test, with the reason, where Node or the page's packages are absent and cannot be had."""
    if shutil.which("npm") is None:
        pytest.skip("needs Node and npm, which are not installed")
    made = run_in(WEB.parent, "make", "--silent", "web/node_modules/.installed")
    if made.returncode != 0:
        pytest.skip(f"needs the page's packages, which npm could not install: {made.stderr[-300:]}")
    if target:
        made = run_in(WEB.parent, "make", "--silent", target)
        assert made.returncode == 0, made.stdout + made.stderr


def run_in(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """A command's outcome, with its texts."""
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


class _Handler(SimpleHTTPRequestHandler):
    """A plain server that sends no header of its own, under a sub-path."""

    def translate_path(self, path: str) -> str:
        return super().translate_path(path.removeprefix(SUB_PATH.rstrip("/")))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the name it has there
        """Nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A folder on this computer, while it is needed; gives the address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}{SUB_PATH}"
        server.shutdown()
        thread.join()


@dataclass
class OpenedPage:
    """The open page, and everything that the browser said or asked for."""

    page: Any
    address: str
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def drop(self, *files: Path, timeout_s: float = 600.0) -> None:
        """Give the page files and wait until it has a result or an error."""
        self.page.set_input_files("#file", [str(file) for file in files])
        self.page.wait_for_selector(
            "#result:not([hidden]), #error:not([hidden])", timeout=1000 * timeout_s
        )

    @property
    def error(self) -> str | None:
        """What the page says went wrong."""
        return self.page.inner_text("#error") if self.page.is_visible("#error") else None

    def picture(self) -> str:
        """What the viewer shows."""
        picture: str = self.page.evaluate("() => document.getElementById('canvas').toDataURL()")
        return picture

    def save(self, link: str, path: Path) -> Path:
        """Save what one of the page's links offers."""
        with self.page.expect_download() as download:
            self.page.click(link)
        download.value.save_as(path)
        return path


@contextmanager
def opened(browser: Any, address: str, **options: Any) -> Iterator[OpenedPage]:
    """The page in a browser; when it is closed, it said nothing and asked nobody else for anything."""
    context = browser.new_context(**options)
    result = OpenedPage(context.new_page(), address)
    context.on("request", lambda request: result.requests.append(request.url))
    context.on("console", lambda message: result.messages.append(message.text))
    result.page.on("pageerror", lambda error: result.messages.append(str(error)))
    result.page.goto(address)
    yield result
    context.close()
    assert result.messages == []
    own = ("blob:", "data:", address)
    assert [url for url in result.requests if not url.startswith(own)] == []
