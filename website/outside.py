"""Does a built page fetch anything from outside? The site must open offline, from a hospital's share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

_FETCHING: Final = {
    ("script", "src"),
    ("img", "src"),
    ("img", "srcset"),
    ("source", "srcset"),
    ("iframe", "src"),
    ("link", "href"),
    ("object", "data"),
    ("video", "src"),
}
_NOT_FETCHED: Final = {"canonical", "next", "prev", "alternate"}
"""What a `link` may be without a browser fetching it."""

_IN_STYLE = re.compile(r"(?:url\(\s*|@import\s+)['\"]?((?:https?:)?//[^'\")\s]+)")


class _Fetched(HTMLParser):
    """Collects the addresses that a browser fetches to show a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "link" and given.get("rel") in _NOT_FETCHED:
            return
        for name, value in given.items():
            if value and (tag, name) in _FETCHING and re.match(r"(?:https?:)?//", value):
                self.addresses.append(value)
            if value and name == "style":
                self.addresses += _IN_STYLE.findall(value)


def outside_requests(site: Path) -> Iterator[tuple[str, str]]:
    """Every (file, address) of a built site that a browser would fetch from elsewhere.

    Pages and style sheets are looked at. Scripts are not: what they do, a browser must show.
    """
    for path in sorted(site.rglob("*.html")):
        text = path.read_text(encoding="utf-8")
        page = _Fetched()
        page.feed(text)
        for style in re.findall(r"<style[^>]*>(.*?)</style>", text, re.DOTALL):
            page.addresses += _IN_STYLE.findall(style)
        yield from ((path.relative_to(site).as_posix(), address) for address in page.addresses)
    for path in sorted(site.rglob("*.css")):
        for address in _IN_STYLE.findall(path.read_text(encoding="utf-8")):
            yield path.relative_to(site).as_posix(), address
