"""The site's search runs in a worker, which browsers refuse to pages from a folder; ours stands in for it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "website" / "theme" / "assets" / "iframe-worker.js"


def test_a_page_from_a_folder_has_a_worker(tmp_path):
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs chromium")
    sync_api = pytest.importorskip("playwright.sync_api")
    shutil.copy(SCRIPT, tmp_path / "iframe-worker.js")
    (tmp_path / "double.js").write_text('addEventListener("message", (m) => postMessage(2 * m.data))')
    (tmp_path / "page.html").write_text(
        """<script src="iframe-worker.js"></script><body><script>
        window.answers = []
        const worker = new Worker("double.js")
        worker.addEventListener("message", (m) => answers.push(m.data))
        worker.postMessage(20)
        worker.postMessage(21)
        </script></body>"""
    )
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto((tmp_path / "page.html").as_uri())
        page.wait_for_function("answers.length == 2")
        assert page.evaluate("answers") == [40, 42]
        browser.close()
